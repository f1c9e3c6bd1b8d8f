"""Killed, interrupted, crowded and out of room: what is there afterwards is whole."""

import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from children import Child, barrier
from harness import ask, run
from populations import Population, moved, random_model
from safetensors.torch import save
from test_incremental import distances

from weightscape.answers import ChartAnswer, ListAnswer, TreeAnswer

PLACES = [
    ("weightscape.atlas.registering._row", 5),
    ("weightscape.catalog.models.register", 1),
    ("weightscape.catalog.skipped.replace_skipped", 1),
    ("weightscape.atlas.placing.place", 1),
    ("weightscape.atlas.placing._plant", 1),
    ("weightscape.catalog.samples.put_samples", 1),
    ("weightscape.atlas.passing._keep", 1),
    ("weightscape.atlas.passing._keep", 9),
    ("weightscape.catalog.models.mark_ready", 1),
    ("weightscape.atlas.deriving._derive_tree", 1),
    ("weightscape.catalog.findings.replace_findings", 1),
    ("weightscape.cli.charting.write_page", 1),
    ("weightscape.cli.gather.tree", 1),
]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], float]:
    """Give the distances of the family as one undisturbed chart finds them."""
    from populations import family_tree

    folder = tmp_path_factory.mktemp("fresh")
    family = family_tree(folder / "models")
    assert run("add", family.folder, "--atlas", folder / "atlas").code == 0
    return distances(folder / "atlas")


def check_whole(family: Population, fresh: dict[tuple[str, str], float]) -> None:
    """Chart, and compare with what an undisturbed chart finds."""
    answer = ask(ChartAnswer, "chart", family.folder)
    assert {(it.parent, it.child) for it in answer.tree.edges} == family.edges
    assert {it.status for it in ask(ListAnswer, "list").models} == {"ready"}
    assert distances(Path("atlas")) == pytest.approx(fresh, rel=1e-5, abs=1e-6)
    again = ask(ChartAnswer, "chart", family.folder)
    assert (again.new, again.bytes_read) == ([], 0)


def check_page() -> None:
    """Find the page whole, or not there."""
    page = Path("atlas/index.html")
    assert not page.exists() or page.read_text().rstrip().endswith("</html>")


@pytest.mark.parametrize(("function", "call"), PLACES, ids=lambda it: str(it).rpartition(".")[2])
def test_a_killed_chart_is_gone_on_with(
    family: Population,
    fresh: dict[tuple[str, str], float],
    tmp_path: Path,
    function: str,
    call: int,
) -> None:
    child = Child(tmp_path, "chart", family.folder, at=(function, call, signal.SIGKILL))

    assert child.wait() is None
    assert child.process.exitcode == -signal.SIGKILL
    check_page()
    if Path("atlas/atlas.sqlite").exists():
        assert run("list").code == 0
    check_whole(family, fresh)


def test_a_chart_killed_at_any_time_is_gone_on_with(
    family: Population, fresh: dict[tuple[str, str], float], tmp_path: Path
) -> None:
    for delay in (0.02, 0.1, 0.18, 0.26, 0.34, 0.45, 0.6):
        child = Child(tmp_path, "chart", family.folder)
        time.sleep(delay)
        child.process.kill()
        child.process.join()
        check_page()
    check_whole(family, fresh)


def test_a_kill_leaves_the_old_page_and_the_old_findings(
    family: Population, tmp_path: Path
) -> None:
    before = ask(ChartAnswer, "chart", family.folder)
    page = Path("atlas/index.html").read_bytes()
    family.child("newcomer", "base")
    at = ("weightscape.atlas.passing._keep", 4, signal.SIGKILL)
    assert Child(tmp_path, "chart", family.folder, at=at).wait() is None

    assert Path("atlas/index.html").read_bytes() == page
    assert ask(TreeAnswer, "tree").edges == before.tree.edges
    waiting = [it.name for it in ask(ListAnswer, "list").models if it.status == "pending"]
    assert waiting == ["newcomer"]
    assert run("show", "newcomer").code == 0
    answer = ask(ChartAnswer, "chart", family.folder)
    assert {(it.parent, it.child) for it in answer.tree.edges} == family.edges
    size = sum(tensor.numel() * 4 for tensor in family.tensors["base"].values())
    # the tensors that were done are not read again
    assert 0 < answer.bytes_read < len(family.tensors) * size


@pytest.mark.parametrize(
    "function",
    [
        "weightscape.atlas.registering._row",
        "weightscape.atlas.passing._keep",
        "weightscape.atlas.deriving._derive_tree",
    ],
)
def test_ctrl_c_ends_in_one_line_and_can_be_gone_on_with(
    family: Population, fresh: dict[tuple[str, str], float], tmp_path: Path, function: str
) -> None:
    child = Child(tmp_path, "chart", family.folder, at=(function, 1, signal.SIGINT))

    outcome = child.wait()
    assert outcome is not None and outcome.code == 130
    told = [line for line in outcome.err.splitlines() if not line.endswith(" ...")]
    assert told == ["stopped; run the same command again to go on"]
    check_whole(family, fresh)


def test_two_adds_at_once_and_a_reader_make_the_atlas_of_one(
    family: Population, fresh: dict[tuple[str, str], float], tmp_path: Path
) -> None:
    folders = sorted(family.folder.iterdir())
    gate = barrier(3)
    children = [
        Child(tmp_path, "add", *folders[:6], gate=gate),
        Child(tmp_path, "add", *folders[3:], gate=gate),
        Child(tmp_path, "chart", family.folder, gate=gate),
    ]
    while any(child.process.is_alive() for child in children):
        outcome = run("list")
        assert outcome.code == 0 or "no atlas" in outcome.error()
        outcome = run("tree")
        assert outcome.code == 0 or "no atlas" in outcome.error()

    for child in children:
        outcome = child.wait()
        assert outcome is not None and outcome.code == 0, outcome
    assert sorted(it.name for it in ask(ListAnswer, "list").models) == sorted(family.tensors)
    check_whole(family, fresh)


def test_two_adds_of_different_trees_at_once(tmp_path: Path) -> None:
    populations = [Population(tmp_path / name) for name in ("one", "other")]
    for seed, population in enumerate(populations):
        name = population.folder.name
        population.root(name, seed=seed)
        for number in range(4):
            population.seeds = 10 * seed + number
            population.child(f"{name}-{number}", name)
    gate = barrier(2)
    children = [Child(tmp_path, "add", it.folder, gate=gate) for it in populations]

    for child in children:
        outcome = child.wait()
        assert outcome is not None and outcome.code == 0, outcome
    found = {(it.parent, it.child) for it in ask(TreeAnswer, "tree").edges}
    assert found == populations[0].edges | populations[1].edges


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip(
            "no disk can be mounted here (that needs root); the limit of file sizes "
            "is tried instead by the test below"
        )
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_told_in_one_line(
    family: Population, fresh: dict[tuple[str, str], float], tiny_disk: Path
) -> None:
    atlas = tiny_disk / "atlas"
    filler = tiny_disk / "filler"
    filler.write_bytes(b"\0" * 1_900_000)
    line = run("chart", family.folder, "--atlas", atlas).error()
    assert "full" in line or "space" in line.lower()
    filler.write_bytes(b"\0" * 1_000_000)
    # the page with its pictures' library takes more than there is
    line = run("chart", family.folder, "--atlas", atlas).error()
    assert "space" in line.lower() or "full" in line
    assert not (atlas / "index.html").exists()
    assert [it.name for it in atlas.iterdir() if "index" in it.name] == []
    assert run("list", "--atlas", atlas).code == 0
    assert distances(atlas) == pytest.approx(fresh, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("limit", [20_000, 150_000, 1_000_000])
def test_a_limit_of_file_sizes_leaves_page_and_atlas_whole(
    family: Population, tmp_path: Path, limit: int
) -> None:
    before = ask(ChartAnswer, "chart", family.folder)
    page = Path("atlas/index.html").read_bytes()
    family.child("newcomer", "base")

    limits = {resource.RLIMIT_FSIZE: limit}
    outcome = Child(tmp_path, "chart", family.folder, limits=limits).wait()

    assert outcome is not None
    outcome.error()
    assert Path("atlas/index.html").read_bytes() == page
    after = ask(TreeAnswer, "tree")
    assert {(it.parent, it.child) for it in after.edges} >= {
        (it.parent, it.child) for it in before.tree.edges
    }
    answer = ask(ChartAnswer, "chart", family.folder)
    assert {(it.parent, it.child) for it in answer.tree.edges} == family.edges


def test_an_atlas_that_may_not_be_written_is_told(family: Population, tmp_path: Path) -> None:
    ask(ChartAnswer, "chart", family.folder)
    page = Path("atlas/index.html")
    page.unlink()
    page.mkdir()

    assert "index.html" in run("chart", family.folder).error()


def test_300_models_under_a_limit_of_256_files(tmp_path: Path) -> None:
    base = random_model(1, width=8, vocabulary=16)
    folder = tmp_path / "models"
    folder.mkdir()
    for number in range(300):
        (folder / f"m{number:03}.safetensors").write_bytes(save(moved(base, number, 0.05)))

    limits = {resource.RLIMIT_NOFILE: 256}
    outcome = Child(tmp_path, "add", folder, "--json", limits=limits).wait(120)

    assert outcome is not None and outcome.code == 0, outcome
    assert len(ask(ListAnswer, "list").models) == 300
