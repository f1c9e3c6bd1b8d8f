"""What the page carries of what models know: by index, bounded, and nothing where nothing is."""

from weightscape.report.data import PageData, PageExpert, PageKnown, PageLabel, PageModel
from weightscape.report.page import render_page
from weightscape.report.search_payload import search_payload


def page(known: PageKnown | None) -> PageData:
    models = tuple(PageModel(name, "/m", "f", "t") for name in ("a", "b"))
    return PageData("t", "now", "0", "c", models, known=known)


def test_labels_lead_to_models_by_their_places() -> None:
    known = PageKnown(
        (PageExpert("tree", "layer", 2, {"label_auc": 0.9}),),
        (PageLabel("drum", "a drum", 1, (("b", 0.9512, True), ("gone", 0.9, False))),),
        {"b": (("drum", 0.9512), ("elsewhere", 0.3)), "gone": ()},
    )
    assert search_payload(page(known)) == {
        "experts": [["tree", "layer", 2, None, 90.0]],
        "labels": [["drum", "a drum", 1, [[1, 95.1, 1]]]],
        "models": {1: [[0, 95.1], ["elsewhere", 30.0]]},
    }
    assert 'id="known-search"' in render_page(page(known))


def test_a_page_without_experts_has_no_search_by_knowledge() -> None:
    assert search_payload(page(None)) is None
    assert 'id="known-search"' not in render_page(page(None))
