"""Models that are deleted, come back, change, move or are taken out: distances stay right."""

import shutil
from pathlib import Path

import pytest
from harness import ask, run
from populations import Population, pairs

from weightscape.answers import ChartAnswer, ListAnswer, NearAnswer, ShowAnswer, TreeAnswer


def statuses() -> dict[str, str]:
    return {it.name: it.status for it in ask(ListAnswer, "list").models}


def edges_of(answer: ChartAnswer | TreeAnswer) -> set[tuple[str, str]]:
    tree = answer.tree if isinstance(answer, ChartAnswer) else answer
    return {(it.parent, it.child) for it in tree.edges}


def check_distances(population: Population, names: list[str]) -> None:
    """Compare every distance between these models with brute force."""
    near = {
        name: {it.model: it.distance for it in ask(NearAnswer, "near", name, "-n", 99).neighbours}
        for name in names
    }
    for one, other in pairs(names):
        right = pytest.approx(population.distance(one, other), rel=1e-4, abs=1e-5)
        assert near[one][other] == right, (one, other)
        assert near[other][one] == right, (other, one)


def reference_of(name: str) -> str:
    """Name the reference of a model's tree: a tree is called after it."""
    tree = ask(ShowAnswer, "show", name).tree
    assert tree is not None
    return tree


def hide(population: Population, name: str) -> Path:
    away = population.folder.parent / "away"
    away.mkdir(exist_ok=True)
    shutil.move(population.folder / name, away / name)
    return away / name


def bring_back(population: Population, name: str) -> None:
    shutil.move(population.folder.parent / "away" / name, population.folder / name)


def test_a_deleted_model_is_marked_and_stays(family: Population) -> None:
    ask(ChartAnswer, "chart", family.folder)
    shutil.rmtree(family.folder / "task0-2")

    answer = ask(ChartAnswer, "chart", family.folder)

    assert "task0-2" not in answer.given
    assert statuses()["task0-2"] == "gone"
    assert edges_of(answer) == family.edges
    assert ask(ShowAnswer, "show", "task0-2").parent == "base"
    check_distances(family, list(family.tensors))
    assert "task0-2 (gone)" in run("list").out


def test_a_model_that_comes_back_is_ready_again(family: Population) -> None:
    ask(ChartAnswer, "chart", family.folder)
    hide(family, "task0-2")
    ask(ChartAnswer, "chart", family.folder)
    bring_back(family, "task0-2")

    answer = ask(ChartAnswer, "chart", family.folder)

    assert set(statuses().values()) == {"ready"}
    assert edges_of(answer) == family.edges
    assert (answer.new, answer.bytes_read) == ([], 0)


def test_a_model_that_missed_a_newcomer_is_compared_with_it_later(family: Population) -> None:
    ask(ChartAnswer, "chart", family.folder)
    hide(family, "task0-2")
    family.child("newcomer", "base", task=0)
    answer = ask(ChartAnswer, "chart", family.folder)
    assert ("base", "newcomer") in edges_of(answer)
    assert any("task0-2" in it.models for it in answer.tree.undecided)
    check_distances(family, [name for name in family.tensors if name != "task0-2"])

    bring_back(family, "task0-2")
    answer = ask(ChartAnswer, "chart", family.folder)

    assert set(statuses().values()) == {"ready"}
    assert edges_of(answer) == family.edges
    assert answer.tree.undecided == []
    check_distances(family, list(family.tensors))


def test_the_reference_may_go(family: Population) -> None:
    ask(ChartAnswer, "chart", family.folder)
    reference = reference_of("base")
    hide(family, reference)
    family.child("newcomer", "task1-1")
    rest = [name for name in family.tensors if name != reference]

    answer = ask(ChartAnswer, "chart", family.folder)

    assert answer.new == ["newcomer"]
    assert reference_of("newcomer") == reference_of("task1-1") != reference
    assert ("task1-1", "newcomer") in edges_of(answer)
    check_distances(family, rest)
    everywhere = [name for tree in answer.tree.families for name in tree.members]
    assert sorted(everywhere) == sorted(family.tensors)
    assert len(answer.tree.edges) == len({it.child for it in answer.tree.edges})

    bring_back(family, reference)
    answer = ask(ChartAnswer, "chart", family.folder)
    assert edges_of(answer) == family.edges
    check_distances(family, list(family.tensors))


def test_the_reference_may_be_removed(family: Population) -> None:
    ask(ChartAnswer, "chart", family.folder)
    reference = reference_of("base")
    run("remove", reference)
    hide(family, reference)
    family.child("newcomer", "task1-1")

    answer = ask(ChartAnswer, "chart", family.folder)

    rest = [name for name in family.tensors if name != reference]
    assert sorted(statuses()) == sorted(rest)
    check_distances(family, rest)
    mentioned = {it.child for it in answer.tree.edges} | {it.parent for it in answer.tree.edges}
    assert reference not in mentioned | set(answer.tree.roots) | set(answer.map.points)


def test_all_models_may_go_and_others_come(family: Population) -> None:
    ask(ChartAnswer, "chart", family.folder)
    old = list(family.tensors)
    for name in old:
        hide(family, name)
    for name in ("x", "y", "z"):
        family.child(name, "base")

    answer = ask(ChartAnswer, "chart", family.folder)

    assert sorted(answer.new) == ["x", "y", "z"]
    check_distances(family, ["x", "y", "z"])
    for name in old:
        bring_back(family, name)
    answer = ask(ChartAnswer, "chart", family.folder)
    assert set(statuses().values()) == {"ready"}
    assert edges_of(answer) == family.edges
    check_distances(family, list(family.tensors))


def test_other_content_at_a_known_path_is_another_model(family: Population) -> None:
    ask(ChartAnswer, "chart", family.folder)
    before = family.tensors["task1-3"]
    family.edges.discard(("base", "task1-3"))
    family.child("task1-3", "task0-2")

    answer = ask(ChartAnswer, "chart", family.folder)

    (name,) = answer.new
    assert name.startswith("task1-3") and name != "task1-3"
    assert statuses()["task1-3"] == "gone" and statuses()[name] == "ready"
    family.tensors[name], family.tensors["task1-3"] = family.tensors["task1-3"], before
    # what was there before cannot be read again and is compared with those it was compared with
    check_distances(family, [it for it in family.tensors if it != "task1-3"])
    assert ("task0-2", name) in edges_of(answer)

    family.write("task1-3", before)
    answer = ask(ChartAnswer, "chart", family.folder)
    assert answer.new == [] and "task1-3" in answer.given
    assert statuses()["task1-3"] == "ready" and statuses()[name] == "gone"
    check_distances(family, [it for it in family.tensors if it != name])


def test_content_that_changed_elsewhere_is_not_taken_for_what_was_there(
    family: Population, tmp_path: Path
) -> None:
    ask(ChartAnswer, "chart", family.folder)
    before = family.tensors["task1-3"]
    family.child("task1-3", "task0-2")
    family.tensors["task1-3"] = before
    second = Population(tmp_path / "second", tensors=family.tensors, seeds=40)
    second.child("newcomer", "base")

    answer = ask(ChartAnswer, "chart", second.folder)

    assert answer.new == ["newcomer"]
    assert statuses()["task1-3"] == "gone"
    check_distances(family, [name for name in family.tensors if name != "task1-3"])


def test_files_touched_elsewhere_stay_what_they_are(family: Population, tmp_path: Path) -> None:
    ask(ChartAnswer, "chart", family.folder)
    (family.folder / "task1-3" / "model.safetensors").touch()
    second = Population(tmp_path / "second", tensors=family.tensors, seeds=40)
    second.child("newcomer", "base")
    ask(ChartAnswer, "chart", second.folder)

    assert set(statuses().values()) == {"ready"}
    check_distances(family, list(family.tensors))


def test_a_renamed_folder_is_recognised_and_names_stay(family: Population) -> None:
    family.write("task1-1-copy", family.tensors["task1-1"])
    first = ask(ChartAnswer, "chart", family.folder)
    renamed = family.folder.rename(family.folder.parent / "renamed")

    answer = ask(ChartAnswer, "chart", renamed)

    assert (answer.new, answer.bytes_read) == ([], 0)
    assert sorted(answer.given) == sorted(first.given)
    assert answer.tree == first.tree
    paths = {it.name: it.path for it in ask(ListAnswer, "list").models}
    assert paths == {name: str(renamed / name) for name in family.tensors}
    assert set(statuses().values()) == {"ready"}


def test_models_copied_elsewhere_and_deleted_here_are_charted_anew(family: Population) -> None:
    ask(ChartAnswer, "chart", family.folder)
    elsewhere = family.folder.parent / "elsewhere"
    for name in family.tensors:
        (elsewhere / name).mkdir(parents=True)
        for file in (family.folder / name).iterdir():
            (elsewhere / name / file.name).write_bytes(file.read_bytes())
    shutil.rmtree(family.folder)

    answer = ask(ChartAnswer, "chart", elsewhere)

    assert len(answer.new) == len(family.tensors)
    edges = {(one.partition("~")[0], other.partition("~")[0]) for one, other in edges_of(answer)}
    assert edges >= family.edges
    assert sorted(set(statuses().values())) == ["gone", "ready"]
    again = ask(ChartAnswer, "chart", elsewhere)
    assert again.new == [] and again.tree == answer.tree


def test_a_removed_model_comes_back_by_charting_it_again(family: Population) -> None:
    first = ask(ChartAnswer, "chart", family.folder)
    run("remove", "task0-1", "task1-1")
    assert not {"task0-1", "task1-1"} & set(statuses())

    answer = ask(ChartAnswer, "chart", family.folder)

    assert set(statuses().values()) == {"ready"}
    assert edges_of(answer) == edges_of(first)
    check_distances(family, list(family.tensors))


def test_newcomers_after_a_removal_are_compared_with_it_when_it_comes_back(
    family: Population,
) -> None:
    ask(ChartAnswer, "chart", family.folder)
    run("remove", "task0-1")
    family.child("newcomer", "base")
    answer = ask(ChartAnswer, "chart", family.folder / "newcomer")
    assert "task0-1" not in statuses()
    assert ("base", "newcomer") in edges_of(answer)

    answer = ask(ChartAnswer, "chart", family.folder)

    assert edges_of(answer) == family.edges
    check_distances(family, list(family.tensors))


def test_everything_may_be_removed(family: Population) -> None:
    ask(ChartAnswer, "chart", family.folder)
    assert run("remove", *family.tensors).code == 0

    assert ask(ListAnswer, "list").models == []
    tree = ask(TreeAnswer, "tree")
    assert (tree.edges, tree.roots, tree.families) == ([], [], [])
    assert run("map").code == run("tree").code == run("list").code == 0
    assert edges_of(ask(ChartAnswer, "chart", family.folder)) == family.edges


def test_a_link_to_a_blob_without_a_suffix(family: Population, tmp_path: Path) -> None:
    blobs, links = tmp_path / "blobs", tmp_path / "links"
    blobs.mkdir()
    links.mkdir()
    for number, name in enumerate(("base", "task0-1")):
        blob = blobs / f"{number:04x}"
        (family.folder / name / "model.safetensors").rename(blob)
        (links / f"{name}.safetensors").symlink_to(blob)
    answer = ask(ChartAnswer, "chart", links)
    assert sorted(answer.new) == ["base", "task0-1"]

    (links / "other.safetensors").symlink_to(blobs / "0001")
    answer = ask(ChartAnswer, "chart", links / "other.safetensors")
    assert (answer.given, answer.new, answer.bytes_read) == (["task0-1"], [], 0)
    answer = ask(ChartAnswer, "chart", links)
    assert len(answer.given) == 2
    assert set(statuses().values()) == {"ready"}
    check_distances(family, ["base", "task0-1"])
