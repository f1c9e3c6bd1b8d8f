"""What the page carries: safe in HTML, complete, compact."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weightscape.report.data import (
    Neighbour,
    PageData,
    PageEdge,
    PageHeat,
    PageModel,
    PageRegion,
    PageSkipped,
)
from weightscape.report.page import render_page, write_page
from weightscape.report.payload import embed_json


def model(name: str, **more: Any) -> PageModel:
    return PageModel(name, f"/models/{name}", "family", "tree", **more)


def page(*models: PageModel, **more: Any) -> PageData:
    return PageData("models", "2026-01-01", "0.1", "weightscape chart models", models, **more)


class Scripts(HTMLParser):
    """The attributes and the text of a page's scripts, as an HTML parser sees them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.tags: set[str] = set()
        self._inside: dict[str, str | None] | None = None
        self._text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "script":
            self._inside, self._text = dict(attrs), ""

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "script" and self._inside is not None:
            self.scripts.append((self._inside, self._text))
            self._inside = None


def carried(data: PageData) -> dict[str, Any]:
    scripts = Scripts(render_page(data)).scripts
    return dict(json.loads(next(text for attrs, text in scripts if attrs.get("id") == "atlas")))


@settings(deadline=None, max_examples=60)
@given(st.recursive(st.text() | st.integers() | st.none(), st.lists, max_leaves=8))
def test_embedded_json_reads_back_and_cannot_leave_its_element(value: Any) -> None:
    written = embed_json({"value": value})
    assert json.loads(written) == {"value": value}
    assert not set(written) & set("<>&'\u2028\u2029")


@settings(deadline=None, max_examples=15)
@given(st.text(min_size=1), st.text())
def test_any_name_and_reason_survive_as_text(name: str, reason: str) -> None:
    data = page(model(name, facts={reason: name}), skipped=(PageSkipped(name, reason),))
    parsed = Scripts(render_page(data))
    assert len(parsed.scripts) == 3
    assert "img" not in parsed.tags
    clean = name.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert carried(data)["models"][0]["name"] == clean


def test_markup_in_names_is_escaped_everywhere() -> None:
    bad = "</script><img src=x onerror=alert(1)>"
    data = page(
        model(bad, task=bad, scores={bad: 1.0}),
        edges=(PageEdge(bad, bad, bad, 0.5, (bad,)),),
        regions=(PageRegion(bad, (bad,), bad),),
        skipped=(PageSkipped(bad, bad),),
        notes=(bad,),
    )
    html = render_page(data)
    assert bad not in html
    assert "img" not in Scripts(html).tags


def test_numbers_that_json_lacks_become_null() -> None:
    data = page(
        model("a", x=float("nan"), y=0.0, scores={"loss": float("inf")}),
        model("b", neighbours=(Neighbour("a", float("nan"), None),)),
        edges=(PageEdge("a", "b", "full", float("nan")),),
    )
    one, two = carried(data)["models"]
    assert one["at"] is None
    assert one["scores"] == {"loss": None}
    assert two["edges"][0][2] is None
    assert two["near"] == [[0, None, None]]


def test_cosines_are_kept_to_three_decimals_with_their_holes() -> None:
    cosines = np.array([[1.0, 0.12345, np.nan], [0.12345, 1.0, -0.5], [np.nan, -0.5, 1.0]])
    data = page(
        model("a"), model("b"), model("c"), heats=(PageHeat("t", ("b", "a", "c"), cosines),)
    )
    heat = carried(data)["heats"][0]
    assert heat["models"] == [1, 0, 2]
    assert heat["rows"] == [[1000, 123, None], [1000, -500], [1000]]


def test_names_outside_the_atlas_are_kept_as_names() -> None:
    data = page(
        model("child"),
        edges=(PageEdge("hub/base", "child", "lora", 0.8),),
        regions=(PageRegion("region:gone", ("gone", "child"), "gone"),),
    )
    payload = carried(data)
    assert payload["models"][0]["edges"][0][0] == "hub/base"
    assert payload["models"][0]["parent"] is None
    assert payload["regions"][0]["members"] == [0]
    assert payload["regions"][0]["medoid"] == "gone"


def test_page_asks_no_one(tmp_path: Path) -> None:
    html = write_page(page(model("a")), tmp_path / "deep" / "index.html").read_text("utf-8")
    own = html[: html.index("plotly.js v")]
    assert "default-src &#39;none&#39;" in own
    assert 'src="' not in own
    assert "url(" not in own


def test_page_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = write_page(page(model("a")), tmp_path / "index.html")
    before = target.read_bytes()

    def full_disk(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("weightscape.report.page.os.fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_page(page(model("b")), target)
    assert target.read_bytes() == before
    assert list(tmp_path.iterdir()) == [target]
