"""Populations that are not one neat family: several architectures, odd tensors, strangers."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from harness import ask, run
from populations import Population, Tensors, moved, pairs, random_model

from weightscape.answers import ChartAnswer, ListAnswer, MapAnswer, NearAnswer, ShowAnswer


def edges_of(answer: ChartAnswer) -> set[tuple[str, str]]:
    return {(it.parent, it.child) for it in answer.tree.edges}


def near(name: str) -> dict[str, float]:
    answer = ask(NearAnswer, "near", name, "-n", 100)
    return {it.model: it.distance for it in answer.neighbours}


def star(population: Population, root: str, count: int, seed: int = 1, **options: int) -> None:
    """Write a root and its children, named after it."""
    population.root(root, seed=seed, **options)
    for number in range(count):
        population.child(f"{root}-{number}", root)


def test_two_architectures_are_two_families(population: Population) -> None:
    star(population, "small", 4)
    star(population, "wide", 4, seed=2, width=64)

    answer = ask(ChartAnswer, "chart", population.folder)

    assert edges_of(answer) == population.edges
    assert {frozenset(it.members) for it in answer.tree.families} == {
        frozenset(name for name in population.tensors if name.startswith(kind))
        for kind in ("small", "wide")
    }
    assert set(answer.map.points) == set(population.tensors)
    assert all(other.startswith("wide") for other in near("wide"))


def test_two_unrelated_roots_of_one_architecture_are_two_trees(population: Population) -> None:
    star(population, "one", 4)
    star(population, "other", 4, seed=2)

    answer = ask(ChartAnswer, "chart", population.folder)

    assert edges_of(answer) == population.edges
    assert sorted(answer.tree.roots) == ["one", "other"]
    assert len(answer.tree.families) == 1
    trees = {it.name: it.tree for it in ask(ListAnswer, "list").models}
    assert trees["one"] == trees["one-3"] != trees["other"] == trees["other-3"]
    for name in ("one-0", "other-0"):
        for other, distance in near(name).items():
            assert distance == pytest.approx(population.distance(name, other), rel=1e-4)


@pytest.mark.parametrize("odd", ["base", "a-child", "middle", "z-child"])
def test_a_resized_vocabulary_is_left_out_of_that_model_only(
    population: Population, odd: str
) -> None:
    population.root("base")
    for name in ("a-child", "middle", "z-child", "other"):
        population.child(name, "base")
    word = "embeddings.word_embeddings.weight"
    longer = dict(population.tensors[odd])
    longer[word] = torch.cat([longer[word], torch.randn(5, 48) * 0.1])
    population.write(odd, longer)

    answer = ask(ChartAnswer, "chart", population.folder)

    assert edges_of(answer) == population.edges
    assert len(answer.tree.families) == 1
    for one, other in pairs(list(population.tensors)):
        if odd not in (one, other):
            assert near(one)[other] == pytest.approx(population.distance(one, other), rel=1e-4)


@pytest.mark.parametrize("odd", ["base", "a-child", "z-child"])
def test_a_model_without_a_pooler_belongs_to_the_family(population: Population, odd: str) -> None:
    population.root("base")
    for name in ("a-child", "middle", "z-child"):
        population.child(name, "base")
    without = dict(population.tensors[odd])
    del without["pooler.dense.weight"]
    population.write(odd, without)

    answer = ask(ChartAnswer, "chart", population.folder)

    assert edges_of(answer) == population.edges
    assert len(answer.tree.families) == 1
    assert near("middle")[odd] > 0


def test_heads_of_different_sizes_do_not_matter(population: Population) -> None:
    star(population, "base", 4)
    for number, name in enumerate(list(population.tensors)):
        with_head = {**population.tensors[name], "classifier.weight": torch.randn(2 + number, 48)}
        population.write(name, with_head)

    answer = ask(ChartAnswer, "chart", population.folder)

    assert edges_of(answer) == population.edges
    without = [dict(population.tensors[name]) for name in ("base-0", "base-1")]
    for tensors in without:
        del tensors["classifier.weight"]
    population.tensors["x"], population.tensors["y"] = without
    assert near("base-0")["base-1"] == pytest.approx(population.distance("x", "y"), rel=1e-4)


def test_wrapped_names_are_the_same_tensors(population: Population) -> None:
    star(population, "base", 4)
    for name, prefix in zip(
        list(population.tensors),
        ("bert.", "module.bert.", "", "model.", "base_model."),
        strict=True,
    ):
        population.write(name, population.tensors[name], prefix=prefix)

    answer = ask(ChartAnswer, "chart", population.folder)

    assert edges_of(answer) == population.edges
    assert len(answer.tree.families) == 1


def test_mixed_dtypes_are_compared_by_value(population: Population) -> None:
    star(population, "base", 3)
    population.write("cast", population.tensors["base-0"], dtype=torch.bfloat16)
    population.write("wide", population.tensors["base-1"], dtype=torch.float64)
    population.write("half", population.tensors["base-2"], dtype=torch.float16)

    answer = ask(ChartAnswer, "chart", population.folder)

    found = {it.child: (it.parent, it.kind) for it in answer.tree.edges}
    assert found["cast"] == ("base-0", "cast")
    assert found["half"] == ("base-2", "cast")
    assert {"wide", "base-1"} & set(found)
    rounded = {key: value.bfloat16() for key, value in population.tensors["base-0"].items()}
    population.tensors["cast"] = rounded
    assert near("cast")["base"] == pytest.approx(population.distance("cast", "base"), rel=1e-4)
    dtypes = {it.name: it.dtype for it in ask(ListAnswer, "list").models}
    assert (dtypes["cast"], dtypes["wide"], dtypes["half"]) == ("BF16", "F64", "F16")


def test_tied_tensors_are_read_once(population: Population) -> None:
    population.root("base")
    for name in ("a", "b", "c"):
        population.child(name, "base")
    for name, tensors in population.tensors.items():
        word = tensors["embeddings.word_embeddings.weight"]
        stored = {key: value.clone() for key, value in tensors.items()}
        stored["embeddings.word_embeddings.weight"] = word
        stored["lm_head.decoder.weight"] = word
        folder = population.folder / name
        for file in folder.iterdir():
            file.unlink()
        torch.save(stored, folder / "pytorch_model.bin")

    answer = ask(ChartAnswer, "chart", population.folder)

    assert edges_of(answer) == population.edges
    assert answer.bytes_read == answer.bytes_on_disk


def test_a_model_alone(population: Population) -> None:
    population.root("only")

    answer = ask(ChartAnswer, "chart", population.folder)

    assert answer.tree.roots == ["only"] and answer.tree.edges == []
    assert set(answer.map.points) == {"only"}
    shown = ask(ShowAnswer, "show", "only")
    assert shown.neighbours == [] and shown.parent is None
    assert run("near", "only").code == run("chart", population.folder).code == 0


def test_two_models(population: Population) -> None:
    population.root("first")
    population.child("second", "first")

    answer = ask(ChartAnswer, "chart", population.folder)

    assert len(answer.tree.edges) + len(answer.tree.undecided) == 1
    assert near("first") == {
        "second": pytest.approx(population.distance("first", "second"), rel=1e-4)
    }
    assert set(ask(MapAnswer, "map").points) == {"first", "second"}


@pytest.mark.parametrize("count", [2, 3, 5])
def test_exact_copies(population: Population, count: int) -> None:
    tensors = random_model(1)
    for number in range(count):
        population.write(f"copy-{number}", tensors)

    answer = ask(ChartAnswer, "chart", population.folder)

    assert {it.kind for it in answer.tree.edges} == {"copy"}
    assert len(answer.tree.edges) == count - 1
    assert len(answer.tree.roots) == 1
    assert near("copy-0") == {f"copy-{number}": 0.0 for number in range(1, count)}


def scalars(tensors: Tensors) -> Tensors:
    return {**tensors, "temperature": torch.tensor(0.5), "encoder.scale": torch.tensor([2.0])}


def nothing_learned(tensors: Tensors) -> Tensors:
    return {"steps": torch.tensor(3), "position_ids": torch.arange(9)}


def vectors(tensors: Tensors) -> Tensors:
    return {key: value for key, value in tensors.items() if value.ndim == 1}


def empty_tensor(tensors: Tensors) -> Tensors:
    return {**tensors, "encoder.unused": torch.zeros(0, 4)}


def only_head(tensors: Tensors) -> Tensors:
    return {"classifier.weight": tensors["pooler.dense.weight"]}


def constants(tensors: Tensors) -> Tensors:
    return {key: torch.ones_like(value) for key, value in tensors.items()}


def all_nan(tensors: Tensors) -> Tensors:
    return {key: torch.full_like(value, float("nan")) for key, value in tensors.items()}


def huge(tensors: Tensors) -> Tensors:
    return {key: value * 1e30 for key, value in tensors.items()}


def tiny(tensors: Tensors) -> Tensors:
    return {key: value * 1e-30 for key, value in tensors.items()}


ODD = [scalars, nothing_learned, vectors, empty_tensor, only_head, constants, all_nan, huge, tiny]


@pytest.mark.parametrize("change", ODD, ids=lambda it: it.__name__)
def test_models_of_odd_tensors_are_charted_and_spoil_nothing(
    population: Population, change: Callable[[Tensors], Tensors]
) -> None:
    star(population, "base", 3)
    truth = set(population.edges)
    root = random_model(9)
    for number in range(3):
        population.write(f"odd-{number}", change(moved(root, number, 0.05)))

    answer = ask(ChartAnswer, "chart", population.folder)

    assert {it for it in edges_of(answer) if "base" in it[0]} >= truth
    assert sorted(answer.given) == sorted(population.tensors)
    assert set(answer.map.points) == set(population.tensors)
    for name in population.tensors:
        assert run("show", name).code == 0
        assert run("near", name).code == 0
    assert ask(ChartAnswer, "chart", population.folder).tree == answer.tree


@pytest.mark.parametrize("change", ODD, ids=lambda it: it.__name__)
def test_a_folder_of_odd_models_alone(
    population: Population, change: Callable[[Tensors], Tensors]
) -> None:
    root = random_model(9)
    for number in range(3):
        population.write(f"odd-{number}", change(moved(root, number, 0.05)))

    answer = ask(ChartAnswer, "chart", population.folder)
    assert sorted(answer.given) == sorted(population.tensors)
    assert Path(answer.page).exists()
