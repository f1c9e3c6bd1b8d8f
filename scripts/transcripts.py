"""Run the commands that README.md and docs/ show, on a real zoo, and write down what they print.

    python scripts/transcripts.py demo/zoo [--no-pictures]

A shown command stands in a comment, and what it printed between that and the next:

    <!-- run: weightscape near vader_tweets-1 -->
    <!-- end -->

Commands run in the order of PAGES, in a folder that has the zoo as `demo/zoo` and 60 film reviews
as `mine.csv`, and nothing else; one that is shown twice runs once. What they say on stdout is kept
(with `notes of:` in place of `run:`, the last line of stderr), with that folder written as
`~/work`.
"""

import argparse
import csv
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    "README.md",
    *(f"docs/{page}.md" for page in "quickstart chart tree map near catalog".split()),
)
BLOCK = re.compile(r"<!-- (?P<what>run|notes of): (?P<command>.+?) -->\n.*?<!-- end -->", re.DOTALL)
COLUMNS = 96
FINE = (0, 3)  # 3: something was skipped


def rewrite(page: str, outputs: dict[tuple[str, str], str], folder: Path, zoo: Path) -> str:
    """Return a page with its transcripts made anew; commands already run are in `outputs`."""

    def block(match: re.Match[str]) -> str:
        what, command = match["what"], match["command"]
        if (what, command) not in outputs:
            stdout, stderr = run(command, folder, zoo)
            outputs[what, command] = stdout if what == "run" else stderr.splitlines()[-1]
        shown = f"```console\n$ {command}\n{outputs[what, command]}\n```"
        return f"<!-- {what}: {command} -->\n{shown}\n<!-- end -->"

    return BLOCK.sub(block, page)


def run(command: str, folder: Path, zoo: Path) -> tuple[str, str]:
    """Run one shell command and return what it printed; stops where it fails."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "COLUMNS": str(COLUMNS)}
    done = subprocess.run(
        ["sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True
    )
    # in a pipe into `head` the exit code is head's: printing nothing is failing too
    if done.returncode not in FINE or not done.stdout:
        sys.exit(f"{command} failed with exit code {done.returncode}:\n{done.stderr}")
    return tidy(done.stdout, folder, zoo), tidy(done.stderr, folder, zoo)


def tidy(printed: str, folder: Path, zoo: Path) -> str:
    """Name no path of this machine, and end no line in spaces."""
    printed = printed.replace(str(zoo), "~/work/demo/zoo").replace(str(folder), "~/work")
    return "\n".join(line.rstrip() for line in printed.strip("\n").splitlines())


def draw(folder: Path, zoo: Path) -> None:
    """Make the pictures: the overview by --plot, the page as a browser shows it."""
    images = ROOT / "docs" / "images"
    images.mkdir(exist_ok=True)
    run(f"weightscape chart demo/zoo --plot '{images / 'overview.png'}'", folder, zoo)
    photograph(folder / "atlas" / "index.html", images / "page.png")
    photograph(folder / "atlas" / "index.html", images / "knowledge.png", search="hockey")


def photograph(page: Path, picture: Path, *, search: str = "") -> None:
    """Photograph the page in the system's Chromium, 1280 pixels wide.

    search: what to type into the search by knowledge, whose card alone is taken then.
    """
    import shutil

    from playwright.sync_api import sync_playwright

    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if browser_path is None:
        print(f"no Chromium here: {picture.name} stays as it is", file=sys.stderr)
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.goto(page.as_uri())
        tab.wait_for_timeout(1500)
        if search:
            tab.locator("#known-search").fill(search)
            tab.wait_for_timeout(500)
            tab.locator("#known-card").screenshot(path=picture)
        else:
            tab.screenshot(path=picture)
        browser.close()


def write_reviews(file: Path, count: int = 60) -> None:
    """Write labelled film reviews of a packaged task that no model of the zoo was trained on."""
    from weightscape import load_task

    task = load_task("rt_polarity")
    with file.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["text", "label"])
        for example in task.rows("train")[:count]:
            rows.writerow([example.inputs, task.labels[int(example.target)]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("zoo", type=Path, help="folder of the models that the pages talk about")
    parser.add_argument("--no-pictures", action="store_true", help="leave docs/images alone")
    given = parser.parse_args()
    zoo = given.zoo.resolve()
    outputs: dict[tuple[str, str], str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve()
        (folder / "demo").mkdir()
        (folder / "demo" / "zoo").symlink_to(zoo, target_is_directory=True)
        write_reviews(folder / "mine.csv")
        for name in PAGES:
            page = ROOT / name
            page.write_text(rewrite(page.read_text(), outputs, folder, zoo))
            print(f"wrote {name}")
        if not given.no_pictures:
            draw(folder, zoo)


if __name__ == "__main__":
    main()
