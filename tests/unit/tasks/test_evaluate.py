from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tiny_models import WORDS, save_bert, save_gpt2, save_t5
from weightscape.errors import BadInput
from weightscape.tasks.arrays import task_from_arrays
from weightscape.tasks.evaluate import evaluate
from weightscape.tasks.features import features
from weightscape.tasks.intervals import evaluation_intervals
from weightscape.tasks.live import LiveModel
from weightscape.tasks.models import load_model
from weightscape.tasks.processors import ArrayProcessor, RecordProcessor
from weightscape.tasks.task import Example, Task

PLAIN = WORDS[4:]
TEXTS = [" ".join(PLAIN[(i * 7 + j) % len(PLAIN)] for j in range(1 + i * 5 % 11)) for i in range(9)]


def task_of(kind, texts=TEXTS, metrics=("loss",), labels=("neg", "pos")):
    labelled = kind in ("classification", "pair")

    def inputs(i):
        return (texts[i], texts[-i]) if kind == "pair" else texts[i]

    def target(i):
        return i % len(labels) if labelled else " ".join(PLAIN[j] for j in range(i % 4 + 1))

    rows = tuple(Example(inputs(i), target(i), 10 * i) for i in range(len(texts)))
    splits = {"train": rows, "test": rows}
    return Task("t", "", labels if labelled else (), splits, 12, kind, metrics, target_tokens=5)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {
        "bert": save_bert(folder / "bert", labels=("neg", "pos")),
        "gpt2": save_gpt2(folder / "gpt2"),
        "t5": save_t5(folder / "t5"),
    }


CASES = [
    ("bert", "classification"),
    ("bert", "pair"),
    ("gpt2", "classification"),
    ("gpt2", "causal"),
    ("t5", "seq2seq"),
]


@pytest.fixture(scope="module")
def live(folders):
    return {case: load_model(folders[case[0]], task_of(case[1])) for case in CASES}


@pytest.mark.parametrize("case", CASES, ids="-".join)
@settings(max_examples=6, deadline=None, derandomize=True)
@given(
    texts=st.lists(
        st.lists(st.sampled_from(PLAIN), min_size=1, max_size=12).map(" ".join),
        min_size=2,
        max_size=8,
    ),
    batch=st.integers(2, 9),
)
def test_results_do_not_depend_on_the_batch_size(live, case, texts, batch):
    model, task = live[case], task_of(case[1], texts)
    alone = evaluate(model, task, batch=1)
    together = evaluate(model, task, batch=batch)
    assert np.allclose(alone.losses, together.losses, rtol=1e-5, atol=1e-5)
    assert alone.loss == pytest.approx(together.loss, rel=1e-5)
    assert alone.rows.tolist() == together.rows.tolist() == [10 * i for i in range(len(texts))]
    one, many = (features(model, task, "test", batch=size) for size in (1, batch))
    assert torch.allclose(one, many, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", [case for case in CASES if case[1] in ("causal", "seq2seq")])
def test_texts_are_written_only_for_metrics_that_read_them(live, case):
    unread = evaluate(live[case], task_of(case[1]))
    assert (list(unread.predictions), unread.metrics) == ([], {"loss": unread.loss})
    assert np.isnan(unread.correct).all()
    task = task_of(case[1], metrics=("exact_match", "rouge_l"))
    alone, together = evaluate(live[case], task, batch=1), evaluate(live[case], task, batch=5)
    assert alone.predictions == together.predictions
    assert all(len(text.split()) <= 5 for text in alone.predictions)
    assert alone.metrics["exact_match"] == alone.correct.mean()
    assert np.allclose(alone.losses, unread.losses, atol=1e-5)


def test_what_a_model_writes_is_what_it_thinks_likeliest(live):
    """A model's own text as the target is answered right, and likelier than another."""
    model, task = live["t5", "seq2seq"], task_of("seq2seq", metrics=("exact_match",))
    written = evaluate(model, task).predictions
    rows = tuple(
        e._replace(target=text) for e, text in zip(task.rows("test"), written, strict=True) if text
    )
    found = evaluate(model, replace(task, splits={"test": rows}))
    assert found.correct.mean() == 1
    assert found.loss < evaluate(model, task).loss


def test_results_come_in_the_order_of_the_rows(live):
    task = task_of("classification")
    found = evaluate(live["bert", "classification"], task, batch=2, limit=5)
    for row, loss, gold in zip(found.rows, found.losses, found.gold_probabilities, strict=True):
        example = next(e for e in task.rows("test") if e.row == row)
        alone = replace(task, splits={"test": (example,)})
        assert evaluate(live["bert", "classification"], alone).loss == pytest.approx(loss, abs=1e-5)
        assert gold == pytest.approx(np.exp(-loss))
    assert len(found.losses) == 5


def test_bfloat16_is_near(live):
    model, task = live["bert", "classification"], task_of("classification")
    exact, near = evaluate(model, task), evaluate(model, task, autocast=torch.bfloat16)
    assert np.allclose(exact.losses, near.losses, atol=0.1)
    assert not np.array_equal(exact.losses, near.losses)


def test_each_part_goes_back_to_its_own_mode(live):
    model = live["bert", "classification"]
    model.module.train()
    model.module.bert.encoder.eval()
    modes = [part.training for part in model.module.modules()]
    evaluate(model, task_of("classification"))
    features(model, task_of("classification"), "test")
    assert [part.training for part in model.module.modules()] == modes
    assert not any(
        part._forward_hooks or part._forward_pre_hooks for part in model.module.modules()
    )
    model.module.eval()


@pytest.mark.parametrize("pooling", ["mean", "cls", "last", "pooler", "head"])
def test_features_are_of_a_texts_own_tokens(live, pooling):
    model, task = live["bert", "classification"], task_of("classification")
    example = task.rows("test")[3]
    tokens = model.tokenizer(example.inputs, truncation=True, max_length=12, return_tensors="pt")
    with torch.inference_mode():
        output = model.module.bert(**tokens)
    wanted = {
        "mean": output.last_hidden_state.mean(1),
        "cls": output.last_hidden_state[:, 0],
        "last": output.last_hidden_state[:, -1],
        "pooler": output.pooler_output,
        "head": output.pooler_output,
    }[pooling]
    found = features(model, task, "test", pooling=pooling)
    assert torch.allclose(found[3], wanted[0], atol=1e-5)


def test_a_causal_models_features_do_not_see_the_answer(live):
    model, task = live["gpt2", "causal"], task_of("causal")
    rows = tuple(e._replace(target="not not not") for e in task.rows("test"))
    other = replace(task, splits={"test": rows})
    assert torch.allclose(features(model, task, "test"), features(model, other, "test"), atol=1e-5)


class Blows(nn.Module):
    """Gives an infinity out of finite weights for large inputs."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(2, 2, bias=False)
        self.grows = nn.Softplus(beta=1)
        self.head = nn.Linear(2, 2)
        with torch.no_grad():
            self.body.weight.copy_(torch.eye(2))

    def forward(self, x):
        return self.head(self.grows(self.body(x)).exp())


def blowing():
    inputs = np.array([[1.0, 2], [1, 1], [1e30, 0]], dtype=np.float32)
    task = task_from_arrays("t", {"test": (inputs, [0, 1, 0])}, ("a", "b"))
    return LiveModel("blows", Blows(), ArrayProcessor()), task


def test_a_loss_that_is_not_finite_names_row_and_module():
    model, task = blowing()
    with pytest.raises(BadInput, match=r"the loss of row 2 .* first in the output of 'head'"):
        evaluate(model, task)
    assert not any(part._forward_hooks for part in model.module.modules())


def test_a_weight_that_is_not_finite_is_named():
    model, task = blowing()
    with torch.no_grad():
        model.module.body.weight[0, 1] = torch.nan
    with pytest.raises(BadInput, match=r"row 0 .* its tensor 'body.weight' holds NaN or infinity"):
        evaluate(model, task)


def test_a_custom_tasks_scores_are_among_the_metrics():
    def function(module, records):
        losses = module(torch.tensor([[float(r["x"])] for r in records]))[:, 0]
        return {"losses": losses.abs(), "scores": {"length": [r["x"] for r in records]}}

    rows = tuple(Example({"x": i}, None, i) for i in range(4))
    task = Task("own", "", (), {"test": rows}, kind="custom", metrics=("loss",), function=function)
    found = evaluate(LiveModel("m", nn.Linear(1, 1), RecordProcessor()), task, batch=3)
    assert found.metrics == {"loss": found.loss, "length": 1.5}
    assert list(evaluation_intervals(found, task)) == ["loss"]


def test_intervals_hold_what_was_found(live):
    task = task_of("classification", metrics=("accuracy", "macro_f1"))
    found = evaluate(live["bert", "classification"], task)
    intervals = evaluation_intervals(found, task, draws=50)
    assert list(intervals) == ["loss", "accuracy", "macro_f1"]
    for name, (low, high) in intervals.items():
        assert low <= (found.loss if name == "loss" else found.metrics[name]) <= high
