"""`weightscape tune run --base B --sources S... --target T -o OUT`: the whole method."""

from typing import Annotated

import typer

from weightscape.cli import tune_options
from weightscape.cli.spread import spread
from weightscape.cli.tune_question import Question


def register(tune: typer.Typer) -> None:
    """Add this part of the verb."""
    tune.command("run", short_help="Make experts, adapt them, search their weights.")(run)


@spread
def run(
    base: tune_options.Base = None,
    sources: tune_options.Sources = None,
    target: tune_options.Target = None,
    output: tune_options.Output = None,
    with_base: Annotated[
        bool, typer.Option("--with-base", help="Blend the base, adapted to the target, too.")
    ] = False,
    near: tune_options.Near = 0.8,
    add: Annotated[
        bool,
        typer.Option("--add/--no-add", help="Put what is made into the atlas, if there is one."),
    ] = True,
    how: Question = Question(),
) -> None:
    """Make experts of source tasks, adapt them to a target of few rows, and blend them.

    Example:  weightscape tune run --base ./base --sources a --sources b --target mine.yml -o ./out

    The three parts are `tune experts`, `tune adapt` and `tune search`; what is made on the way is
    in OUT.parts. Stopped, the same command goes on where it was.
    """
    from weightscape.cli import console, path_work, tune_wanted, tune_words, tune_work

    base, output = tune_wanted.check_base(base), tune_wanted.check_folder(output)
    sources = tune_wanted.check_sources(sources)
    tune_wanted.check_several(sources, with_base)
    target = tune_wanted.check_target(target)
    wanted, budget = how.check(output)
    silent = how.quiet or how.json
    with path_work.atlas_if_any(how.atlas) as opened, console.progress(silent) as progress:
        (root,) = path_work.find_models([base], opened)
        asked = tune_work.ask(
            root.label, [root], [target, *sources], wanted, how.out, how.atlas, [with_base, near]
        )
        study = how.study or asked.key
        result = tune_work.run(
            root,
            tune_work.load(target, sources, wanted, how.trust_code, progress),
            wanted,
            budget,
            out=output,
            refit=how.refit,
            place=tune_work.Place(asked, study, opened),
            progress=progress,
            with_base=with_base,
            near=near,
            device=how.device,
            trust_remote_code=how.trust_remote_code,
        )
        if add:
            tune_work.add_made(result, root, opened, how.seed, progress)
        models = tune_work.made_models(result, opened)
        answer, page = tune_work.finish(result, models, asked, study, opened, how.plot or ())
    if how.json:
        console.answer(answer)
    else:
        tune_words.print_tune(answer, page)
