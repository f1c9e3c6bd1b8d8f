"""The page's paths in a real browser: listed, filtered, drawn one at a time, never obeyed."""

from dataclasses import replace
from typing import Any

import pytest
from browsing import Show
from synthetic_page import synthetic_page

from synthetic_paths import synthetic_path, synthetic_plane
from weightscape.cli import gather_paths
from weightscape.paths.records import PathResult, PlaneResult
from weightscape.report.data import PageData, PagePath

pytestmark = pytest.mark.browser

HOSTILE = "</script><img src=x onerror=alert(1)>"


def kept(result: PathResult | PlaneResult, **changes: Any) -> PagePath:
    """Make what the page shows of a result, by way of its answer."""
    if isinstance(result, PlaneResult):
        answer: Any = gather_paths.plane(result)
        names: tuple[str, ...] = result.names
    else:
        answer, names = gather_paths.path(result), result.ends.names
    told = answer.model_dump(mode="json") | changes
    kind = "plane" if isinstance(result, PlaneResult) else "path"
    return PagePath(kind, names, answer.task, "2026-01-01T00:00:00+00:00", "/out", told)  # type: ignore[arg-type]


def page_with(*paths: PagePath) -> PageData:
    return replace(synthetic_page(27), paths=paths)


def in_sight(page: Any) -> None:
    page.locator("#paths-card").scroll_into_view_if_needed()
    page.wait_for_selector("#path-plot .scatterlayer .trace")


def test_a_path_is_drawn_with_its_words(show: Show) -> None:
    line = kept(synthetic_path(("trec-s0", "imdb-s1")))
    page = show(page_with(line)).page
    assert page.locator("#summary").inner_text().endswith(", 1 path, 2 skipped")
    in_sight(page)
    words = page.locator("#path-words").inner_text()
    assert words.startswith("trec-s0 → imdb-s1")
    verdict = "not connected: loss barrier 0.587 (0.557 to 0.627) is above the threshold 0.034"
    assert verdict in words
    page.wait_for_selector("#path-plot .hm image")  # the table of what is known
    drawn = page.locator("#path-plot .annotation-text").all_text_contents()
    assert {"trec-s0", "imdb-s1"} <= set(drawn)
    box = page.locator("#path-plot .scatterlayer .trace path.point").nth(13).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=4)
    page.wait_for_selector("#tip:not([hidden])")
    tip = page.locator("#tip").inner_text()
    assert tip.startswith("t = 0.52") and "rows forgotten" in tip and "accuracy" in tip


def test_paths_are_filtered_and_chosen_one_at_a_time(show: Show) -> None:
    paths = [kept(synthetic_path((f"imdb-s{i % 2}", "sst2-s0"), height=0.0)) for i in range(3)]
    paths.append(kept(synthetic_plane(("imdb-s0", "imdb-s1", "sst2-s0"))))
    page = show(page_with(*paths)).page
    in_sight(page)
    entries = page.locator("#paths-list button")
    assert entries.count() == 4
    page.locator("#paths-search").fill("plane")
    entries.nth(1).wait_for(state="detached")
    entries.first.click()
    page.wait_for_selector("#path-plot .contourlayer .contour")
    assert "lowest point of the grid" in page.locator("#path-words").inner_text()
    assert page.locator("#path-plot .hm image").count() == 0  # the path before is gone
    page.locator("#paths-search").fill("nothing of the sort")
    page.get_by_text("No path matches.").wait_for()


def test_a_model_tells_of_its_paths(show: Show) -> None:
    paths = [
        kept(synthetic_path(("imdb-s0", "imdb-s1"))),
        kept(synthetic_path(("sst2-s0", "imdb-s1"))),
    ]
    sight = show(page_with(*paths))
    page = sight.page
    in_sight(page)  # what is drawn meanwhile would move the row from under the mouse
    sight.row("sst2-s0").click()
    page.locator("#panel h2 .name", has_text="sst2-s0").wait_for()
    first = page.locator("#paths-list button").first
    assert first.inner_text().startswith("sst2-s0 → imdb-s1")  # its own stand first
    page.locator("#panel").get_by_role("button", name="imdb-s1", exact=True).last.click()
    assert first.get_attribute("aria-current") == "true"
    assert page.locator("#path-words h3").inner_text() == "sst2-s0 → imdb-s1"


def test_hostile_words_stay_text(show: Show) -> None:
    result = synthetic_path((HOSTILE, "<b>x</b>"), tasks=(HOSTILE, "<i>"))
    page = show(page_with(kept(result), kept(synthetic_plane((HOSTILE, "<b>", "{{7*7}}"))))).page
    in_sight(page)
    page.locator("#paths-list button").last.click()
    page.wait_for_selector("#path-plot .contourlayer .contour")
    assert page.locator("img, b, i:not([style])").count() == 0
    assert HOSTILE in page.locator("#path-words").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_narrow_and_dark(show: Show) -> None:
    long = kept(synthetic_path(("run/" * 40 + "a", "b"), tasks=("t" * 80, "other")))
    page = show(page_with(long), width=400, height=800, dark=True).page
    in_sight(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    line = page.locator("#path-plot .scatterlayer .js-line").nth(2)
    before = line.evaluate("line => getComputedStyle(line).stroke")
    page.emulate_media(color_scheme="light")
    page.wait_for_timeout(100)
    now = page.locator("#path-plot .scatterlayer .js-line").nth(2)
    assert now.evaluate("line => getComputedStyle(line).stroke") != before
    assert page.locator("#path-plot .hm image").count() == 2


def test_hundreds_of_paths(show: Show) -> None:
    one = kept(synthetic_path(("imdb-s0", "imdb-s1"), rows=256))
    paths = [replace(one, models=("imdb-s0", f"away-{i}")) for i in range(400)]
    page = show(page_with(*paths)).page
    in_sight(page)
    assert page.locator("#paths-list button").count() == 200
    assert "200 more" in page.locator("#paths-list").inner_text()
    page.locator("#paths-search").fill("away-399")
    page.locator("#paths-list button").nth(1).wait_for(state="detached")
    assert "away-399" in page.locator("#paths-list button").inner_text()


def test_answers_of_another_shape_are_left_out(show: Show) -> None:
    good = kept(synthetic_path(("imdb-s0", "imdb-s1")))
    bad = [
        kept(synthetic_path(), points=[]),
        kept(synthetic_plane(), losses=[[1.0]]),
        PagePath("path", ("imdb-s0", "imdb-s1"), "t", "", "", {}),
        kept(synthetic_path(), knowledge={"train": {"rows": [1], "correct": ["1"]}}),
    ]
    page = show(page_with(*bad, good)).page
    in_sight(page)
    assert page.locator("#paths-list button").count() == 2


def test_a_page_of_one_path_alone(show: Show) -> None:
    data = PageData("a to b", "now", "0", "path a b", (), paths=(kept(synthetic_path()),))
    page = show(data).page
    in_sight(page)
    assert page.locator("#summary").inner_text() == "1 path"
    for hidden in ("#forest-card", "#map-card", "#table-card", "#search", "#paths-list"):
        assert not page.locator(hidden).is_visible()
