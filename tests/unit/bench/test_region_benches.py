from pathlib import Path

import numpy as np
import pytest
from bench.regions.dominance import dominance, is_learned
from bench.regions.extrapolation import lines_of, read, span_within
from bench.regions.fresh import mean_of, plain_starts, user_rows
from bench.regions.gains import accuracies, gains_of, over_targets
from bench.regions.groups import groups_of
from bench.regions.models import TASKS, Member, is_plain, recipe_of

from weightscape.tasks.task import Example, Task
from weightscape.zoo.truth import Truth, ZooModel


def models(numbers=2):
    return [Member(task, n, Path(f"{task}-{n}")) for task in TASKS for n in range(1, numbers + 1)]


def test_models_share_no_seed():
    seeds = [
        seed
        for it in models(5)
        for seed in (
            recipe_of(it.name).init_seed,
            recipe_of(it.name).data_seed,
            recipe_of(it.name).dropout_seed,
        )
    ]
    assert len(set(seeds)) == len(seeds)


def zoo(**options):
    recipe = {"steps": 100, "lr": 1e-4, "max_tokens": 40, "freeze_embeddings": False}
    root = ZooModel(path="minilm")
    return Truth(zoo="text", options=recipe | options, models={"minilm": root}, edges=[])


def test_only_plain_models_of_the_recipe_are_reused():
    plain = ZooModel(path="trec6-1", parents=["minilm"], kind="full", task="trec6")
    chained = plain.model_copy(update={"parents": ["20ng_sci-1"]})
    frozen = plain.model_copy(update={"kind": "frozen-part"})
    assert is_plain("trec6-1", plain, "trec6", zoo())
    assert not is_plain("trec6-1", plain, "trec6", zoo(steps=50))
    assert not is_plain("trec6-1", chained, "trec6", zoo())
    assert not is_plain("trec6-1", frozen, "trec6", zoo())
    assert not is_plain("trec6-run", plain, "trec6", zoo())


def test_nobody_is_inside_and_outside():
    for group in groups_of(models(), TASKS[:12]):
        assert not set(group.members) & set(group.outside)
        assert set(group.tasks) <= set(TASKS[:12])
    kinds = {group.level: group for group in groups_of(models(), TASKS)}
    assert set(kinds) == {"data set", "domain", "general"}
    assert kinds["general"].outside == ()


def test_p_b_of_what_is_always_better_is_one_with_a_narrow_interval():
    low, high = np.zeros((4, 1)), np.ones((5, 1))
    assert dominance([(low, high)] * 3).as_json() == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert dominance([(low, low)]).value == 0.5
    mixed = dominance([(low, high), (high, low)])
    assert (mixed.value, mixed.low, mixed.high) == (0.5, 0.0, 1.0)


def test_a_group_is_learned_where_its_models_beat_the_base():
    assert is_learned({"in": [[0.2]], "base": [[0.5]]})
    assert not is_learned({"in": [[0.6]], "base": [[0.5]]})


def test_lines_are_between_two_models_of_their_level():
    lines = lines_of(models(), 3)
    assert [line.level for line in lines].count("data set") == 3
    for line in lines:
        assert line.one != line.other
        assert len(line.tasks) == (1 if line.level == "data set" else 2)


def test_a_span_ends_at_the_first_step_outside():
    alphas = np.array([-3.0, -1.0, 0.0, 0.5, 1.0, 2.0, 4.0])
    relative = np.array([1.0, 2.0, 1.0, 1.0, 1.2, 1.4, 9.0])
    assert span_within(alphas, relative, 1.5) == [0.0, 2.0]


def test_curves_are_read_over_the_mean_of_their_ends():
    line = {"level": "data set", "one": "a", "other": "b", "tasks": ["t"]}
    alphas = [-3.0, 0.0, 0.5, 1.0, 4.0]
    (row,) = read({"line": line, "alphas": alphas, "losses": {"t": [4.0, 1.0, 1.0, 3.0, None]}})
    assert row["at -3"] == 2.0
    assert row["at 0.5"] == 0.5
    assert row["at 4"] == np.inf


def run(target, start, seed, accuracy):
    return {"target": target, "start": start, "seed": seed, "accuracy": accuracy}


def test_gains_are_paired_by_seed_and_counted_by_target():
    runs = [
        run("a", "base", 0, 0.5), run("a", "base", 1, 0.6),
        run("a", "centroid", 0, 0.6), run("a", "centroid", 1, 0.7),
        run("b", "base", 0, 0.5), run("b", "centroid", 0, 0.48),
        run("c", "centroid", 0, 0.9),
    ]  # fmt: skip
    found = over_targets(gains_of(accuracies(runs), "centroid", "base"))
    assert found["targets"] == pytest.approx({"a": 10.0, "b": -2.0})
    assert (found["wins"], found["clear_losses"], found["seeds"]) == (1, 1, [1, 2])
    assert found["mean"]["value"] == pytest.approx(4.0)


def judged(start, seed, right):
    accuracy = right.count("1") / len(right)
    return {**run("a", start, seed, accuracy), "right": right}


def test_hindsight_is_the_best_start_of_each_target():
    runs = [
        judged("base", 0, "00000000"),
        judged("centroid", 0, "11111100"),
        judged("start", 0, "11110000"),
    ]
    assert gains_of(accuracies(runs), "hindsight", "base")["a"] == pytest.approx([75.0])
    assert gains_of(accuracies(runs), "start", "hindsight")["a"] == pytest.approx([-25.0])


def test_hindsight_is_not_told_on_the_rows_that_it_chose_on():
    # each start is right on one half of the rows; the best on either half is wrong on the other
    runs = [judged("base", 0, "10101010"), judged("centroid", 0, "01010101")]
    assert gains_of(accuracies(runs), "hindsight", "base")["a"] == pytest.approx([-50.0])


def user(counts):
    rows = [
        Example(f"text {label} {i}", label, 100 * label + i)
        for label, count in enumerate(counts)
        for i in range(count)
    ]
    labels = tuple(map(str, range(len(counts))))
    return Task("mine", "reviews", labels, {"train": tuple(rows)}, 32, metrics=("accuracy",))


def test_few_rows_have_every_label_and_its_share():
    task = user([90, 8, 2])
    few = user_rows(task, 20, 0)
    counts = [sum(row.target == label for row in few) for label in range(3)]
    assert sum(counts) == 20
    assert min(counts) == 2
    assert counts[0] >= 14
    assert user_rows(task, 20, 0) == few
    assert user_rows(task, 20, 1) != few
    assert user_rows(task, None, 0) == task.rows("train")


def test_plain_starts_weigh_the_models_alike():
    starts = dict(plain_starts("rt_polarity", ("base", "vader_tweets", "trec6", "vader_amazon")))
    assert starts["base"].tolist() == [1, 0, 0, 0]
    assert starts["centroid"].tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3])
    assert starts["right region"].tolist() == [0, 0.5, 0, 0.5]
    assert "right region" not in dict(plain_starts("trec6", ("base", "vader_tweets")))
    assert mean_of(("a", "b"), ("b",)).tolist() == [0, 1]
