"""The main job on a family whose truth is known, and what every verb says of it."""

import csv
import io
import re
from pathlib import Path

import pytest
from harness import ask, run
from populations import Population, distance, pairs

from weightscape.answers import (
    AddAnswer,
    ChartAnswer,
    ListAnswer,
    MapAnswer,
    NearAnswer,
    RemoveAnswer,
    ShowAnswer,
    TreeAnswer,
)

Charted = tuple[Population, Path]


def nearest(family: Population, name: str) -> str:
    """Name the model nearest to another, by brute force."""
    others = [other for other in family.tensors if other != name]
    return min(others, key=lambda other: family.distance(name, other))


def test_chart_recovers_the_forest_and_the_regions_and_writes_the_page(family: Population) -> None:
    answer = ask(ChartAnswer, "chart", family.folder)

    assert {(edge.parent, edge.child) for edge in answer.tree.edges} == family.edges
    assert {edge.kind for edge in answer.tree.edges} == {"full"}
    assert answer.tree.roots == ["base"]
    assert answer.tree.undecided == []
    assert sorted(answer.tree.families[0].members) == sorted(family.tensors)
    assert {frozenset(region.members) for region in answer.map.regions} == {
        frozenset({"task0-1", "task0-2", "task0-3", "task0-1-more"}),
        frozenset({"task1-1", "task1-2", "task1-3"}),
    }
    assert set(answer.map.points) == set(family.tensors)
    assert answer.skipped == []
    assert sorted(answer.given) == sorted(answer.new) == sorted(family.tensors)
    page = Path(answer.page)
    assert page.is_absolute()
    assert "task0-1-more" in page.read_text()


def test_the_pass_reads_each_byte_once(family: Population) -> None:
    answer = ask(ChartAnswer, "chart", family.folder)

    on_disk = sum(file.stat().st_size for file in family.folder.rglob("*.safetensors"))
    assert answer.bytes_read == answer.bytes_on_disk
    assert 0.9 * on_disk < answer.bytes_on_disk <= on_disk


def test_the_text_shows_the_forest_the_regions_and_where_the_page_is(family: Population) -> None:
    outcome = run("chart", family.folder, "--atlas", "mine")

    assert outcome.code == 0
    assert "8 models, 1 family, 1 root, 2 regions" in outcome.out
    assert re.search(r"task0-1  full .*\n│   └── task0-1-more", outcome.out)
    assert f"page: {Path('mine/index.html').resolve()}" in outcome.out
    assert "read " in outcome.err
    assert "\x1b" not in outcome.out


def test_quiet_leaves_stderr_empty_of_progress(family: Population) -> None:
    outcome = run("add", family.folder, "--quiet")

    assert (outcome.code, outcome.err) == (0, "")
    assert "8 new models, 0 known already" in outcome.out


def test_add_answers_what_it_found(family: Population) -> None:
    answer = ask(AddAnswer, "add", family.folder)

    assert sorted(answer.new) == sorted(family.tensors)
    assert not Path("atlas/index.html").exists()


def test_tree_as_text_and_json(charted: Charted) -> None:
    family, atlas = charted
    answer = ask(TreeAnswer, "tree", "--atlas", atlas)

    assert {(edge.parent, edge.child) for edge in answer.edges} == family.edges
    assert all(edge.evidence and 0 < edge.confidence < 1 for edge in answer.edges)
    text = run("tree", "--atlas", atlas)
    assert text.code == 0
    assert all(name in text.out for name in family.tensors)


DOT_LINE = re.compile(
    r"""\s*(
        digraph\ forest\ \{ | \} | subgraph\ cluster_\d+\ \{\ label=Q;
        | (rankdir=LR;\ )?(node|edge)\ \[[^\]]*\];
        | Q( ->\ Q)?(\ \[(label=Q,\ style=\w+|penwidth=2)\])?;
    )""".replace("Q", r'"(?:[^"\\]|\\.)*"').replace("( ->", r"(\ ->"),
    re.VERBOSE,
)


def dot_edges(text: str) -> set[tuple[str, str]]:
    """Read the edges of a DOT file, line by line; a line that is not understood fails."""
    lines = text.splitlines()
    assert lines[0] == "digraph forest {" and lines[-1] == "}"
    for line in lines:
        assert DOT_LINE.fullmatch(line), line
    assert text.count("{") == text.count("}")
    found = re.findall(r'^\s*"((?:[^"\\]|\\.)*)" -> "((?:[^"\\]|\\.)*)"', text, re.MULTILINE)
    return {(_unescaped(parent), _unescaped(child)) for parent, child in found}


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), text)


def test_dot_has_every_edge(charted: Charted) -> None:
    family, atlas = charted
    outcome = run("tree", "--atlas", atlas, "--format", "dot")

    assert dot_edges(outcome.out) == family.edges


def test_csv_reads_back(charted: Charted) -> None:
    family, atlas = charted
    outcome = run("tree", "--atlas", atlas, "--format", "csv")

    rows = list(csv.DictReader(io.StringIO(outcome.out)))
    assert {(row["parent"], row["child"]) for row in rows if row["parent"]} == family.edges
    assert [row["child"] for row in rows if row["kind"] == "root"] == ["base"]


def test_map_as_text_and_json(charted: Charted) -> None:
    family, atlas = charted
    answer = ask(MapAnswer, "map", "--atlas", atlas)

    assert [region.label for region in answer.regions] == [
        f"region:{region.medoid}" for region in answer.regions
    ]
    assert "task1-2" in run("map", "--atlas", atlas).out
    assert ask(MapAnswer, "map", "--atlas", atlas, "--regions", 1).points.keys() == {
        *family.tensors
    }


def test_map_takes_other_poolings_and_layouts(charted: Charted) -> None:
    family, atlas = charted
    answer = ask(MapAnswer, "map", "--atlas", atlas, "--layout", "tsne", "--seed", 3)

    assert set(answer.points) == set(family.tensors)
    assert answer == ask(MapAnswer, "map", "--atlas", atlas, "--layout", "tsne", "--seed", 3)
    for option in ("--layout", "--pooling"):
        assert "nonsense" in run("map", "--atlas", atlas, option, "nonsense").error()


def test_near_measures_the_distances_of_brute_force(charted: Charted) -> None:
    family, atlas = charted
    names = list(family.tensors)
    measured = {}
    for name in names:
        answer = ask(NearAnswer, "near", name, "--atlas", atlas, "-n", 50)
        distances = [it.distance for it in answer.neighbours]
        assert distances == sorted(distances)
        measured |= {(name, it.model): it.distance for it in answer.neighbours}

    assert len(measured) == len(names) * (len(names) - 1)
    for one, other in pairs(names):
        assert measured[one, other] == pytest.approx(family.distance(one, other), rel=1e-4)
        assert measured[other, one] == pytest.approx(measured[one, other], rel=1e-9)


def test_near_as_text_obeys_the_count(charted: Charted) -> None:
    family, atlas = charted
    outcome = run("near", "task0-1", "--atlas", atlas, "--count", 2)

    assert len(outcome.out.splitlines()) == 3
    assert outcome.out.splitlines()[1].split()[0] == nearest(family, "task0-1")


def test_list_as_text_and_json(charted: Charted) -> None:
    family, atlas = charted
    answer = ask(ListAnswer, "list", "--atlas", atlas)

    by_name = {it.name: it for it in answer.models}
    assert set(by_name) == set(family.tensors)
    assert by_name["task0-1-more"].parent == "task0-1"
    assert by_name["task0-1-more"].edge == "full"
    assert by_name["base"].parent is None
    assert {it.status for it in answer.models} == {"ready"}
    assert {it.dtype for it in answer.models} == {"F32"}
    sizes = {name: sum(t.numel() for t in one.values()) for name, one in family.tensors.items()}
    assert {it.name: it.parameters for it in answer.models} == sizes
    text = run("list", "--atlas", atlas)
    assert len(text.out.splitlines()) == 1 + len(family.tensors)


def test_show_as_text_and_json(charted: Charted) -> None:
    family, atlas = charted
    answer = ask(ShowAnswer, "show", "task0-1", "--atlas", atlas)

    assert answer.parent == "base"
    assert answer.children == ["task0-1-more"]
    assert answer.path == str(family.folder / "task0-1")
    assert answer.neighbours[0].model == nearest(family, "task0-1")
    assert answer.config == {"model_type": "bert"}
    own = family.tensors["task0-1"]
    zero = {key: 0 * value for key, value in own.items()}
    assert answer.norm == pytest.approx(distance(own, zero), rel=1e-5)
    text = run("show", "task0-1", "--atlas", atlas)
    assert text.code == 0
    assert "from base: full" in text.out


def test_pictures_are_written(charted: Charted, tmp_path: Path) -> None:
    _, atlas = charted
    assert run("tree", "--atlas", atlas, "--plot", tmp_path / "tree.svg").code == 0
    assert run("map", "--atlas", atlas, "--plot", tmp_path / "map.png").code == 0
    assert "<svg" in (tmp_path / "tree.svg").read_text()
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    assert "map.banana" in run("map", "--atlas", atlas, "--plot", "map.banana").error()
    (tmp_path / "file").write_text("")
    assert "file: " in run("map", "--atlas", atlas, "--plot", "file/map.png").error()


def test_remove_takes_a_model_out_and_leaves_its_files(family: Population) -> None:
    run("chart", family.folder)
    answer = ask(RemoveAnswer, "remove", "task0-1-more")

    assert answer.removed == ["task0-1-more"]
    assert (family.folder / "task0-1-more" / "model.safetensors").exists()
    names = {it.name for it in ask(ListAnswer, "list").models}
    assert names == set(family.tensors) - {"task0-1-more"}
    edges = {(edge.parent, edge.child) for edge in ask(TreeAnswer, "tree").edges}
    assert edges == family.edges - {("task0-1", "task0-1-more")}
    assert "task0-1-more" in run("show", "task0-1-more").error()
    assert "removed" in run("remove", "task1-1").out


def test_a_second_folder_joins_the_atlas_and_stands_in_front(
    family: Population, tmp_path: Path
) -> None:
    other = Population(tmp_path / "second")
    other.tensors["base"] = family.tensors["base"]
    other.seeds = 500
    other.child("late", "base", task=1)
    run("chart", family.folder)
    before = {it.name: it.path for it in ask(ListAnswer, "list").models}

    answer = ask(ChartAnswer, "chart", other.folder)

    assert answer.given == answer.new == ["late"]
    after = {it.name: it.path for it in ask(ListAnswer, "list").models}
    assert after == {**before, "late": str(other.folder / "late")}
    assert {(it.parent, it.child) for it in answer.tree.edges} == {*family.edges, ("base", "late")}
    page = Path(answer.page).read_text()
    assert all(name in page for name in after)


def test_names_that_clash_get_something_to_tell_them_apart(tmp_path: Path) -> None:
    one, other = Population(tmp_path / "one"), Population(tmp_path / "other")
    for seed, population in enumerate((one, other)):
        population.root("model", seed=seed)
    together = ask(ChartAnswer, "chart", one.folder, other.folder, "--atlas", "together")
    assert together.given == ["one/model", "other/model"]

    first = ask(ChartAnswer, "chart", one.folder).given
    second = ask(ChartAnswer, "chart", other.folder).given
    assert first == ["model"]
    assert len(second) == 1 and second != ["model"]
    both = ask(ChartAnswer, "chart", other.folder, one.folder)
    assert sorted(both.given) == sorted([*first, *second])
    assert both.new == []
    paths = {it.name: Path(it.path) for it in ask(ListAnswer, "list").models}
    assert paths == {"model": one.folder / "model", second[0]: other.folder / "model"}


def test_only_models_that_the_globs_want_are_charted(family: Population) -> None:
    answer = ask(ChartAnswer, "chart", family.folder, "--include", "task0*", "--exclude", "*more")

    assert answer.given == ["task0-1", "task0-2", "task0-3"]


def test_the_atlas_is_not_charted_with_the_models(family: Population) -> None:
    atlas = family.folder / "atlas"
    for _ in range(2):
        answer = ask(ChartAnswer, "chart", family.folder, "--atlas", atlas)
        assert sorted(answer.given) == sorted(family.tensors)
