"""The page's blends in a real browser: listed, drawn for any screen, never obeyed."""

from dataclasses import replace
from typing import Any

import pytest
from browsing import Show
from synthetic_page import synthetic_page

from synthetic_tuning import synthetic_tune
from weightscape.cli import gather_tune
from weightscape.report.data import PageData, PageResult
from weightscape.tuning.records import TuneResult

pytestmark = pytest.mark.browser

HOSTILE = "</script><img src=x onerror=alert(1)>"
LAYERS = ("bert.embeddings", *(f"bert.encoder.layer.{i}" for i in range(6)), "classifier")
LONG = tuple("m" * 70 + str(i) for i in range(8))


def page_with(*found: TuneResult) -> PageData:
    kept = [
        PageResult(
            "tune",
            it.names,
            it.task,
            "2026-01-01T00:00:00+00:00",
            "/out",
            gather_tune.tune(it).model_dump(mode="json"),
        )
        for it in found
    ]
    return replace(synthetic_page(27), results=tuple(kept))


def in_sight(page: Any) -> None:
    page.locator("#blends-card").scroll_into_view_if_needed()
    page.wait_for_selector("#blends-plot .scatterlayer .trace", state="attached")


def test_a_blend_is_drawn_with_its_weights_and_the_other_ways(show: Show) -> None:
    page = show(page_with(synthetic_tune(), synthetic_tune(groups=LAYERS, best=False))).page
    in_sight(page)
    assert "ahead of the 5 other ways" in page.locator("#blends-words").inner_text()
    assert page.locator("#blends-plot .barlayer .point").count() == 3
    assert page.locator("#blends-plot .subplot").count() == 3
    tables = page.locator("#blends-more table")
    assert tables.count() == 2 and "84.0 (81.0 to 87.0)" in tables.nth(1).inner_text()
    tables.first.locator(".link").first.click()
    assert page.locator("#panel h2 .name").inner_text().startswith("imdb")
    page.locator("#blends-list button").nth(1).click()
    page.wait_for_selector("#blends-plot .heatmaplayer image", state="attached")
    assert "is better" in page.locator("#blends-words").inner_text()


@pytest.mark.parametrize("width", [420, 1380])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_blends_fit_any_screen_and_theme(show: Show, width: int, scheme: str) -> None:
    page = show(page_with(synthetic_tune(LONG, groups=LAYERS, box=True, rivals=9))).page
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    in_sight(page)
    box = page.locator("#blends-plot")
    assert box.evaluate("it => it.scrollWidth <= it.clientWidth + 1")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_nothing_of_a_blend_is_obeyed(show: Show) -> None:
    result = synthetic_tune((HOSTILE, "b"), groups=(HOSTILE, "head"))
    rival = replace(result.baselines[0], name=HOSTILE, why=HOSTILE)
    hostile = replace(result, task=HOSTILE, notes=(HOSTILE,), baselines=(rival,))
    page = show(page_with(hostile)).page
    in_sight(page)
    assert page.locator("#blends-card img").count() == 0
    assert HOSTILE in page.locator("#blends-words").inner_text()
