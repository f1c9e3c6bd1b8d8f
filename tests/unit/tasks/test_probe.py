import numpy as np
import pytest
import torch
from torch import nn

from weightscape.errors import BadInput
from weightscape.tasks.arrays import task_from_arrays
from weightscape.tasks.features import features
from weightscape.tasks.live import LiveModel
from weightscape.tasks.probe import STRENGTHS, fit_probe, linear_probe
from weightscape.tasks.processors import ArrayProcessor
from weightscape.tasks.task import Task


def clusters(rows, width, labels, *, apart, seed=0):
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(size=(labels, width))
    y = np.arange(rows) % labels
    return centres[y] * apart + generator.normal(size=(rows, width)), y


@pytest.mark.parametrize("labels", [2, 5])
def test_a_probe_is_the_head_that_it_says(labels):
    x, y = clusters(120, 10, labels, apart=1.5)
    x = x * np.logspace(-3, 3, 10) + 50  # features of any scale
    other, wanted = clusters(60, 10, labels, apart=1.5, seed=1)
    other = other * np.logspace(-3, 3, 10) + 50
    found = fit_probe(x, y, other, wanted, label_count=labels)
    logits = other @ found.weight.T + found.bias
    logs = torch.log_softmax(torch.tensor(logits), -1)
    losses = nn.functional.nll_loss(logs, torch.tensor(wanted), reduction="none").numpy()
    assert np.allclose(found.test.losses, losses)
    assert np.allclose(found.test.gold_probabilities, np.exp(-losses))
    assert (found.test.predictions == wanted).mean() > 0.9
    assert found.regularisation in STRENGTHS


def test_what_is_random_is_fitted_with_the_strongest_penalty():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(80, 200)), np.arange(80) % 2
    found = fit_probe(x, y, generator.normal(size=(400, 200)), np.arange(400) % 2, label_count=2)
    assert found.regularisation == max(STRENGTHS)
    assert found.test.losses.mean() < 0.72  # chance is 0.693


def test_the_test_rows_choose_nothing():
    x, y = clusters(60, 8, 3, apart=0.5)
    other, wanted = clusters(30, 8, 3, apart=0.5, seed=1)
    one = fit_probe(x, y, other, wanted, label_count=3)
    swapped = fit_probe(x, y, -other, wanted[::-1], label_count=3)
    assert np.array_equal(one.weight, swapped.weight)
    assert one.regularisation == swapped.regularisation


def test_a_probe_chosen_on_validation_rows():
    x, y = clusters(60, 8, 2, apart=0.5)
    far = fit_probe(x, y, x, y, label_count=2, regularisation="validation", validation=(x, y))
    assert far.regularisation == min(STRENGTHS)  # the training rows themselves want no penalty
    given = fit_probe(x, y, x, y, label_count=2, regularisation=7)
    assert given.regularisation == 7
    for wrong in (0, -1, float("nan"), "none", True):
        with pytest.raises(BadInput, match="'cv', 'validation' or a positive number"):
            fit_probe(x, y, x, y, label_count=2, regularisation=wrong)


def test_labels_that_are_rare_or_were_never_seen():
    x, y = clusters(40, 4, 2, apart=2)
    y[0] = 2  # one row only, fewer than folds
    found = fit_probe(x, y, x[:4], np.array([0, 1, 2, 3]), label_count=4)
    assert np.isfinite(found.test.losses).all()
    assert found.test.gold_probabilities[3] == pytest.approx(1e-6)
    assert 3 not in found.test.predictions
    with pytest.raises(BadInput, match="all 5 training rows have one label"):
        fit_probe(x[:5], np.zeros(5), x, y, label_count=3)


def test_constant_features_say_nothing():
    x, y = clusters(40, 4, 2, apart=2)
    x[:, 1] = 1e6
    found = fit_probe(x, y, x, y, label_count=2)
    assert np.isfinite(found.weight).all()
    assert found.train.losses.mean() < 0.2


def test_numbers_are_predicted_by_ridge():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(80, 5))
    y = x @ np.array([1.0, -2, 0, 0, 3]) + 4
    found = fit_probe(x[:60], y[:60], x[60:], y[60:], label_count=0)
    assert found.test.losses.mean() < 0.01
    assert np.allclose(found.test.predictions, x[60:] @ found.weight[0] + found.bias)
    assert np.isnan(found.test.gold_probabilities).all()


class TwoLayers(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(6, 12)
        self.head = nn.Linear(12, 2)

    def forward(self, x):
        return self.head(torch.relu(self.body(x)))


@pytest.fixture
def plain():
    torch.manual_seed(0)
    x, y = clusters(140, 6, 2, apart=1)
    splits = {"train": (x[:100], y[:100]), "test": (x[100:], y[100:])}
    module = TwoLayers()
    task = task_from_arrays("clusters", splits, ("a", "b"))
    return LiveModel("plain", module, ArrayProcessor(), None, ("head.",)), task


def test_the_generalized_loss_does_not_depend_on_the_head(plain):
    model, task = plain
    before = linear_probe(model, task)
    with torch.no_grad():
        model.module.head.weight.zero_()
    after = linear_probe(model, task)
    assert after.loss == before.loss
    assert before.interval[0] < before.loss < before.interval[1]
    assert before.loss < 0.4
    assert len(before.evaluation.rows) == 40
    assert len(before.train.rows) == 100
    assert before.evaluation.metrics["accuracy"] == before.evaluation.correct.mean()


def test_features_are_what_goes_into_the_head(plain):
    model, task = plain
    found = features(model, task, "test", batch=7)
    inputs = torch.tensor(np.stack([e.inputs for e in task.rows("test")])).float()
    assert torch.allclose(found, torch.relu(model.module.body(inputs)), atol=1e-6)
    assert torch.equal(found, features(model, task, "test", batch=7, pooling="head"))
    assert torch.allclose(features(model, task, "test", pooling="body"), inputs)
    assert not found.is_inference()
    with pytest.raises(BadInput, match="plain module without hidden states"):
        features(model, task, "test", pooling="mean")
    with pytest.raises(KeyError, match="no pooling or module named 'boddy'; nearest: body"):
        features(model, task, "test", pooling="boddy")


def test_probes_that_make_no_sense(plain):
    model, task = plain
    with pytest.raises(BadInput, match="is what the probe is fitted on"):
        linear_probe(model, task, split="train")
    with pytest.raises(BadInput, match="a linear probe needs labels or numbers"):
        linear_probe(model, Task("t", "", (), {}, kind="causal"))
    with torch.no_grad():
        model.module.body.weight[0, 0] = torch.nan
    with pytest.raises(BadInput, match="the features of row 0 of task 'clusters' are not finite"):
        linear_probe(model, task)
