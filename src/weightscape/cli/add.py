"""`weightscape add PATH...`: put checkpoints into the atlas without drawing anything."""

import typer

from weightscape.cli import options


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("add", short_help="Put checkpoints into the atlas, without summary or page.")(add)


def add(
    paths: options.Places,
    atlas: options.AtlasFolder = options.DEFAULT_ATLAS,
    include: options.Include = None,
    exclude: options.Exclude = None,
    base: options.Base = None,
    download: options.Download = False,
    verify: options.Verify = False,
    memory: options.Memory = "2GiB",
    threads: options.Threads = None,
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Add checkpoints to the atlas; `chart` without the summary and the page.

    Example:  weightscape add ~/checkpoints/new-run
    """
    from weightscape.atlas import Atlas
    from weightscape.cli import console, gather, summary
    from weightscape.cli.charting import check_paths, nothing_found
    from weightscape.cli.places import bring_here, locate_all
    from weightscape.cli.raising import raise_file_limit
    from weightscape.errors import BadInput

    room = options.parse_size(memory)
    places = locate_all(paths)
    base_places = locate_all(base or ())
    with console.progress(quiet or json) as progress:
        brought = bring_here(places, atlas=atlas, whole=download, progress=progress)
        under = bring_here(base_places, atlas=atlas, whole=download, progress=progress)
    check_paths(brought.paths, include or (), exclude or (), atlas)
    raise_file_limit()
    with Atlas(atlas) as opened, console.progress(quiet or json) as progress:
        report = opened.add(
            brought.paths,
            include=include or (),
            exclude=exclude or (),
            bases=under.paths,
            origins={**under.origins, **brought.origins},
            verify=verify,
            memory=room,
            threads=threads,
            seed=seed,
            progress=progress,
        )
        answer = gather.added(opened, report, (under, brought))
    if not answer.given and not answer.skipped:
        raise BadInput(nothing_found(brought.paths, ()))
    if json:
        console.answer(answer)
    else:
        known = len(answer.given) - len(answer.new)
        console.out().print(
            f"{summary.plural(len(answer.new), 'new model')}, {known} known already",
            markup=False,
        )
        for name in answer.new:
            console.out().print(f"  {console.printable(name)}", markup=False, soft_wrap=True)
        if not quiet:
            summary.print_fetched(console.err(), answer)
        summary.print_skipped(console.err(), answer.skipped)
    if answer.skipped:
        raise typer.Exit(3)
