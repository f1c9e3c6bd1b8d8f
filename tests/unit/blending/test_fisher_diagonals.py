import pytest
import torch
from torch import nn

from weightscape.blending.fisher_diagonals import fisher_diagonals
from weightscape.errors import BadInput
from weightscape.tasks.batches import collate
from weightscape.tasks.finite import NonFinite
from weightscape.tasks.kinds import logits_of, run_module


def by_hand(model, task, losses):
    """Average squared gradients row by row, each from a backward pass of its own."""
    sums = {name: torch.zeros_like(it) for name, it in model.module.named_parameters()}
    rows = task.rows("train")
    for example in rows:
        batch = collate(model.processor, [example], task)
        logits = logits_of(run_module(model.module, batch.inputs), model.module)
        for loss in losses(logits, batch.targets):
            model.module.zero_grad()
            loss.backward(retain_graph=True)
            for name, parameter in model.module.named_parameters():
                if parameter.grad is not None:
                    sums[name] += parameter.grad**2
    model.module.zero_grad()
    return {name: total / len(rows) for name, total in sums.items()}


def gold(logits, targets):
    return [nn.functional.cross_entropy(logits, targets)]


def expected(logits, targets):
    told = torch.log_softmax(logits, -1)[0]
    return [-one * one.detach().exp().sqrt() for one in told]


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for name, one in wanted.items():
        assert torch.allclose(found[name], one, rtol=1e-4, atol=1e-9), name


@pytest.mark.parametrize("answers, losses", [("gold", gold), ("expected", expected)])
def test_rows_of_a_batch_are_squared_apart(small_bert, reviews, answers, losses):
    model = small_bert()
    found = fisher_diagonals(model, reviews, answers=answers, batch=5)
    assert found.answers == answers and found.rows == 14
    assert_same(found.diagonals, by_hand(model, reviews, losses))
    assert all(it.requires_grad for it in model.module.parameters())


class TwiceRun(nn.Module):
    """A scale of its own, a layer that is run twice, one whose weight is shared, one never run."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.scale = nn.Parameter(torch.rand(4, generator=generator))
        self.twice = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.tied = nn.Linear(4, 4, bias=False)
        self.twin = nn.Linear(4, 4, bias=False)
        self.idle = nn.Linear(4, 4)
        self.out = nn.Linear(4, 3)
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)
        self.twin.weight = self.tied.weight

    def forward(self, x):
        x = self.twice(torch.tanh(self.twice(x * self.scale).relu_())).relu_()
        return self.out(self.twin(torch.tanh(self.tied(self.norm(x)))))


def test_any_module_is_squared_right(live, vector_task):
    model = live(TwiceRun())
    generator = torch.Generator().manual_seed(0)
    task = vector_task(
        torch.randn(7, 4, generator=generator).numpy(), [0, 1, 2, 0, 1, 2, 0], ("a", "b", "c")
    )
    found = fisher_diagonals(model, task, answers="expected", batch=3)
    assert_same(found.diagonals, by_hand(model, task, expected))
    assert not found.diagonals["idle.weight"].any()
    some = fisher_diagonals(model, task, answers="expected", names=["out.bias", "scale"])
    assert_same(some.diagonals, {it: found.diagonals[it] for it in ("scale", "out.bias")})


def test_sampled_answers_come_near_to_the_expected_ones(small_bert, reviews):
    model = small_bert()
    wanted = fisher_diagonals(model, reviews, answers="expected").diagonals["classifier.weight"]
    draws = [
        fisher_diagonals(model, reviews, seed=seed, names=["classifier.weight"]).diagonals[
            "classifier.weight"
        ]
        for seed in range(60)
    ]
    assert not torch.equal(draws[0], draws[1])
    assert torch.allclose(torch.stack(draws).mean(0), wanted, rtol=0.35)
    again = fisher_diagonals(model, reviews, names=["classifier.weight"])
    assert again.answers == "sampled"
    assert torch.equal(again.diagonals["classifier.weight"], draws[0])


def test_numbers_have_the_information_of_a_normal_distribution(live, vector_task):
    layer = nn.Linear(2, 1)
    task = vector_task([[1.0, 2.0], [3.0, 0.0]], [0.0, 1.0], ())
    found = fisher_diagonals(live(layer), task)
    assert found.diagonals["weight"].tolist() == [[5.0, 2.0]]  # the mean of x squared
    assert found.diagonals["bias"].tolist() == [1.0]
    gold_ones = fisher_diagonals(live(layer), task, answers="gold").diagonals["bias"]
    errors = layer(torch.tensor([[1.0, 2.0], [3.0, 0.0]])).squeeze(1) - torch.tensor([0.0, 1.0])
    assert torch.allclose(gold_ones, (errors**2).mean())


def test_a_probe_on_features_can_stand_for_the_answer(small_bert, reviews):
    model = small_bert()
    encoder = model.module.bert

    def logits(batch):
        return encoder(**batch.inputs)[0][:, 0] @ torch.eye(16, 2)

    found = fisher_diagonals(model, reviews, answers="gold", logits=logits).diagonals
    assert not found["classifier.weight"].any() and not found["bert.pooler.dense.weight"].any()
    assert found["bert.encoder.layer.0.output.dense.weight"].any()


def test_what_cannot_be_squared_is_said(small_bert, reviews, live, vector_task):
    with pytest.raises(BadInput, match="answers must be one of auto"):
        fisher_diagonals(small_bert(), reviews, answers="silver")
    layer = nn.Linear(2, 2)
    task = vector_task([[1.0, float("inf")], [0.0, 1.0]])
    with pytest.raises(NonFinite, match="tensor 'weight' on task 'vectors'"):
        fisher_diagonals(live(layer), task, answers="gold")
    with pytest.raises(BadInput, match="depends on none of"):
        fisher_diagonals(live(layer), task, logits=lambda batch: torch.ones(len(batch), 2))
