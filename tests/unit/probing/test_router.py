import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from weightscape.errors import BadInput, MismatchedModels
from weightscape.io.opening import open_checkpoint
from weightscape.probing.layers import Dense, Product
from weightscape.probing.mixture import mixture_of
from weightscape.probing.router import Router, centre_of, router_of
from weightscape.probing.stacks import DenseStack
from weightscape.probing.training import train_expert


def tree_of(seed, models=20, spread=0.1, shape=(16, 16)):
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(shape, generator=generator)
    return base, base + spread * torch.randn(models, *shape, generator=generator)


@pytest.fixture(scope="module")
def router():
    return Router(tuple(centre_of(f"tree {n}", "w", DenseStack(tree_of(n)[1])) for n in range(3)))


@settings(deadline=None, max_examples=20)
@given(tree=st.integers(0, 2), draw=st.integers(0, 10**6), spread=st.floats(0.0, 0.14))
def test_new_models_go_to_their_tree(router, tree, draw, spread):
    base, _ = tree_of(tree)
    away = torch.randn(16, 16, generator=torch.Generator().manual_seed(draw))
    assert router.route(Dense(base + spread * away)).tree == f"tree {tree}"


@settings(deadline=None, max_examples=20)
@given(draw=st.integers(100, 10**6), size=st.floats(0.5, 4.0))
def test_strangers_are_unknown_rather_than_guessed(router, draw, size):
    stranger = router.route(Dense(size * tree_of(draw)[0]))
    assert stranger.tree is None
    assert "nearest tree" in stranger.why
    assert min(stranger.distances.values()) > 1


def test_a_model_without_the_layer_or_in_another_shape_is_unknown(router):
    assert router.route({"other": Dense(torch.zeros(16, 16))}).tree is None
    assert "no layer" in router.route(Dense(torch.zeros(16, 17))).why
    assert router.route(Product(torch.zeros(16, 2), torch.zeros(2, 16), 1.0)).tree is None


def test_a_tree_of_one_model_takes_its_close_relatives_alone():
    base, _ = tree_of(0)
    lone = Router((centre_of("lone", "w", DenseStack(base[None])),))
    near = base + 0.3 * tree_of(50)[0]
    assert lone.route(Dense(near)).tree == "lone"
    assert lone.route(Dense(base)).distances == {"lone": 0.0}
    assert lone.route(Dense(tree_of(51)[0])).tree is None


def test_models_of_no_common_start_form_no_tree():
    apart = torch.stack([tree_of(n)[0] for n in range(60, 90)])
    mixed = Router((centre_of("mixed", "w", DenseStack(apart)),))
    assert mixed.route(Dense(tree_of(99)[0])).tree is None


def test_equal_distances_go_by_name():
    base, models = tree_of(0)
    twins = [centre_of(name, "w", DenseStack(models)) for name in ("b", "a")]
    assert Router(tuple(twins)).route(Dense(base)).tree == "a"


def test_identical_models_know_only_themselves():
    base, _ = tree_of(0)
    same = Router((centre_of("same", "w", DenseStack(base.repeat(3, 1, 1))),))
    assert same.route(Dense(base)).tree == "same"
    away = same.route(Dense(base + 1))
    assert away.tree is None
    assert away.distances["same"] == math.inf


@pytest.fixture(scope="module")
def experts(planted, plant, small):
    other = plant(seed=7)
    return [
        train_expert(planted.set, planted.labels, tree="oak", how=small),
        train_expert(other.set, other.labels, tree="elm", how=small),
    ]


def save(folder, matrix):
    folder.mkdir()
    save_file({"bert.layer.weight": matrix}, folder / "model.safetensors")
    return open_checkpoint(folder)


def test_a_mixture_reads_models_by_the_expert_of_their_tree(experts, planted, plant, tmp_path):
    mixture = mixture_of(experts)
    oak = mixture.place(save(tmp_path / "oak", planted.set.stack.matrices[3].clone()))
    assert oak.known
    assert oak.expert is experts[0]
    (alone,) = experts[0].embed(planted.set.stack.take(torch.tensor([3])))
    torch.testing.assert_close(torch.tensor(oak.vector), torch.tensor(alone), atol=1e-4, rtol=1e-4)
    elm = mixture.place(save(tmp_path / "elm", plant(seed=7).set.stack.matrices[0].clone()))
    assert elm.route.tree == "elm"
    stranger = mixture.place(save(tmp_path / "ash", plant(seed=9).base))
    assert not stranger.known
    assert stranger.oddness() is None
    assert stranger.route.why


def test_a_layer_of_a_shape_that_no_expert_has_is_not_read(experts, tmp_path, monkeypatch):
    wide = save(tmp_path / "wide", torch.zeros(400, 500))
    monkeypatch.setattr(type(wide), "tensor", lambda self, name: pytest.fail(f"{name} was read"))
    placed = mixture_of(experts).place(wide)
    assert placed.route.why == "it has no layer that any expert reads"


def test_a_model_of_a_named_tree_is_not_routed(experts, planted, tmp_path):
    mixture = mixture_of(experts)
    checkpoint = save(tmp_path / "oak", planted.base)
    assert mixture.place(checkpoint, tree="elm").expert is experts[1]
    assert "no expert of its tree, 'ash'" in mixture.place(checkpoint, tree="ash").route.why
    with pytest.raises(MismatchedModels, match="no layer"):
        empty = tmp_path / "empty"
        empty.mkdir()
        save_file({"x.weight": torch.zeros(16, 16)}, empty / "model.safetensors")
        mixture.place(open_checkpoint(empty), tree="elm")


def test_a_tree_has_one_expert(experts):
    with pytest.raises(BadInput, match="several experts"):
        router_of([experts[0], experts[0]])
