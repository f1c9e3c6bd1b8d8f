"""A start is sought among real folders, written, opened again, and recognised as what it is."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from harness import ask, run
from transformers import AutoModelForSequenceClassification

from tiny_models import save_bert
from weightscape.answers import TreeAnswer
from weightscape.errors import MismatchedModels
from weightscape.io import open_checkpoint, write_checkpoint
from weightscape.starts.ranking import Judging
from weightscape.starts.start import Searching, start
from weightscape.tasks.evaluate import evaluate
from weightscape.tasks.fine_tuning import FineTuning
from weightscape.tasks.models import load_model
from weightscape.tasks.task import make_task

FAST = Searching(finalists=1, folds=2, rounds=1, probe_folds=2, probe_repeats=1)
GOOD, BAD = ("good", "fine"), ("bad", "poor")


def opinions():
    """Make texts whose words say what they are, in three splits that share none."""
    rows = [
        (f"the {word} {thing} {stress}".strip(), label)
        for label, words in (("yes", GOOD), ("no", BAD))
        for word in words
        for thing in ("film", "book", "a film", "a book")
        for stress in ("", "very", "was", "was very")
    ]
    generator = np.random.default_rng(0)
    mixed = [rows[i] for i in generator.permutation(len(rows))]
    return make_task("opinions", "sentiment", {"train": mixed[:24], "test": mixed[24:48]})


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """Write a base and three children of it, each moved its own way."""
    folder = tmp_path_factory.mktemp("family")
    base = save_bert(folder / "base")
    with open_checkpoint(base) as stored:
        tensors = {name: stored.tensor(name).clone() for name in stored.tensors}
    files = {
        file.name: file.read_bytes()
        for file in base.iterdir()
        if file.suffix == ".json" and file.name != "config.json"
    }
    config = json.loads((base / "config.json").read_text())
    for number in range(3):
        noise = torch.Generator().manual_seed(number)
        moved = {
            name: it + 0.05 * torch.randn(it.shape, generator=noise)
            if it.is_floating_point()
            else it
            for name, it in tensors.items()
        }
        write_checkpoint(folder / f"child-{number}", moved, config=config, extra_files=files)
    return folder


def models_of(family: Path) -> list[Path]:
    return [family / f"child-{number}" for number in range(3)]


def search(family, method="bitfit", **more):
    how = FineTuning(method=method, lr=1e-3, steps=2, rank=2)
    given = {"searching": FAST, "judging": Judging(draws=20), "device": "cpu"} | more
    return start(models_of(family), opinions(), base=family / "base", how=how, **given)


def test_the_start_is_a_model_folder_with_the_head_that_was_ranked(family, tmp_path):
    found = search(family, kinds=["centroid"], out=tmp_path / "start")
    assert found.output == tmp_path / "start"
    best = found.ranked[0].candidate
    assert best.name == found.recommended
    with open_checkpoint(found.output) as written:
        names = [name for name in written.tensors if "classifier" not in name]
        for name in (*names[:3], *names[-3:]):
            expected = 0.0
            for model, share in best.weights.items():
                with open_checkpoint(family / model) as one:
                    expected = expected + share * one.tensor(name.removeprefix("bert.")).double()
            assert torch.equal(written.tensor(name), expected.float())
    loaded = AutoModelForSequenceClassification.from_pretrained(found.output)
    assert loaded.config.id2label == {0: "no", 1: "yes"}
    model = load_model(found.output, opinions(), device="cpu")
    assert model.labels == ("no", "yes")  # its head was made for the task
    assert evaluate(model, opinions(), split="train").metrics["accuracy"] > 0.6
    told = json.loads((found.output / "provenance.json").read_text())
    assert told["parents"] == dict(best.weights)
    assert (told["task"], told["method"]) == ("opinions", "bitfit")


def test_the_atlas_knows_a_centroid_for_a_merge_of_its_models(family, tmp_path):
    from weightscape.starts.candidates import propose
    from weightscape.starts.pool import open_pool
    from weightscape.starts.writing import write_start

    task = opinions()
    pool = open_pool(models_of(family), task, base=family / "base", regions={}, device="cpu")
    centre = next(it for it in propose(pool, ["centroid"]) if it.candidate.kind == "centroid")
    together = tmp_path / "models"
    together.mkdir()
    for folder in (family / "base", *models_of(family)):
        (together / folder.name).symlink_to(folder, target_is_directory=True)
    write_start(pool, centre, task, together / "start", "probe", {})
    assert run("chart", together, "--atlas", tmp_path / "atlas").code == 0
    tree = ask(TreeAnswer, "tree", "--atlas", tmp_path / "atlas")
    edges = [edge for edge in tree.edges if edge.child == "start"]
    assert {edge.kind for edge in edges} == {"merge"}
    assert {edge.parent for edge in edges} == {model.name for model in models_of(family)}


@pytest.mark.parametrize("method", ["lora", "full"])
def test_other_methods_rank_starts_too(family, method):
    found = search(family, method, kinds=["centroid"])
    assert found.method == method
    assert {len(it.runs) for it in found.ranked} == {2}
    assert all(np.isfinite(it.score) for it in found.ranked)


def test_models_of_two_families_are_refused_in_a_line(family, tmp_path):
    other = save_bert(tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"hidden_act": "relu"}))
    with pytest.raises(MismatchedModels):
        start([*models_of(family), other], opinions(), base=family / "base", device="cpu")
