"""A real browser for the tests of the page; the fixtures `browser` and `show` are made of it."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from weightscape.report.data import PageData
from weightscape.report.page import write_page

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
]


def no_browser(why: str) -> None:
    """Skip and say why; fail instead where a browser is required (as in CI)."""
    if os.environ.get("WEIGHTSCAPE_REQUIRE_BROWSER") == "1":
        pytest.fail(f"WEIGHTSCAPE_REQUIRE_BROWSER=1, but {why}")
    pytest.skip(f"the page was not tried in a browser: {why}")


@dataclass
class Sight:
    """An open page and all that it said and asked for."""

    page: Any
    troubles: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def chosen(self) -> str:
        """Tell the name in the panel's head, when every view marks that model."""
        name = self.page.locator("#panel h2 .name").inner_text()
        marked = self.page.locator('#forest [aria-selected="true"]').get_attribute("data-name")
        assert marked == name
        return str(name)

    def row(self, name: str) -> Any:
        return self.page.locator(f'#table tr[data-name="{name}"]')

    def names(self) -> list[str]:
        rows = self.page.locator("#table tr[data-name]")
        return [str(name) for name in rows.evaluate_all("rows => rows.map(r => r.dataset.name)")]


Show = Callable[..., Sight]


@contextmanager
def start_browser() -> Iterator[Any]:
    """Run Chromium, or skip where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        no_browser(f"none of {', '.join(names)} is installed")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        no_browser("playwright is not installed (pip install 'weightscape[dev]')")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield running
        running.close()


@contextmanager
def watch(browser: Any, folder: Path) -> Iterator[Show]:
    """Write and open a page; at the end nothing may have gone wrong or left the page."""
    opened: list[tuple[Any, Sight]] = []

    def open_page(
        data: PageData, *, width: int = 1280, height: int = 900, dark: bool = False, hash: str = ""
    ) -> Sight:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        sight = Sight(context.new_page())
        opened.append((context, sight))
        sight.page.on("console", lambda message: sight.troubles.append(message.text))
        sight.page.on("pageerror", lambda error: sight.troubles.append(str(error)))
        sight.page.on("dialog", lambda dialog: sight.troubles.append(f"dialog {dialog.message}"))
        sight.page.on("request", lambda request: sight.requests.append(request.url))
        sight.page.goto(write_page(data, folder / "index.html").as_uri() + hash)
        sight.page.wait_for_selector("html[data-ready]")
        return sight

    yield open_page
    for context, sight in opened:
        abroad = [url for url in sight.requests if not url.startswith(("data:", "blob:"))]
        assert len(abroad) == 1, abroad
        assert abroad[0].startswith("file:")
        assert sight.troubles == []
        context.close()
