"""`weightscape tune search --models M... --target T -o OUT`: search the weights of models."""

import typer

from weightscape.cli import options, tune_options
from weightscape.cli.spread import spread
from weightscape.cli.tune_question import Question


def register(tune: typer.Typer) -> None:
    """Add this part of the verb."""
    tune.command("search", short_help="Search the weights of models, write the blend.")(search)


@spread
def search(
    more: tune_options.More = None,
    models: tune_options.Models = None,
    target: tune_options.Target = None,
    output: tune_options.Output = None,
    base: options.OneBase = None,
    sources: tune_options.Sources = None,
    apart: tune_options.Apart = True,
    workers: tune_options.Workers = 1,
    how: Question = Question(),
) -> None:
    """Search the weights that blend models into the best one for a task, and write the blend.

    Example:  weightscape tune search --models ./adapted --target mine.yml -o ./blend

    The models must answer the task already (`tune adapt` makes them so). Weights are searched on
    one part of the development rows and chosen on another; the test split only tells the result.
    Stopped, the same command goes on where it was.
    """
    from weightscape.cli import console, path_work, tune_wanted, tune_words, tune_work

    named = [*(models or ()), *(more or ())]
    tune_wanted.check_models(named)
    target = tune_wanted.check_target(target)
    wanted, budget = how.check(output, apart, workers)
    silent = how.quiet or how.json
    with path_work.atlas_if_any(how.atlas) as opened, console.progress(silent) as progress:
        sought = tune_work.find(named, base, opened, output, how.space)
        given = [target, *(sources or ())]
        asked = tune_work.ask(
            sought.group.title, sought.everyone, given, wanted, how.out, how.atlas
        )
        study = how.study or asked.key
        result = tune_work.search(
            sought,
            tune_work.load(target, sources, wanted, how.trust_code, progress),
            wanted,
            budget,
            out=output,
            refit=how.refit,
            place=tune_work.Place(asked, study, opened),
            progress=progress,
            device=how.device,
            trust_remote_code=how.trust_remote_code,
        )
        ends = sought.group.ends
        answer, page = tune_work.finish(result, ends, asked, study, opened, how.plot or ())
    if how.json:
        console.answer(answer)
    else:
        tune_words.print_tune(answer, page)
