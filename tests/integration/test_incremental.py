"""What is charted is not read again, and what comes later changes nothing that was found."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from harness import ask, run
from populations import Population, pairs

from weightscape.answers import ChartAnswer, ListAnswer
from weightscape.atlas import Atlas
from weightscape.io import Adapter, Checkpoint
from weightscape.io import opening as opening_module


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List the models of which tensors were read, header and files beside it not counted."""
    seen: list[str] = []

    def watched(kind: type, method: str, path: Callable[[object], Path]) -> None:
        original = getattr(kind, method)

        def watching(self: object, *arguments: object, **options: object) -> object:
            file = path(self)
            seen.append(file.name)
            return original(self, *arguments, **options)

        monkeypatch.setattr(kind, method, watching)

    for method in ("flat", "tensor", "rows", "raw"):
        watched(Checkpoint, method, lambda it: it.path)  # type: ignore[attr-defined]
    watched(Adapter, "flat", lambda it: it.path)  # type: ignore[attr-defined]
    return seen


def distances(atlas: Path) -> dict[tuple[str, str], float]:
    """Tell all distances inside trees, from the kept Grams."""
    found = {}
    with Atlas(atlas, create=False) as opened:
        for loaded in opened.products():
            gram = np.nansum(loaded.products.gram, axis=0)
            for i, one in enumerate(loaded.products.models):
                for j, other in enumerate(loaded.products.models):
                    found[one, other] = float(np.sqrt(gram[i, i] + gram[j, j] - 2 * gram[i, j]))
    return found


def test_charting_again_reads_no_weights(family: Population, reads: list[str]) -> None:
    first = ask(ChartAnswer, "chart", family.folder)
    assert set(reads) == set(family.tensors)
    reads.clear()

    again = ask(ChartAnswer, "chart", family.folder)

    assert reads == []
    assert again.new == []
    assert again.given == first.given
    assert (again.bytes_read, again.bytes_sampled, again.bytes_looked) == (0, 0, 0)
    assert (again.tree, again.map) == (first.tree, first.map)
    assert "nothing new" in run("chart", family.folder).err


def test_charting_again_needs_no_readable_weights(
    family: Population, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ask(ChartAnswer, "chart", family.folder)

    def refused(path: object) -> None:
        raise AssertionError(f"{path} was opened")

    monkeypatch.setattr(opening_module, "_open_whole", lambda path, *_: refused(path))
    assert ask(ChartAnswer, "chart", family.folder).tree == first.tree


def test_the_verbs_read_no_weights(family: Population, reads: list[str]) -> None:
    run("chart", family.folder)
    reads.clear()
    for verb in (["list"], ["tree"], ["map"], ["near", "base"], ["show", "base"]):
        assert run(*verb).code == 0
    assert run("remove", "task0-2").code == 0
    # the second look of the smaller forest may read the tensors of its edges, and no others
    assert "task0-2" not in reads


def test_a_new_model_is_read_beside_its_own_tree_only(family: Population, reads: list[str]) -> None:
    stranger = family.root("stranger", seed=77)
    family.child("strangers-child", "stranger")
    run("chart", family.folder)
    size = sum(tensor.numel() * 4 for tensor in stranger.values())
    reads.clear()
    family.child("newcomer", "base", task=1)

    answer = ask(ChartAnswer, "chart", family.folder)

    assert answer.new == ["newcomer"]
    assert not {"stranger", "strangers-child"} & set(reads)
    # itself once, and its own tree of eight once
    assert answer.bytes_read == 9 * size
    assert {(it.parent, it.child) for it in answer.tree.edges} >= {("base", "newcomer")}


def test_models_that_come_one_by_one_make_the_same_atlas(tmp_path: Path) -> None:
    population = Population(tmp_path / "models")
    population.root("base")
    run("add", population.folder)
    for name, parent in (("a", "base"), ("b", "base"), ("a-more", "a"), ("c", "base")):
        population.child(name, parent)
        assert ask(ChartAnswer, "chart", population.folder).new == [name]
    step_by_step = distances(Path("atlas"))
    last = ask(ChartAnswer, "chart", population.folder)
    at_once = ask(ChartAnswer, "chart", population.folder, "--atlas", "fresh")

    assert {(it.parent, it.child) for it in last.tree.edges} == population.edges
    assert {(it.parent, it.child) for it in at_once.tree.edges} == population.edges
    fresh = distances(Path("fresh"))
    assert step_by_step.keys() == fresh.keys()
    for pair in pairs(list(population.tensors)):
        assert step_by_step[pair] == pytest.approx(fresh[pair], rel=1e-6)
        assert step_by_step[pair] == pytest.approx(population.distance(*pair), rel=1e-5)


def test_the_order_of_the_arguments_and_threads_do_not_matter(family: Population) -> None:
    folders = sorted(family.folder.iterdir())
    one = ask(ChartAnswer, "chart", *folders, "--atlas", "one", "--threads", 1)
    other = ask(ChartAnswer, "chart", *reversed(folders), "--atlas", "other", "--threads", 3)

    assert one.given == other.given
    assert {(it.parent, it.child) for it in one.tree.edges} == family.edges
    assert {(it.parent, it.child) for it in other.tree.edges} == family.edges
    assert distances(Path("one")) == pytest.approx(distances(Path("other")), rel=1e-5, abs=1e-6)


def test_a_relative_path_and_a_link_lead_to_the_same_models(
    family: Population, tmp_path: Path
) -> None:
    run("add", family.folder)
    (tmp_path / "link").symlink_to(family.folder)

    for path in ("models", "./models/../models", "link", "models/base"):
        assert ask(ChartAnswer, "chart", path).new == [], path
    assert len(ask(ListAnswer, "list").models) == len(family.tensors)


def test_verify_finds_a_change_that_sizes_and_samples_hide(family: Population) -> None:
    run("add", family.folder, "--verify")
    file = family.folder / "task1-1" / "model.safetensors"
    before, data = file.stat(), bytearray(file.read_bytes())
    # far from the sampled starts, middles and ends of tensors, in the float's low bits
    data[len(data) // 2 + 20_001 - (len(data) // 2 + 20_001) % 4] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert ask(ChartAnswer, "chart", family.folder).new == []
    answer = ask(ChartAnswer, "chart", family.folder, "--verify")
    assert len(answer.new) == 1 and answer.new[0].startswith("task1-1")
    for option in (["--verify"], [], ["--verify"]):
        file.touch()
        again = ask(ChartAnswer, "chart", family.folder, *option)
        assert again.new == [] and answer.new[0] in again.given


def test_touched_files_are_the_same_models(family: Population) -> None:
    first = ask(ChartAnswer, "chart", family.folder)
    for file in family.folder.rglob("*.safetensors"):
        file.touch()

    answer = ask(ChartAnswer, "chart", family.folder)

    assert answer.new == [] and answer.given == first.given
    assert answer.bytes_read == 0
    assert len(ask(ListAnswer, "list").models) == len(family.tensors)


def test_an_atlas_can_be_moved(family: Population) -> None:
    first = ask(ChartAnswer, "chart", family.folder)
    shutil.move("atlas", "elsewhere")

    again = ask(ChartAnswer, "chart", family.folder, "--atlas", "elsewhere")
    assert again.new == [] and again.tree == first.tree
