"""A region between trained models on disk has what the paper says of one, computed once."""

from functools import partial

import pytest
import torch

from weightscape.errors import MismatchedModels
from weightscape.regions.region import region
from weightscape.tasks import objective
from weightscape.tasks.arrays import task_from_arrays
from weightscape.tasks.objective import Scoring
from weightscape.zoo.digits import make_digits_zoo
from weightscape.zoo.digits_data import digits_data, digits_task
from weightscape.zoo.digits_model import DigitsViT

SCORING = Scoring(limit=128, train_limit=128, validation_limit=0)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """One base with three models of each of two tasks."""
    folder = tmp_path_factory.mktemp("zoo")
    truth = make_digits_zoo(
        folder, models=6, tasks=2, roots=1, specials=False, base_steps=200, steps=60
    )
    tasks: dict[str, list[str]] = {}
    for name, model in truth.models.items():
        if model.parents:
            tasks.setdefault(model.task, []).append(name)
    assert sorted(map(len, tasks.values())) == [3, 3]
    return folder, tasks


@pytest.fixture(scope="module", autouse=True)
def probes_of_one_strength():
    """Fit one head at a point, not the 25 of a cross-validation, which is the probe's to test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objective, "fit_probe", partial(objective.fit_probe, regularisation=10.0))
        yield


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def as_task(name):
    data = digits_data(name)
    splits = {
        "train": (data.images.numpy(), data.labels.numpy()),
        "test": (data.test_images.numpy(), data.test_labels.numpy()),
    }
    return task_from_arrays(name, splits, ["".join(map(str, g)) for g in digits_task(name).groups])


def measured(zoo, **options):
    folder, tasks = zoo
    ours = max(tasks, key=lambda task: len(digits_task(task).groups))
    return region(
        [folder / name for name in tasks[ours]],
        as_task(ours),
        factory=lambda task: DigitsViT(len(task.labels)),
        scoring=SCORING,
        device="cpu",
        **options,
    )


def others(zoo):
    folder, tasks = zoo
    ours = max(tasks, key=lambda task: len(digits_task(task).groups))
    return [folder / name for task, names in tasks.items() if task != ours for name in names]


@pytest.fixture(scope="module")
def found(zoo, tmp_path_factory):
    keep = tmp_path_factory.mktemp("keep")
    options = {"outside": others(zoo), "samples": 5, "rays": 2, "pairs": 1, "folder": keep}
    return measured(zoo, **options), options


def value(found, better, worse):
    return next(
        d.value for d in found.dominances if (d.better, d.worse, d.task) == (better, worse, None)
    )


def test_models_of_a_task_and_their_hull_are_better_at_it_than_models_of_another(found):
    result, _ = found
    assert value(result, "in", "ex") >= 0.9
    assert value(result, "hull", "ex") >= 0.9
    assert result.centroid.scores[result.tasks[0]].loss < min(
        point.scores[result.tasks[0]].loss for point in result.points if point.group == "ex"
    )


def test_the_region_has_an_edge(found):
    """Flat between two models, and steep beyond them (figure 5 of the paper)."""
    result, _ = found
    (inner,) = [pair for pair in result.pairs if pair.relation == "in"]
    losses = dict(zip(inner.alphas, inner.losses[result.tasks[0]], strict=True))
    assert losses[0.5] < 1.2 * max(losses[0.0], losses[1.0])
    assert min(losses[-31.0], losses[32.0]) > 1.5 * max(losses[0.0], losses[1.0])
    (radius,) = result.radii
    assert radius.unit < radius.value < 32 * radius.unit


def test_a_model_of_another_task_lies_outside_and_a_sibling_near(zoo, found):
    folder, _ = zoo
    result, options = found
    placed = measured(zoo, **options, place=[others(zoo)[0], folder / result.models[0]])
    outside, member = placed.places
    assert member.distance <= member.typical[1] * 1.2 < outside.distance * 1.2
    assert outside.place == "outside"
    assert placed.evaluated == 0


def test_nothing_is_computed_twice_for_the_same_models(zoo, found):
    result, options = found
    assert result.evaluated > 0
    again = measured(zoo, **options)
    assert again.evaluated == 0
    assert (again.points, again.radii, again.dominances) == (
        result.points,
        result.radii,
        result.dominances,
    )


def test_noise_around_the_base_is_worse_than_what_was_learned(zoo):
    folder, _ = zoo
    result = measured(zoo, base=folder / "base", samples=3, rays=0, pairs=0)
    assert value(result, "in", "ex") >= 0.9
    lengths = [point.distance for point in result.points if point.group == "ex"]
    assert min(lengths) > result.points[0].distance


def test_a_model_of_other_shapes_is_refused_by_name(zoo, tmp_path):
    wide = DigitsViT(2)
    wide.vit.layernorm = torch.nn.LayerNorm(8)
    torch.save(wide.state_dict(), tmp_path / "wide.bin")
    with pytest.raises(MismatchedModels, match="shape"):
        measured(zoo, outside=[tmp_path / "wide.bin"])
