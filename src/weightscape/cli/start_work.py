"""The work of `start`: models, the user's rows, the search, the answer kept and drawn."""

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weightscape.cli import result_work
from weightscape.cli.path_checks import check_choice, check_least
from weightscape.cli.path_work import End, load_tasks
from weightscape.cli.result_work import Asked, Group
from weightscape.errors import BadInput, NotFound

if TYPE_CHECKING:
    from weightscape.answers_tasks import SmallerStartAnswer, StartAnswer
    from weightscape.atlas import Atlas
    from weightscape.progress import Progress
    from weightscape.starts.records import StartResult
    from weightscape.tasks.fine_tuning import FineTuning
    from weightscape.tasks.task import Task


_IN_THE_FILE = "say which is meant in the task file under 'columns'"
_BY_OPTION = "say which is meant: --text COL, --label COL"


@dataclass(frozen=True, slots=True)
class Sought:
    """The models that starts are made from, without the base; and the base, if there is one.

    regions: label to names, as the atlas has them; None where it does not know all the models.
    """

    group: Group
    base: End | None
    regions: Mapping[str, tuple[str, ...]] | None = None

    @property
    def everyone(self) -> tuple[End, ...]:
        """List all models, the base first."""
        return (() if self.base is None else (self.base,)) + self.group.ends


def check_question(
    models: Sequence[str],
    base: str | None,
    task: str | None,
    data: Path | None,
    smaller: Path | None,
    output: Path | None,
    max_runs: int | None,
    minutes: float | None,
) -> None:
    """Refuse a question that leaves out who, what for, or where to, before anything is loaded."""
    if max_runs is not None:
        check_least("--max-runs", max_runs, 1)
    if minutes is not None and not minutes > 0:
        raise BadInput(f"--minutes is more than 0, not {minutes}")
    if not models and not (smaller is not None and base is not None):
        raise BadInput("which models? give folders, a folder that holds them, or names: --models M")
    if task is not None and data is not None:
        raise BadInput("give --task or --data, not both")
    if task is None and data is None and smaller is None:
        raise BadInput("what for? give a task file or your rows: --task MY.yml or --data MY.csv")
    if smaller is not None and output is None:
        raise BadInput("where to? --smaller writes a model: give a folder, -o OUT")


def find(
    models: Sequence[str], base: str | None, atlas: "Atlas | None", output: Path | None = None
) -> Sought:
    """Find the models and their base; raises BadInput where one model is all there is.

    A start that an earlier search has written to `output` is none of the models.
    """
    group = result_work.find_group(models, atlas)
    found = result_work.find_base(base, group.ends, atlas)
    ends = tuple(it for it in group.ends if found is None or not _same(it.source, found.source))
    ends = tuple(it for it in ends if output is None or not _same(it.source, output))
    if len(ends) < 2:
        beside = "" if found is None else f" beside the base {found.label}"
        raise BadInput(
            f"a start is sought between several models, and there is {len(ends) or 'none'}{beside};"
            " give two or more, or a folder that holds them"
        )
    return Sought(Group(ends, group.label), found, _regions(ends, atlas))


def _regions(ends: Sequence[End], atlas: "Atlas | None") -> dict[str, tuple[str, ...]] | None:
    """Give the regions of the atlas, each with those of its members that are asked about."""
    found = result_work.tree_of(ends, atlas)
    if found is None:
        return None
    names = {it.name for it in ends}
    members = {
        it.label: tuple(name for name in it.members if name in names) for it in found[1].regions
    }
    return {label: some for label, some in members.items() if len(some) > 1}


def _same(one: str | Path, other: str | Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def in_bfloat16(asked: bool | None, device: str | None) -> bool:
    """Tell whether to compute in bfloat16: as asked, else where the device is fast at it."""
    from weightscape.tasks.models import usable_device
    from weightscape.tasks.precision import multiplies_bfloat16

    return multiplies_bfloat16(usable_device(device)) if asked is None else asked


def fine_tuning(method: str, steps: int, lr: float | None, bf16: bool) -> "FineTuning":
    """Say how short runs are trained."""
    from weightscape.starts.short_settings import METHODS, short_fine_tuning

    check_choice("--method", method, METHODS)
    return short_fine_tuning(method, steps=steps, lr=lr, autocast=bf16)  # type: ignore[arg-type]


def check_kinds(text: str | None) -> list[str] | None:
    """Read kinds of candidates; raises UnknownName with the nearest ones."""
    from weightscape.starts.candidates import CANDIDATES

    if text is None:
        return None
    names = [it.strip() for it in text.split(",") if it.strip()]
    if not names:
        raise BadInput(f"--kinds is one or more of {', '.join(CANDIDATES)}, with commas between")
    for name in names:
        CANDIDATES[name]
    return names


def ask(
    sought: Sought,
    task: str,
    how: Sequence[object],
    more: Sequence[object],
    out: Path | None,
    atlas: Path,
) -> Asked:
    """Settle where the answer goes; see `result_work.ask`."""
    told = [asdict(it) if hasattr(it, "__dataclass_fields__") else it for it in how]  # type: ignore[call-overload]
    return result_work.ask(
        "start", sought.group.title, sought.everyone, [task], out=out, atlas=atlas, how=told,
        more=list(more),
    )  # fmt: skip


def load(
    task: str | None,
    data: Path | None,
    text: str,
    label: str,
    metric: str | None,
    trust_code: bool,
    progress: "Progress",
) -> "Task":
    """Load the task, or make one of the user's rows: all train, unless they say a split."""
    if task is not None:
        (loaded,) = load_tasks([task], metric=metric, trust_code=trust_code, progress=progress)
        return loaded
    import yaml

    assert data is not None
    if not data.is_file():
        raise NotFound(f"--data {data}: no such file")
    with tempfile.TemporaryDirectory() as folder:
        told = {
            "name": data.stem,
            "data": os.path.abspath(data),  # noqa: PTH100 (absolute() keeps "..")
            "columns": {"text": text, "label": label},
            "split": {"shares": {"train": 1.0}},
        }
        file = Path(folder) / "task.yml"
        file.write_text(yaml.safe_dump(told), "utf-8")
        try:
            (loaded,) = load_tasks([str(file)], metric=metric, trust_code=False, progress=progress)
        except BadInput as error:  # nobody wrote the task file that it may speak of
            raise BadInput(str(error).replace(_IN_THE_FILE, _BY_OPTION)) from None
        return loaded


def search(
    sought: Sought,
    task: "Task",
    how: "FineTuning",
    searching: Mapping[str, Any],
    scored: Mapping[str, Any],
    *,
    out: Path | None,
    smaller: Path | None,
    layers: str,
    seed: int,
    **more: Any,
) -> "StartResult":
    """Search for a start, write it, and name its models as they were asked for."""
    import torch

    from weightscape.starts.start import Searching, start
    from weightscape.tasks.made_folder import check_free
    from weightscape.tasks.objective import Scoring

    if out is not None:
        check_free(out, task)
    with tempfile.TemporaryDirectory() as folder:
        whole = out if smaller is None else Path(folder) / "start"
        result = start(
            [it.source for it in sought.group.ends],
            task,
            base=None if sought.base is None else sought.base.source,
            regions=sought.regions,
            names=result_work.names_of(sought.everyone),
            how=how,
            searching=Searching(**searching),
            out=whole,
            seed=seed,
            scoring=Scoring(
                scored["limit"],
                scored["train_limit"],
                scored["limit"],
                scored["batch"],
                torch.bfloat16 if scored["bf16"] else None,
            ),
            **more,
        )
        if smaller is not None and whole is not None and out is not None:
            _select(whole, smaller, out, task, layers, seed)
            said = f"written for the smaller configuration {smaller} ({layers} layers)"
            result = replace(result, output=out, notes=(*result.notes, said))
    if sought.regions:
        result = replace(result, notes=(*result.notes, "regions are those of the atlas"))
    if scored["bf16"] and scored["chosen"]:
        said = "computed in bfloat16, which is fast here; --no-bf16 computes in float32"
        result = replace(result, notes=(*result.notes, said))
    return result


def _select(start: Path, smaller: Path, out: Path, task: "Task", layers: str, seed: int) -> None:
    """Pick a smaller model's weights out of a start, which is not kept."""
    from weightscape.starts.weight_selection import select_weights
    from weightscape.tasks.made_folder import PROVENANCE, in_place_of

    told = json.loads((start / PROVENANCE).read_text("utf-8"))
    # what it was picked out of is named by what that was made of, for it is no more
    told |= {"parent": None, "kind": "weight selection"}
    with in_place_of(out, task) as folder:
        select_weights(start, smaller, folder, layers=layers, init_seed=seed, told=told)  # type: ignore[arg-type]


def finish(
    result: "StartResult",
    sought: Sought,
    asked: Asked,
    atlas: "Atlas | None",
    plots: Sequence[Path],
) -> "tuple[StartAnswer, Path | None]":
    """Write, keep and draw ranked starts; return the answer, and the page if it is on it."""
    from weightscape.cli import gather_starts
    from weightscape.report.start_picture import plot_start

    if result.output is not None:
        result = replace(result, output=result.output.absolute())
    models = [it.label for it in sought.group.ends]
    base = None if sought.base is None else sought.base.label
    answer = gather_starts.start(result, models, base, asked.folder.absolute())
    told = answer.model_dump(mode="json")
    names = [it.name for it in sought.group.ends]
    page = result_work.keep_result(asked, told, names, result.task, atlas)
    for plot in plots:
        if plot.suffix.lower() == ".html":
            title = f"starts for {result.task}"
            result_work.write_lone_result("start", models, title, result.task, told, plot)
        else:
            plot_start(result, plot)
    return answer, page


def pick(
    models: Sequence[str],
    atlas: "Atlas | None",
    smaller: Path,
    output: Path | None,
    layers: str,
    seed: int,
    progress: "Progress",
) -> "SmallerStartAnswer":
    """Pick a smaller model's weights out of one model, without a search."""
    from weightscape.answers_tasks import SmallerStartAnswer
    from weightscape.starts.weight_selection import select_weights
    from weightscape.tasks.made_folder import check_free

    group = result_work.find_group(models, atlas)
    if len(group.ends) != 1:
        raise BadInput(
            f"--smaller without a task picks out of one model; got {len(group.ends)}; give one, "
            "or --task to find the best start first"
        )
    assert output is not None
    check_free(output)
    (end,) = group.ends
    with progress.stage("picking weights", total=1, unit="models") as advance:
        made = select_weights(end.source, smaller, output, layers=layers, init_seed=seed)  # type: ignore[arg-type]
        advance(1)
    return SmallerStartAnswer(
        source=end.label, config=str(smaller), layers=layers, output=str(made.absolute())
    )
