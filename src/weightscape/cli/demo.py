"""`weightscape demo`: a small zoo of real models, made, charted and shown."""

from pathlib import Path
from typing import Annotated

import typer

from weightscape.cli import options


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("demo", short_help="Make a small zoo of real models, chart it, open the page.")(
        demo
    )


def demo(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where the zoo and its atlas go.")
    ] = Path("demo"),
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Processes that train, one thread each.")
    ] = 2,
    seed: options.Seed = 0,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page, if there is a browser.")
    ] = True,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fine-tune a real base on real tasks, chart what came out, and open the page.

    Example:  weightscape demo

    Takes minutes the first time and seconds after that: stopped and started again, it goes on
    where it was. Everything lies in DIR: the models in DIR/zoo, the atlas in DIR/atlas.
    """
    from weightscape.answers import DemoAnswer
    from weightscape.atlas import Atlas
    from weightscape.cli import console
    from weightscape.cli.charting import chart_into, print_chart, show_page
    from weightscape.geometry.gram import DEFAULT_MEMORY
    from weightscape.zoo.text import estimate, make_text_zoo

    zoo, atlas = folder / "zoo", folder / "atlas"
    with console.progress(quiet or json) as progress:
        if not (zoo / "truth.json").is_file():
            progress.note(
                f"making {estimate('demo', workers=workers, seed=seed).sentence()}; "
                "stop it at any time, the same command goes on"
            )
        make_text_zoo(zoo, preset="demo", workers=workers, seed=seed, progress=progress)
        with Atlas(atlas) as opened:
            answer = chart_into(opened, [zoo], memory=DEFAULT_MEMORY, seed=seed, progress=progress)
    if json:
        console.answer(DemoAnswer(**answer.model_dump(), zoo=str(zoo.resolve())))
    else:
        print_chart(answer, quiet=quiet)
        console.note(
            "these models hide where they came from: compare with "
            f"{zoo / 'truth.json'}, which nobody read"
        )
        console.note(f"now try: weightscape show trec6-1 --atlas {atlas}")
    if open_page:
        show_page(answer)
