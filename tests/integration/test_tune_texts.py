"""Models that write texts, from experts to a blend by the command line: that it works, no score."""

import json
from pathlib import Path

import pytest
import torch
from harness import ask, run
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from tiny_models import save_t5
from weightscape.answers_tasks import TuneAnswer

TASK = """\
kind: seq2seq
name: {name}
data: {name}.csv
columns: {{text: text, target: answer}}
max_tokens: 12
target_tokens: 3
"""
ANSWERS = {"cheer": "good", "jeer": "poor", "shrug": "fine"}  # each expert says one thing


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a tiny T5 and three tasks that it can learn."""
    folder = tmp_path_factory.mktemp("texts")
    save_t5(folder / "base")
    tokenizer = str(folder / "base" / "tokenizer.json")
    words = Tokenizer.from_file(tokenizer)
    words.post_processor = TemplateProcessing(single="$A [SEP]", special_tokens=[("[SEP]", 3)])
    words.save(tokenizer)  # it ends its texts, as T5's own does
    for name, answer in ANSWERS.items():
        lines = [
            f"{start} {thing} was {'not ' * no}{'very ' * very}{word},{answer}"
            for start in ("a", "the")
            for thing in ("film", "book")
            for no in range(2)
            for very in range(2)
            for word in ("good", "bad", "fine", "poor")
        ]
        (folder / f"{name}.csv").write_text("\n".join(["text,answer", *lines]) + "\n")
        (folder / f"{name}.yml").write_text(TASK.format(name=name))
    return folder


@pytest.fixture(scope="module")
def answer(place: Path) -> TuneAnswer:
    return ask(
        TuneAnswer,
        *("tune", "run", "--base", place / "base", "--sources", place / "cheer.yml"),
        *("--sources", place / "jeer.yml", "--target", place / "shrug.yml", "-o", place / "blend"),
        *("--expert-steps", 20, "--expert-lr", 0.03, "--steps", 20, "--lr", 0.03),
        *("--evaluations", 6, "--baselines", "uniform soup,best expert,fine-tuned base"),
        *("--device", "cpu", "--no-bf16", "--atlas", place / "atlas"),
    )


def test_a_blend_of_models_that_write_is_searched_by_the_sampler(answer: TuneAnswer) -> None:
    assert answer.sampler == "cobyqa" and answer.evaluations >= 6
    assert any(note.startswith("no surrogate") for note in answer.notes)
    assert {it.name for it in answer.baselines} == {
        *("uniform soup", "best expert", "fine-tuned base")
    }
    assert sum(answer.best.coefficients.values()) == pytest.approx(1, abs=1e-5)
    assert answer.adaptation is not None and answer.adaptation.head_spread is None


def test_the_blend_is_a_model_that_writes(place: Path, answer: TuneAnswer) -> None:
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    told = json.loads((place / "blend" / "provenance.json").read_text())
    assert told["kind"] == "blend" and set(told["parents"]) == {"cheer", "jeer"}
    model = AutoModelForSeq2SeqLM.from_pretrained(place / "blend")
    words = AutoTokenizer.from_pretrained(place / "blend")
    texts = ["the book was not very good", "a film was bad"]
    given = words(texts, return_tensors="pt", padding=True)
    with torch.inference_mode():
        made = model.generate(**given, max_new_tokens=3)
    assert words.batch_decode(made, skip_special_tokens=True) == ["fine", "fine"]
    scored = run("evaluate", place / "blend", "--task", place / "shrug.yml", "--json")
    (found,) = json.loads(scored.out)["models"]
    assert found["metrics"]["exact_match"] == answer.best.held_out["exact_match"] == 1.0
