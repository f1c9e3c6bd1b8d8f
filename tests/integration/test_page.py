"""The page in a real browser: it shows, it answers to mouse and keyboard, and it asks no one."""

import re
from urllib.parse import quote

import pytest
from browsing import Show
from synthetic_page import synthetic_page

from weightscape.report.data import PageData

pytestmark = pytest.mark.browser

HOSTILE = "</script><img src=x onerror=alert(1)>"
LONG = "runs/" + "a-very-long-folder/" * 12 + "checkpoint-9000"


def test_page_shows_every_view_and_says_what_was_found(show: Show) -> None:
    page = show(synthetic_page(27)).page
    assert page.locator("#summary").inner_text() == (
        "27 models, 1 family, 1 tree of depth 3, 6 regions, 2 skipped"
    )
    assert page.locator("#forest .twig").count() == 27
    assert page.locator("#map .scatterlayer .points path").count() >= 27
    page.locator("#heat").scroll_into_view_if_needed()
    page.wait_for_selector("#heat .hm image")
    assert "GGUF is recognised" in page.locator("#skipped").inner_text()
    assert "norms and kurtosis" in page.locator("#undecided").inner_text()


def test_choosing_in_the_table_chooses_everywhere(show: Show) -> None:
    sight = show(synthetic_page(27))
    sight.row("trec-s0").click()
    assert sight.chosen() == "trec-s0"
    panel = sight.page.locator("#panel").inner_text()
    assert "Full fine-tune of minilm" in panel
    assert "near certain" in panel
    assert "trec-s0+imdb-s1" in panel  # a child
    assert sight.page.evaluate("location.hash") == "#model=trec-s0"
    sight.page.locator("#panel .near button").first.click()
    assert sight.chosen() != "trec-s0"
    sight.page.go_back()
    sight.page.locator("#panel h2", has_text=re.compile("^trec-s0$")).wait_for()
    assert sight.chosen() == "trec-s0"


def test_a_row_that_is_pressed_while_the_table_scrolls_is_chosen(show: Show) -> None:
    sight = show(synthetic_page(200))
    table = sight.page.locator("#table .grid-scroll")
    table.scroll_into_view_if_needed()
    scroll = """(table, top) => new Promise((done) => {
        table.scrollTop = top;
        requestAnimationFrame(() => requestAnimationFrame(done));
    })"""
    table.evaluate(scroll, 13 * 30 - 1)
    row = sight.page.locator('#table tr[data-place="18"]')
    name = row.get_attribute("data-name")
    row.hover()
    sight.page.mouse.down()
    table.evaluate(scroll, 13 * 30 + 1)  # by one more line: the first row drawn is another now
    sight.page.mouse.up()
    sight.page.locator("#panel h2 .name").wait_for()
    assert sight.chosen() == name
    assert row.evaluate("row => row === document.activeElement")


def test_choosing_on_the_map(show: Show) -> None:
    sight = show(synthetic_page(27))
    # the trace of all models is the one with 27 points
    points = sight.page.locator("#map .scatterlayer .trace").filter(
        has=sight.page.locator("path.point:nth-child(27)")
    )
    spot = points.locator("path.point").nth(16).bounding_box()
    sight.page.mouse.move(spot["x"] + spot["width"] / 2, spot["y"] + spot["height"] / 2, steps=4)
    sight.page.wait_for_selector("#tip:not([hidden])")
    hovered = sight.page.locator("#tip b").inner_text()
    sight.page.mouse.down()
    sight.page.mouse.up()
    sight.page.wait_for_selector("#panel h2 .name")
    assert sight.chosen() == hovered


def test_table_filters_and_sorts(show: Show) -> None:
    sight = show(synthetic_page(27))
    page = sight.page
    page.locator("#search").fill("yelp")
    page.locator("#table-count", has_text=" of 27").wait_for()
    assert sight.names()
    assert all("yelp" in name for name in sight.names())
    page.keyboard.press("Escape")
    page.locator("#facet-kind").select_option(label="lora (1)")
    assert sight.names() == ["minilm-imdb-lora"]
    page.locator("#clear").click()
    assert page.locator("#table tr[data-name]").count() == 27
    head = page.get_by_role("columnheader", name="Confidence")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert sight.names()[0] == "yelp-s0-copy"  # the one with confidence 1.00
    head.get_by_role("button").click()
    assert sight.names()[0] == "sst2-s0-unknown"
    assert sight.names()[-1] == "minilm"  # a root has no confidence: last either way


def test_keyboard_alone_reaches_everything(show: Show) -> None:
    sight = show(synthetic_page(27))
    page = sight.page
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("snips-s2")
    page.keyboard.press("Enter")
    assert sight.chosen() == "snips-s2"
    page.locator('#table tr[tabindex="0"]').focus()
    page.keyboard.press("Escape")
    assert page.locator("#panel.idle").count() == 1
    page.locator("#clear").click()
    page.locator('#forest [tabindex="0"]').focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")  # folds the root
    assert page.locator("#forest .twig").count() == 1
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    second = page.locator("#forest .twig").nth(1).get_attribute("data-name")
    assert sight.chosen() == second
    width = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert width == "2px"  # the focus can be seen
    page.locator('#table tr[tabindex="0"]').focus()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    assert sight.chosen() == sight.names()[-1]


def test_link_to_a_model_opens_it(show: Show) -> None:
    sight = show(synthetic_page(27), hash="#model=" + quote("trec-s0+imdb-s1"))
    assert sight.chosen() == "trec-s0+imdb-s1"
    panel = sight.page.locator("#panel").inner_text()
    assert panel.count("Merge of") == 2


def test_hostile_names_stay_text(show: Show) -> None:
    names = {
        "imdb-s0": HOSTILE,
        "yelp-s0": LONG,
        "minilm": "<b>${1}{{7*7}}</b>&lt;",
        "sst2-s0": "'\"`",
    }
    sight = show(synthetic_page(27, rename=names), hash="#model=" + quote(HOSTILE, safe=""))
    page = sight.page
    assert page.locator("#panel h2 .name").inner_text() == HOSTILE
    page.locator("#heat").scroll_into_view_if_needed()
    page.wait_for_selector("#heat .hm image")
    assert page.locator("img, b").count() == 0
    drawn = page.locator("#heat .ytick text").all_text_contents()
    assert any(text.startswith("</script><img") for text in drawn)
    box = page.locator("#heat .hm image").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 4, steps=4)
    page.wait_for_selector("#tip:not([hidden])")
    assert HOSTILE in page.locator("#tip").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_narrow_and_dark(show: Show) -> None:
    sight = show(synthetic_page(27, rename={"yelp-s0": LONG}), width=400, height=800, dark=True)
    page = sight.page
    fits = "document.documentElement.scrollWidth <= innerWidth"
    assert page.evaluate(fits)
    page.locator("#forest .twig").nth(3).click()
    assert page.locator("#panel").is_visible()
    assert page.evaluate(fits)
    sight.chosen()
    page.locator("#panel-close").click()
    assert not page.locator("#panel").is_visible()
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(paper)
    point = page.locator("#map path.point").first
    fill = "point => getComputedStyle(point).stroke + getComputedStyle(point).fill"
    dark_point = point.evaluate(fill)
    page.emulate_media(color_scheme="light")
    page.wait_for_timeout(50)
    assert page.evaluate(paper) != dark
    assert page.locator("#map path.point").first.evaluate(fill) != dark_point


def test_a_thousand_models(show: Show) -> None:
    sight = show(synthetic_page(1000, trees=4))
    page = sight.page
    assert page.locator("#map .scatterlayer .points path").count() >= 1000
    assert page.locator("#table tr[data-name]").count() < 100  # only the rows in sight
    assert page.locator("#forest .twig").count() < 150  # long rows of siblings are folded
    page.locator("#search").fill("base-2/trec")
    page.keyboard.press("Enter")
    assert sight.chosen().startswith("base-2/trec")
    page.keyboard.press("Escape")
    page.locator('#table tr[tabindex="0"]').focus()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    assert sight.chosen() == sight.names()[-1]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_next_to_nothing(show: Show, count: int) -> None:
    data = synthetic_page(count) if count else PageData("none", "now", "0", "chart", ())
    page = show(data).page
    assert page.locator("#table tr[data-name]").count() == count
    assert page.locator("#summary").inner_text().startswith(f"{count} model")
