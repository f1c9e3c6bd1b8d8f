"""The page's regions and starting points in a real browser: listed, chosen, drawn, never obeyed."""

from dataclasses import replace
from typing import Any

import pytest
from browsing import Show
from synthetic_page import synthetic_page

from synthetic_regions import synthetic_region, synthetic_start
from weightscape.cli import gather_regions, gather_starts
from weightscape.regions.records import RegionResult
from weightscape.report.data import PageData, PageResult
from weightscape.starts.records import StartResult

pytestmark = pytest.mark.browser

HOSTILE = "</script><img src=x onerror=alert(1)>"
POOL = ("imdb-s0", "imdb-s1", "trec-s0")


def kept(result: RegionResult | StartResult, **changes: Any) -> PageResult:
    """Make what the page shows of a result, by way of its answer."""
    if isinstance(result, RegionResult):
        answer: Any = gather_regions.region(result)
        task, names = ", ".join(result.tasks), result.models
    else:
        answer, task, names = gather_starts.start(result, POOL, "base"), result.task, POOL
    told = answer.model_dump(mode="json") | changes
    kind = "region" if isinstance(result, RegionResult) else "start"
    return PageResult(kind, names, task, "2026-01-01T00:00:00+00:00", "/out", told)  # type: ignore[arg-type]


def page_with(*found: PageResult) -> PageData:
    return replace(synthetic_page(27), results=found)


def in_sight(page: Any, plural: str) -> None:
    page.locator(f"#{plural}-card").scroll_into_view_if_needed()
    page.wait_for_selector(f"#{plural}-plot .scatterlayer .trace", state="attached")


def hover(page: Any, plural: str, point: Any) -> str:
    box = point.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=4)
    page.wait_for_selector("#tip:not([hidden])")
    return str(page.locator("#tip").inner_text())


def test_a_region_is_drawn_with_its_words_and_p_b(show: Show) -> None:
    page = show(page_with(kept(synthetic_region(tasks=("sst2", "trec"))))).page
    assert page.locator("#summary").inner_text().endswith(", 1 region measured, 2 skipped")
    in_sight(page, "regions")
    words = page.locator("#regions-words").inner_text()
    assert words.startswith("imdb-s0, imdb-s1, imdb-s2, imdb-s3")
    assert "a region of good models: a random point between them" in words
    drawn = page.locator("#regions-plot .subplot").count()
    assert drawn == 5  # groups, and for each task distances and pairs
    table = page.locator("#regions-more").inner_text()
    assert "points between them over outside models" in table and "1.00 (0.92 to 1.00)" in table
    first = page.locator("#regions-plot .xy .scatterlayer path.point").first
    tip = hover(page, "regions", first)
    assert tip.startswith("imdb-s0") and "loss" in tip and "own distance" in tip


def test_starts_are_drawn_with_their_table(show: Show) -> None:
    page = show(page_with(kept(synthetic_start()))).page
    in_sight(page, "starts")
    assert "start from the centroid" in page.locator("#starts-words").inner_text()
    rows = page.locator("#starts-more tbody tr")
    assert rows.count() == 12
    assert "recommended" in rows.first.inner_text() and "0.50 imdb-s0" in rows.first.inner_text()
    page.locator("#starts-more .link").first.click()
    assert page.locator("#panel h2 .name").inner_text() == "imdb-s0"
    page.locator("#panel").get_by_text("centroid of region:imdb-s0").click()
    page.wait_for_selector("#starts-plot .scatterlayer .trace", state="attached")


def test_results_are_filtered_and_chosen_one_at_a_time(show: Show) -> None:
    found = [kept(synthetic_region(label=f"region:imdb-s{i}")) for i in range(3)]
    found.append(kept(synthetic_region(("trec-s0", "trec-s1"), good=False, rays=0, pairs=0)))
    page = show(page_with(*found, kept(synthetic_start()))).page
    in_sight(page, "regions")
    entries = page.locator("#regions-list button")
    assert entries.count() == 4 and "good" in entries.first.inner_text()
    page.locator("#regions-search").fill("trec-s1")
    entries.nth(1).wait_for(state="detached")
    entries.first.click()
    assert "no region of good models" in page.locator("#regions-words").inner_text()
    assert page.locator("#regions-plot .subplot").count() == 2  # no lines through pairs
    page.locator("#regions-search").fill("nothing of the sort")
    page.get_by_text("None matches.").wait_for()


@pytest.mark.parametrize("width", [420, 1380])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_results_fit_any_screen_and_theme(show: Show, width: int, scheme: str) -> None:
    long = synthetic_region(tuple("m" * 70 + str(i) for i in range(5)), tasks=("t" * 60, "u"))
    page = show(page_with(kept(long), kept(synthetic_start(models=50)))).page
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    for plural in ("regions", "starts"):
        in_sight(page, plural)
        inside = page.locator(f"#{plural}-plot").evaluate(
            "it => it.scrollWidth <= it.clientWidth + 1"
        )
        assert inside, plural
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_nothing_of_a_result_is_obeyed(show: Show) -> None:
    result = replace(synthetic_region((HOSTILE, "b", "c"), tasks=(HOSTILE,)), notes=(HOSTILE,))
    start = replace(synthetic_start(), why=HOSTILE, task=HOSTILE, metric="accuracy")
    page = show(page_with(kept(result, label=HOSTILE), kept(start, recommended=HOSTILE))).page
    for plural in ("regions", "starts"):
        in_sight(page, plural)
        assert page.locator(f"#{plural}-card img").count() == 0
        assert HOSTILE in page.locator(f"#{plural}-words").inner_text()


def test_a_page_of_one_result_alone(show: Show) -> None:
    data = PageData("starts", "now", "0", "start a b", (), results=(kept(synthetic_start()),))
    page = show(data).page
    in_sight(page, "starts")
    assert page.locator("#summary").inner_text() == "1 search for a start"
    for hidden in ("#forest-card", "#map-card", "#table-card", "#search", "#starts-list"):
        assert not page.locator(hidden).is_visible()
