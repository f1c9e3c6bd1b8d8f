"""`weightscape fine-tune`: what it makes is charted as a child of what it was made from."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness import ask, run

from tiny_models import save_bert
from weightscape.answers import ChartAnswer
from weightscape.answers_tasks import FineTuneAnswer
from weightscape.tasks.dynamics import cartography, load_dynamics

QUICK = ("--steps", 20, "--lr", 3e-3, "--batch", 8)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Give a folder with a tiny base, and beside it some reviews."""
    save_bert(tmp_path / "models" / "base")
    words = {"good": "pos", "fine": "pos", "bad": "neg", "poor": "neg"}
    rows = [f"the {what} {i} was {word},{words[word]}" for i in range(20) for what in
            ("film", "book") for word in words]  # fmt: skip
    (tmp_path / "reviews.csv").write_text("\n".join(["text,label", *rows]))
    task = {"data": "reviews.csv", "columns": {"text": "text", "label": "label"}, "max_tokens": 9}
    (tmp_path / "reviews.yml").write_text(json.dumps(task))
    return tmp_path / "models"


def test_every_kind_of_child_hangs_on_its_base(models: Path) -> None:
    for method in ("full", "bitfit", "lora", "adapter", "prefix"):
        answer = ask(
            FineTuneAnswer, "fine-tune", models / "base", models / method, "--task", "reviews.yml",
            "--method", method, "--prefix-tokens", 4, "--dynamics", 5, *QUICK,
        )  # fmt: skip
        assert (answer.folder, answer.method) == (str(models / method), method)
        assert answer.loss > 0 and "accuracy" in answer.metrics
    assert len(cartography(load_dynamics(models / "adapter")).rows) > 50

    kinds = {it.child: (it.parent, it.kind) for it in ask(ChartAnswer, "chart", models).tree.edges}

    assert {child: parent for child, (parent, _) in kinds.items()} == dict.fromkeys(
        ("full", "bitfit", "lora", "adapter", "prefix"), "base"
    )
    assert {child: kinds[child][1] for child in ("lora", "adapter", "prefix")} == {
        "lora": "lora",
        "adapter": "adapter",
        "prefix": "adapter",
    }


def test_adapters_without_their_base_wait_for_it(models: Path) -> None:
    out = models.parent / "alone" / "adapter"
    out.parent.mkdir()
    args = ("--task", "reviews.yml", "--method", "adapter", *QUICK)
    assert run("fine-tune", models / "base", out, *args).code == 0
    alone = ask(ChartAnswer, "chart", out.parent)
    assert "which is not here; give it with --base" in alone.tree.undecided[0].reason
    found = ask(ChartAnswer, "chart", out.parent, "--base", models / "base")
    assert [(it.parent, it.child, it.kind) for it in found.tree.edges] == [
        ("base", "adapter", "adapter")
    ]


def test_stopped_by_ctrl_c_the_same_command_goes_on(models: Path) -> None:
    out = models / "long"
    args = [
        "fine-tune", models / "base", out, "--task", "reviews.yml", "--steps", 200, "--batch", 8,
        "--evaluate-every", 50,
    ]  # fmt: skip
    # what a shell starts in the background ignores Ctrl-C, and so do its children
    main = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    main += "from weightscape.cli.main import main; main()"
    command = [sys.executable, "-c", main, *map(str, args)]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    state = models / ".long.training" / "state.pt"
    patience = time.monotonic() + 60
    while not state.exists() and child.poll() is None and time.monotonic() < patience:
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, told = child.communicate(timeout=60)
    assert child.returncode == 130, told
    assert told.endswith("stopped; run the same command again to go on\n")
    assert not out.exists()
    resumed = run(*args)
    assert resumed.code == 0 and "going on after step" in resumed.err
    assert sorted(path.name for path in models.iterdir()) == ["base", "long"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--method", "lorra"], "nearest: lora"),
        (["--lr", "-1"], "lr must be a positive number, got -1.0"),
        (["--patience", "2"], "give evaluate_every too"),
        (["--freeze", "*nothing*"], "matches no parameter of"),
        (["--device", "banana"], "device 'banana' cannot be used"),
        (
            ["--method", "prefix", "--prefix-tokens", "40"],
            "40 prefix_tokens before texts of 9 tokens",
        ),
        (["--method", "lora", "--place", "nowhere"], "no matrices of"),
        (["--task", "none.yml"], "none.yml"),
    ],
)
def test_what_makes_no_sense_is_told_in_one_line_and_leaves_nothing(
    models: Path, options: list[str], said: str
) -> None:
    outcome = run("fine-tune", models / "base", models / "out", "--task", "reviews.yml", *options)
    assert said in outcome.error()
    assert not (models / "out").exists()


def test_a_folder_of_other_arguments_is_not_overwritten(models: Path) -> None:
    args = ("fine-tune", models / "base", models / "out", "--task", "reviews.yml", "--steps", 4)
    assert run(*args).code == 0
    before = (models / "out" / "model.safetensors").read_bytes()
    assert run(*args).code == 0
    assert "made with other arguments" in run(*args, "--lr", 1e-2).error()
    assert (models / "out" / "model.safetensors").read_bytes() == before
