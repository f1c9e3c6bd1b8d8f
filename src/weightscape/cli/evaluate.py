"""`weightscape evaluate MODEL... --task T`: how well models do a task."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from weightscape.cli import options

if TYPE_CHECKING:
    from weightscape.answers_tasks import EvaluateAnswer, ScoredModelAnswer
    from weightscape.tasks.task import Task

SPLITS = ("train", "validation", "test")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("evaluate", short_help="How well models do a task.")(evaluate)


def evaluate(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Folders, names in the atlas, hub ids.")
    ],
    task: Annotated[
        str, typer.Option("--task", metavar="T", help="A task file, a packaged task, or data.")
    ],
    split: Annotated[
        str, typer.Option("--split", metavar="NAME", help="train, validation or test.")
    ] = "test",
    rows: options.Rows = "all",
    head: Annotated[
        str,
        typer.Option("--head", metavar="NAME", help="own, or probe: a linear head fitted anew."),
    ] = "own",
    batch: Annotated[int, typer.Option("--batch", min=1, help="Rows at once.")] = 64,
    atlas: options.AtlasFolder = options.DEFAULT_ATLAS,
    bf16: options.Bf16 = False,
    device: options.Device = None,
    factory: options.Factory = None,
    trust_remote_code: options.TrustRemoteCode = False,
    trust_code: options.TrustCode = False,
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Evaluate models on a task: mean loss and metrics, with 95 % bootstrap intervals over rows.

    Example:  weightscape evaluate ./model-a ./model-b --task reviews.yml --rows 500

    Own heads count where they were made for the task's labels; --head probe needs none.
    """
    from weightscape.cli import console, path_checks, path_work

    path_checks.check_choice("--split", split, SPLITS)
    path_checks.check_choice("--head", head, ("own", "probe"))
    limit = path_checks.parse_rows("--rows", rows)
    with console.progress(quiet or json) as progress:
        (data,) = path_work.load_tasks(
            [task], metric=None, trust_code=trust_code, progress=progress
        )
        data.rows(split)
        with path_work.atlas_if_any(atlas) as opened:
            found = path_work.find_models(models, opened)

        from weightscape.answers_tasks import EvaluateAnswer
        from weightscape.tasks.models import load_model

        scored = []
        for end in found:
            model = load_model(
                end.source,
                data,
                factory=factory,
                init_seed=seed,
                trust_remote_code=trust_remote_code,
                device=device,
            )
            how = {"split": split, "limit": limit, "batch": batch, "autocast": _dtype(bf16)}
            score = _probed if head == "probe" else _own
            scored.append(score(end.given, model, data, seed=seed, progress=progress, **how))
            del model  # two large models may not fit in memory together
    answer = EvaluateAnswer(task=data.name, split=split, head=head, models=scored)
    if json:
        console.answer(answer)
    else:
        _print(answer)


def _own(source: str, model: Any, task: "Task", *, seed: int, **how: Any) -> "ScoredModelAnswer":
    from weightscape.errors import BadInput
    from weightscape.tasks import evaluate as evaluation
    from weightscape.tasks.label_order import stored_labels
    from weightscape.tasks.labels import listed

    if model.drawn or (model.labels is not None and model.labels != task.labels):
        told = model.labels or (model.folder and stored_labels(model.folder))
        has = f"a head for {listed(told)}" if told else "no head for them"
        raise BadInput(
            f"{source}: task {task.name!r} has the labels {listed(task.labels)}, but the "
            f"model has {has}; fine-tune it, or take --head probe"
        )
    found = evaluation.evaluate(model, task, **how)
    return _answer(source, found, task, how["split"], seed)


def _probed(source: str, model: Any, task: "Task", *, seed: int, **how: Any) -> "ScoredModelAnswer":
    from weightscape.tasks.probe import linear_probe

    found = linear_probe(model, task, seed=seed, **how).evaluation
    return _answer(source, found, task, how["split"], seed)


def _answer(source: str, found: Any, task: "Task", split: str, seed: int) -> "ScoredModelAnswer":
    from weightscape.answers_tasks import ScoredModelAnswer
    from weightscape.tasks.intervals import evaluation_intervals

    intervals = evaluation_intervals(found, task, split=split, seed=seed)
    return ScoredModelAnswer(
        model=source,
        rows=len(found.rows),
        loss=found.loss,
        metrics=dict(found.metrics),
        intervals=intervals,
    )


def _dtype(bf16: bool) -> Any:
    import torch

    return torch.bfloat16 if bf16 else None


def _print(answer: "EvaluateAnswer") -> None:
    from weightscape.cli import console

    metrics = list(answer.models[0].metrics)
    names = list(dict.fromkeys(["loss", *metrics]))  # the loss may be one of the metrics

    def cell(one: "ScoredModelAnswer", name: str) -> str:
        value = one.loss if name == "loss" else one.metrics[name]
        if value is None:
            return "undefined"
        low, high = one.intervals.get(name, (None, None))
        return f"{value:.4f}" + ("" if low is None else f" ({low:.3f} to {high:.3f})")

    rows = [(one.model, *(cell(one, name) for name in names), one.rows) for one in answer.models]
    columns = ("model", *names, "rows")
    console.out().print(console.table(columns, rows, right=" ".join((*names, "rows"))))
    console.note(f"{answer.head} head, {answer.split} split of {answer.task}; 95 % intervals")
