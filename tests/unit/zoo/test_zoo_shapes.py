import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weightscape.errors import BadInput, UnknownName
from weightscape.zoo.digits_plan import DigitsZoo, plan_digits_zoo
from weightscape.zoo.plan import draw_seeds, truth_of
from weightscape.zoo.shapes import SHAPES, grow
from weightscape.zoo.text_plan import BASE, PRESETS, plan_text_zoo, text_zoo
from weightscape.zoo.truth import read_truth, write_truth


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(SHAPES.names()), st.integers(0, 60), st.integers(1, 4), st.integers(0, 99))
def test_parents_come_first_and_trees_stay_apart(shape, models, roots, seed):
    grown = grow(shape, models, roots=roots, seed=seed)
    size = [1] * roots
    for tree, parent in grown:
        assert 0 <= parent < size[tree]
        size[tree] += 1
    assert max(size) - min(size) <= 1
    assert grow(shape, models, roots=roots, seed=seed) == grown


def test_the_shapes_are_what_they_are_called():
    assert {parent for _, parent in grow("star", 9)} == {0}
    assert [parent for _, parent in grow("chain", 5)] == [0, 1, 2, 3, 4]
    balanced = [parent for _, parent in grow("balanced", 20)]
    assert balanced == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4
    with pytest.raises(UnknownName, match="nearest: star"):
        grow("stare", 3)


def check_plan(plan):
    names = [planned.name for planned in plan]
    assert len(set(names)) == len(names)
    for planned in plan:
        assert all(names.index(parent) < names.index(planned.name) for parent in planned.parents)
        assert (planned.kind is None) == (not planned.parents)
    trainings = [planned.training for planned in plan if planned.training]
    head = "head_seed" if hasattr(trainings[0], "head_seed") else "init_seed"
    seeds = [
        getattr(training, part)
        for training in trainings
        for part in (head, "data_seed", "dropout_seed")
    ]
    assert len(set(seeds)) == len(seeds)


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(SHAPES.names()), st.integers(4, 40), st.integers(1, 2), st.integers(2, 11))
def test_any_digits_zoo_is_planned_in_order_with_seeds_of_its_own(shape, models, roots, tasks):
    plan = plan_digits_zoo(DigitsZoo(shape=shape, models=models, roots=roots, tasks=tasks))
    check_plan(plan)
    task = {planned.name: planned.task for planned in plan}
    trained = plan[roots : roots + models]
    assert len(trained) == models
    assert all(model.task != task[model.parents[0]] for model in trained)


@pytest.mark.parametrize("preset", PRESETS)
def test_text_zoos_hold_what_they_promise(preset):
    zoo = PRESETS[preset]
    plan = plan_text_zoo(zoo)
    check_plan(plan)
    parent = {planned.name: planned.parents for planned in plan}
    kinds = {planned.kind for planned in plan}
    assert kinds >= {"lora", "frozen-part", "copy", "cast", "merge"}
    plain = [p for p in plan if p.name in {f"{t}-{i + 1}" for t in zoo.tasks for i in range(9)}]
    assert len(plain) == len(zoo.tasks) * zoo.seeds

    def depth(name):
        return 0 if not parent[name] else 1 + max(depth(p) for p in parent[name])

    chains = [planned for planned in plan if planned.step == "train" and depth(planned.name) > 1]
    assert len(chains) >= 2 and max(depth(planned.name) for planned in chains) == 3
    assert [name for name, parents in parent.items() if not parents] == [BASE]


def test_only_the_full_text_zoo_trains_everything():
    full = [p for p in plan_text_zoo(PRESETS["full"]) if p.step == "train"]
    assert sum(planned.kind == "full" for planned in full) >= 24
    assert len({planned.domain for planned in full}) >= 2
    demo = [p for p in plan_text_zoo(PRESETS["demo"]) if p.step == "train"]
    assert {planned.kind for planned in demo} == {"frozen-part", "lora"}


def test_changes_of_a_preset():
    zoo = text_zoo("demo", steps=7, seeds=None, tasks=["trec6", "sms_spam"])
    assert (zoo.steps, zoo.seeds, zoo.tasks) == (7, 3, ("trec6", "sms_spam"))
    with pytest.raises(UnknownName, match="zoo preset named 'dmeo'; nearest: demo"):
        text_zoo("dmeo")
    with pytest.raises(UnknownName, match="text task"):
        plan_text_zoo(text_zoo("demo", tasks=["trec6", "trec7"]))
    with pytest.raises(BadInput, match="two or more different tasks"):
        plan_text_zoo(text_zoo("demo", tasks=["trec6", "trec6"]))
    with pytest.raises(BadInput, match="steps=1"):
        plan_text_zoo(text_zoo("demo", steps=1))


@pytest.mark.parametrize("options", [{"tasks": 1}, {"tasks": 99}, {"models": 3, "roots": 2}])
def test_digits_zoos_that_make_no_sense(options):
    with pytest.raises(BadInput):
        plan_digits_zoo(DigitsZoo(**options))


def test_a_run_s_checkpoint_lies_between_the_base_and_its_end(tmp_path):
    plan = plan_text_zoo(PRESETS["demo"])
    truth = truth_of("text", plan, {"vader_amazon-run": {"accuracy": 0.5}}, {"seed": 0})
    edges = {(edge.parent, edge.child) for edge in truth.edges}
    assert (BASE, "vader_amazon-run/checkpoint-25") in edges
    assert ("vader_amazon-run/checkpoint-25", "vader_amazon-run") in edges
    assert (BASE, "vader_amazon-run") not in edges
    assert truth.roots == [BASE]
    assert {edge.child for edge in truth.edges if edge.declared} == {"20ng_rec-lora"}
    write_truth(truth, tmp_path)
    assert read_truth(tmp_path) == truth


def test_seeds_follow_the_zoo_s_seed_and_the_name():
    assert draw_seeds(0, "a") == draw_seeds(0, "a") != draw_seeds(1, "a")
    assert all(0 <= seed < 2**31 for seed in draw_seeds(0, "a"))
