"""The page's search by knowledge in a real browser: found, chosen in all views, never obeyed."""

from dataclasses import replace

import pytest
from browsing import Show
from synthetic_page import synthetic_page

from weightscape.report.data import PageData, PageExpert, PageKnown, PageLabel

pytestmark = pytest.mark.browser

HOSTILE = "</script><img src=x onerror=alert(1)>"


def page_with(*labels: str) -> PageData:
    data = synthetic_page(27)
    names = [model.name for model in data.models]
    told = tuple(
        PageLabel(
            label,
            f"texts about {label}",
            place + 1,
            tuple((name, 0.999 / (rank + 1), rank == 0) for rank, name in enumerate(names[place:])),
        )
        for place, label in enumerate(labels)
    )
    best = {names[0]: ((labels[0], 0.999), ("no room for it", 0.4))}
    experts = (PageExpert(HOSTILE, "encoder.layer.1", 27, {"label_accuracy": 0.9}),)
    return replace(data, known=PageKnown(experts, told, best))


def test_a_typed_label_lists_models_and_one_is_chosen_everywhere(show: Show) -> None:
    sight = show(page_with("space flight", "court law", "heart"))
    page = sight.page
    page.locator("#known-search").fill("about court")
    page.wait_for_selector('#known-hits h3:has-text("court law")')
    first = page.locator("#known-hits tr[data-hit] button").first
    name = first.inner_text()
    first.click()
    assert sight.chosen() == name
    assert page.locator("#known-hits tr.chosen").count() == 1
    assert ">99%" in page.locator("#known-hits tr.chosen").inner_text()


def test_words_of_no_label_are_told_with_the_command_that_takes_any(show: Show) -> None:
    page = show(page_with("space flight", "heart")).page
    page.locator("#known-search").fill('what "nobody" learned')
    page.wait_for_selector("#known-list code")
    assert page.locator("#known-list code").inner_text() == (
        'weightscape search "what nobody learned"'
    )
    # the models of the label before are no answer to this
    assert page.locator("#known-hits tr[data-hit]").count() == 0
    page.locator("#known-search").press("Escape")
    page.wait_for_selector("#known-hits tr[data-hit]")


def test_a_models_panel_tells_what_it_knows(show: Show) -> None:
    data = page_with("space flight", "heart")
    sight = show(data)
    sight.row(data.models[0].name).click()
    panel = sight.page.locator("#panel")
    assert "no room for it" in panel.inner_text()
    panel.get_by_role("button", name="space flight").click()
    assert sight.page.locator("#known-hits h3").inner_text() == "space flight"


def test_labels_are_shown_as_they_are_written(show: Show) -> None:
    page = show(page_with(HOSTILE, "b" * 300)).page
    page.locator("#known-list button").first.click()
    assert page.locator("#known-hits h3").inner_text() == HOSTILE
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0
