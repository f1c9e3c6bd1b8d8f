from dataclasses import replace

import numpy as np
import pytest
from halves_of_a_skill import largest, looking

from weightscape.blending.model_stock import stock_ratios
from weightscape.errors import BadInput, UnknownName
from weightscape.starts.candidates import CANDIDATES, at, propose
from weightscape.starts.folds import cut
from weightscape.starts.pool import content_of, open_pool
from weightscape.starts.scoring import ProbeScores

TASK = largest(rows=24)
MODELS = (looking("one", 0), looking("two", 1), looking("three", 2), looking("four", 0, 1))


def pool_of(*models, base="base", regions=None, loss=None):
    given = None if base is None else looking(base)
    regions = {} if regions is None else regions
    pool = open_pool(models or MODELS, TASK, base=given, regions=regions, device="cpu")
    loss = loss or (lambda weights: float(np.square(weights).sum()))
    return replace(pool, probe_loss=loss, probe_losses=lambda weights: np.full(4, loss(weights)))


def by_name(pool, *kinds):
    return {it.candidate.name: it for it in propose(pool, kinds)}


def test_the_base_and_the_centroid_are_always_there():
    found = by_name(pool_of(), "models")
    assert list(found) == ["base", "centroid", "one", "two", "three", "four"]
    assert found["centroid"].weights.tolist() == [0, 0.25, 0.25, 0.25, 0.25]
    assert found["centroid"].candidate.weights == dict.fromkeys(
        ("one", "two", "three", "four"), 0.25
    )
    assert "base" not in by_name(pool_of(base=None), "models")


def test_models_are_called_as_was_asked_in_every_sentence():
    names = {"two": "zoo/two", "base": "the root", "one": "two"}
    regions = {"region:two": ("two", "zoo/two")}
    pool = open_pool(MODELS, TASK, base=looking("base"), regions=regions, names=names, device="cpu")
    assert pool.names == ("the root", "two", "zoo/two", "three", "four")
    found = by_name(pool, "models", "regions")
    assert found["centroid of region:two"].candidate.weights == {"two": 0.5, "zoo/two": 0.5}
    assert found["the root"].candidate.kind == "base"


def test_every_region_has_a_centroid_of_its_models_without_the_base():
    regions = {"region:a": ("one", "two", "base"), "region:b": ("three",)}
    found = by_name(pool_of(regions=regions), "regions")
    assert found["centroid of region:a"].weights.tolist() == [0, 0.5, 0.5, 0, 0]
    assert "centroid of region:b" not in found  # it is the model itself
    with pytest.raises(UnknownName, match="no model named 'ten'"):
        pool_of(regions={"region:c": ("ten",)})


def test_the_nearest_are_those_with_the_least_probe_loss():
    wanted = np.array([0, 0, 0.5, 0, 0.5])
    found = by_name(pool_of(loss=lambda w: float(np.abs(w - wanted).sum())), "nearest")
    assert found["centroid of the 2 nearest"].weights.tolist() == wanted.tolist()


def test_one_point_is_one_candidate_that_says_what_else_it_is():
    regions = {"region:all": ("one", "two", "three", "four")}
    found = by_name(pool_of(regions=regions), "regions", "models")
    assert "centroid of region:all" not in found
    assert found["centroid"].candidate.why.endswith("; also the centroid of region:all")


def test_model_stock_weighs_each_tensor_by_its_own_angles():
    pool = pool_of(MODELS[0], MODELS[3])
    (stock,) = CANDIDATES["model stock"](pool)
    ratios = stock_ratios(pool.tree.gram[:, 1:, 1:])
    assert stock.weights[:, 0] == pytest.approx(1 - ratios)
    assert stock.weights.sum(axis=1) == pytest.approx(1)
    assert sum(stock.candidate.weights.values()) == pytest.approx(1)
    # <one, four> is 4 of lengths 2 and 2 sqrt 2
    cosine = 1 / np.sqrt(2)
    assert 2 * cosine / (1 + cosine) in [pytest.approx(ratio) for ratio in ratios]
    assert CANDIDATES["model stock"](pool_of(base=None)) == []


def test_others_register_theirs():
    def half_way(pool):
        weights = np.array([0.5, 0.5, 0, 0, 0])
        return [at(pool, "half way", "half way", "between base and one", weights)]

    CANDIDATES.add("half way", half_way)
    try:
        assert by_name(pool_of(), "half way")["half way"].candidate.weights["base"] == 0.5
    finally:
        del CANDIDATES._things["half way"]
    with pytest.raises(UnknownName, match="no start named 'half wey'"):
        propose(pool_of(), ["half wey"])


def test_names_that_clash_are_told_apart():
    found = by_name(pool_of(looking("centroid", 0), looking("two", 1)), "models")
    assert {"centroid", "centroid (2)"} <= set(found)


def test_points_are_known_by_content_and_not_by_order():
    pool, turned = pool_of(), pool_of(*MODELS[::-1])
    weights = np.array([0, 0.5, 0.5, 0, 0])
    same = np.array([0, 0, 0, 0.5, 0.5])
    assert content_of(pool.spanned, weights) == content_of(turned.spanned, same)
    assert content_of(pool.spanned, weights) != content_of(pool.spanned, same)


def test_a_pool_needs_two_models_beside_the_base():
    with pytest.raises(BadInput, match="there is 1 beside the base"):
        pool_of(MODELS[0])
    with pytest.raises(BadInput, match="bit for bit"):
        open_pool([looking("a"), looking("b")], TASK, base=looking("c"), regions={}, device="cpu")


def test_probes_rate_by_what_the_backbone_sees(tmp_path):
    pool = pool_of()
    cells = [cell for repeat in range(2) for cell in cut(TASK, 2, repeat, 0)]
    probes = ProbeScores(pool.spanned, TASK, cells, pooling="head", folder=tmp_path)
    blind, one, all_of_it = (
        probes.at(np.array(it)) for it in ([1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0.5, 0.5])
    )
    assert blind.loss == pytest.approx(np.log(3), abs=0.05)
    assert all_of_it.loss < one.loss < blind.loss
    assert one.interval[0] < one.loss < one.interval[1]
    again = ProbeScores(pool.spanned, TASK, cells, pooling="head", folder=tmp_path)
    assert again.loss(np.array([0, 1, 0, 0, 0])) == one.loss
    assert (probes.computed, again.computed) == (3, 0)


def test_a_point_that_answers_nothing_finite_has_an_infinite_loss_and_no_warning(monkeypatch):
    from weightscape.starts import scoring

    plain = scoring.features
    monkeypatch.setattr(scoring, "features", lambda *args, **how: plain(*args, **how) * np.inf)
    probes = ProbeScores(pool_of().spanned, TASK, cut(TASK, 2, 0, 0), pooling="head")
    score = probes.at(np.array([0, 1, 0, 0, 0]))
    assert (score.loss, score.interval) == (np.inf, (np.inf, np.inf))


def test_bagging_weighs_models_by_how_often_they_are_the_best():
    rows = np.array([[1.0] * 40, [0.9] * 40, [0.0, 1.8] * 20, [2.0] * 40, [np.inf] * 40])
    pool = pool_of(loss=lambda w: 0.0)
    pool = replace(pool, probe_losses=lambda w: rows[int(w.argmax())])
    (found,) = CANDIDATES["bagged"](pool)
    # one is 0.9 always and two is 0.9 on average: each is the best in about half of the draws
    assert found.weights[1:3] == pytest.approx([0.5, 0.5], abs=0.1)
    assert found.weights[[0, 3, 4]].tolist() == [0, 0, 0]
    (half,) = CANDIDATES["halfway"](pool)
    assert half.candidate.name == "middle of base and bagged soup"  # "start from the middle ..."
    assert half.weights == pytest.approx(found.weights / 2 + np.array([0.5, 0, 0, 0, 0]))
    assert CANDIDATES["halfway"](pool_of(base=None)) == []
