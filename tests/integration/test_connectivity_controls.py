"""What is known of mode connectivity must come out: the controls that any such tool has to pass."""

import pytest
import torch

from weightscape.paths.bends import BendTraining
from weightscape.paths.path import connect
from weightscape.tasks.arrays import task_from_arrays
from weightscape.tasks.objective import Scoring
from weightscape.zoo.digits import make_digits_zoo
from weightscape.zoo.digits_data import BASE_TASK, digits_data, digits_task
from weightscape.zoo.digits_model import DigitsViT

ALL_HELD_OUT = Scoring(limit=None, train_limit=128, validation_limit=64)
VALIDATION = 200


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """Two independent bases of one task, each with two models of each of two other tasks."""
    folder = tmp_path_factory.mktemp("controls")
    truth = make_digits_zoo(
        folder, models=8, tasks=2, roots=2, specials=False, base_steps=300, steps=60
    )
    return folder, truth


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def as_task(name):
    data = digits_data(name)
    images, labels = data.images.numpy(), data.labels.numpy()
    splits = {
        "train": (images[:-VALIDATION], labels[:-VALIDATION]),
        "validation": (images[-VALIDATION:], labels[-VALIDATION:]),
        "test": (data.test_images.numpy(), data.test_labels.numpy()),
    }
    return task_from_arrays(name, splits, ["".join(map(str, g)) for g in digits_task(name).groups])


def follow(one, two, task, **how):
    return connect(
        one,
        two,
        task,
        factory=lambda task: DigitsViT(len(task.labels)),
        scoring=ALL_HELD_OUT,
        device="cpu",
        **how,
    )


@pytest.fixture(scope="module")
def between_bases(zoo):
    folder, _ = zoo
    return follow(folder / "base-1", folder / "base-2", as_task(BASE_TASK))


def siblings(truth):
    """Find two models that tell all digits apart, fine-tuned from one base with other seeds."""
    found = [
        name
        for name, it in truth.models.items()
        if it.parents == ["base-1"] and it.task.endswith("-digits")
    ]
    (task,) = {truth.models[name].task for name in found}
    assert len(found) == 2
    return found, task


def test_two_runs_from_one_base_are_linearly_connected(zoo, between_bases):
    folder, truth = zoo
    (one, two), name = siblings(truth)
    found = follow(folder / one, folder / two, as_task(name), base=folder / "base-1")
    assert found.head == "own" and found.space == "product"
    series = found.series[0]
    gap = series.chance_loss - (found.points[0].loss + found.points[-1].loss) / 2
    assert found.barrier.height <= 0.05 * gap
    assert found.barrier.verdict == "connected"
    assert between_bases.barrier.height >= 10 * found.barrier.height
    assert between_bases.ends.cosine < found.ends.cosine


def test_independent_networks_are_not(between_bases):
    barrier = between_bases.barrier
    assert barrier.verdict == "not connected"
    assert barrier.interval[0] > barrier.threshold
    assert 0.1 < barrier.at < 0.9
    assert between_bases.series[0].metric_drop.interval[0] > 0.3


def test_a_bezier_curve_takes_the_barrier_away(zoo, between_bases, tmp_path):
    folder, _ = zoo
    training = BendTraining(lr=3e-3, steps=300, batch=32, validate_every=100)
    ends = (folder / "base-1", folder / "base-2")
    bent = follow(*ends, as_task(BASE_TASK), curve="bezier", training=training, folder=tmp_path)
    assert bent.barrier.height <= 0.2 * between_bases.barrier.height
    assert bent.length > between_bases.length
    # the bend is a checkpoint, and a curve through it is the curve that was trained
    (bend,) = bent.training.folders
    again = follow(*ends, as_task(BASE_TASK), curve="bezier", bends=[bend])
    assert [point.loss for point in again.points] == [point.loss for point in bent.points]
