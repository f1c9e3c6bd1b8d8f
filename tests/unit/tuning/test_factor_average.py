"""The mean of adapters' factors: what it makes, how far that is off, and of which models it is."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from worded_tasks import QUICK, base_in, strength

from weightscape.io import open_checkpoint
from weightscape.tasks.evaluate import evaluate
from weightscape.tasks.fine_tune import fine_tune
from weightscape.tasks.models import load_model
from weightscape.tuning.finding import find_blend
from weightscape.tuning.searching import Searching

FEW = Searching(evaluations=3, surrogate=None, sampler="random")
LORA = replace(QUICK, method="lora", rank=2, places=("*query", "*value"), lr=0.05, steps=12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("factored")
    base = base_in(place)
    recipes = {
        "one": LORA,
        "two": replace(LORA, data_seed=1, dropout_seed=1, init_seed=1),
        "wide": replace(LORA, rank=4),
        "other": replace(LORA, places=("*query",)),
        "whole": replace(QUICK, init_seed=2),
    }
    for name, how in recipes.items():
        fine_tune(base, strength(), place / name, how)
    return place


def blended(folder, *names, baselines=("factor average", "uniform soup")):
    return find_blend([folder / it for it in names], strength(), how=FEW, baselines=baselines)


def test_it_is_the_product_of_the_means_and_says_how_far_that_is_off(folder):
    found = {it.name: it for it in blended(folder, "one", "two").baselines}
    with open_checkpoint(folder / "one") as one, open_checkpoint(folder / "two") as two:
        model = load_model(folder / "one", strength(), merge_adapter=True, device="cpu")
        state = dict(model.module.state_dict())
        off = size = 0.0
        for name in one.tensors:
            (b, a, scale), (d, c, _) = one.factors(name), two.factors(name)
            of_means = scale * ((b + d) / 2) @ ((a + c) / 2)
            mean = (one.tensor(name) + two.tensor(name)) / 2
            off += float((mean - of_means).square().sum())
            size += float(mean.square().sum())
            state[name] = state[name] - one.tensor(name) + of_means
        for name in one.saved:
            state[name] = (one.full_tensor(name) + two.full_tensor(name)) / 2
    model.module.load_state_dict(state)
    made = found["factor average"]
    assert made.held_out["loss"] == pytest.approx(evaluate(model, strength()).loss, abs=1e-5)
    share = np.sqrt(off / size)
    assert share > 0.1 and f"by {share:.0%} of its size" in made.why
    assert abs(made.held_out["loss"] - found["uniform soup"].held_out["loss"]) > 1e-4


def test_factors_of_one_adapter_twice_have_no_cross_terms(folder):
    shutil.copytree(folder / "one", folder / "one again", dirs_exist_ok=True)
    file = folder / "one again" / "adapter_model.safetensors"
    tensors = load_file(file)
    head = next(it for it in tensors if "classifier" in it and it.endswith("bias"))
    save_file({**tensors, head: tensors[head] + 1.0}, file, metadata={"format": "pt"})
    one, two = blended(folder, "one", "one again").baselines
    assert "by 0% of its size" in one.why
    assert one.held_out["loss"] == pytest.approx(two.held_out["loss"], abs=1e-6)


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (("one", "wide"), "different ranks"),
        (("one", "other"), "adapt different places"),
        (("one", "whole"), "whole is a whole model"),
    ],
)
def test_models_without_factors_that_pair_up_have_none(folder, names, why):
    found = blended(folder, *names)
    assert [it.name for it in found.baselines] == ["uniform soup"]
    assert any("'factor average'" in note and why in note for note in found.notes)


def test_whole_models_are_not_told_that_they_are_no_adapters(folder):
    fine_tune(folder / "base", strength(), folder / "more", QUICK)
    found = blended(folder, "whole", "more", baselines=None)
    assert not any("factor average" in it for it in (*found.notes, *map(str, found.baselines)))


def test_layers_that_keep_their_weights_turned_are_turned_back(folder):
    from weightscape.tuning.baselines.factored import _products

    class Turned:
        def __init__(self, seed):
            self.config = {"fan_in_fan_out": True}
            drawn = torch.Generator().manual_seed(seed)
            self.b, self.a = (torch.randn(4, 2, generator=drawn) for _ in range(2))

        def factors(self, name):
            return self.b, self.a.T, 2.0

        def info(self, name):
            return torch.empty(4, 4)

    one, two = Turned(0), Turned(1)
    product, cross = _products([one, two], "w")
    mean = (one.a @ one.b.T + two.a @ two.b.T).double()
    assert torch.allclose(product + cross, mean, atol=1e-6)
