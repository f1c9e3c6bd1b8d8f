"""What the page carries of blends: compact, and unbroken by answers of any shape."""

from typing import Any

from synthetic_tuning import synthetic_tune
from weightscape.cli import gather_tune
from weightscape.report.data import PageData, PageModel, PageResult
from weightscape.report.page import render_page
from weightscape.report.payload import embed_json
from weightscape.report.tune_payload import MOST_TRIALS, tune_payload


def page(result: dict[str, Any]) -> PageData:
    model = PageModel("imdb-s0", "/m", "f", "t")
    found = PageResult("tune", ("imdb-s0", "imdb-s1", "trec-s0"), "mine", "now", "/out", result)
    return PageData("t", "now", "0", "c", (model,), results=(found,))


def answer(**more: Any) -> dict[str, Any]:
    return gather_tune.tune(synthetic_tune(**more)).model_dump(mode="json")


def test_a_blend_is_carried_with_its_weights_heaviest_first() -> None:
    (one,) = tune_payload(page(answer()))
    weights = [weight for _, weight in one["weights"]]
    assert weights == sorted(weights, reverse=True) and abs(sum(weights) - 1) < 1e-4
    assert 0 in [ref for ref, _ in one["weights"]]  # a model of the page by its place
    assert one["groups"] == [] and one["shares"] and one["tested"]
    assert [way["blend"] for way in one["ways"]] == [True] + 5 * [False]
    assert all(loss is not None for _, loss, _ in one["trials"])


def test_layers_are_rows_in_the_order_of_the_weights() -> None:
    told = answer(groups=("bert.embeddings", "bert.layer.0"))
    (one,) = tune_payload(page(told))
    assert one["groups"] == ["embeddings", "layer 0"]
    first = told["models"].index(max(told["models"], key=told["best"]["coefficients"].get))
    name = told["models"][first]
    assert one["layers"][0] == [
        float(f"{row[name]:.5g}") for row in told["best"]["layers"].values()
    ]


def test_losses_rank_the_other_way_round() -> None:
    told = answer() | {"metric": "loss"}
    told["best"]["held_out"] = {"loss": 0.2}
    for place, way in enumerate(told["baselines"]):
        way["held_out"] = {"loss": 0.1 + place}
    (one,) = tune_payload(page(told))
    scores = [way["score"][0] for way in one["ways"]]
    assert scores == sorted(scores) and one["ways"][1]["blend"] and not one["shares"]


def test_blends_of_another_shape_are_left_out_or_drawn_in_part() -> None:
    assert tune_payload(page({})) == []
    (one,) = tune_payload(page({"best": {"coefficients": {"a": 1.0}}}))
    assert one["trials"] == [] and one["ways"][0]["score"] == [None, None, None]
    render_page(page({"best": {"coefficients": {"a": 1.0}}}))


def test_long_searches_stay_small() -> None:
    (one,) = tune_payload(page(answer(trials=3000)))
    assert MOST_TRIALS / 2 < len(one["trials"]) <= MOST_TRIALS + 1
    told = min(it["loss"] for it in answer(trials=3000)["trials"] if it["state"] == "complete")
    assert min(loss for _, loss, _ in one["trials"]) <= told * 1.001
    assert len(embed_json([one])) < 20_000


def test_a_page_has_a_card_for_blends_where_there_is_one() -> None:
    html = render_page(page(answer()))
    assert 'id="blends-card"' in html and 'id="starts-card"' not in html
    assert "1 blend" in html
