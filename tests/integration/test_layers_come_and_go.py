"""Models known by one layer: what becomes of them when whole ones come, and when files go."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import populations
import pytest
import torch
from harness import ask, run
from populations import Population
from range_server import RangeServer, serving

from probe_models import Population as Probed
from weightscape.answers import AddAnswer, ChartAnswer, ListAnswer
from weightscape.answers_probes import DescribeAnswer, SearchAnswer
from weightscape.atlas import Atlas, bringing, passing, placing, registering
from weightscape.atlas.reading import Shelf
from weightscape.geometry.telling_layer import telling_layer
from weightscape.io import trying
from weightscape.io.trying import Unreachable

TELLING = "encoder.layer.2"


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIGHTSCAPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(trying, "pause", lambda _: None)


@pytest.fixture
def server(family: Population) -> Iterator[RangeServer]:
    with serving(family.folder) as served:
        yield served


def edges(answer: ChartAnswer) -> set[tuple[str, str]]:
    return {(it.parent, it.child) for it in answer.tree.edges}


def edge_to(answer: ChartAnswer, child: str) -> tuple[str, str, float]:
    (found,) = [it for it in answer.tree.edges if it.child == child]
    return found.parent, found.kind, found.confidence


def statuses() -> dict[str, str]:
    return {it.name: it.status for it in ask(ListAnswer, "list").models}


@pytest.mark.parametrize("how", ["removed", "gone"])
def test_whole_models_come_where_a_layer_of_one_was(server, family, how):
    names = list(family.tensors)
    ask(AddAnswer, "add", f"{server.url}/{names[0]}/", f"{server.url}/{names[1]}/")
    if how == "removed":
        assert run("remove", names[0]).code == 0
    else:
        shutil.rmtree("cache")
    answer = ask(ChartAnswer, "chart", *(family.folder / name for name in names[1:]))
    charted = {it for pair in edges(answer) for it in pair}
    assert {"task1-1", "task0-1-more"} <= charted | set(answer.tree.undecided[0].models)


def test_models_of_many_layers_are_one_tree(tmp_path, monkeypatch):
    monkeypatch.setattr(populations, "LAYERS", 20)
    deep = Population(tmp_path / "deep")
    deep.root("root")
    for number in range(4):
        deep.child(f"c{number}", "root")
    with serving(deep.folder) as server:
        answer = ask(ChartAnswer, "chart", *(f"{server.url}/{it}/" for it in deep.tensors))
    assert edges(answer) == deep.edges


def test_a_tree_whose_reference_goes_stays_one_of_whole_models(server, family, tmp_path):
    names = list(family.tensors)
    local = shutil.copytree(family.folder, tmp_path / "local")
    for name in names[6:]:
        shutil.rmtree(local / name)
    ask(AddAnswer, "add", local, f"{server.url}/{names[6]}/")
    with Atlas("atlas") as atlas:
        reference = atlas.products()[0].products.reference
        left = [name for name in names[:6] if name != reference]
        before = {it.model: it.distance for it in atlas.near(left[0], count=99)}
    shutil.rmtree(local / reference)
    ask(AddAnswer, "add", f"{server.url}/{names[7]}/")
    with Atlas("atlas") as atlas:
        (tree,) = atlas.products()
        after = {it.model: it.distance for it in atlas.near(left[0], count=99)}
        assert tree.products.reference in left
        columns = [tree.products.models.index(it) for it in left]
        assert np.isfinite(tree.products.gram[:, columns][:, :, columns]).all()
    for name in left[1:]:
        assert after[name] == pytest.approx(before[name], rel=1e-3)


def test_experts_follow_their_models(tmp_path):
    probed = Probed(tmp_path / "models")
    probed.make("first", 32)
    with serving(probed.folder) as server:
        given = [f"{server.url}/{it}/" for it in sorted(probed.labels)]
        ask(AddAnswer, "add", *given)
        labels = probed.write_labels(tmp_path / "labels.csv")
        texts = probed.write_texts(tmp_path / "texts.safetensors")
        trained = ("--labels", labels, "--encoder", f"vectors:{texts}", "--steps", 12)
        assert run("train-probes", *trained).code == 0
        with Atlas("atlas") as atlas:
            reference = atlas.products()[0].products.reference
        others = [it for it in given if f"/{reference}/" not in it][:1]
        # whole, the tree stands on another: one that is here, and then the one it stood on
        ask(AddAnswer, "add", "--download", *others)
        ask(AddAnswer, "add", "--download", f"{server.url}/{reference}/")
    assert ask(SearchAnswer, "search", "cloud", "--weights-only").hits
    assert ask(DescribeAnswer, "describe", reference).known


@pytest.mark.parametrize("lone", [False, True])
def test_a_whole_model_from_the_same_place_is_the_same_one(server, family, lone):
    names = list(family.tensors)[:3]
    given = [f"{server.url}/{name}/" for name in names]
    if lone:
        for name in names:
            shutil.copy(family.folder / name / "model.safetensors", f"models/{name}.safetensors")
        given = [f"{server.url}/{name}.safetensors" for name in names]
    ask(AddAnswer, "add", *given)
    answer = ask(AddAnswer, "add", "--download", given[0])
    assert answer.given == [names[0]] and not answer.new and not answer.by_layers
    assert statuses() == dict.fromkeys(names, "ready")


def test_other_content_at_an_address_is_another_model(server, family):
    first, second = list(family.tensors)[:2]
    ask(AddAnswer, "add", f"{server.url}/{first}/")
    shutil.copy(family.folder / second / "model.safetensors", family.folder / first)
    answer = ask(AddAnswer, "add", f"{server.url}/{first}/")
    assert answer.new == [f"{first}~2"]
    assert statuses() == {first: "gone", f"{first}~2": "ready"}


def test_what_one_atlas_fetches_takes_nothing_from_another(server, family):
    given = [f"{server.url}/{name}/" for name in family.tensors]
    for atlas in ("one", "other"):
        ask(AddAnswer, "add", *given, "--atlas", atlas)
    ask(AddAnswer, "add", "--download", *given[:2], "--atlas", "one")
    answer = ask(ChartAnswer, "chart", family.folder / "task1-3", "--atlas", "other")
    listed = ask(ListAnswer, "list", "--atlas", "other").models
    assert {it.status for it in listed} == {"ready"}
    assert family.edges - {("base", "task1-3")} <= edges(answer)
    # and what came later of a model is no part of what this atlas has compared
    with Atlas("other") as atlas:
        (tree,) = atlas.products()
        known = np.isfinite(tree.products.gram)
    place = tree.products.models.index("base")
    assert (known[:, place, :].any(axis=1) == known[:, place, place]).all()


@pytest.fixture
def tuned(tmp_path: Path) -> Iterator[tuple[Population, str]]:
    """Serve four children of a base, and models that have its telling block alike or nearly."""
    made = Population(tmp_path / "made")
    base = made.root("base")
    for number in range(4):
        made.child(f"c{number}", "base")
    other = populations.moved(base, 999, 0.05)
    other |= {name: it for name, it in base.items() if name.startswith(TELLING)}
    made.write("rounded", other, dtype=torch.bfloat16)
    half = {name: (made.tensors["c0"][name] + made.tensors["c1"][name]) / 2 for name in base}
    made.write("mixed", other | {k: it for k, it in half.items() if k.startswith(TELLING)})
    zeros = torch.Generator().manual_seed(3)
    kept = {
        name: it * (torch.rand(it.shape, generator=zeros) > 0.5) if it.dim() == 2 else it
        for name, it in base.items()
    }
    made.write("pruned", kept)
    with serving(made.folder) as server:
        yield made, server.url


def test_one_layer_claims_no_more_than_it_tells(tuned):
    made, url = tuned
    here = [made.folder / it for it in ("base", "c0", "c1", "c2", "c3")]
    answer = ask(ChartAnswer, "chart", *here, *(f"{url}/{it}/" for it in ("rounded", "mixed")))
    assert edge_to(answer, "rounded") == ("base", "unknown", 0.8)
    mixed = [it for it in answer.tree.edges if it.child == "mixed"]
    assert {it.kind for it in mixed} == {"merge"} and max(it.confidence for it in mixed) <= 0.8
    assert all("judged by 3 of 26" in it.evidence[-1] for it in mixed)


def test_a_pruned_model_hangs_below_what_it_was_pruned_from(tuned):
    _, url = tuned
    given = [f"{url}/{it}/" for it in ("base", "c0", "c1", "c2", "c3", "pruned")]
    answer = ask(ChartAnswer, "chart", *given)
    assert answer.tree.roots == ["base"]
    assert edge_to(answer, "pruned")[:2] == ("base", "unknown")


def test_two_models_are_not_told_apart_by_one_layer(server, family):
    answer = ask(ChartAnswer, "chart", *(f"{server.url}/{it}/" for it in ("base", "task0-1")))
    assert not answer.tree.edges and len(answer.tree.undecided) == 1


def test_distances_beside_one_whole_model_are_of_whole_models(server, family):
    names = list(family.tensors)
    ask(AddAnswer, "add", family.folder / "base", *(f"{server.url}/{it}/" for it in names[1:]))
    with Atlas("atlas") as atlas:
        told = {it.model: it.distance for it in atlas.near("base", count=99)}
    for name in names[1:]:
        assert told[name] == pytest.approx(family.distance("base", name), rel=0.1)


def test_models_are_found_by_their_addresses(server, family):
    names = list(family.tensors)
    for given in (f"{server.url}/{names[1]}/", f"{server.url}/{names[1]}?key=1"):
        ask(AddAnswer, "add", given, family.folder / names[2])
        assert names[1] in run("show", given).out.splitlines()[0]
        assert names[2] in run("near", given).out
    assert names[2] in run("show", family.folder / names[2]).out


def test_a_server_that_is_away_takes_nothing_that_is_here(server, family, monkeypatch):
    names = list(family.tensors)
    given = [f"{server.url}/{it}/" for it in names]
    ask(AddAnswer, "add", *given[:3])
    asked = []

    def away(folder, layers):
        asked.append(folder)
        raise Unreachable(f"{folder.shown}: cannot be read: the server cannot be reached")

    monkeypatch.setattr(bringing, "_fetched", away)
    monkeypatch.setattr(bringing, "AT_ONCE", 1)
    answer = ask(AddAnswer, "add", *given, code=3)
    assert sorted(answer.given) == sorted(names[:3])
    assert len(asked) == 1  # each would have waited as long
    assert all("cannot be reached" in it.reason for it in answer.skipped)
    assert "cannot be reached" in run("add", given[4]).error()


def test_one_model_that_is_not_there_takes_no_other_along(server, family, monkeypatch):
    monkeypatch.setattr(bringing, "AT_ONCE", 1)
    names = list(family.tensors)[:2]
    given = [f"{server.url}/{it}/" for it in ("on/web/nothing", *names)]
    assert sorted(ask(AddAnswer, "add", *given, code=3).given) == sorted(names)
    shutil.rmtree(family.folder / names[0])
    answer = ask(AddAnswer, "add", *given, code=3)
    assert answer.given == [names[1]] and len(answer.skipped) == 2


def test_layers_that_a_reference_lacked_are_compared_when_it_has_them(server, family, monkeypatch):
    names = list(family.tensors)
    given = {it: f"{server.url}/{it}/" for it in names}
    ask(AddAnswer, "add", *given.values())
    with Atlas("atlas") as atlas:
        reference = atlas.products()[0].products.reference
    other = "encoder.layer.1.attention.value.weight"
    monkeypatch.setattr(bringing, "telling_layer", lambda it: (*telling_layer(it), other))
    ask(AddAnswer, "add", *(url for name, url in given.items() if name != reference))
    ask(AddAnswer, "add", given[reference])
    with Atlas("atlas") as atlas:
        told = {it.model: it.distance for it in atlas.near(reference, count=99)}
    layers = [name for name in family.tensors[reference] if "layer.2.attention.value" in name]
    layers += [other, "encoder.layer.2.LayerNorm.weight", "encoder.layer.2.attention.query.bias"]
    for name in set(names) - {reference}:
        pair = (family.tensors[reference], family.tensors[name])
        real = populations.distance(*({it: some[it] for it in layers} for some in pair))
        assert told[name] == pytest.approx(real, rel=1e-3)


def test_models_that_come_back_stand_on_one_another_again(server, family, tmp_path):
    names = list(family.tensors)
    local = shutil.copytree(family.folder, tmp_path / "disk")
    for name in names[5:]:
        shutil.rmtree(local / name)
    ask(AddAnswer, "add", local)
    local.rename(tmp_path / "unplugged")
    ask(AddAnswer, "add", *(f"{server.url}/{it}/" for it in names[5:]))
    (tmp_path / "unplugged").rename(local)
    assert edges(ask(ChartAnswer, "chart", local)) == family.edges
    with Atlas("atlas") as atlas:
        (tree,) = [it for it in atlas.products() if "base" in it.products.models]
        assert tree.products.reference in names[:5]


def test_experts_do_not_stay_with_the_gone(tmp_path):
    probed = Probed(tmp_path / "models")
    probed.make("first", 32)
    with serving(probed.folder) as server:
        names = sorted(probed.labels)
        ask(AddAnswer, "add", *(f"{server.url}/{it}/" for it in names))
        labels = probed.write_labels(tmp_path / "labels.csv")
        texts = probed.write_texts(tmp_path / "texts.safetensors")
        trained = ("--labels", labels, "--encoder", f"vectors:{texts}", "--steps", 12)
        assert run("train-probes", *trained).code == 0
    shutil.rmtree(next(Path("cache").rglob(names[3])))
    ask(AddAnswer, "add", probed.one("whole", "first", ["cloud"], into=tmp_path / "here"))
    assert statuses()[names[3]] == "gone"
    for name in ("whole", names[0]):
        assert ask(DescribeAnswer, "describe", name).known


def test_a_base_of_which_a_layer_is_here_has_no_copies(server, family):
    tensors = {
        name: it if name.startswith(TELLING) else it + 0.01
        for name, it in family.tensors["base"].items()
    }
    family.write("tuned", tensors)
    (family.folder / "tuned" / "README.md").write_text("---\nbase_model: base\n---\n")
    answer = ask(ChartAnswer, "chart", f"{server.url}/base/", family.folder / "tuned")
    assert {it.kind for it in answer.tree.edges} <= {"unknown"}
    assert not any("content hash" in it.evidence[0] for it in answer.tree.edges)


def test_who_was_given_another_tree_during_a_pass_is_not_called_ready(server, family, monkeypatch):
    names = list(family.tensors)
    keep, moved = passing._keep, []

    def slowly(store, *rest):
        """Keep a tensor's rows, and let another process place a whole model meanwhile."""
        keep(store, *rest)
        if not moved:
            shelf = Shelf()
            registering.register(store, [family.folder / names[5]], shelf)
            moved.append(placing.place(store, shelf))
            shelf.close()

    monkeypatch.setattr(passing, "_keep", slowly)
    ask(AddAnswer, "add", *(f"{server.url}/{it}/" for it in names[:5]))
    assert moved
    answer = ask(ChartAnswer, "chart", family.folder / names[5])
    assert set(statuses().values()) == {"ready"}
    charted = {name: it for name, it in family.tensors.items() if name in names[:6]}
    assert edges(answer) == {pair for pair in family.edges if set(pair) <= set(charted)}
    with Atlas("atlas") as atlas:
        assert all(np.isfinite(it.distance) for it in atlas.near(names[0], count=99))
        (tree,) = atlas.products()
        assert np.isfinite(tree.products.gram).any(axis=0).all()
