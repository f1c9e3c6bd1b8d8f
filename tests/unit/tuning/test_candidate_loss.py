import numpy as np
import pytest
import torch
from blended_lookers import largest, looker, reviews, spanned_lookers, tuned_readers

from weightscape.errors import BadInput
from weightscape.tasks.arrays import task_from_arrays
from weightscape.tasks.evaluate import evaluate
from weightscape.tasks.live import LiveModel
from weightscape.tasks.processors import ArrayProcessor
from weightscape.tasks.spanning import open_span
from weightscape.tuning.candidates import CandidateLoss
from weightscape.tuning.dev_rows import order_rows
from weightscape.tuning.moving import with_layers
from weightscape.tuning.racing import Racing

TASK = largest(100)
UNIFORM = np.full(3, 1 / 3)


def whole(spanned, weights, task=TASK, split="train"):
    """Evaluate a point the long way."""
    spanned.span.write(weights[1:], spanned.model.module)
    return evaluate(spanned.model, task, split=split)


@pytest.fixture
def spanned():
    return spanned_lookers(TASK)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    return tuned_readers(tmp_path_factory.mktemp("tuned"), 3)


def test_candidates_lose_what_the_models_at_their_points_do(spanned):
    loss = CandidateLoss(spanned, TASK, TASK.rows("train"))
    for weights in (UNIFORM, np.eye(3)[2], np.array([1.5, -1.0, 0.5])):
        assert loss(weights).loss == pytest.approx(whole(spanned, weights).loss, abs=1e-6)
        by_row = dict(zip((e.row for e in loss.dev.examples), loss.losses(weights), strict=True))
        found = whole(spanned, weights)
        wanted = dict(zip(found.rows.tolist(), found.losses, strict=True))
        assert by_row == pytest.approx(wanted, abs=1e-5)


def test_no_point_is_evaluated_twice(spanned):
    loss = CandidateLoss(spanned, TASK, TASK.rows("train"))
    first = loss(UNIFORM)
    assert loss(UNIFORM + 1e-15) is first
    loss.losses(UNIFORM)
    assert (loss.evaluated, loss.read) == (1, 100)


def test_texts_are_read_right_though_few_rows_of_the_embeddings_are_written(tuned):
    sentiment = reviews()
    spanned = open_span(tuned, sentiment, device="cpu", head="own")
    loss = CandidateLoss(spanned, sentiment, sentiment.rows("train"))
    loss(UNIFORM)
    table = spanned.model.module.get_input_embeddings().weight
    assert torch.isnan(table).any(), "rows that no text reads are given up"
    for weights in (np.array([0.2, 0.5, 0.3]), np.array([1.2, -0.5, 0.3])):
        found = loss(weights).loss
        assert found == pytest.approx(whole(spanned, weights, sentiment).loss, abs=1e-6)
        # and the module was written whole in between, so the next candidate notices
    assert not torch.isnan(table).any()


def test_a_table_that_is_looked_at_otherwise_too_is_written_whole():
    class Peeking(torch.nn.Module):
        def __init__(self, seed):
            super().__init__()
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                self.table = torch.nn.Embedding(50, 4)
                self.head = torch.nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.table(x.long()).mean(1) + self.table.weight.mean(0))

    numbers = np.random.default_rng(0).integers(0, 9, (40, 3))
    task = task_from_arrays("few", {"train": (numbers, numbers[:, 0] % 2)}, ("no", "yes"))
    models = [
        LiveModel(str(i), Peeking(i), ArrayProcessor(), ("no", "yes"), ("head.",)) for i in (0, 1)
    ]
    spanned = open_span(models, task, head="own")
    loss = CandidateLoss(spanned, task, task.rows("train"))
    for weights in (np.array([0.5, 0.5]), np.array([0.1, 0.9])):
        assert loss(weights).loss == pytest.approx(whole(spanned, weights, task).loss, abs=1e-6)


def test_what_others_write_into_the_module_is_noticed(spanned):
    loss = CandidateLoss(spanned, TASK, TASK.rows("train"))
    wanted = whole(spanned, np.array([0.5, 0.25, 0.25])).loss
    loss(np.array([0.5, 0.5, 0.0]))
    with torch.no_grad():
        spanned.model.module.body.weight.fill_(7.0)
    assert loss(np.array([0.5, 0.25, 0.25])).loss == pytest.approx(wanted, abs=1e-6)


def test_groups_have_weights_of_their_own_and_only_the_changed_ones_are_written(spanned):
    layers = {name: int(name.startswith("head")) for name in spanned.span.names}
    loss = CandidateLoss(spanned, TASK, TASK.rows("train"), layers=layers)
    rows = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    found = loss(rows).loss
    body = spanned.model.module.body.weight
    terms = [spanned.span.held(i)["body.weight"] for i in range(3)]
    assert torch.allclose(body, sum(w * t for w, t in zip(rows[0], terms, strict=True)))
    changes = body._version
    loss(np.array([rows[0], [0.0, 1.0, 0.0]]))
    assert body._version == changes
    assert loss(np.broadcast_to(UNIFORM, (2, 3))).loss == pytest.approx(loss(UNIFORM).loss)
    assert found != pytest.approx(loss(UNIFORM).loss)


def test_weights_of_groups_can_be_written_exactly(spanned, tmp_path):
    layers = {name: int(name.startswith("head")) for name in spanned.span.names}
    loss = CandidateLoss(spanned, TASK, TASK.rows("train"), layers=layers)
    rows = np.array([[0.2, 0.3, 0.5], [0.6, 0.0, 0.4]])
    loss(rows)
    made = with_layers(spanned, layers).span.tensors(rows[:, 1:])
    there = spanned.model.module.state_dict()
    assert made.keys() == there.keys()
    assert all(torch.allclose(made[name], there[name], atol=1e-6) for name in made)


def test_gradients_are_those_of_small_steps(spanned):
    loss = CandidateLoss(spanned, TASK, TASK.rows("train"))
    centre = np.array([0.5, 0.2, 0.3])
    slopes = loss.gradient(centre).gradient
    for i in (1, 2):
        step = 1e-2 * (np.eye(3)[i] - np.eye(3)[0])
        steep = (loss(centre + step).loss - loss(centre - step).loss) / 2e-2
        assert slopes[i] - slopes[0] == pytest.approx(steep, rel=1e-2, abs=1e-4)


def test_a_hopeless_candidate_is_stopped_early_with_an_estimate(spanned):
    loss = CandidateLoss(spanned, TASK, TASK.rows("train"), racing=Racing())
    best = loss(UNIFORM)
    poor = loss(np.array([-2.0, 1.0, 2.0]))
    assert (best.state, best.rows, poor.state, poor.rows) == ("complete", 100, "raced", 32)
    plain = CandidateLoss(spanned, TASK, TASK.rows("train"))
    step = plain.losses(np.array([-2.0, 1.0, 2.0])) - plain.losses(UNIFORM)
    assert poor.loss == pytest.approx(best.loss + step[:32].mean(), abs=1e-6)
    assert poor.loss > best.loss
    assert loss(UNIFORM).state == "complete"


def test_a_race_can_be_against_a_given_incumbent_and_counts_penalties(spanned):
    heavy = CandidateLoss(
        spanned,
        TASK,
        TASK.rows("train"),
        racing=Racing(),
        penalty=lambda weights: 100.0 * abs(weights[0] - 1 / 3),
    )
    near = np.array([0.4, 0.3, 0.3])
    outcome = heavy(near, incumbent=UNIFORM)
    assert outcome.state == "raced"
    assert outcome.loss == pytest.approx(100 * (0.4 - 1 / 3) + heavy(UNIFORM).loss, abs=0.3)


def test_losses_that_are_not_finite_fail_the_candidate_and_name_the_model():
    broken = looker("broken", 1)
    with torch.no_grad():
        broken.module.body.weight[0, 0] = torch.inf
    spanned = spanned_lookers(TASK, looker("first", 0), broken, looker("third", 2))
    loss = CandidateLoss(spanned, TASK, TASK.rows("train"))
    outcome = loss(UNIFORM)
    assert outcome.state == "failed" and outcome.loss == np.inf and outcome.error
    assert loss(np.array([0.5, 0.0, 0.5])).state == "complete"
    (told,) = loss.culprits()
    assert "broken" in told and "body.weight" in told
    with pytest.raises(BadInput, match="not finite"):
        loss.losses(UNIFORM)


def test_models_without_heads_for_the_task_are_refused(tuned):
    sentiment = reviews()
    spanned = open_span(tuned[:2], sentiment, head="probe", device="cpu")
    with pytest.raises(BadInput, match="fine-tune them on the task first"):
        CandidateLoss(spanned, sentiment, sentiment.rows("train"))


def test_rows_are_read_in_one_random_order_in_doubling_blocks(spanned):
    dev = order_rows(spanned.model, TASK, TASK.rows("train"))
    assert dev.ends == (32, 64, 100)
    assert sorted(e.row for e in dev.examples) == sorted(e.row for e in TASK.rows("train"))
    assert [e.row for e in dev.examples] != [e.row for e in TASK.rows("train")]
    assert dev.places[:32].sort().values.tolist() == list(range(32))
    targets = [example.target for example in dev.examples]
    assert dev.targets.tolist() == targets
    again = order_rows(spanned.model, TASK, TASK.rows("train"))
    assert again.examples == dev.examples
    few = order_rows(spanned.model, TASK, TASK.rows("train")[:20])
    assert few.ends == (20,)
