from types import SimpleNamespace

import pytest
import torch
from torch import nn

from weightscape.errors import BadInput
from weightscape.tasks.arrays import task_from_arrays
from weightscape.tasks.batches import Batch, collate
from weightscape.tasks.kinds import logits_of, score_batch
from weightscape.tasks.processors import ArrayProcessor, RecordProcessor
from weightscape.tasks.task import Example, Task


class Fixed(nn.Module):
    """Gives the same logits whatever it is asked."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, *inputs, **named):
        return self.logits


def labelled(targets, labels=("a", "b")):
    splits = {"test": (torch.arange(len(targets)).view(-1, 1).float(), targets)}
    task = task_from_arrays("t", splits, labels)
    return collate(ArrayProcessor(), task.rows("test"), task), task


def test_labels_are_scored_by_cross_entropy():
    batch, task = labelled([0, 1])
    module = Fixed([[2.0, 0.0], [1.0, 0.0]])
    scores = score_batch(module, batch, task)
    right = torch.tensor([2.0, 0.0]).sigmoid()[0], 1 - torch.tensor(1.0).sigmoid()
    assert torch.allclose(scores.gold_probabilities, torch.stack(right))
    assert torch.allclose(scores.losses, -torch.stack(right).log())
    assert scores.correct.tolist() == [1, 0]
    assert scores.predictions.tolist() == [0, 0]
    scores.losses.mean().backward()
    assert module.logits.grad.abs().sum() > 0
    assert not scores.gold_probabilities.requires_grad


def test_numbers_are_scored_by_squared_error():
    batch, task = labelled([1.0, 4.0], labels=())
    for answer in ([[2.0], [2.0]], [2.0, 2.0]):
        scores = score_batch(Fixed(answer), batch, task)
        assert scores.losses.tolist() == [1, 4]
        assert scores.gold_probabilities.isnan().all()


def test_texts_are_scored_by_the_mean_over_what_is_to_be_written():
    task = Task("t", "", (), {}, kind="seq2seq")
    targets = torch.tensor([[1, 2, -100], [0, -100, -100]])
    batch = Batch({"input_ids": targets}, targets, torch.arange(2), (Example("", "", 0),) * 2)
    logits = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    logs = torch.log_softmax(logits, -1)
    scores = score_batch(Fixed(logits.tolist()), batch, task)
    assert scores.losses[0].item() == pytest.approx(-(logs[0, 0, 1] + logs[0, 1, 2]).item() / 2)
    assert scores.losses[1].item() == pytest.approx(-logs[1, 0, 0].item())
    assert torch.allclose(scores.gold_probabilities, (-scores.losses).exp())
    assert scores.predictions is None


def test_a_causal_token_is_scored_by_what_stands_before_it():
    task = Task("t", "", (), {}, kind="causal")
    targets = torch.tensor([[-100, 1, 2]])
    batch = Batch({"input_ids": targets}, targets, torch.arange(1), (Example("", "", 0),))
    logits = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(0))
    logs = torch.log_softmax(logits, -1)
    wanted = -(logs[0, 0, 1] + logs[0, 1, 2]).item() / 2
    assert score_batch(Fixed(logits.tolist()), batch, task).losses.item() == pytest.approx(wanted)
    # virtual tokens of a prompt are answered too; they come first
    longer = torch.cat([torch.zeros(1, 2, 4), logits], 1).tolist()
    assert score_batch(Fixed(longer), batch, task).losses.item() == pytest.approx(wanted)


@pytest.mark.parametrize("wrap", [tuple, list, dict, SimpleNamespace, lambda logits: logits])
def test_logits_are_found_in_what_modules_give(wrap):
    logits = torch.ones(2, 3)
    given = wrap(logits=logits) if wrap in (dict, SimpleNamespace) else wrap(logits)
    given = (logits, None) if wrap in (tuple, list) else given
    assert torch.equal(logits_of(given, nn.Identity()), logits)


@pytest.mark.parametrize("given", [{"loss": torch.ones(1)}, (), None, ("x",)])
def test_what_holds_no_logits_is_named(given):
    with pytest.raises(BadInput, match=f"Identity gave {type(given).__name__}"):
        logits_of(given, nn.Identity())


def test_answers_of_another_shape_are_told():
    batch, task = labelled([0, 1])
    with pytest.raises(BadInput, match=r"logits of shape \[2, 3\] for 2 rows .* has 2 labels"):
        score_batch(Fixed([[1.0, 2, 3]] * 2), batch, task)
    batch, task = labelled([1.0, 4.0], labels=())
    with pytest.raises(BadInput, match="one number a row"):
        score_batch(Fixed([[1.0, 2]] * 2), batch, task)
    with pytest.raises(BadInput, match=r"Linear cannot be run on 0 \[2, 1\]: mat1 and mat2"):
        score_batch(nn.Linear(7, 2), batch, task)


def custom(function):
    examples = tuple(Example({"x": i}, None, i) for i in range(3))
    task = Task("own", "", (), {"test": examples}, kind="custom", function=function)
    return collate(RecordProcessor(), examples, task), task


def test_a_custom_function_gets_the_module_and_the_records():
    module = nn.Linear(1, 1)

    def function(given, records):
        assert given is module
        x = torch.tensor([[float(record["x"])] for record in records])
        return {"losses": module(x)[:, 0], "predictions": [1, 2, 3], "scores": {"size": x[:, 0]}}

    batch, task = custom(function)
    scores = score_batch(module, batch, task)
    scores.losses.sum().backward()
    assert module.weight.grad.item() == 3
    assert scores.predictions == [1, 2, 3]
    assert scores.others["size"].tolist() == [0, 1, 2]
    assert scores.correct.isnan().all()


def test_a_custom_function_may_give_a_loss_after_the_other():
    module = nn.Linear(1, 1)
    batch, task = custom(lambda given, rows: {"losses": [given(torch.ones(1)).sum() for _ in rows]})
    score_batch(module, batch, task).losses.sum().backward()
    assert module.weight.grad.item() == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, r"gave NoneType; it should give \{'losses': \[n\]"),
        ({"loss": 1}, "it should give"),
        ({"losses": torch.tensor(1.0)}, r"losses should be \[3\], one number a row, got \[\]"),
        ({"losses": "abc"}, "losses should be 3 numbers, got str"),
        ({"losses": [1, 2, 3], "prediction": []}, "gave 'prediction', which nothing reads"),
        ({"losses": [1, 2, 3], "predictions": [1]}, "predictions are 1 for 3 rows"),
        ({"losses": [1, 2, 3], "scores": {"f": [1, 2]}}, r"score 'f' should be \[3\]"),
    ],
)
def test_a_custom_answer_that_makes_no_sense(given, said):
    batch, task = custom(lambda module, records: given)
    with pytest.raises(BadInput, match=f"the function of task 'own'.*{said}"):
        score_batch(nn.Identity(), batch, task)


def test_what_a_custom_function_raises_is_told_in_a_line_that_names_it():
    def score(module, records):
        raise ZeroDivisionError("by\nnought")

    batch, task = custom(score)
    said = r"task 'own': its function .*score failed: ZeroDivisionError: by nought"
    with pytest.raises(BadInput, match=said) as caught:
        score_batch(nn.Linear(1, 1), batch, task)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_custom_task_needs_its_function():
    batch, task = custom(None)
    with pytest.raises(BadInput, match="names no function"):
        score_batch(nn.Identity(), batch, task)
