import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
import torch
from foggy import LABELS, corners, foggy, left_or_right

from weightscape.errors import BadInput, MismatchedModels, UnknownName
from weightscape.regions.pairs import ALPHAS
from weightscape.regions.region import region
from weightscape.tasks import objective
from weightscape.tasks.live import LiveModel
from weightscape.tasks.processors import ArrayProcessor


@pytest.fixture(autouse=True)
def probes_of_one_strength(monkeypatch):
    """Fit one head at a point, not the 25 of a cross-validation, which is the probe's to test."""
    monkeypatch.setattr(objective, "fit_probe", partial(objective.fit_probe, regularisation=1.0))


FEW = {"samples": 3, "noise_samples": 2, "rays": 0, "pairs": 0, "draws": 100}


def measured(models=None, tasks=None, **options):
    tasks = tasks or left_or_right()
    return region(corners() if models is None else models, tasks, **{**FEW, **options})


def points(found, group):
    return [point for point in found.points if point.group == group]


def dominance(found, better, worse, task=None):
    (one,) = [d for d in found.dominances if (d.better, d.worse, d.task) == (better, worse, task)]
    return one


def same(one, other):
    """Compare results but for what a second run has to differ in."""
    return repr(dataclasses.replace(one, seconds=0, evaluated=0)) == repr(
        dataclasses.replace(other, seconds=0, evaluated=0)
    )


def test_a_hull_around_the_best_point_dominates_its_vertices_and_these_what_is_outside():
    found = measured(outside=corners(3.0, "far "))
    assert (found.models, found.outside) == (("east", "north", "south", "west"), "models")
    assert [len(points(found, group)) for group in ("in", "hull", "ex")] == [4, 3, 4]
    for better, worse in (("hull", "in"), ("in", "ex"), ("hull", "ex")):
        assert dominance(found, better, worse).value == 1.0
        assert dominance(found, better, worse, "sides").interval == (1.0, 1.0)
    centre = found.centroid.scores["sides"]
    assert centre.loss < min(point.scores["sides"].loss for point in points(found, "in"))
    assert centre.interval[0] < centre.loss < centre.interval[1]
    assert centre.metrics["accuracy"] == 1.0
    assert (found.rows, found.train_rows) == (48, 48)


def test_points_say_where_they_are():
    found = measured(outside=corners(3.0, "far "))
    assert found.centroid.distance == pytest.approx(0, abs=1e-7)
    assert found.centroid.weights == dict.fromkeys(found.models, 0.25)
    for point in points(found, "in"):
        assert (point.weights, point.distance) == ({point.name: 1.0}, pytest.approx(1))
    for point in points(found, "ex"):
        assert point.distance == pytest.approx(3)
    at = {model.name: model.module.at.detach().numpy() for model in corners()}
    for point in points(found, "hull"):
        here = sum(weight * at[name] for name, weight in point.weights.items())
        assert sum(point.weights.values()) == pytest.approx(1)
        assert point.distance == pytest.approx(float(np.linalg.norm(here)), rel=1e-5)


def test_the_radius_is_the_distance_at_which_the_loss_is_that_of_models_out_there():
    found = measured(outside=corners(1.5, "far "), rays=4)
    (radius,) = found.radii
    assert radius.value == pytest.approx(1.5, rel=0.15)
    more = measured(outside=corners(1.5, "far "), rays=6).radii[0]
    assert [ray.towards for ray in more.rays[4:]] == ["between 1", "between 2"]
    for ray in more.rays:  # the landscape is round
        assert ray.crosses == pytest.approx(1.5, rel=0.15)
    assert radius.interval[0] <= radius.value <= radius.interval[1]
    assert (radius.unit, len(radius.rays)) == (pytest.approx(1), 4)
    nowhere = measured(outside=corners(1.5, "far "), rays=1, threshold=50.0, reach=4.0)
    assert nowhere.radii[0].value is None and nowhere.radii[0].threshold_rule == "as given"
    within = measured(outside=corners(1.5, "far "), rays=1, threshold=1e-9)
    assert within.radii[0].value == 0
    assert "there is no region around it" in within.notes[0]


def test_lines_through_pairs_pass_the_models_and_go_beyond():
    found = measured(outside=corners(3.0, "far "), pairs=1)
    assert [pair.relation for pair in found.pairs] == ["in", "across"]
    losses = {point.name: point.scores["sides"].loss for point in found.points}
    for pair in found.pairs:
        assert pair.alphas == ALPHAS and len(ALPHAS) == len(set(ALPHAS)) == 23
        row = dict(zip(pair.alphas, pair.losses["sides"], strict=True))
        assert (row[0.0], row[1.0]) == (losses[pair.one], losses[pair.other])
        assert min(row[-31.0], row[32.0]) > max(row[0.0], row[0.5])


def test_without_models_outside_there_is_noise_or_there_are_directions():
    around = measured(base=foggy("base", 0.0, 0.0))
    assert (around.outside, around.base) == ("noise around the base", "base")
    assert [point.name for point in points(around, "ex")] == ["noise 1", "noise 2"]
    plain = measured()
    assert plain.outside == "directions from the centroid"
    for point in points(plain, "ex"):
        # of one length in a landscape that is round: as bad as the models
        assert point.weights == {} and point.distance == pytest.approx(1, rel=1e-5)
        assert point.scores["sides"].loss == pytest.approx(
            plain.points[0].scores["sides"].loss, rel=1e-3
        )
    asked = measured(base=foggy("base", 0.0, 0.0), outside="directions")
    assert asked.outside == plain.outside


def test_models_are_placed_and_not_scored():
    inside, beyond = foggy("inside", 0.2, 0.1), foggy("beyond", 9.0, 9.0)
    found = measured(place=[inside, beyond])
    assert [(it.name, it.place) for it in found.places] == [
        ("inside", "in the hull"),
        ("beyond", "outside"),
    ]
    assert found.evaluated == measured().evaluated
    assert not {"inside", "beyond"} & {point.name for point in found.points}
    assert not found.notes
    few = measured(corners()[:3], place=[inside, beyond])
    assert "3 models are too few to tell kin from strangers" in few.notes[0]


def test_models_are_called_as_was_asked_wherever_they_are_named():
    told = []
    found = measured(
        outside=corners(3.0, "far "), names={"east": "zoo/e", "far west": "zoo/w", "mid": "zoo/m"},
        rays=4, pairs=2, place=[foggy("mid", 0.1, 0.0)], on_places=told.extend,
    )  # fmt: skip
    assert found.models == ("zoo/e", "north", "south", "west")
    assert [it.name for it in told] == ["zoo/m"] and "zoo/e" in told[0].weights
    assert "zoo/w" in {it.name for it in points(found, "ex")}
    assert "zoo/e" in {ray.towards for ray in found.radii[0].rays}


def test_several_tasks_are_scored_at_every_point():
    tasks = [left_or_right("one"), left_or_right("two", seed=1, rows=40)]
    found = measured(tasks=tasks, outside=corners(3.0, "far "), rays=1)
    assert found.tasks == ("one", "two")
    assert all(set(point.scores) == {"one", "two"} for point in found.points)
    assert [radius.task for radius in found.radii] == ["one", "two"]
    assert {d.task for d in found.dominances} == {"one", "two", None}
    alone = measured(tasks=tasks[1], outside=corners(3.0, "far "))
    for point, same_point in zip(alone.points, found.points, strict=True):
        assert point.scores["two"] == same_point.scores["two"]
    assert found.rows == 40


def test_the_order_of_models_changes_nothing_and_the_seed_what_is_drawn():
    def run(models, outside, **options):
        return measured(models, outside=outside, rays=2, **options)

    one = run(corners(), corners(3.0, "far "))
    turned = run(corners()[::-1], corners(3.0, "far ")[::-1])
    assert same(one, turned)
    other = run(corners(), corners(3.0, "far "), seed=1)
    hull = [[point.weights for point in points(found, "hull")] for found in (one, other)]
    assert hull[0] != hull[1]


@pytest.mark.parametrize("kind", ["noise", "directions"])
def test_what_was_computed_is_not_computed_again(tmp_path, kind):
    def run(**options):
        base = foggy("base", 0.1, 0.0)
        return measured(base=base, outside=kind, rays=1, folder=tmp_path, **options)

    first, again = run(), run()
    assert first.evaluated > 0 and again.evaluated == 0
    assert same(first, again)
    assert run(samples=5).evaluated == 2  # those that are new


class Killed:
    """Progress that is interrupted after some points."""

    def __init__(self, after):
        self.left, self.total, self.done = after, None, 0.0

    @contextmanager
    def stage(self, label, *, total=None, unit="") -> Iterator:
        def advance(amount):
            if label != "evaluating":
                return
            self.done += amount
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

        if label == "evaluating":
            self.total = total
        yield advance

    def note(self, message):
        pass


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        measured(folder=tmp_path, progress=Killed(after=5))
    whole = measured()
    rest = measured(folder=tmp_path)
    assert rest.evaluated == whole.evaluated - 5
    assert same(rest, whole)


def test_the_points_that_progress_was_told_of_are_all_accounted_for():
    progress = Killed(after=-1)
    tasks = [left_or_right("one"), left_or_right("two")]
    outside = corners(3.0, "far ")
    found = measured(
        corners()[:2], tasks, outside=outside[:1], samples=1, rays=1, pairs=1, progress=progress
    )
    assert progress.done == progress.total == 2 * (2 + 1 + 1 + 1 + 1 * 12 + 2 * 23)
    assert all(set(pair.losses) == {"one", "two"} for pair in found.pairs)


def test_far_points_where_nothing_finite_comes_out_end_rays_and_are_gaps_in_lines():
    class Fragile(type(foggy("x", 0.0, 0.0).module)):
        def forward(self, x):
            far = self.at.square().sum() > 30
            return self.head(torch.where(far, torch.inf, 1.0) * (x[:, :2] + self.at.sum()))

    def fragile(name, x, y):
        return LiveModel(name, Fragile((x, y)), ArrayProcessor(), LABELS, ("head.",))

    models = [fragile("a", 1.0, 0.0), fragile("b", -1.0, 0.0)]
    found = measured(models, rays=2, pairs=1)
    for ray in found.radii[0].rays:
        assert np.isfinite(ray.losses).all() and ray.crosses is not None
    row = np.array(found.pairs[0].losses["sides"])
    assert np.isnan(row[[0, -1]]).all() and np.isfinite(row[9:14]).all()
    assert "nothing finite came out" in found.notes[-1]
    with pytest.raises(BadInput, match=r"at c: .* not finite"):
        measured([*models, fragile("c", 9.0, 0.0)])


def test_a_task_that_breaks_far_out_is_an_error_and_no_end_of_the_region():
    class Refusing(type(foggy("x", 0.0, 0.0).module)):
        def forward(self, x):
            if self.at.square().sum() > 30:
                raise BadInput("the data are gone")
            return super().forward(x)

    def refusing(name, x, y):
        return LiveModel(name, Refusing((x, y)), ArrayProcessor(), LABELS, ("head.",))

    models = [refusing("a", 1.0, 0.0), refusing("b", -1.0, 0.0)]
    for asked in ({"rays": 1}, {"pairs": 1}):
        with pytest.raises(BadInput, match="the data are gone"):
            measured(models, threshold=50.0, **asked)


def test_the_callers_models_are_left_as_they_were():
    models = corners()
    before = [{k: v.clone() for k, v in m.module.state_dict().items()} for m in models]
    measured(models)
    for model, state in zip(models, before, strict=True):
        assert all(torch.equal(model.module.state_dict()[k], v) for k, v in state.items())


def test_groups_that_are_none_are_refused_in_a_line():
    with pytest.raises(BadInput, match="two or more models, got 1"):
        measured(corners()[:1])
    with pytest.raises(BadInput, match="give them in a list"):
        measured(corners()[0])
    models = corners()
    with pytest.raises(BadInput, match="east is given twice"):
        measured([*models, models[0]])
    with pytest.raises(BadInput, match="east is given twice"):
        measured(models, outside=[models[0]])
    with pytest.raises(BadInput, match="twin, which is to be outside, is equal to east"):
        measured(models, outside=[foggy("twin", 1.0, 0.0)])
    with pytest.raises(BadInput, match="the weights of a, b are equal"):
        measured([foggy("a", 1.0, 0.0), foggy("b", 1.0, 0.0)])


def test_models_of_another_family_are_refused():
    with pytest.raises(MismatchedModels, match=r"'at' has shape \[2\] in east and \[3\] in far"):
        measured(outside=[foggy("far", 1.0, 2.0, 3.0)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outside": "noise"}, "noise is drawn around a base"),
        ({"outside": "elsewhere"}, "outside is a list of models, or 'noise', or 'directions'"),
        ({"samples": 0}, "samples must be 1 or more, got 0"),
        ({"noise_samples": 0}, "noise_samples must be 1 or more"),
        ({"rays": -1}, "rays must be 0 or more"),
        ({"pairs": -1}, "pairs must be 0 or more"),
        ({"reach": 0.1}, "reach is in mean distances"),
        ({"threshold": float("nan")}, "the threshold is a loss"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(options, message):
    with pytest.raises(BadInput, match=message):
        measured(**options)


def test_an_unknown_sampler_is_refused_before_anything_is_loaded():
    with pytest.raises(UnknownName, match="hull sampler"):
        measured(["nowhere/a", "nowhere/b"], sampler="dirichlett")


def with_training(task, change):
    rows = tuple(change(row) for row in task.splits["train"])
    return dataclasses.replace(task, splits={**task.splits, "train": rows})


def test_tasks_on_which_no_head_can_be_fitted_are_refused():
    one_class = with_training(left_or_right(), lambda row: row._replace(target=0))
    with pytest.raises(BadInput, match="all training rows of task 'sides' have one label"):
        measured(tasks=one_class)
    three = dataclasses.replace(left_or_right(), labels=(*LABELS, "up"))
    measured(tasks=three)  # nobody is asked for the third label
    rows = tuple(row._replace(target=i % 3) for i, row in enumerate(three.splits["test"]))
    asked = dataclasses.replace(three, splits={**three.splits, "test": rows})
    with pytest.raises(BadInput, match=r"no training row .* has the label 'up'"):
        measured(tasks=asked)
    texts = dataclasses.replace(left_or_right(), kind="generation", labels=())
    with pytest.raises(BadInput, match="needs labels or numbers; task 'sides' is generation"):
        measured(tasks=texts)
    with pytest.raises(BadInput, match="each once"):
        measured(tasks=[left_or_right(), left_or_right()])
