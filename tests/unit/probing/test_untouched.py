from dataclasses import replace

import pytest
import torch

from weightscape.probing.layers import Dense, Product
from weightscape.probing.origin import no_delta, origin_of, unmoved
from weightscape.probing.stacks import DenseStack, ProductStack
from weightscape.probing.training import train_expert
from weightscape.probing.untouched import nothing_learned


@pytest.fixture(scope="module")
def expert(planted, small):
    trained = train_expert(planted.set, planted.labels, tree="oak", how=replace(small, steps=2))
    return replace(trained, origin=origin_of("the base", [planted.base], [planted.set.stack]))


def test_the_base_has_learned_nothing_in_whatever_precision_it_is_stored(expert, planted):
    for layer in (planted.base, planted.base.bfloat16().float(), planted.base + 1e-4):
        why = nothing_learned(expert, Dense(layer))
        assert why is not None and "nothing was learned in its layer.weight" in why
        assert "'the base'" in why


def test_models_that_were_trained_may_tell_something(expert, planted):
    models = planted.set.stack.matrices
    assert [nothing_learned(expert, Dense(it)) for it in models] == [None] * len(models)
    least = models[(models - planted.base).flatten(1).norm(dim=1).argmin()]
    half = planted.base + 0.5 * (least - planted.base)
    assert nothing_learned(expert, [Dense(half)]) is None


@pytest.mark.parametrize(
    "layer, why",
    [
        (torch.zeros(20, 24), "all zeros"),
        (torch.full((20, 24), float("nan")), "not finite"),
        (torch.full((20, 24), 1e30), "not finite, or too large"),
        (torch.ones(20, 24), "times as far from 'oak'"),
    ],
)
def test_layers_that_mean_nothing_to_the_tree_are_told_with_the_reason(expert, layer, why):
    assert why in nothing_learned(expert, Dense(layer))


def test_an_expert_that_knows_no_base_still_tells_zeros(expert, planted):
    alone = replace(expert, origin=None)
    assert nothing_learned(alone, Dense(planted.base)) is None
    assert "zeros" in nothing_learned(alone, Dense(torch.zeros(20, 24)))


def test_a_labelled_copy_of_the_base_does_not_move_the_measure(planted):
    copies = torch.cat([planted.set.stack.matrices, planted.base[None].expand(12, -1, -1)])
    origin = origin_of("the base", [planted.base], [DenseStack(copies)])
    assert origin.moved == origin_of("the base", [planted.base], [planted.set.stack]).moved
    assert unmoved(origin, [DenseStack(copies)]).tolist() == [False] * 160 + [True] * 12


def test_an_adapter_that_was_never_trained_is_told(low_rank, small, planted):
    generator = torch.Generator().manual_seed(0)
    b, a = torch.randn(20, 20, 2, generator=generator), torch.randn(20, 2, 24, generator=generator)
    stack = ProductStack(b, a)
    names = tuple(f"adapter {number:02}" for number in range(20))
    labels = [frozenset({f"class {number % 2}"}) for number in range(20)]
    expert = train_expert(
        type(planted.set)("layer.weight", names, stack, {}), labels, how=replace(small, steps=1)
    )
    expert = replace(expert, origin=no_delta([stack]))
    fresh = Product(torch.zeros(20, 2), a[0], 1.0)
    assert "the adapter changes nothing" in nothing_learned(expert, fresh)
    assert "next to nothing" in nothing_learned(expert, Product(1e-4 * b[0], a[0], 1.0))
    assert nothing_learned(expert, Product(b[0], a[0], 1.0)) is None
