"""`weightscape tune run --base B --sources S... --target T -o OUT`: the whole method."""

from typing import Annotated

import typer

from weightscape.cli import options, tune_options


def register(tune: typer.Typer) -> None:
    """Add this part of the verb."""
    tune.command("run", short_help="Make experts, adapt them, search their weights.")(run)


def run(
    base: tune_options.Base = None,
    sources: tune_options.Sources = None,
    target: tune_options.Target = None,
    output: tune_options.Output = None,
    with_base: Annotated[
        bool, typer.Option("--with-base", help="Blend the base, adapted to the target, too.")
    ] = False,
    near: tune_options.Near = 0.8,
    space: tune_options.Space = "simplex",
    low: tune_options.Low = -1.5,
    high: tune_options.High = 1.5,
    l1: tune_options.L1 = 0.0,
    per_layer: tune_options.PerLayer = False,
    sampler: tune_options.Sampler = None,
    evaluations: tune_options.Evaluations = None,
    minutes: tune_options.Minutes = None,
    race_error: tune_options.RaceError = 0.05,
    surrogate: tune_options.Surrogate = True,
    choice: tune_options.Choice = True,
    baselines: tune_options.Baselines = "all",
    study: tune_options.Study = None,
    rows: tune_options.DevRows = "all",
    test_rows: tune_options.TestRows = "1000",
    head: tune_options.Head = "drawn",
    method: tune_options.Method = "full",
    steps: tune_options.Steps = None,
    lr: tune_options.Rate = None,
    expert_method: tune_options.ExpertMethod = "full",
    expert_steps: tune_options.ExpertSteps = 100,
    expert_lr: tune_options.ExpertRate = None,
    metric: options.Metric = None,
    out: options.Out = None,
    atlas: options.AtlasFolder = options.DEFAULT_ATLAS,
    add: Annotated[
        bool,
        typer.Option("--add/--no-add", help="Put what is made into the atlas, if there is one."),
    ] = True,
    seed: options.Seed = 0,
    score_batch: options.ScoreBatch = 64,
    device: options.Device = None,
    bf16: options.FastBf16 = None,
    trust_remote_code: options.TrustRemoteCode = False,
    trust_code: options.TrustCode = False,
    plot: options.Plots = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make experts of source tasks, adapt them to a target of few rows, and blend them.

    Example:  weightscape tune run --base ./base --sources a --sources b --target mine.yml -o ./out

    The three parts are `tune experts`, `tune adapt` and `tune search`; what is made on the way is
    in OUT.parts. Stopped, the same command goes on where it was.
    """
    from weightscape.cli import (
        console,
        path_checks,
        path_work,
        start_work,
        tune_wanted,
        tune_words,
        tune_work,
    )

    base, output = tune_wanted.check_base(base), tune_wanted.check_folder(output)
    sources = tune_wanted.check_sources(sources)
    tune_wanted.check_several(sources, with_base)
    target = tune_wanted.check_target(target)
    path_checks.check_plots(plot)
    path_checks.check_output("--out", out)
    path_checks.check_output("--output", output)
    wanted = tune_wanted.Wanted(
        space=space,
        low=low,
        high=high,
        l1=l1,
        per_layer=per_layer,
        sampler=sampler,
        race_error=race_error,
        surrogate=surrogate,
        choice=choice,
        apart=True,
        baselines=tune_wanted.parse_baselines(baselines),
        rows=path_checks.parse_rows("--rows", rows),
        test_rows=path_checks.parse_rows("--test-rows", test_rows),
        head=head,
        target=tune_wanted.Training(method, steps, lr),
        expert=tune_wanted.Training(expert_method, expert_steps, expert_lr),
        metric=metric,
        seed=seed,
        batch=score_batch,
        bf16=start_work.in_bfloat16(bf16, device),
        chosen=bf16 is None,
    )
    budget = tune_wanted.Budget(evaluations, minutes)
    tune_wanted.check(wanted, budget)
    with path_work.atlas_if_any(atlas) as opened, console.progress(quiet or json) as progress:
        (root,) = path_work.find_models([base], opened)
        asked = tune_work.ask(
            root.label, [root], [target, *sources], wanted, out, atlas, [with_base, near]
        )
        result = tune_work.run(
            root,
            tune_work.load(target, sources, wanted, trust_code, progress),
            wanted,
            budget,
            out=output,
            place=tune_work.Place(asked, study or asked.key, opened),
            progress=progress,
            with_base=with_base,
            near=near,
            device=device,
            trust_remote_code=trust_remote_code,
        )
        if add:
            tune_work.add_made(result, root, opened, seed, progress)
        answer, page = tune_work.finish(
            result,
            tune_work.made_models(result, opened),
            asked,
            study or asked.key,
            opened,
            plot or (),
        )
    if json:
        console.answer(answer)
    else:
        tune_words.print_tune(answer, page)
