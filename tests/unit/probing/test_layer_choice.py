from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from weightscape.errors import BadInput
from weightscape.io.opening import open_checkpoint
from weightscape.probing.layer_choice import centred_gram, changed_layers, choose_layer
from weightscape.probing.layer_set import LayerSet
from weightscape.probing.stacks import DenseStack


@pytest.fixture(scope="module")
def sets(planted):
    drawn = torch.Generator().manual_seed(5)
    names = planted.set.names
    noise = torch.randn(len(names), 12, 14, generator=drawn)
    faint = planted.set.stack.matrices + 0.02 * torch.randn(len(names), 20, 24, generator=drawn)
    return {
        "noise": LayerSet("noise", names, DenseStack(noise), {}),
        "faint": LayerSet("faint", names, DenseStack(faint), {}),
        "clear": planted.set,
        "frozen": LayerSet("frozen", names, DenseStack(torch.ones(len(names), 9, 9)), {}),
    }


@pytest.fixture(scope="module")
def asked(planted):
    names = planted.set.names
    labels = dict(zip(names, planted.labels, strict=True))
    return {"labels": labels, "held_out": frozenset(names[::5])}


@pytest.mark.parametrize("finalists", [1, 2])
def test_the_layer_that_tells_most_is_chosen(sets, asked, small, finalists):
    how = replace(small, epochs=40)
    choice = choose_layer(sets.__getitem__, list(sets), **asked, how=how, finalists=finalists)
    assert choice.layer == "clear"
    assert "frozen" not in choice.ridge
    assert choice.ridge["clear"] > choice.ridge["faint"] > choice.ridge["noise"]
    assert choice.ridge["noise"] < 0.6
    assert len(choice.trained) == (2 if finalists == 2 else 0)


def test_a_choice_is_kept_for_what_it_was_made_of(sets, asked, tmp_path):
    kept = tmp_path / "choice.json"
    settings = {**asked, "finalists": 1, "kept": kept}
    first = choose_layer(sets.__getitem__, list(sets), **settings)

    def refuse(layer):
        raise AssertionError("read again")

    assert choose_layer(refuse, list(sets), **settings) == first
    with pytest.raises(AssertionError, match="read again"):
        choose_layer(refuse, list(sets), **settings, identity="other models")
    kept.write_text('{"identity": 3')
    assert choose_layer(sets.__getitem__, list(sets), **settings) == first


def test_layers_are_chosen_where_the_held_out_models_share_no_class_with_the_others(
    sets, planted, small
):
    names = planted.set.names
    held_out = frozenset(names[:4])
    # those held out know what nobody else does; a label that all others have is no class either
    labels = {name: own | {"everybody"} for name, own in zip(names, planted.labels, strict=True)}
    labels |= {name: frozenset({"new"}) for name in names[:2]}
    labels |= {name: frozenset({"everybody"}) for name in names[2:4]}
    for finalists in (1, 3):
        choice = choose_layer(
            sets.__getitem__, ["noise", "faint", "clear"], labels, held_out=held_out,
            how=replace(small, steps=2), finalists=finalists,
        )  # fmt: skip
        assert choice.layer == "clear"
        assert not choice.trained and choice.ridge["noise"] < 0.7


def test_no_layer_that_can_be_scored_is_an_error(sets, asked):
    with pytest.raises(BadInput, match="no layer could be scored"):
        choose_layer(sets.__getitem__, ["frozen"], **asked)


def test_inner_products_of_factors_are_those_of_their_products(low_rank):
    products, formed = low_rank()
    train = torch.tensor([0, 1, 2, 4])
    flat = formed.matrices.double().flatten(1)
    flat = flat - flat[train].mean(0)
    for stack in (products, formed):
        torch.testing.assert_close(centred_gram(stack, train), flat @ flat.T, atol=1e-2, rtol=1e-5)


def test_frozen_layers_are_seen_by_a_few_models(tmp_path):
    models = []
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        tensors = {"frozen.weight": torch.ones(9, 9), "late.weight": torch.ones(9, 9)}
        if number == 2:
            tensors["late.weight"] += 1
        save_file(tensors, folder / "model.safetensors")
        models.append(open_checkpoint(folder))
    assert changed_layers(models, ["frozen.weight", "late.weight"]) == ["late.weight"]
    assert changed_layers(models[:2], ["frozen.weight", "late.weight"]) == []
