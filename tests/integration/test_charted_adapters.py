"""LoRA adapters: children of a base that is there, sisters where it is not."""

from pathlib import Path

import pytest
import torch
from harness import ask, run
from populations import Population, Tensors, moved, random_model
from safetensors.torch import load_file, save_file

from weightscape.answers import ChartAnswer, ListAnswer, MapAnswer, NearAnswer, ShowAnswer

RANKS = {"lora-a": 2, "lora-b": 4, "lora-c": 8}


def write_adapters(population: Population, base: str, declared: str | None = None) -> None:
    """Write adapters of several ranks and keep what base + product makes of each."""
    for seed, (name, rank) in enumerate(RANKS.items()):
        deltas = population.adapter(name, base, rank=rank, seed=seed, declared=declared)
        population.tensors[name] = {
            key: value + deltas[key] if key in deltas else value
            for key, value in population.tensors[base].items()
        }


def near(name: str) -> dict[str, float]:
    return {it.model: it.distance for it in ask(NearAnswer, "near", name, "-n", 99).neighbours}


def children_by_lora(answer: ChartAnswer) -> dict[str, str]:
    return {it.child: it.parent for it in answer.tree.edges if it.kind == "lora"}


@pytest.mark.parametrize("declared", ["base", "organisation/base", "/gone/{folder}/base/"])
def test_an_adapter_is_a_child_of_its_base(family: Population, declared: str) -> None:
    declared = declared.format(folder=family.folder.name)
    write_adapters(family, "base", declared)

    answer = ask(ChartAnswer, "chart", family.folder)

    assert children_by_lora(answer) == dict.fromkeys(RANKS, "base")
    assert {(it.parent, it.child) for it in answer.tree.edges} >= family.edges
    for name in RANKS:
        for other, distance in near(name).items():
            assert distance == pytest.approx(family.distance(name, other), rel=1e-4)
    shown = ask(ShowAnswer, "show", "lora-b")
    assert (shown.kind, shown.parent, shown.edge) == ("adapter", "base", "lora")
    assert shown.declared == [declared]


def test_an_adapter_of_a_fine_tune_hangs_on_that(family: Population) -> None:
    write_adapters(family, "task0-1")

    answer = ask(ChartAnswer, "chart", family.folder)

    assert children_by_lora(answer) == dict.fromkeys(RANKS, "task0-1")
    for name in RANKS:
        assert near(name)["base"] == pytest.approx(family.distance(name, "base"), rel=1e-4)


def adapters_alone(population: Population) -> Tensors:
    base = random_model(1)
    population.tensors["base"] = base
    write_adapters(population, "base", "organisation/base")
    del population.tensors["base"]
    return base


def test_without_their_base_adapters_are_sisters(population: Population) -> None:
    adapters_alone(population)

    answer = ask(ChartAnswer, "chart", population.folder)

    assert answer.tree.edges == []
    (undecided,) = answer.tree.undecided
    assert sorted(undecided.models) == sorted(RANKS)
    assert "organisation/base" in undecided.reason and "--base" in undecided.reason
    assert set(ask(MapAnswer, "map").points) == set(RANKS)
    for other, distance in near("lora-a").items():
        assert distance == pytest.approx(population.distance("lora-a", other), rel=1e-4)


def test_a_base_outside_the_folder(population: Population, tmp_path: Path) -> None:
    base = adapters_alone(population)
    other = Population(tmp_path / "elsewhere")
    other.write("some-name", base)

    answer = ask(ChartAnswer, "chart", population.folder, "--base", other.folder / "some-name")

    assert children_by_lora(answer) == dict.fromkeys(RANKS, "some-name")
    assert sorted(answer.given) == sorted(RANKS)
    again = ask(ChartAnswer, "chart", population.folder)
    assert children_by_lora(again) == dict.fromkeys(RANKS, "some-name")
    assert again.bytes_read == 0


def test_a_base_that_comes_later_takes_its_adapters(population: Population) -> None:
    base = adapters_alone(population)
    ask(ChartAnswer, "chart", population.folder)
    population.write("base", base)

    answer = ask(ChartAnswer, "chart", population.folder)

    assert answer.new == ["base"]
    assert children_by_lora(answer) == dict.fromkeys(RANKS, "base")
    assert answer.tree.undecided == []
    assert answer.tree.roots == ["base"]
    assert len(answer.tree.families) == 1
    assert sorted(answer.map.points) == sorted({"base", *RANKS})
    assert len([it for region in answer.map.regions for it in region.members]) <= 4
    for name in RANKS:
        assert near(name)["base"] == pytest.approx(population.distance(name, "base"), rel=1e-4)
    page = Path(answer.page).read_text()
    assert "which is not here" not in page


def test_an_adapter_that_comes_later_finds_its_base(population: Population) -> None:
    population.root("base")
    population.child("tuned", "base")
    ask(ChartAnswer, "chart", population.folder)
    write_adapters(population, "base")

    answer = ask(ChartAnswer, "chart", population.folder)

    assert sorted(answer.new) == sorted(RANKS)
    assert children_by_lora(answer) == dict.fromkeys(RANKS, "base")


def test_the_base_of_an_adapter_may_go(population: Population) -> None:
    population.root("base")
    write_adapters(population, "base")
    ask(ChartAnswer, "chart", population.folder)
    (population.folder / "base").rename(population.folder.parent / "away")
    deltas = population.adapter("late", "base", rank=3, seed=50)
    population.tensors["late"] = {
        key: value + deltas.get(key, 0) for key, value in population.tensors["base"].items()
    }

    outcome = run("chart", population.folder)
    assert outcome.code == 0
    (population.folder.parent / "away").rename(population.folder / "base")
    answer = ask(ChartAnswer, "chart", population.folder)

    assert children_by_lora(answer) == dict.fromkeys([*RANKS, "late"], "base")
    assert {it.status for it in ask(ListAnswer, "list").models} == {"ready"}
    assert near("late")["lora-a"] == pytest.approx(population.distance("late", "lora-a"), rel=1e-4)


def test_adapters_of_two_absent_bases_are_told_apart(population: Population) -> None:
    for number, base in enumerate(("one", "other")):
        population.tensors[base] = random_model(number)
        for seed in range(2):
            population.adapter(f"{base}-{seed}", base, seed=seed, declared=f"hub/{base}")
        del population.tensors[base]

    answer = ask(ChartAnswer, "chart", population.folder)

    reasons = {tuple(sorted(it.models)): it.reason for it in answer.tree.undecided}
    assert "hub/one" in reasons["one-0", "one-1"]
    assert "hub/other" in reasons["other-0", "other-1"]


def test_an_adapter_that_does_not_fit_the_base_it_names_is_not_put_there(
    population: Population,
) -> None:
    population.root("base")
    population.tensors["wider"] = random_model(5, width=64)
    population.adapter("misfit", "wider", declared="base")
    del population.tensors["wider"]

    answer = ask(ChartAnswer, "chart", population.folder)

    assert answer.tree.edges == []
    assert [it.models for it in answer.tree.undecided] == [["misfit"]]


def test_a_single_adapter(population: Population) -> None:
    population.tensors["base"] = random_model(1)
    population.adapter("only", "base")
    del population.tensors["base"]

    answer = ask(ChartAnswer, "chart", population.folder)
    assert [it.models for it in answer.tree.undecided] == [["only"]]
    assert run("show", "only").code == run("near", "only").code == 0


def test_a_cast_base_carries_its_adapters(population: Population) -> None:
    base = random_model(1)
    population.write("base", base, dtype=torch.bfloat16)
    population.write("tuned", moved(base, 4, 0.05), dtype=torch.bfloat16)
    population.tensors["base"] = {key: value.bfloat16().float() for key, value in base.items()}
    write_adapters(population, "base")

    answer = ask(ChartAnswer, "chart", population.folder)

    assert children_by_lora(answer) == dict.fromkeys(RANKS, "base")
    for name in RANKS:
        assert near(name)["base"] == pytest.approx(population.distance(name, "base"), rel=1e-4)


def applied(population: Population, base: str, deltas: Tensors) -> Tensors:
    return {key: value + deltas.get(key, 0) for key, value in population.tensors[base].items()}


def test_an_adapter_given_its_base_stays_on_it(population: Population, tmp_path: Path) -> None:
    other = Population(tmp_path / "elsewhere")
    other.root("base")
    population.tensors["base"] = other.tensors["base"]
    # the tree's centre is not the base that was given
    population.child("centre", "base", size=0.5)
    for number in range(4):
        population.child(f"near-{number}", "centre", size=0.05)
    deltas = population.adapter("given", "base", declared="")
    population.tensors["given"] = applied(population, "base", deltas)

    ask(ChartAnswer, "chart", population.folder, "--base", other.folder / "base")

    distance = population.distance("given", "base")
    assert near("given")["base"] == pytest.approx(distance, rel=1e-4)
    # the adapter's own file is touched, and a tree whose reference went is planted anew
    (population.folder / "given" / "adapter_config.json").touch()
    (population.folder / "centre").rename(tmp_path / "away")
    population.child("newcomer", "base")
    ask(ChartAnswer, "chart", population.folder)
    assert near("given")["base"] == pytest.approx(distance, rel=1e-4)
    for name in ("newcomer", "near-0"):
        right = pytest.approx(population.distance("given", name), rel=1e-4)
        assert near("given")[name] == right


def test_adapters_of_a_base_that_was_overwritten_go_to_the_new_one(
    population: Population,
) -> None:
    population.root("base")
    population.child("tuned", "base")
    before = population.adapter("early", "base", seed=1)
    ask(ChartAnswer, "chart", population.folder)
    population.write("base", moved(population.tensors["base"], 77, 0.2))
    after = population.adapter("late", "base", seed=2)

    answer = ask(ChartAnswer, "chart", population.folder)

    assert children_by_lora(answer) == {"early": "base~2", "late": "base~2"}
    population.tensors["base~2"] = population.tensors.pop("base")
    population.tensors["early"] = applied(population, "base~2", before)
    population.tensors["late"] = applied(population, "base~2", after)
    for name in ("early", "late"):
        for other in {"base~2", "tuned", "early", "late"} - {name}:
            right = pytest.approx(population.distance(name, other), rel=1e-4)
            assert near(name)[other] == right, (name, other)


def test_an_adapter_waits_while_its_base_is_away(population: Population) -> None:
    population.root("base")
    population.child("tuned", "base")
    deltas = population.adapter("early", "base", seed=1)
    population.tensors["early"] = applied(population, "base", deltas)
    ask(ChartAnswer, "chart", population.folder)
    away = population.folder.parent / "away"
    (population.folder / "base").rename(away)
    population.child("newcomer", "base")

    answer = ask(ChartAnswer, "chart", population.folder)

    assert any("early" in it.models for it in answer.tree.undecided)
    away.rename(population.folder / "base")
    answer = ask(ChartAnswer, "chart", population.folder)
    assert children_by_lora(answer) == {"early": "base"}
    for other in ("base", "tuned", "newcomer"):
        right = pytest.approx(population.distance("early", other), rel=1e-4)
        assert near("early")[other] == right


def test_what_an_adapter_holds_in_full_counts(population: Population) -> None:
    population.root("base")
    population.child("tuned", "base")
    deltas = population.adapter("saving", "base")
    file = population.folder / "saving" / "adapter_model.safetensors"
    stored = load_file(file)
    replaced = moved(population.tensors["base"], 9, 0.3)
    words, bias = "embeddings.word_embeddings.weight", "encoder.layer.1.attention.query.bias"
    stored[f"base_model.model.bert.{words}"] = replaced[words]
    stored[f"base_model.model.bert.{bias}"] = replaced[bias].bfloat16()
    # a head is no part of the backbone, whatever its shape
    stored["base_model.model.classifier.weight"] = torch.ones(2, 48)
    save_file(stored, file)
    population.tensors["saving"] = applied(population, "base", deltas) | {
        words: replaced[words],
        bias: replaced[bias].bfloat16().float(),
    }

    answer = ask(ChartAnswer, "chart", population.folder)

    assert ("base", "saving") in {(it.parent, it.child) for it in answer.tree.edges}
    for other in ("base", "tuned"):
        right = pytest.approx(population.distance("saving", other), rel=1e-4)
        assert near("saving")[other] == right
