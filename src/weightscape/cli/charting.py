"""What `chart` and `demo` share: add, write the page, gather the answer, print it."""

import sys
from collections.abc import Sequence
from pathlib import Path

from weightscape.answers import ChartAnswer
from weightscape.atlas import Atlas
from weightscape.atlas.bringing import Brought
from weightscape.cli import console, gather, summary
from weightscape.cli.places import as_typed
from weightscape.cli.raising import raise_file_limit
from weightscape.errors import BadInput
from weightscape.io import discover
from weightscape.progress import Progress
from weightscape.report.canvas import check_picture
from weightscape.report.collect import collect
from weightscape.report.page import write_page
from weightscape.report.plots import plot_overview


def chart_into(
    atlas: Atlas,
    paths: Sequence[Path],
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    bases: Sequence[Path] = (),
    verify: bool = False,
    memory: int,
    threads: int | None = None,
    seed: int = 0,
    plot: Path | None = None,
    brought: Sequence[Brought] = (),
    progress: Progress,
) -> ChartAnswer:
    """Add what lies under the paths, write the page, and gather all of it into one answer.

    brought: what was fetched to these paths, and what could not be.
    """
    raise_file_limit()
    report = atlas.add(
        paths,
        include=include,
        exclude=exclude,
        bases=bases,
        origins={path: place for one in brought for path, place in one.origins.items()},
        verify=verify,
        memory=memory,
        threads=threads,
        seed=seed,
        progress=progress,
    )
    if not (report.given or report.skipped) or not atlas.models():
        raise BadInput(nothing_found(paths, report.skipped))
    data = collect(atlas, recent=report.given, command=as_typed(sys.argv[1:]))
    page = write_page(data, atlas.folder / "index.html")
    if plot is not None:
        plot_overview(data, plot)
    return ChartAnswer(
        **gather.added(atlas, report, brought).model_dump(),
        tree=gather.tree(atlas),
        map=gather.region_map(atlas, atlas.maps()),
        page=str(page.resolve()),
    )


def check_plot(plot: Path | None) -> None:
    """Refuse a picture that cannot be drawn, before hours of reading for it."""
    if plot is not None:
        check_picture(plot)


def check_paths(
    paths: Sequence[Path], include: Sequence[str], exclude: Sequence[str], atlas: Path
) -> None:
    """Refuse filters that leave nothing, and paths without models, before an atlas is made.

    Raises BadInput.
    """
    if not (include or exclude):
        # beside an atlas that is there, once is enough
        if not (atlas.exists() or any(discover(paths))):
            raise BadInput(nothing_found(paths, ()))
        return
    if discover(paths, include=include, exclude=exclude)[0]:
        return
    names = [found.name for found in discover(paths)[0]]
    if names:
        some = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise BadInput(
            f"--include and --exclude leave none of the {len(names)} models found; "
            f"their names are {some} (capitals count)"
        )


def nothing_found(paths: Sequence[Path], skipped: Sequence[object]) -> str:
    """Say why there is nothing to chart."""
    where = ", ".join(str(path) for path in paths)
    if skipped:
        return (
            f"no model could be read in {where}; skipped: "
            + "; ".join(
                f"{it.path}: {it.reason}"  # type: ignore[attr-defined]
                for it in skipped[:5]
            )
        )
    return (
        f"no model found in {where}; a model is a folder with weights (.safetensors, .bin, .pt), "
        "a LoRA adapter's folder, or a lone weights file"
    )


def print_chart(answer: ChartAnswer, *, verified: bool = False, quiet: bool = False) -> None:
    """Print the summary: forest, regions, undecided and skipped models, the page."""
    out, err = console.out(), console.err()
    out.print(summary.headline(answer), style="bold")
    out.print()
    summary.print_forest(out, answer.tree)
    out.print()
    summary.print_regions(out, answer.map)
    summary.print_undecided(out, answer.tree)
    out.print()
    if not quiet:
        summary.print_fetched(err, answer)
        summary.print_reading(err, answer, verified)
    summary.print_skipped(err, answer.skipped)
    out.print(f"page: {console.printable(answer.page)}", markup=False, soft_wrap=True)


def show_page(answer: ChartAnswer) -> None:
    """Open the page in a browser, where there is a screen to show one on."""
    import os
    import webbrowser

    # a text browser would take the terminal over
    screen = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if screen:
        webbrowser.open(Path(answer.page).as_uri())
