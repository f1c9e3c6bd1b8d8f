"""What the page carries of regions and starts: compact, and unbroken by answers of any shape."""

import json
from typing import Any, Literal

from synthetic_regions import synthetic_region, synthetic_start
from weightscape.cli import gather_regions, gather_starts
from weightscape.report.data import PageData, PageModel, PageResult
from weightscape.report.page import render_page
from weightscape.report.payload import embed_json
from weightscape.report.region_payload import region_payload
from weightscape.report.start_payload import start_payload


def page(kind: Literal["region", "start"], result: dict[str, Any]) -> PageData:
    known = PageModel("imdb-s0", "/models/imdb-s0", "family", "tree")
    found = PageResult(kind, ("imdb-s0", "elsewhere"), "sst2", "now", "/out", result)
    return PageData("t", "now", "0", "c", (known,), results=(found,))


def region_answer(**options: Any) -> dict[str, Any]:
    answer = gather_regions.region(synthetic_region(**options)).model_dump(mode="json")
    return dict(answer)


def start_answer(**options: Any) -> dict[str, Any]:
    answer = gather_starts.start(synthetic_start(**options), ["imdb-s0"], "base")
    return dict(answer.model_dump(mode="json"))


def test_a_region_is_carried_with_all_that_is_drawn() -> None:
    answer = region_answer(tasks=("sst2", "trec"))
    (one,) = region_payload(page("region", answer))
    assert one["models"] == [0, "elsewhere"] and one["tasks"] == ["sst2", "trec"]
    assert [len(it["points"]) for it in one["groups"]] == [4, 10, 6]
    name, distance, losses = one["groups"][0]["points"][0]
    assert name == "imdb-s0" and distance > 0 and len(losses) == 2
    assert [it[2] for it in one["p_b"]][:3] == [0, 1, None]  # tasks by place, then their mean
    assert len(one["radii"]) == 2 and len(one["radii"][0]["rays"]) == 6
    assert one["pairs"][0]["ends"] == [0, "imdb-s1"]
    json.dumps(one, allow_nan=False)


def test_a_ranking_is_carried_with_all_that_is_drawn() -> None:
    (one,) = start_payload(page("start", start_answer()))
    best = one["ranked"][0]
    assert best["name"] == one["recommended"] and one["beats"] and one["shares"]
    assert best["weights"] == [[0, 0.5], ["imdb-s1", 0.5]]
    assert len(best["runs"]) == 5 and best["score"][0] is not None
    assert one["ranked"][-1]["score"] == [None, None, None]


def test_answers_of_another_shape_are_left_out_or_drawn_in_part() -> None:
    assert region_payload(page("region", {})) == start_payload(page("start", {})) == []
    bare = {"tasks": ["t"], "groups": [{"points": [{"name": "a"}]}], "radii": [{"task": "t"}]}
    (one,) = region_payload(page("region", bare))
    assert one["groups"][0]["points"] == [["a", None, [None]]] and one["radii"] == [None]
    (one,) = start_payload(page("start", {"ranked": [{"name": "a"}]}))
    assert one["ranked"][0]["probe"] == [None, None, None] and not one["beats"]
    assert region_payload(page("start", start_answer())) == []


def test_many_results_stay_small() -> None:
    assert len(embed_json(region_payload(page("region", region_answer(samples=30))))) < 12_000
    assert len(embed_json(start_payload(page("start", start_answer(models=60))))) < 20_000


def test_a_page_has_a_card_for_what_it_has_and_no_other() -> None:
    html = render_page(page("region", region_answer()))
    assert 'id="regions-card"' in html and 'id="starts-card"' not in html
    assert ", 1 region measured" in html
    alone = PageData("t", "now", "0", "c", (), results=page("start", start_answer()).results)
    assert 'class="lone"' in render_page(alone)
    assert "1 search for a start" in render_page(alone)
    assert 'id="regions-card"' not in render_page(PageData("t", "now", "0", "c", ()))
