"""`weightscape tune adapt --models M... --target T -o DIR`: models fine-tuned on few rows."""

import typer

from weightscape.cli import options, tune_options


def register(tune: typer.Typer) -> None:
    """Add this part of the verb."""
    tune.command("adapt", short_help="Fine-tune models on the target's few rows.")(adapt)


def adapt(
    more: tune_options.More = None,
    models: tune_options.Models = None,
    target: tune_options.Target = None,
    output: tune_options.Folder = None,
    base: options.OneBase = None,
    head: tune_options.Head = "drawn",
    method: tune_options.Method = "full",
    steps: tune_options.Steps = None,
    lr: tune_options.Rate = None,
    apart: tune_options.Apart = True,
    atlas: options.AtlasFolder = options.DEFAULT_ATLAS,
    seed: options.Seed = 0,
    device: options.Device = None,
    bf16: options.FastBf16 = None,
    trust_remote_code: options.TrustRemoteCode = False,
    trust_code: options.TrustCode = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fine-tune each model on the target's training rows, all from one initial head.

    Example:  weightscape tune adapt --models ./experts --target mine.yml -o ./adapted

    Some of the training rows are kept apart, for `tune search` to search weights on. Says how far
    the heads drifted apart. Stopped, the same command goes on where it was.
    """
    from weightscape.cli import (
        console,
        gather_tune,
        path_checks,
        path_work,
        start_work,
        tune_wanted,
        tune_words,
        tune_work,
    )

    named = [*(models or ()), *(more or ())]
    tune_wanted.check_models(named)
    target, output = tune_wanted.check_target(target), tune_wanted.check_folder(output)
    path_checks.check_choice("--head", head, tune_wanted.HEADS)
    training = tune_wanted.Training(method, steps, lr)
    training.check("--method")
    with path_work.atlas_if_any(atlas) as opened, console.progress(quiet or json) as progress:
        from weightscape.tuning.adapting import adapt as train

        sought = tune_work.find(named, base, opened, None)
        (task,) = path_work.load_tasks(
            [target], metric=None, trust_code=trust_code, progress=progress
        )
        made = train(
            [it.source for it in sought.group.ends],
            task,
            output,
            training.few_rows(task, start_work.in_bfloat16(bf16, device)),
            base=None if sought.base is None else sought.base.source,
            head=head,  # type: ignore[arg-type]  # checked
            apart=apart,
            seed=seed,
            progress=progress,
            **tune_work.loading(device, trust_remote_code),
        )
    answer = gather_tune.adaptation(made, output)
    if json:
        console.answer(answer)
    else:
        tune_words.print_adaptation(answer)
