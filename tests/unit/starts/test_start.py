from dataclasses import replace

import pytest
from halves_of_a_skill import largest, looking
from torch import nn

from weightscape.errors import BadInput
from weightscape.starts.ranking import Judging
from weightscape.starts.start import Searching, start
from weightscape.tasks.fine_tuning import FineTuning

MODELS = (looking("one", 0), looking("two", 1), looking("three", 2))
HOW = FineTuning(method="bitfit", lr=1e-2, steps=3)
FAST = Searching(finalists=1, folds=2, rounds=2, probe_folds=2, probe_repeats=1)
KINDS = ("models", "centroid")


class Squaring(nn.Linear):
    def forward(self, x):
        seen = super().forward(x)
        return seen * seen - 0.5 * seen * seen  # of what overflows no number


def search(models=MODELS, task=None, **more):
    given = {
        "base": looking("base"),
        "how": HOW,
        "searching": FAST,
        "kinds": KINDS,
        "regions": {},
        "judging": Judging(draws=50),
        "device": "cpu",
    } | more
    return start(models, task or largest(rows=18), **given)


def test_what_is_right_by_construction_wins_and_everything_adds_up():
    found = search()
    assert (found.recommended, found.beats_base) == ("centroid", True)
    assert found.ranked[0].candidate.name == "centroid"
    ranked = {it.candidate.name: it for it in found.ranked}
    best = ranked["centroid"]
    assert best.gain > 0.4 and best.gain_interval[0] > 0
    assert best.score == pytest.approx(ranked["base"].score + best.gain)
    assert ranked["base"].gain is None and ranked["base"].dropped_in is None
    assert [(run.seed, run.fold) for run in best.runs] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    # the report's two runs, of the base and the centroid, are no part of the ranking
    assert found.runs == sum(len(it.runs) for it in found.ranked) + 2
    assert set(best.held_out) == {"accuracy", "macro_f1", "loss"}
    assert best.held_out["accuracy"] > ranked["base"].held_out["accuracy"] + 0.4
    assert "points" in found.why and "over the base base" in found.why
    assert (found.metric, found.method, found.train_rows) == ("accuracy", "bitfit", 18)


def test_a_model_whose_features_are_not_finite_is_left_out_and_named_not_the_end_of_it():
    base = looking("base")
    base.module.body = Squaring(3, 3)  # in whose module all points are written
    broken = looking("broken", 2, strength=1e30)
    many = replace(FAST, finalists=9)
    found = search((*MODELS[:2], broken), base=base, kinds=None, searching=many)
    ranked = {it.candidate.name: it for it in found.ranked}
    assert not ranked["broken"].runs and not ranked["centroid"].runs
    assert ranked["one"].runs and found.recommended not in ("broken", "centroid")
    (said,) = (note for note in found.notes if "not finite" in note)
    assert "broken" in said
    base.module.body.weight.data[:] = 1e30
    with pytest.raises(BadInput, match="not finite at any of"):
        search([looking(str(i), i, strength=1e30) for i in range(2)], base=base)


def test_random_labels_are_nobodys_skill():
    found = search(task=largest(rows=18, random_labels=True, noise=1.0))
    assert not found.beats_base
    assert found.recommended == "base" or "not beyond noise" in found.why


def test_models_that_know_no_more_than_the_base_do_not_beat_it():
    knowing = looking("base", 0, 1, 2)
    blind = (looking("blind", strength=0.0), looking("blinder", 0, strength=0.01))
    found = search(blind, base=knowing)
    assert found.recommended == "base" and not found.beats_base
    assert "lower by more than a standard error" in found.why


def test_the_test_split_has_no_say_in_the_choice():
    task = largest(rows=18, noise=0.6)
    rows = tuple(row._replace(target=0) for row in task.rows("test"))
    turned = replace(task, splits={**task.splits, "test": rows})
    one, two = search(task=task), search(task=turned)
    assert [it.candidate for it in one.ranked] == [it.candidate for it in two.ranked]
    assert [it.runs for it in one.ranked] == [it.runs for it in two.ranked]
    assert one.ranked[0].held_out != two.ranked[0].held_out
    without = replace(task, splits={"train": task.splits["train"]})
    assert all(not it.held_out for it in search(task=without).ranked)


def test_a_search_that_was_cut_short_goes_on_and_makes_no_run_twice(tmp_path, monkeypatch):
    made = []
    from weightscape.starts.short_runs import ShortRuns

    plain = ShortRuns._run

    def counted(self, weights, cell):
        made.append((weights.tobytes(), cell.repeat, cell.fold))
        if len(made) == 5:
            raise KeyboardInterrupt
        return plain(self, weights, cell)

    monkeypatch.setattr(ShortRuns, "_run", counted)
    with pytest.raises(KeyboardInterrupt):
        search(folder=tmp_path)
    few = search(folder=tmp_path, max_runs=6)
    # three of them are kept back for the last report, which had to be of two candidates only
    assert few.runs == 5 and "the budget ended the search in round" in few.notes[0]
    whole = search(folder=tmp_path)
    assert not whole.notes
    again = search(folder=tmp_path)
    assert again.ranked == whole.ranked
    assert len(made) == len(set(made)) + 1  # the one that was interrupted


def test_a_budget_of_one_run_or_no_time_still_answers():
    one = search(max_runs=1)
    assert one.runs == 1 and one.recommended == "centroid"
    hurried = search(minutes=1e-9)
    assert hurried.runs == 0 and hurried.rounds == 0
    assert hurried.why.endswith("no short run was made") and not hurried.beats_base


def test_without_time_for_all_probes_the_base_and_the_centres_are_probed_first(monkeypatch):
    import weightscape.starts.start as module

    asked = []

    def twice(budget):
        return lambda: len(asked) < 1 and not asked.append(1)

    monkeypatch.setattr(module, "_share_of", twice)
    found = search(kinds=("models", "nearest", "regions"), regions={"pair": ("one", "two")})
    assert {it.candidate.kind for it in found.ranked} == {"base", "centroid", "region"}
    assert "no time to probe 3 more candidates" in found.notes[0]


def test_without_a_base_the_least_loss_is_taken():
    found = search(base=None)
    assert found.recommended == "centroid" and not found.beats_base
    assert all(it.gain is None for it in found.ranked)
    assert "no base was given" in found.notes[0]


def test_what_makes_no_sense_is_refused_in_a_line(tmp_path):
    task = largest(rows=18)
    with pytest.raises(BadInput, match="two or more"):
        search(MODELS[:1])
    with pytest.raises(BadInput, match="no training row has the label"):
        search(task=task.subset(rows=[r.row for r in task.rows("train") if r.target != 1]))
    with pytest.raises(BadInput, match="cannot be cut into 2 folds"):
        search(task=task.subset(rows=[r.row for r in task.rows("train")][:3]))
    with pytest.raises(BadInput, match="of kind causal"):
        search(task=replace(task, kind="causal"))
    (tmp_path / "file").write_text("taken")
    with pytest.raises(BadInput, match="there already"):
        search(out=tmp_path)
    with pytest.raises(BadInput, match="finalists must be 1 or more, got 0"):
        Searching(finalists=0)
