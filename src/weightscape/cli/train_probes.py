"""`weightscape train-probes`: learn to read what models know from one layer of their weights."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from weightscape.cli import options

if TYPE_CHECKING:
    from weightscape.atlas import Atlas
    from weightscape.catalog.records import LabelKind
    from weightscape.probing.encoders import Encoder
    from weightscape.progress import Progress

_SKIPPED_SOME = 3
_KINDS = ("class", "task", "tag")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("train-probes", short_help="Learn to read what models know.")(train_probes)


def train_probes(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL]...", help="Learn from these only: names or globs."),
    ] = None,
    atlas: options.AtlasFolder = options.DEFAULT_ATLAS,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="FILE", help="Give models these first, as `label` does."),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="KIND", help="Learn class, task or tag only; repeatable."),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            "--layer",
            metavar="NAME",
            help="The layer that is read (default: chosen); several are read together.",
        ),
    ] = None,
    encoder: Annotated[
        str,
        typer.Option(
            "--encoder",
            metavar="SPEC",
            help="Of texts: packaged, a folder or hub id, clip:FOLDER, vectors:FILE, or none.",
        ),
    ] = "packaged",
    validation: Annotated[
        float, typer.Option("--validation", help="Share of the models that is held out.")
    ] = 0.15,
    least: Annotated[
        int, typer.Option("--least", min=1, help="Models with labels that a tree needs.")
    ] = 8,
    steps: Annotated[
        int, typer.Option("--steps", min=1, help="Of training, at most; it stops by itself.")
    ] = 40,
    memory: Annotated[
        str,
        typer.Option("--memory", metavar="SIZE", help="For a layer of all models, to choose it."),
    ] = "4GiB",
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train an expert for each tree of the atlas that has models with labels.

    Example:  weightscape train-probes --labels models.csv

    Of each model one layer is read, which is chosen by models that are held out. Stopped and
    started again, it goes on where it was; what has not changed is not trained again.
    """
    from weightscape.atlas import Atlas
    from weightscape.atlas.expert_job import Training
    from weightscape.atlas.experts import train_experts
    from weightscape.cli import console, train_probes_words
    from weightscape.errors import BadInput
    from weightscape.probing.settings import ProbeTraining

    for given in kind or ():
        if given not in _KINDS:
            raise BadInput(f"--kind must be class, task or tag. Got {given!r} instead.")
    if not 0 < validation < 1:
        raise BadInput(f"--validation is a share between 0 and 1, not {validation}")
    with Atlas(atlas, create=False) as opened, console.progress(quiet or json) as progress:
        unknown = () if labels is None else _label(opened, labels)
        asked = Training(
            models=_chosen(opened, models),
            layer=tuple(dict.fromkeys(layer)) if layer else None,
            kinds=cast("tuple[LabelKind, ...]", tuple(dict.fromkeys(kind or _KINDS))),
            least=least,
            validation=validation,
            memory=options.parse_size(memory),
            how=ProbeTraining(steps=steps, seed=seed),
        )
        done = train_experts(opened.store, asked, _encoder(encoder, progress), progress)
        if not done.experts:
            raise BadInput(train_probes_words.none_trained(done.left_out, atlas))
        page = _draw(opened, progress)
    answer = train_probes_words.answer(done, page, unknown)
    if json:
        console.answer(answer)
    else:
        train_probes_words.show(answer, quiet)
    if unknown or any(it.skipped for it in answer.experts):
        raise typer.Exit(_SKIPPED_SOME)


def _label(opened: "Atlas", file: Path) -> tuple[str, ...]:
    """Give models the labels of a file; name those that the atlas does not know."""
    from weightscape.atlas.labelling import label_models
    from weightscape.cli import console
    from weightscape.cli.label import source_of
    from weightscape.probing.label_files import read_label_file

    done = label_models(opened.store, read_label_file(file), source_of(file))
    if done.unknown:
        some = ", ".join(done.unknown[:5]) + (", ..." if len(done.unknown) > 5 else "")
        console.note(f"{len(done.unknown)} models of {file} are not in the atlas: {some}")
    return done.unknown


def _chosen(opened: "Atlas", given: list[str] | None) -> frozenset[str] | None:
    """Find models by name, or all that a glob fits."""
    if not given:
        return None
    from fnmatch import fnmatchcase

    from weightscape.errors import BadInput

    names = [it.name for it in opened.models()]
    found: set[str] = set()
    for one in given:
        if not set("*?[") & set(one) or one in names:
            found.add(opened.find(one).name)
            continue
        fits = [name for name in names if fnmatchcase(name, one)]
        if not fits:
            raise BadInput(f"{one!r} fits no model of the atlas")
        found.update(fits)
    return frozenset(found)


def _encoder(given: str, progress: "Progress") -> "Encoder | None":
    if given == "none":
        return None
    from weightscape.io.cache import cache_folder
    from weightscape.probing.encoders import open_encoder

    return open_encoder(given, cache=cache_folder() / "texts", progress=progress)


def _draw(opened: "Atlas", progress: "Progress") -> Path:
    """Draw the atlas's page anew, with what its models are found to know."""
    from weightscape.cli.path_work import typed_command
    from weightscape.report.collect import collect
    from weightscape.report.page import write_page

    with progress.stage("drawing the page"):
        data = collect(opened, command=typed_command())
        return write_page(data, opened.folder / "index.html")
