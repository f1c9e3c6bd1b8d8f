from dataclasses import fields
from itertools import chain

from bench.connectivity.cells import STANDARD, cells, pairs_of
from bench.connectivity.measure import Measuring, is_control
from bench.connectivity.models import recipes_of
from bench.connectivity.pretraining import pairs_from


def differences(pair):
    one, other = pair.one, pair.other
    told = {
        field.name
        for field in fields(one.how)
        if getattr(one.how, field.name) != getattr(other.how, field.name)
    }
    if one.task != other.task:
        told.add("task")
    if one.start != other.start:
        told.add("start")
    return told


SEEDS = {"init_seed", "data_seed", "dropout_seed"}


def test_every_cell_has_three_pairs_of_different_models():
    for cell in cells():
        assert len(set(cell.pairs)) == 3, cell.name
        assert all(pair.one.name != pair.other.name for pair in cell.pairs), cell.name


def test_ends_differ_in_what_their_cell_names_and_in_nothing_else():
    expected = {
        "seeds: only the head's initialisation": {"init_seed"},
        "seeds: only the order of the data": {"data_seed"},
        "batch size: 16 and 8": {"batch"},
        "LoRA: same initialisation": {"data_seed"},
        "adapter: same initialisation": {"data_seed"},
        "data: two halves of one set": {"task"},
        "data: same task, other domain": {"task"},
        "data: other task": {"task"},
        "start: two random starts": {*SEEDS, "start"},
    }
    for cell in cells():
        for pair in cell.pairs:
            assert differences(pair) == expected.get(cell.name, SEEDS), cell.name


def test_models_are_shared_between_cells_and_named_apart():
    pairs = pairs_of(cells())
    ends = list(chain.from_iterable((pair.one, pair.other) for pair in pairs))
    models = recipes_of((pair.one, pair.other) for pair in pairs)
    assert len(models) < len(ends) / 2
    assert len({model.name for model in models}) == len(models)
    assert all(len(model.name) < 120 and "/" not in model.name for model in models)


def test_the_first_cell_is_the_standard_with_all_seeds_apart():
    first = cells()[0]
    assert all(pair.task == STANDARD.task for pair in first.pairs)
    assert all(differences(pair) == SEEDS for pair in first.pairs)


def test_only_pairs_without_a_common_start_get_longer_bends():
    controls = {pair for cell in cells() for pair in cell.pairs if is_control(pair)}
    assert {
        pair for cell in cells() if "two random" in cell.ends for pair in cell.pairs
    } == controls
    how = Measuring()
    for pair in pairs_of(cells()):
        longer = how.training(pair).steps > how.bend_steps
        assert longer == (pair in controls)


def test_pretraining_plans_three_pairs_of_one_task_and_three_of_two():
    for step in (0, 4000):
        groups = pairs_from(f"somewhere/step-{step}")
        assert {name: len(pairs) for name, pairs in groups.items()} == {
            "same task": 3,
            "other task": 3,
        }
        assert all(differences(pair) == SEEDS for pair in groups["same task"])
        assert all(differences(pair) == {"task"} for pair in groups["other task"])
        # a folder's path is no part of a model's name, its step is
        assert all(f"step-{step}" in pair.one.name for pair in groups["same task"])
