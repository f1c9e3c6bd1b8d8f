"""`weightscape tune search --models M... --target T -o OUT`: search the weights of models."""

import typer

from weightscape.cli import options, tune_options


def register(tune: typer.Typer) -> None:
    """Add this part of the verb."""
    tune.command("search", short_help="Search the weights of models, write the blend.")(search)


def search(
    more: tune_options.More = None,
    models: tune_options.Models = None,
    target: tune_options.Target = None,
    output: tune_options.Output = None,
    base: options.OneBase = None,
    sources: tune_options.Sources = None,
    apart: tune_options.Apart = True,
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
    workers: tune_options.Workers = 1,
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
    """Search the weights that blend models into the best one for a task, and write the blend.

    Example:  weightscape tune search --models ./adapted --target mine.yml -o ./blend

    The models must answer the task already (`tune adapt` makes them so). Weights are searched on
    one part of the development rows and chosen on another; the test split only tells the result.
    Stopped, the same command goes on where it was.
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

    named = [*(models or ()), *(more or ())]
    tune_wanted.check_models(named)
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
        apart=apart,
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
    budget = tune_wanted.Budget(evaluations, minutes, workers)
    tune_wanted.check(wanted, budget)
    with path_work.atlas_if_any(atlas) as opened, console.progress(quiet or json) as progress:
        sought = tune_work.find(named, base, opened, output, space)
        given = [target, *(sources or ())]
        asked = tune_work.ask(sought.group.title, sought.everyone, given, wanted, out, atlas)
        result = tune_work.search(
            sought,
            tune_work.load(target, sources, wanted, trust_code, progress),
            wanted,
            budget,
            out=output,
            place=tune_work.Place(asked, study or asked.key, opened),
            progress=progress,
            device=device,
            trust_remote_code=trust_remote_code,
        )
        answer, page = tune_work.finish(
            result, sought.group.ends, asked, study or asked.key, opened, plot or ()
        )
    if json:
        console.answer(answer)
    else:
        tune_words.print_tune(answer, page)
