"""A start is written whole; it replaces what an earlier search for it wrote, and nothing else."""

import json
import shutil

import pytest
import torch
from halves_of_a_skill import largest, looking

from weightscape.errors import BadInput
from weightscape.io import open_checkpoint
from weightscape.starts.candidates import propose
from weightscape.starts.pool import open_pool
from weightscape.starts.writing import write_start
from weightscape.tasks.made_folder import MADE_FOR, check_free, in_place_of

TASK = largest(rows=18)


@pytest.fixture(scope="module")
def pool():
    models = (looking("one", 0), looking("two", 1), looking("three", 2))
    return open_pool(models, TASK, base=looking("base"), regions={}, device="cpu")


def write(pool, kind, out, task=TASK):
    (proposal, *_) = [it for it in propose(pool, [kind]) if it.candidate.kind == kind]
    return write_start(pool, proposal, task, out, "drawn", {MADE_FOR: f"as it is {kind}"})


def middle(folder):
    with open_checkpoint(folder) as opened:
        return opened.tensor("body.weight").clone()


def test_a_start_for_the_same_task_is_replaced_whole(pool, tmp_path):
    out = tmp_path / "best"
    write(pool, "base", out)
    before, inode = middle(out), out.stat().st_ino
    write(pool, "centroid", out)
    assert not torch.equal(middle(out), before) and out.stat().st_ino != inode
    assert json.loads((out / "provenance.json").read_text())[MADE_FOR] == "as it is centroid"
    assert [it.name for it in tmp_path.iterdir()] == ["best"]  # nothing is left beside it


def test_a_start_that_cannot_be_written_leaves_what_was_there(pool, tmp_path):
    out = write(pool, "base", tmp_path / "best")
    before = middle(out)
    with pytest.raises(RuntimeError), in_place_of(out, TASK) as folder:
        (folder / "model.safetensors").write_text("half of a model")
        raise RuntimeError
    assert torch.equal(middle(out), before)
    assert [it.name for it in tmp_path.iterdir()] == ["best"]


def test_what_was_left_by_a_killed_run_is_cleared_away(pool, tmp_path):
    (tmp_path / ".best.half").mkdir()
    (tmp_path / ".best.half" / "model.safetensors").write_text("half of a model")
    write(pool, "base", tmp_path / "best")
    assert [it.name for it in tmp_path.iterdir()] == ["best"]


def retrain(out):
    weights = out / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x3f")


def keep_checkpoint(out):
    shutil.copytree(out, out / "checkpoint-5")


def tell_nothing(out):
    (out / "provenance.json").unlink()


def tell_nonsense(out):
    (out / "provenance.json").write_text("[" * 10_000)


def be_fine_tuned(out):
    (out / "provenance.json").write_text('{"parent": "base", "task": "largest"}')


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (retrain, r"worked on since it was made \(model.safetensors\)"),
        (keep_checkpoint, r"worked on since it was made \(checkpoint-5\)"),
        (tell_nothing, "is there already"),
        (tell_nonsense, "is there already"),
        (be_fine_tuned, "is there already"),
    ],
)
def test_what_somebody_worked_on_or_nobody_wrote_as_a_start_stays(pool, tmp_path, change, said):
    out = write(pool, "base", tmp_path / "best")
    check_free(out, TASK)
    change(out)
    files = sorted(it.name for it in out.iterdir())
    with pytest.raises(BadInput, match=said):
        write(pool, "centroid", out)
    assert sorted(it.name for it in out.iterdir()) == files


def test_a_start_for_other_rows_stays(pool, tmp_path):
    out = write(pool, "base", tmp_path / "best")
    with pytest.raises(BadInput, match="for another task or other rows"):
        check_free(out, largest(rows=18, seed=1))
    with pytest.raises(BadInput, match="there already"):
        check_free(out)


def test_an_empty_folder_stays_the_folder_it_is(pool, tmp_path):
    out = tmp_path / "best"
    out.mkdir()
    inode = out.stat().st_ino
    write(pool, "base", out)
    assert out.stat().st_ino == inode
    check_free(out, TASK)


def test_a_folder_that_is_there_and_empty_stays_so_until_the_start_is_whole(tmp_path):
    out = tmp_path / "best"
    out.mkdir()
    inode = out.stat().st_ino
    with pytest.raises(KeyboardInterrupt), in_place_of(out) as half:
        (half / "config.json").write_text("{}")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == [out] and not any(out.iterdir())
    with in_place_of(out) as half:
        (half / "config.json").write_text("{}")
        (half / "provenance.json").write_text("{}")
    assert out.stat().st_ino == inode and (out / "config.json").is_file()
    assert list(tmp_path.iterdir()) == [out]
