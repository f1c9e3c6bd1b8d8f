from dataclasses import replace

import numpy as np
import pytest
import torch
from halves_of_a_skill import largest, looking

from weightscape.errors import BadInput
from weightscape.starts.folds import cut
from weightscape.starts.heads import head_features, head_layer, set_head
from weightscape.starts.pool import open_pool, write_point
from weightscape.starts.scoring import ProbeScores
from weightscape.starts.short_runs import ShortRuns
from weightscape.tasks.features import features
from weightscape.tasks.fine_tuning import FineTuning
from weightscape.tasks.objective import Scoring
from weightscape.tasks.probe import fit_probe

TASK = largest(rows=18)
CELL = cut(TASK, 2, 0, 0)[0]
ONE, BOTH = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.5, 0.5])
QUICK = FineTuning(method="bitfit", lr=1e-2, steps=4)


@pytest.fixture
def spanned():
    models = [looking("base"), looking("one", 0), looking("two", 1, 2)]
    return open_pool(models[1:], TASK, base=models[0], regions={}, device="cpu").spanned


@pytest.mark.parametrize("method", ["bitfit", "full", "head"])
def test_a_run_leaves_nothing_behind_for_the_next(spanned, method):
    how = FineTuning(method=method, lr=1e-2, steps=4)
    alone = ShortRuns(spanned, how).at(BOTH, CELL)
    other = ShortRuns(spanned, how)
    other.at(ONE, CELL)
    after = other.at(BOTH, CELL)
    assert np.array_equal(alone.losses, after.losses)
    assert alone.rows.tolist() == [row.row for row in CELL.task.rows("test")]
    write_point(spanned, BOTH)
    expected = spanned.span.tensors(BOTH[1:])
    state = spanned.model.module.state_dict()
    # a bias that is the same in all models is trained as well
    assert "body.bias" in spanned.span.constants
    assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())


def test_the_same_seeds_for_all_and_others_in_every_repeat(spanned):
    again = cut(TASK, 2, 1, 0)[0]
    same = type(CELL)(1, CELL.fold, CELL.task)
    runs = ShortRuns(spanned, QUICK, head="drawn")
    first, seeded, shuffled = (runs.at(BOTH, cell) for cell in (CELL, same, again))
    assert not np.array_equal(first.losses, seeded.losses)
    assert first.rows.tolist() != shuffled.rows.tolist()
    assert runs.made == 3 and runs.seconds > 0


def test_a_run_is_made_once_whoever_asks(spanned, tmp_path):
    runs = ShortRuns(spanned, QUICK, folder=tmp_path)
    found = runs.at(BOTH, CELL)
    assert runs.at(BOTH, CELL) is found
    later = ShortRuns(spanned, QUICK, folder=tmp_path)
    assert later.knows(BOTH, CELL) and not later.knows(ONE, CELL)
    assert np.array_equal(later.at(BOTH, CELL).losses, found.losses)
    assert (runs.made, later.made) == (1, 0)
    # per tensor or not, it is the same point
    assert np.array_equal(later.at(BOTH[None], CELL).losses, found.losses)


def test_a_damaged_file_is_only_lost_work(spanned, tmp_path):
    ShortRuns(spanned, QUICK, folder=tmp_path).at(BOTH, CELL)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    later = ShortRuns(spanned, QUICK, folder=tmp_path)
    later.at(BOTH, CELL)
    assert later.made == 1 and len(list(tmp_path.iterdir())) == 1


def test_a_head_begins_as_the_probe_of_the_rows_that_are_fitted_on(spanned):
    model = spanned.model
    write_point(spanned, BOTH)
    set_head(model, CELL.task, "probe", 0)
    assert head_layer(model) == "head" == head_features(model)
    read = {split: features(model, CELL.task, split, pooling="head") for split in ("train", "test")}
    targets = [row.target for row in CELL.task.rows("train")]
    fitted = fit_probe(read["train"], targets, read["train"], targets, label_count=3)
    assert model.module.head.weight.detach().numpy() == pytest.approx(fitted.weight, abs=1e-5)
    with torch.inference_mode():
        answered = model.module.head(read["test"]).argmax(1).tolist()
    right = [row.target for row in CELL.task.rows("test")]
    assert np.mean(np.equal(answered, right)) > 0.6  # it began above chance, without a step


def test_a_label_without_rows_is_unlikely_but_not_out_of_reach(spanned):
    rows = [row.row for row in CELL.task.rows("train") if row.target != 2]
    fewer = CELL.task.subset(rows=rows)
    set_head(spanned.model, fewer, "probe", 0)
    bias = spanned.model.module.head.bias.detach()
    assert bias[2] == pytest.approx(float(bias[:2].min()) - 2.0)


def test_a_model_without_a_head_is_refused(spanned):
    from dataclasses import replace

    headless = replace(spanned, model=replace(spanned.model, head=()))
    with pytest.raises(BadInput, match="no head"):
        ShortRuns(headless, QUICK)


def test_what_was_computed_in_bfloat16_is_not_taken_for_float32(spanned, tmp_path):
    cells = cut(TASK, 2, 0, 0)
    for how, scoring in (
        (QUICK, Scoring()),
        (replace(QUICK, autocast=True), Scoring(autocast=torch.bfloat16)),
    ):
        runs = ShortRuns(spanned, how, folder=tmp_path / "runs", scoring=scoring)
        probes = ProbeScores(spanned, TASK, cells, scoring, folder=tmp_path / "probes")
        assert not runs.knows(BOTH, CELL) and not probes.knows(BOTH)
        runs.at(BOTH, CELL), probes.at(BOTH)
        assert runs.knows(BOTH, CELL) and probes.knows(BOTH)
