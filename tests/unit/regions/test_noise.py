import numpy as np
import pytest
import torch
from foggy import corners, foggy, left_or_right

from weightscape.regions.groups import open_group
from weightscape.regions.noise import noisy_models


def wide(name, seed):
    """A model of two tensors that train, one ten times as far, and of one that does not."""
    model = foggy(name, 0.0, 0.0)
    generator = torch.Generator().manual_seed(seed)
    model.module.near = torch.nn.Parameter(torch.randn(400, generator=generator))
    model.module.far = torch.nn.Parameter(10 * torch.randn(20, 20, generator=generator))
    return model


def group_of(models, base=None, **options):
    return open_group(models, [left_or_right()], base=base, **options)


def tensors_of(spanned):
    return spanned.span.held(spanned.span.size)


@pytest.mark.parametrize("kind", ["noise", "directions"])
def test_noise_is_as_long_as_what_was_learned_tensor_by_tensor(kind):
    models = [wide(f"m{i}", i) for i in range(4)]
    base = wide("base", 99)
    group = group_of(models, base)
    stacked = {
        name: torch.stack([getattr(model.module, name).detach().double() for model in models])
        for name in ("near", "far")
    }
    start = {
        name: getattr(base.module, name).detach().double() if kind == "noise" else it.mean(0)
        for name, it in stacked.items()
    }
    squares = {name: (it - start[name]).flatten(1).square().sum(1) for name, it in stacked.items()}
    length = float((squares["near"] + squares["far"]).sqrt().mean())
    whole = float((squares["near"] + squares["far"]).mean())
    names = []
    for spanned, name, _ in noisy_models(group, kind, 3, seed=0):
        names.append(name)
        made = tensors_of(spanned)
        noise = {key: float((made[key].double() - start[key]).square().sum()) for key in start}
        assert np.sqrt(sum(noise.values())) == pytest.approx(length, rel=1e-4)
        share = float(squares["near"].mean()) / whole
        assert noise["near"] / length**2 == pytest.approx(share, rel=1e-3)
        assert "still" not in made  # nobody trained it
    assert len(set(names)) == 3


@pytest.mark.parametrize("kind", ["noise", "directions"])
def test_distances_are_those_from_the_centroid(kind):
    group = group_of(corners(), foggy("base", 3.0, 4.0))
    for spanned, _, distance in noisy_models(group, kind, 3, seed=1):
        assert float(tensors_of(spanned)["at"].norm()) == pytest.approx(distance, rel=1e-5)
        if kind == "directions":
            assert distance == pytest.approx(1.0, rel=1e-5)


def test_noise_follows_from_the_seed_and_not_from_the_order_of_models():
    def drawn(models, seed):
        group = group_of(models, foggy("base", 0.0, 0.0))
        return [tensors_of(spanned)["at"] for spanned, *_ in noisy_models(group, "noise", 2, seed)]

    one, same, other = drawn(corners(), 0), drawn(corners()[::-1], 0), drawn(corners(), 1)
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not torch.equal(one[0], one[1])
    assert not torch.equal(one[0], other[0])


def test_tied_tensors_have_one_noise():
    def tied(name, x):
        model = foggy(name, x, 0.0)
        model.module.alias = model.module.at
        return model

    group = group_of([tied("a", 1.0), tied("b", 2.0)], tied("base", 0.0))
    ((spanned, _, _),) = noisy_models(group, "noise", 1, seed=0)
    made = tensors_of(spanned)
    assert torch.equal(made["at"], made["alias"])
    assert made["at"].data_ptr() == made["alias"].data_ptr()
