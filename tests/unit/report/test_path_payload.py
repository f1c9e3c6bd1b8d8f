"""What the page carries of paths: compact, in the order of the heat map, whatever the answer is."""

from typing import Any

from synthetic_paths import synthetic_path, synthetic_plane
from weightscape.cli import gather_paths
from weightscape.report.data import PageData, PageModel, PagePath
from weightscape.report.page import render_page
from weightscape.report.path_payload import path_payload
from weightscape.report.payload import embed_json


def carried(kind: Any, models: tuple[str, ...], result: dict[str, Any]) -> list[dict[str, Any]]:
    known = PageModel("imdb-s0", "/models/imdb-s0", "family", "tree")
    path = PagePath(kind, models, "sst2", "now", "/out", result)
    return path_payload(PageData("t", "now", "0", "c", (known,), paths=(path,)))


def test_a_path_is_carried_with_its_rows_in_the_order_of_the_heat_map() -> None:
    answer = gather_paths.path(synthetic_path(rows=30)).model_dump(mode="json")
    (one,) = carried("path", ("imdb-s0", "elsewhere"), answer)
    assert one["ends"] == [0, "elsewhere"]  # a place on the page, and a name that is not there
    (series,) = one["series"]
    assert len(series["t"]) == len(series["loss"]) == len(series["known"]) == 26
    table = answer["knowledge"]["train"]
    sent = dict(zip(series["rows"], zip(*series["known"], strict=True), strict=True))
    whole = dict(zip(table["rows"], zip(*table["correct"], strict=True), strict=True))
    assert sent == {row: signs for row, signs in whole.items() if set(signs) != {"1"}}
    assert series["always"] == len(whole) - len(sent) > 0


def test_a_plane_keeps_its_holes() -> None:
    answer = gather_paths.plane(synthetic_plane(holes=True)).model_dump(mode="json")
    (one,) = carried("plane", ("imdb-s0", "b", "c"), answer)
    assert one["losses"][0][0] is None
    assert len(one["positions"]) == len(one["own"]) == 3


def test_what_is_missing_is_left_out_and_breaks_nothing() -> None:
    answer = gather_paths.path(synthetic_path(rows=5)).model_dump(mode="json")
    assert carried("path", ("a", "b"), {}) == []
    assert carried("plane", ("a", "b", "c"), {"x": [1.0], "y": [1.0], "losses": [[1.0, 2.0]]}) == []
    bare = {"points": [{"t": 0.0, "loss": 1.0}, {"t": 1.0}]}
    ((one,),) = [it["series"] for it in carried("path", ("a", "b"), bare)]
    assert (one["loss"], one["known"], one["metric"]) == ([1.0, None], [], None)
    answer["knowledge"]["train"]["correct"].pop()
    ((one,),) = [it["series"] for it in carried("path", ("a", "b"), answer)]
    assert one["known"] == []


def test_hundreds_of_paths_stay_small() -> None:
    answer = gather_paths.path(synthetic_path(rows=256)).model_dump(mode="json")
    assert len(embed_json(carried("path", ("a", "b"), answer))) < 15_000


def test_a_page_without_paths_has_no_card_for_them() -> None:
    assert 'id="paths-card"' not in render_page(PageData("t", "now", "0", "c", ()))
