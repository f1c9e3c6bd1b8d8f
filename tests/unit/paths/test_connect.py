import dataclasses

import numpy as np
import pytest
import torch
from landscapes import custom_task, order, place, ring, three_labels, tiny

from weightscape.errors import BadInput, MismatchedModels
from weightscape.paths.path import connect
from weightscape.tasks.evaluation_files import read_evaluations, write_evaluations
from weightscape.tasks.live import LiveModel
from weightscape.tasks.objective import Scoring
from weightscape.tasks.task import Task

SAME = order(0, 1, 2)
TURNED = order(1, 2, 0)


def knower(name="a", scale=6.0):
    return tiny(name, SAME, scale * SAME)


def turned(name="b", scale=6.0):
    """The same function with its hidden units permuted: the classic barrier."""
    return tiny(name, TURNED, scale * TURNED.T)


def test_a_path_between_equal_models_is_flat():
    found = connect(knower("a"), knower("b"), three_labels(), points=7)
    assert len({point.loss for point in found.points}) == 1
    assert found.barrier.height == 0 and found.barrier.verdict == "connected"
    assert found.barrier.interval == pytest.approx((0, 0), abs=1e-9)
    assert (found.length, found.ends.l2, found.ends.moving_parameters) == (0, 0, 0)
    assert found.ends.cosine == pytest.approx(1)
    assert not any(found.series[0].held_out.forgotten)


def test_a_quadratic_has_the_barrier_it_was_built_with():
    found = connect(place("west", -1, 0), place("east", 1, 0), custom_task(ring), points=5)
    assert [point.loss for point in found.points] == pytest.approx([0, 0.5625, 1, 0.5625, 0])
    assert found.barrier.height == pytest.approx(1)
    assert found.barrier.at == 0.5
    assert found.ends.l2 == found.length == pytest.approx(2)
    assert found.ends.l2_per_parameter == pytest.approx(2 / np.sqrt(2))
    assert found.ends.cosine == pytest.approx(-1)
    assert found.series[0].chance_loss is None and found.series[0].metric_drop is None


def test_permuted_units_are_a_barrier_and_the_table_tells_what_is_forgotten():
    task = three_labels()
    found = connect(knower(), turned(), task, points=5)
    assert found.head == "own"
    assert found.barrier.verdict == "not connected"
    series = found.series[0]
    assert series.metric_drop.metric == "accuracy"
    known = series.train
    for i in range(1, 5):
        lost = known.rows[(known.correct[i - 1] == 1) & (known.correct[i] == 0)]
        assert list(known.forgotten[i]) == lost.tolist()
    assert series.chance_loss == pytest.approx(np.log(3))
    gap = np.log(3) - (found.points[0].loss + found.points[-1].loss) / 2
    assert found.barrier.threshold == pytest.approx(0.05 * gap)


def test_a_point_between_two_that_err_apart_beats_both():
    """Each end is too sure in a direction of its own; their mean is right."""
    askew = 3 * np.array([[0, 1, -1], [-1, 0, 1], [1, -1, 0]])
    one, two = tiny("a", SAME, 4 * SAME + askew), tiny("b", SAME, 4 * SAME - askew)
    found = connect(one, two, three_labels(rows=90), points=5)
    best = found.series[0].best
    assert (best.t, best.chosen_on, best.beats_both) == (0.5, "validation", True)
    assert best.gain_interval[0] > 0
    ends = [found.points[0].loss, found.points[-1].loss]
    assert min(abs(best.gain - (end - best.loss)) for end in ends) < 1e-9


def test_heads_of_other_labels_are_replaced_by_probes():
    one, two = knower("a"), tiny("b", TURNED, np.zeros((3, 3)), labels=("x", "y", "z"))
    found = connect(one, two, three_labels(), points=3)
    assert found.head == "probe"
    assert found.points[0].metrics["accuracy"] > 0.9
    assert found.points[-1].metrics["accuracy"] > 0.9
    assert found.ends.parameters == 9  # heads are not on the path


def test_heads_of_which_nobody_told_the_labels_are_taken_as_they_are():
    one, two = tiny("a", SAME, 6 * SAME, labels=None), tiny("b", SAME, 5 * SAME, labels=None)
    assert connect(one, two, three_labels(), points=2).head == "own"
    drawn = dataclasses.replace(two, drawn=True)
    assert connect(one, drawn, three_labels(), points=2).head == "probe"


def test_another_models_head_can_be_used_everywhere():
    giver = knower("giver")
    ends = tiny("a", SAME, np.zeros((3, 3))), tiny("b", SAME * 2, np.zeros((3, 3)))
    found = connect(*ends, three_labels(), points=3, head=giver)
    assert found.head == "giver"
    assert found.points[0].metrics["accuracy"] == 1
    with pytest.raises(BadInput, match="giver was made for the labels"):
        connect(*ends, three_labels(), head=tiny("giver", SAME, SAME, labels=("x", "y", "z")))


def test_two_tasks_are_followed_along_one_path():
    first, second = three_labels("first"), three_labels("second", seed=1)
    found = connect(knower(), turned(), [first, second], points=3)
    assert [series.task for series in found.series] == ["first", "second"]
    assert found.points == found.series[0].points
    alone = connect(knower(), turned(), second, points=3)
    assert alone.series[0].points == found.series[1].points
    with pytest.raises(BadInput, match="each once"):
        connect(knower(), turned(), [first, first])


def test_tasks_of_different_labels_are_followed_by_probes():
    first = three_labels("first")
    second = dataclasses.replace(three_labels("second", seed=1), labels=("x", "y", "z"))
    ends = knower("a"), tiny("b", TURNED, 6 * TURNED.T, labels=second.labels)
    found = connect(*ends, [first, second], points=3)
    assert found.head == "probe"
    assert [series.labels for series in found.series] == [first.labels, second.labels]
    assert all(series.points[0].metrics["accuracy"] > 0.9 for series in found.series)


def test_the_callers_models_are_left_as_they_were():
    one, two = knower(), turned()
    before = [{k: v.clone() for k, v in m.module.state_dict().items()} for m in (one, two)]
    connect(one, two, three_labels(), points=3)
    for model, state in zip((one, two), before, strict=True):
        assert all(torch.equal(model.module.state_dict()[k], v) for k, v in state.items())


def test_an_end_at_chance_is_refused_unless_it_is_wished():
    nobody = tiny("untrained", SAME, 0 * SAME)
    with pytest.raises(BadInput, match="untrained is no better than chance on 'which'"):
        connect(knower(), nobody, three_labels(), points=3)
    found = connect(knower(), nobody, three_labels(), points=3, allow_chance=True)
    assert found.series[0].chance_ends == ("untrained",)


def test_an_end_is_needed_to_know_only_one_of_the_tasks():
    turning = three_labels("turned")
    relabelled = {
        split: tuple(row._replace(target=(row.target + 1) % 3) for row in rows)
        for split, rows in turning.splits.items()
    }
    other = dataclasses.replace(turning, splits=relabelled)
    ends = knower("a"), tiny("b", SAME, 6 * order(2, 0, 1))
    found = connect(*ends, [three_labels(), other], points=3)
    assert found.series[0].chance_ends == ("b",)
    assert found.series[1].chance_ends == ("a",)


def test_a_loss_that_is_not_finite_names_the_point_and_the_tensor():
    one, two = knower(), turned()
    with torch.no_grad():
        two.module.body.weight[0, 0] = float("inf")
    with pytest.raises(BadInput, match=r"t = 1: .*'?body\.weight"):
        connect(one, two, three_labels(), points=3)


def test_models_that_do_not_correspond_are_refused_by_name():
    task = three_labels()
    with pytest.raises(MismatchedModels, match="a and west are of different families"):
        connect(knower(), place("west", 0, 0), task)
    wide = knower("wide")
    wide.module.body = torch.nn.Linear(3, 4, bias=False)
    with pytest.raises(MismatchedModels, match=r"'body.weight' has shape \[3, 3\] in a and \[4, 3"):
        connect(knower(), wide, task)
    with pytest.raises(MismatchedModels, match="missing in a"):
        more = knower("more")
        more.module.extra = torch.nn.Linear(1, 1)
        connect(knower(), more, task)


def test_empty_splits_are_refused_before_anything_is_computed():
    task = three_labels()
    empty = dataclasses.replace(task, splits={**task.splits, "test": ()})
    with pytest.raises(BadInput, match="split 'test' of task 'which' has no rows"):
        connect(knower(), turned(), empty)


def test_a_base_gives_the_cosine_of_what_was_learned():
    base = tiny("base", SAME, SAME)
    one = tiny("a", SAME + order(0, 1, 2), 6 * SAME)
    two = tiny("b", SAME - order(0, 1, 2) * 0.5, 6 * SAME)
    found = connect(one, two, three_labels(), points=2, base=base, allow_chance=True)
    deltas = [
        np.concatenate(
            [
                (m.module.body.weight - base.module.body.weight).detach().ravel(),
                (m.module.head.weight - base.module.head.weight).detach().ravel(),
            ]
        )
        for m in (one, two)
    ]
    cosine = deltas[0] @ deltas[1] / np.linalg.norm(deltas[0]) / np.linalg.norm(deltas[1])
    assert found.ends.delta_cosine == pytest.approx(cosine)
    assert (found.ends.base, found.ends.names) == ("base", ("a", "b"))


class Counted:
    """A task's function that counts its calls and is killed at one of them."""

    def __init__(self, last=None):
        self.calls, self.last = 0, last

    def __call__(self, module, records):
        self.calls += 1
        if self.last is not None and self.calls > self.last:
            raise KeyboardInterrupt
        return ring(module, records)


def counted(function) -> Task:
    """Look like one and the same task whatever is counted: a fingerprint reads the source."""
    return custom_task(function)


ENDS = (place("west", -1, 0), place("north", 0, 1))


def test_a_killed_path_goes_on_and_a_repeated_one_computes_nothing(tmp_path):
    whole = connect(*ENDS, counted(Counted()), points=5)
    with pytest.raises(KeyboardInterrupt):
        connect(*ENDS, counted(Counted(last=8)), points=5, folder=tmp_path)
    assert not list(tmp_path.rglob("*half*"))
    rest = Counted()
    resumed = connect(*ENDS, counted(rest), points=5, folder=tmp_path)
    assert rest.calls == 5 * 3 - 6  # two points of three splits were whole when it was killed
    again = Counted()
    repeated = connect(*ENDS, counted(again), points=5, folder=tmp_path)
    assert again.calls == 0
    assert whole.series[0].points == resumed.series[0].points == repeated.series[0].points


def test_points_of_other_models_tasks_and_limits_are_not_mistaken(tmp_path):
    connect(*ENDS, custom_task(ring), points=3, folder=tmp_path)
    other = (place("west", -1, 0), place("south", 0, -0.5))
    found = connect(*other, custom_task(ring), points=3, folder=tmp_path)
    assert found.points == connect(*other, custom_task(ring), points=3).points
    heavier = custom_task(ring, (5.0, 6.0, 7.0))
    found = connect(*ENDS, heavier, points=3, folder=tmp_path)
    assert found.points == connect(*ENDS, heavier, points=3).points
    fewer = Scoring(limit=2)
    found = connect(*ENDS, custom_task(ring), points=3, folder=tmp_path, scoring=fewer)
    assert found.series[0].loss_rows == 2


def test_a_damaged_file_is_computed_anew(tmp_path):
    first = connect(*ENDS, custom_task(ring), points=3, folder=tmp_path)
    files = sorted((tmp_path / "points").iterdir())
    whole = [file.read_bytes() for file in files]
    generator = np.random.default_rng(0)
    for kind in range(40):
        for file, content in zip(files, whole, strict=True):
            if kind < 10:
                content = content[: kind * len(content) // 10]
            else:
                turned = bytearray(content)
                for at in generator.integers(0, len(content), 8):
                    turned[at] ^= int(generator.integers(1, 256))
                content = bytes(turned)
            file.write_bytes(content)
        again = connect(*ENDS, custom_task(ring), points=3, folder=tmp_path)
        assert again.points == first.points


def test_an_evaluation_of_other_rows_is_not_taken_for_the_point(tmp_path):
    first = connect(*ENDS, custom_task(ring), points=3, folder=tmp_path)
    for file in (tmp_path / "points").iterdir():
        parts = read_evaluations(file)
        parts["test"] = dataclasses.replace(parts["test"], rows=parts["test"].rows + 1)
        del parts["train"]
        write_evaluations(file, parts)
    assert connect(*ENDS, custom_task(ring), points=3, folder=tmp_path).points == first.points


def test_validation_rows_are_scored_only_where_the_best_point_may_be(tmp_path):
    """The lowest loss, half way round the ring, is found without scoring all points on them."""
    ends = (place("far", -1.5, 0), place("near", 0.5, 0))
    task = Counted()
    found = connect(*ends, counted(task), points=26, folder=tmp_path)
    known = [point.validation_loss is not None for point in found.points]
    assert known[0] and known[-1] and sum(known) <= 13
    assert task.calls == 2 * 26 + sum(known)
    assert found.series[0].best.chosen_on == "validation"
    lowest = min(found.points, key=lambda point: point.loss)
    assert found.series[0].best.t == lowest.t
    # what is known of a point is not scored again for the rows that were not wanted before
    more = Counted()
    connect(*ends, counted(more), points=6, folder=tmp_path)
    assert more.calls <= 6 - 2


def test_equal_names_are_told_apart():
    found = connect(knower("model"), turned("model"), three_labels(), points=2)
    assert found.ends.names == ("model", "model (2)")
    assert isinstance(knower(), LiveModel)
