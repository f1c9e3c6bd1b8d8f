"""What `path` and `plane` share: finding the models, where results go, keeping and showing them."""

import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from weightscape.errors import BadInput, NotFound, UnknownName

if TYPE_CHECKING:
    from weightscape.answers import PathAnswer, PlaneAnswer
    from weightscape.atlas import Atlas
    from weightscape.paths.records import PathResult, PlaneResult
    from weightscape.progress import Progress
    from weightscape.tasks.task import Task

LONGEST = 40  # signs of a model's name in a folder's name


@dataclass(frozen=True, slots=True)
class End:
    """A model as it was given: its name in the atlas (None outside it), and where it is read."""

    given: str
    source: str
    name: str | None

    @property
    def label(self) -> str:
        """Name it for a folder's name."""
        return self.name or Path(self.given).name or self.given


@contextmanager
def atlas_if_any(folder: Path) -> "Iterator[Atlas | None]":
    """Open the atlas in a folder; where there is none, none is made."""
    from weightscape.atlas import Atlas
    from weightscape.catalog.store import DATABASE

    if not (folder / DATABASE).is_file():
        yield None
        return
    with Atlas(folder, create=False) as opened:
        yield opened


def find_models(given: Sequence[str], atlas: "Atlas | None") -> list[End]:
    """Find models: folders or files that are there, names in the atlas, else ids of a hub.

    The beginning or end of a name will do. Raises UnknownName with the nearest names of the atlas,
    BadInput with the names that all fit, NotFound for what looks like a path.
    """
    given = [_whole_name(it, atlas) for it in given]
    models = {} if atlas is None else {it.name: it for it in atlas.models()}
    by_place = {os.path.realpath(it.path): it.name for it in models.values() if it.status != "gone"}
    ends = []
    for text in given:
        if Path(text).exists():
            ends.append(End(text, text, by_place.get(os.path.realpath(text))))
        elif text in models:
            if models[text].status == "gone":
                raise NotFound(f"the files of {text!r} are gone: {models[text].path}")
            ends.append(End(text, models[text].path, text))
        elif _is_hub_id(text, models):
            ends.append(End(text, text, None))
        elif models:
            raise UnknownName("model", text, models)
        else:
            raise NotFound(f"{text}: no such file or folder")
    return ends


def _whole_name(text: str, atlas: "Atlas | None") -> str:
    if atlas is None or Path(text).exists():
        return text
    try:
        return atlas.find(text).name
    except UnknownName:  # a hub's id perhaps, which is told from a slip later
        return text


def _is_hub_id(text: str, known: Iterable[str]) -> bool:
    """Tell what may be the id of a hub's model from a slip in a path or in an atlas's name."""
    shaped = re.fullmatch(r"(\w[\w.-]*/)?\w[\w.-]*", text) is not None
    in_folder = "/" in text and Path(text).parent.is_dir()
    return shaped and not in_folder and not get_close_matches(text, list(known), n=1, cutoff=0.5)


def find_head(head: str, atlas: "Atlas | None") -> str:
    """Find the model that a head is taken from; the names of policies stay as they are."""
    return head if head in ("auto", "own", "probe") else find_models([head], atlas)[0].source


def load_tasks(
    given: Sequence[str] | None,
    *,
    metric: str | None,
    trust_code: bool,
    progress: "Progress",
) -> "list[Task]":
    """Load the tasks; `metric` stands first among each one's metrics."""
    from weightscape.tasks.metrics import METRICS, check_metrics
    from weightscape.tasks.task_file import load_task

    if metric is not None:
        METRICS[metric]  # an unknown name ends it before the data are read
    tasks = [load_task(it, trust_code=trust_code, progress=progress) for it in given or ()]
    if metric is not None:
        for it in tasks:
            check_metrics((metric,), it.kind, regression=it.is_regression)
        tasks = [
            replace(it, metrics=(metric, *(name for name in it.metrics if name != metric)))
            for it in tasks
        ]
    return tasks


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked, and where its answer goes.

    key: another for every other question. folder: of the answer. kept: of the evaluated points
    and the bends, which are known by their content and so are shared by all questions.
    """

    kind: Literal["path", "plane"]
    key: str
    folder: Path
    kept: Path


def ask(
    kind: Literal["path", "plane"],
    ends: Sequence[End],
    tasks: Sequence[str],
    shape: str,
    *,
    out: Path | None,
    atlas: Path,
    **options: object,
) -> Question:
    """Settle where the answer to a question goes.

    The same question again replaces its answer; another one leaves it alone: in the atlas it has
    a folder of its own, and a folder that was given is refused. Raises BadInput for that.
    """
    key = question_key(ends, tasks, shape, **options)
    if out is None:
        home = atlas / "paths"
        return Question(kind, key, home / key, home / "kept")
    asked = out / f"{kind}.question"
    if (out / f"{kind}.json").exists() and _read_text(asked) != key:
        raise BadInput(
            f"{out / f'{kind}.json'} answers another question; choose another --out, or remove it"
        )
    return Question(kind, key, out, out)


def _read_text(file: Path) -> str | None:
    return file.read_text("utf-8").strip() if file.is_file() else None


def question_key(ends: Sequence[End], tasks: Sequence[str], shape: str, **options: object) -> str:
    """Name a question: readable, safe as a folder's name, and another for other options."""
    asked = [os.path.realpath(it) if Path(it).exists() else it for it in (e.source for e in ends)]
    told = json.dumps([asked, list(tasks), shape, options], sort_keys=True, default=str)
    short = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    words = [*(it.label for it in ends), *(Path(it).stem for it in tasks), shape]
    safe = [re.sub(r"[^A-Za-z0-9._-]+", "-", it).strip("-.")[-LONGEST:] or "x" for it in words]
    return "--".join([*safe, short])


def write_answer(answer: Mapping[str, Any], file: Path) -> None:
    """Write an answer as JSON, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(answer, stream, allow_nan=False)
        Path(name).chmod(0o644)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def finish_path(
    result: "PathResult",
    atlas: "Atlas | None",
    ends: Sequence[End],
    question: Question,
    plots: Sequence[Path],
) -> "tuple[PathAnswer, Path | None]":
    """Write, keep and draw a path; return its answer and the atlas's page, if it is on it."""
    from weightscape.cli import gather_paths
    from weightscape.report.path_picture import plot_path

    first, second = (it.name or old for it, old in zip(ends, result.ends.names, strict=True))
    result = renamed(result, (first, second))
    answer = gather_paths.path(result, question.folder.absolute())
    page = _finish(answer, question, atlas, ends)
    for plot in plots:
        if plot.suffix.lower() == ".html":
            write_lone_page("path", result.ends.names, answer.model_dump(mode="json"), plot)
        else:
            plot_path(result, plot)
    return answer, page


def finish_plane(
    result: "PlaneResult",
    atlas: "Atlas | None",
    ends: Sequence[End],
    question: Question,
    plots: Sequence[Path],
) -> "tuple[PlaneAnswer, Path | None]":
    """Write, keep and draw a plane; return its answer and the atlas's page, if it is on it."""
    from weightscape.cli import gather_paths
    from weightscape.report.plane_picture import plot_plane

    a, b, c = (it.name or old for it, old in zip(ends, result.names, strict=True))
    result = replace(result, names=(a, b, c))
    answer = gather_paths.plane(result, question.folder.absolute())
    page = _finish(answer, question, atlas, ends)
    for plot in plots:
        if plot.suffix.lower() == ".html":
            write_lone_page("plane", result.names, answer.model_dump(mode="json"), plot)
        else:
            plot_plane(result, plot)
    return answer, page


def renamed(result: "PathResult", names: tuple[str, str]) -> "PathResult":
    """Name the ends of a path as the atlas does."""
    new = dict(zip(result.ends.names, names, strict=True))
    series = tuple(
        replace(it, chance_ends=tuple(new.get(end, end) for end in it.chance_ends))
        for it in result.series
    )
    return replace(result, ends=replace(result.ends, names=names), series=series)


def _finish(
    answer: "PathAnswer | PlaneAnswer",
    question: Question,
    atlas: "Atlas | None",
    ends: Sequence[End],
) -> Path | None:
    told = answer.model_dump(mode="json")
    write_answer(told, question.folder / f"{question.kind}.json")
    (question.folder / f"{question.kind}.question").write_text(f"{question.key}\n", "utf-8")
    return keep(atlas, ends, question.kind, told, question.key)


def keep(
    atlas: "Atlas | None",
    ends: Sequence[End],
    kind: Literal["path", "plane"],
    answer: Mapping[str, Any],
    key: str,
) -> Path | None:
    """Keep an answer in the atlas if it knows all models, and draw its page anew; tell where."""
    from weightscape.catalog.records import KeptPath
    from weightscape.report.collect import collect
    from weightscape.report.page import write_page

    names = [it.name for it in ends if it.name is not None]
    if atlas is None or len(names) < len(ends):
        return None
    folder = str(answer["folder"] or "")
    atlas.keep_path(KeptPath(key, kind, tuple(names), str(answer["task"]), folder, dict(answer)))
    return write_page(collect(atlas, command=typed_command()), atlas.folder / "index.html")


def write_lone_page(
    kind: Literal["path", "plane"],
    names: Sequence[str],
    answer: Mapping[str, Any],
    file: Path,
) -> None:
    """Write a page that shows one path or plane and nothing else."""
    from weightscape import __version__
    from weightscape.report.data import PageData, PagePath
    from weightscape.report.page import write_page

    made = datetime.now(UTC).isoformat(timespec="seconds")
    shown = PagePath(
        kind, tuple(names), str(answer["task"]), made, str(answer["folder"] or ""), dict(answer)
    )
    title = (" to " if kind == "path" else ", ").join(names)
    write_page(PageData(title, made, __version__, typed_command(), (), paths=(shown,)), file)


def typed_command() -> str:
    """Write the command as it was typed."""
    typed = "weightscape " + " ".join(sys.argv[1:])
    return typed.encode("utf-8", "backslashreplace").decode()
