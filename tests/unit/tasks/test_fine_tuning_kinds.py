"""The one loop trains models that write, models of images and plain modules alike."""

from dataclasses import replace

import pytest
import torch

from tiny_models import save_gpt2, save_t5
from weightscape.io import open_checkpoint
from weightscape.tasks.evaluate import evaluate
from weightscape.tasks.fine_tune import FineTuning, fine_tune
from weightscape.tasks.live import LiveModel
from weightscape.tasks.models import load_model
from weightscape.tasks.processors import ArrayProcessor
from weightscape.tasks.task import Example, Task

OPPOSITES = {"good": "bad", "bad": "good", "fine": "poor", "poor": "fine"}


def writing(kind):
    """The task of writing the opposite of the word that a text ends with."""
    texts = [
        f"{a} {b} was {word}" for a in ("a", "the") for b in ("film", "book") for word in OPPOSITES
    ]
    rows = tuple(Example(t, OPPOSITES[t.split()[-1]], i) for i, t in enumerate(texts))
    splits = {"train": rows[:12], "test": rows[12:]}
    return Task("opposites", "", (), splits, 12, kind, ("loss",), 4)


@pytest.mark.parametrize(("kind", "save"), [("seq2seq", save_t5), ("causal", save_gpt2)])
@pytest.mark.parametrize("method", ["full", "lora", "adapter"])
def test_models_that_write_learn_to(tmp_path, kind, save, method):
    task = writing(kind)
    save(tmp_path / "base")
    before = evaluate(load_model(tmp_path / "base", task), task).loss
    how = FineTuning(method=method, steps=25, lr=1e-2, batch=8, init_std=0.1)
    done = fine_tune(tmp_path / "base", task, tmp_path / "out", how)
    assert done.scores.loss < before - 0.1
    again = evaluate(load_model(done.folder, task), task)
    assert again.loss == pytest.approx(done.scores.loss, abs=1e-5)
    if method == "lora":
        # the deltas that the atlas reads are those that the merged model has
        whole = load_model(done.folder, task, merge_adapter=True).module.state_dict()
        with open_checkpoint(done.folder) as deltas, open_checkpoint(tmp_path / "base") as base:
            for name in deltas.tensors:
                merged = base.tensor(name) + deltas.tensor(name)
                assert torch.allclose(whole[name], merged, atol=1e-5), name


@pytest.mark.parametrize("method", ["full", "head", "lora", "adapter"])
def test_the_digits_transformer_from_its_own_initialisation(tmp_path, method):
    from weightscape.tasks.arrays import task_from_arrays
    from weightscape.zoo.digits_model import DigitsViT

    images = torch.rand(60, 8, 8, generator=torch.Generator().manual_seed(0))
    sides = (images[:, :, :4].mean((1, 2)) > images[:, :, 4:].mean((1, 2))).long().tolist()
    parts = {"train": (images[:40], sides[:40]), "test": (images[40:], sides[40:])}
    task = task_from_arrays("sides", parts, ("right", "left"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        start = LiveModel("digits", DigitsViT(2), ArrayProcessor(), head=("classifier.",))
    how = FineTuning(method=method, steps=8, lr=1e-2)
    done = fine_tune(start, task, tmp_path / "out", how)
    with open_checkpoint(done.folder) as stored:
        assert stored.nbytes > 0
    (done.folder / "provenance.json").unlink()
    again = fine_tune(start, task, done.folder, how, declare=False)
    assert again.scores.loss == pytest.approx(done.scores.loss, abs=1e-6)
    other = replace(how, data_seed=1)
    assert fine_tune(start, task, tmp_path / "b", other).scores != done.scores
