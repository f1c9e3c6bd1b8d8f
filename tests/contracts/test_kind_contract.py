"""What scoring a batch must keep to, whatever the kind of task."""

from typing import get_args

import pytest
import torch

from tiny_models import save_bert, save_gpt2, save_t5
from weightscape.tasks.batches import collate
from weightscape.tasks.kinds import score_batch
from weightscape.tasks.models import load_model
from weightscape.tasks.task import Example, KindName, Task

TEXTS = ("good film", "a very very bad book", "poor", "the book was not fine")


def _own(module, records):
    tokens = torch.tensor([[2, 4 + len(record["x"]) % 5, 3] for record in records])
    return {"losses": module(input_ids=tokens).last_hidden_state.square().mean((1, 2))}


MAKERS = {
    "classification": save_bert,
    "pair": save_bert,
    "seq2seq": save_t5,
    "causal": save_gpt2,
    "custom": save_bert,
    "regression": save_bert,
}


def test_every_kind_is_here():
    assert set(get_args(KindName)) <= set(MAKERS)


@pytest.fixture(scope="module", params=MAKERS)
def case(request, tmp_path_factory):
    kind = "classification" if request.param == "regression" else request.param
    labels = ("neg", "pos") if request.param in ("classification", "pair") else ()
    inputs = {"pair": [(a, "a film") for a in TEXTS], "custom": [{"x": a} for a in TEXTS]}
    targets = [0, 1, 1, 0] if labels or kind == "classification" else TEXTS[::-1]
    rows = zip(inputs.get(kind, TEXTS), targets, range(4), strict=True)
    examples = tuple(Example(*row) for row in rows)
    task = Task("t", "", labels, {"test": examples}, 12, kind, function=_own, target_tokens=5)
    model = load_model(MAKERS[request.param](tmp_path_factory.mktemp(request.param)), task)
    return model, task, examples


def test_each_row_has_its_scores(case):
    model, task, examples = case
    scores = score_batch(model.module, collate(model.processor, examples, task), task)
    assert scores.losses.shape == (4,)
    assert scores.losses.dtype == torch.float32
    assert (scores.losses >= 0).all()
    for part in (scores.gold_probabilities, scores.correct):
        assert part.shape == (4,)
        assert not part.requires_grad
    gold = scores.gold_probabilities
    assert gold.isnan().all() or torch.allclose(gold, (-scores.losses).exp())
    assert scores.predictions is None or len(scores.predictions) == 4


def test_losses_carry_gradients_to_the_weights(case):
    model, task, examples = case
    model.module.zero_grad()
    losses = score_batch(model.module, collate(model.processor, examples, task), task).losses
    losses.mean().backward()
    moved = [p.grad.abs().sum() > 0 for p in model.module.parameters() if p.grad is not None]
    assert sum(moved) > len(moved) / 2


def test_a_rows_loss_is_its_own(case):
    model, task, examples = case
    with torch.inference_mode():
        all_at_once = score_batch(model.module, collate(model.processor, examples, task), task)
        for i, example in enumerate(examples):
            alone = score_batch(model.module, collate(model.processor, [example], task), task)
            assert torch.allclose(alone.losses[0], all_at_once.losses[i], rtol=1e-5, atol=1e-5)
