"""`weightscape zoo KIND DIR`: make a sample population whose truth is known."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weightscape.cli import options

if TYPE_CHECKING:
    from weightscape.zoo.truth import Truth

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder to fill.")]
Declare = Annotated[
    bool, typer.Option("--declare", help="Let models name their parents in provenance.json.")
]


def register(app: typer.Typer) -> None:
    """Add the verb and its kinds."""
    zoo = typer.Typer(
        name="zoo",
        help="Make a sample population with its truth (truth.json).\n\n"
        "Example:  weightscape zoo digits ./zoo",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    zoo.command("text")(text)
    zoo.command("digits")(digits)
    zoo.command("probes")(probes)
    app.add_typer(zoo)


def text(
    folder: Folder,
    preset: Annotated[
        str, typer.Option("--preset", metavar="NAME", help="full, demo or small.")
    ] = "full",
    tasks: Annotated[
        str | None, typer.Option("--tasks", metavar="A,B,...", help="Names of text tasks.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="Fine-tunes of the base a task.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=2, help="Training steps a model.")
    ] = None,
    freeze_embeddings: Annotated[
        bool | None,
        typer.Option("--freeze-embeddings/--train-embeddings", help="Leave the embeddings alone."),
    ] = None,
    small: Annotated[bool, typer.Option("--small", help="Short for --preset small.")] = False,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Processes, of one thread each.")
    ] = 2,
    declare: Declare = False,
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fine-tune a real base model on real text tasks, several seeds each, and special models.

    Example:  weightscape zoo text ./zoo --small

    Stopped and started again, it goes on where it was; started twice, the two share the work.
    """
    from weightscape.cli import console
    from weightscape.zoo.text import estimate, make_text_zoo

    preset = "small" if small else preset
    changes = {
        "tasks": tuple(name.strip() for name in tasks.split(",")) if tasks else None,
        "seeds": seeds,
        "steps": steps,
        "freeze_embeddings": freeze_embeddings,
        "declare": declare,
        "seed": seed,
    }
    with console.progress(quiet or json) as progress:
        taken = estimate(preset, workers=workers, **changes)
        progress.note(f"making {taken.sentence()}")
        truth = make_text_zoo(folder, preset=preset, workers=workers, progress=progress, **changes)
    _answer(truth, folder, json)


def digits(
    folder: Folder,
    models: Annotated[
        int, typer.Option("--models", min=2, help="Fine-tuned models, beside bases and specials.")
    ] = 24,
    shape: Annotated[
        str,
        typer.Option("--shape", metavar="NAME", help="star, chain, balanced, lopsided or random."),
    ] = "star",
    tasks: Annotated[int, typer.Option("--tasks", min=2, help="Different tasks.")] = 4,
    roots: Annotated[int, typer.Option("--roots", min=1, help="Unrelated bases.")] = 1,
    specials: Annotated[
        bool, typer.Option("--specials/--no-specials", help="Copies, casts, LoRA, merges, ...")
    ] = True,
    missing_base: Annotated[
        bool, typer.Option("--missing-base", help="Leave the bases out of the folder.")
    ] = False,
    weight_decay: Annotated[
        float, typer.Option("--weight-decay", min=0, help="Of AdamW; 1 and above is strong.")
    ] = 0.01,
    steps: Annotated[int, typer.Option("--steps", min=2, help="Training steps a model.")] = 60,
    declare: Declare = False,
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a tiny vision transformer on handwritten digits and fine-tune a tree of models from it.

    Example:  weightscape zoo digits ./zoo --shape balanced --models 20
    """
    from weightscape.cli import console
    from weightscape.zoo.digits import make_digits_zoo

    with console.progress(quiet or json) as progress:
        truth = make_digits_zoo(
            folder,
            shape=shape,
            models=models,
            seed=seed,
            tasks=tasks,
            roots=roots,
            specials=specials,
            missing_base=missing_base,
            weight_decay=weight_decay,
            steps=steps,
            declare=declare,
            progress=progress,
        )
    _answer(truth, folder, json)


def probes(
    folder: Folder,
    models: Annotated[
        int | None,
        typer.Option("--models", min=24, help="Models that know several classes (640)."),
    ] = None,
    adapters: Annotated[
        int | None,
        typer.Option("--adapters", min=0, help="LoRA adapters for each text class alone (5)."),
    ] = None,
    epochs: Annotated[
        float | None, typer.Option("--epochs", help="Middle length of a training (2).")
    ] = None,
    random_init: Annotated[
        bool,
        typer.Option("--random-init", help="Give each model a start of its own: the control."),
    ] = False,
    small: Annotated[bool, typer.Option("--small", help="A few models of few classes.")] = False,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Processes, of one thread each.")
    ] = 2,
    declare: Annotated[
        bool, typer.Option("--declare", help="Let models tell their parents and classes.")
    ] = False,
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train hundreds of models in three trees, each on its own half of many fine classes.

    Example:  weightscape zoo probes ./zoo --small

    What a model knows is in truth.json, and in its weights. Stopped and started again, it goes on
    where it was; started twice, the two share the work.
    """
    from weightscape.cli import console
    from weightscape.zoo.probes import estimate, make_probes_zoo

    preset = "small" if small else "full"
    changes = {
        "models": models,
        "adapters": adapters,
        "epochs": epochs,
        "random_init": random_init,
        "declare": declare,
        "seed": seed,
    }
    with console.progress(quiet or json) as progress:
        taken = estimate(preset, workers=workers, **changes)
        progress.note(f"making {taken.sentence()}")
        truth = make_probes_zoo(
            folder, preset=preset, workers=workers, progress=progress, **changes
        )
    _answer_by_tree(truth, folder, json)


def _answer(truth: "Truth", folder: Path, json: bool) -> None:
    """Print the truth, or a table of it with models in the order they were made."""
    from weightscape.cli import console

    if json:
        console.answer(truth)
        return
    rows = [
        (
            name,
            model.kind or "root",
            ", ".join(model.parents),
            model.task or "",
            f"{model.scores['accuracy']:.3f}" if "accuracy" in model.scores else "",
        )
        for name, model in truth.models.items()
    ]
    columns = ("model", "kind", "made from", "task", "accuracy")
    console.out().print(console.table(columns, rows, right="accuracy"))
    _note(truth, folder)


def _answer_by_tree(truth: "Truth", folder: Path, json: bool) -> None:
    """Print the truth, or a line for each tree: hundreds of models fit on no screen."""
    from weightscape.cli import console

    if json:
        console.answer(truth)
        return
    rows = []
    for tree in dict.fromkeys(model.tree for model in truth.models.values()):
        models = [model for model in truth.models.values() if model.tree == tree and model.split]
        scores = [model.scores["accuracy"] for model in models]
        splits = [model.split for model in models]
        known = {name for model in models for name in model.classes}
        told = ", ".join(f"{splits.count(split)} {split}" for split in dict.fromkeys(splits))
        mean = f"{sum(scores) / len(scores):.3f}" if scores else ""
        rows.append((tree or "", str(len(models)), str(len(known)), told, mean))
    columns = ("tree", "models", "classes", "splits", "mean accuracy")
    console.out().print(console.table(columns, rows, right="mean accuracy"))
    _note(truth, folder)


def _note(truth: "Truth", folder: Path) -> None:
    from weightscape.cli import console

    console.note(f"made {len(truth.models)} models; their truth is in {folder / 'truth.json'}")
