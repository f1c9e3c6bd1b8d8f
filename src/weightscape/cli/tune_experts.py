"""`weightscape tune experts --base B --sources S... -o DIR`: one expert a source task."""

from typing import Annotated

import typer

from weightscape.cli import options, tune_options


def register(tune: typer.Typer) -> None:
    """Add this part of the verb."""
    tune.command("experts", short_help="Fine-tune a base on each of several tasks.")(experts)


def experts(
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[SOURCE...]", help="More source tasks.")
    ] = None,
    base: tune_options.Base = None,
    sources: tune_options.Sources = None,
    output: tune_options.Folder = None,
    method: tune_options.Method = "full",
    steps: Annotated[int, typer.Option("--steps", help="Of each fine-tuning.")] = 100,
    lr: tune_options.Rate = None,
    near: tune_options.Near = 0.8,
    atlas: options.AtlasFolder = options.DEFAULT_ATLAS,
    seed: options.Seed = 0,
    device: options.Device = None,
    bf16: options.FastBf16 = None,
    trust_remote_code: options.TrustRemoteCode = False,
    trust_code: options.TrustCode = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make one expert of each source task, in a folder of its own; those that are there stay.

    Example:  weightscape tune experts --base ./base --sources trec6 --sources a.yml -o ./experts

    Says how alike the experts are, and warns of two that are nearly the same. Stopped, the same
    command goes on where it was.
    """
    from weightscape.cli import (
        console,
        gather_tune,
        path_work,
        start_work,
        tune_wanted,
        tune_words,
        tune_work,
    )

    base, output = tune_wanted.check_base(base), tune_wanted.check_folder(output)
    sources = tune_wanted.check_sources([*(sources or ()), *(more or ())])
    training = tune_wanted.Training(method, steps, lr)
    how = training.expert(start_work.in_bfloat16(bf16, device))
    with path_work.atlas_if_any(atlas) as opened, console.progress(quiet or json) as progress:
        from weightscape.tuning.experts import make_experts

        (root,) = path_work.find_models([base], opened)
        tasks = path_work.load_tasks(sources, metric=None, trust_code=trust_code, progress=progress)
        made = make_experts(
            root.source,
            tasks,
            output,
            how,
            near=near,
            seed=seed,
            progress=progress,
            **tune_work.loading(device, trust_remote_code),
        )
    answer = gather_tune.experts(made, output)
    if json:
        console.answer(answer)
    else:
        tune_words.print_experts(answer)
