"""The work of `region`: who is inside and outside, where models lie, the answer kept and drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weightscape.cli import result_work
from weightscape.cli.path_work import End, find_models
from weightscape.cli.result_work import Asked, Group
from weightscape.errors import BadInput, UnknownName

if TYPE_CHECKING:
    from weightscape.answers_tasks import RegionResultAnswer
    from weightscape.atlas import Atlas
    from weightscape.progress import Progress
    from weightscape.regions.records import HullPlace, RegionResult
    from weightscape.tasks.task import Task

NOISE = ("noise", "directions")


@dataclass(frozen=True, slots=True)
class Sought:
    """Who a region is measured of.

    outside: models, or the name of a kind of noise. base: None where it is of no use. placed:
    models to be placed; places: where they lie, if the atlas knows without reading weights.
    """

    group: Group
    outside: tuple[End, ...] | str
    base: End | None
    placed: tuple[End, ...]
    places: "tuple[HullPlace, ...] | None"

    @property
    def everyone(self) -> tuple[End, ...]:
        """List all models that are asked about, in, outside, the base and those to be placed."""
        others = () if isinstance(self.outside, str) else self.outside
        return (*self.group.ends, *others, *filter(None, [self.base]), *self.placed)


def check_numbers(*, samples: int, rays: int, reach: float, pairs: int) -> None:
    """Refuse numbers that make no sense before anything is loaded."""
    from weightscape.cli.path_checks import check_least

    check_least("--samples", samples, 1)
    check_least("--rays", rays, 0)
    check_least("--pairs", pairs, 0)
    check_least("--reach", reach, 1)


def find(
    models: Sequence[str],
    outside: Sequence[str],
    base: str | None,
    place: Sequence[str],
    atlas: "Atlas | None",
    seed: int,
) -> Sought:
    """Find the group, its outside, its base and those to be placed; see `result_work.find_group`.

    Raises BadInput where one model is all there is, or one is both inside and outside.
    """
    group = result_work.find_group(models, atlas)
    if len(group.ends) < 2:
        raise BadInput(
            f"a region is one of several models, and {group.ends[0].label} is one; give two or "
            "more, a folder that holds them, or a region's label"
        )
    found_base = result_work.find_base(base, group.ends, atlas)
    chosen = _outside(group, outside, found_base, atlas, seed)
    placed = tuple(find_models(place, atlas))
    useful = found_base if base is not None or chosen == "noise" else None
    return Sought(group, chosen, useful, placed, _known_places(group, placed, atlas))


def _outside(
    group: Group, given: Sequence[str], base: End | None, atlas: "Atlas | None", seed: int
) -> tuple[End, ...] | str:
    if any(it in NOISE for it in given):
        if len(given) > 1:
            raise BadInput(f"--outside is models, or noise, or directions; got {', '.join(given)}")
        if given[0] == "noise" and base is None:
            raise BadInput("noise is drawn around a base: give --base, or --outside directions")
        return given[0]
    if len(given) == 1 and not Path(given[0]).exists() and get_close_matches(given[0], NOISE):
        raise UnknownName("kind of noise outside", given[0], NOISE)
    if given:
        return _apart(group, result_work.find_group(given, atlas).ends)
    drawn = result_work.draw_outside(group, atlas, seed)
    if drawn:
        return tuple(sorted(drawn, key=lambda it: (Path(it.source).name, it.source)))
    return "directions" if base is None else "noise"


def _apart(group: Group, outside: tuple[End, ...]) -> tuple[End, ...]:
    inside = {Path(it.source).resolve() for it in group.ends}
    both = [it.label for it in outside if Path(it.source).resolve() in inside]
    if both:
        raise BadInput(f"{both[0]} is given as inside and as outside; it can be one of the two")
    return outside


def _known_places(
    group: Group, placed: Sequence[End], atlas: "Atlas | None"
) -> "tuple[HullPlace, ...] | None":
    """Place models by the atlas's inner products, reading no weights; None if it cannot."""
    import numpy as np

    from weightscape.geometry.products import subset
    from weightscape.regions.hull_places import place_all

    names = list(dict.fromkeys(it.name or "" for it in (*group.ends, *placed)))
    for loaded in [] if atlas is None or not placed else atlas.products():
        if not all(name in loaded.products.models for name in names):
            continue
        tensors = subset(loaded.products, names).gram
        # a tensor that one of them lacks says nothing of the others either: hulls are of one space
        whole = np.isfinite(tensors).all(axis=(1, 2))
        if not whole.any():
            continue
        gram = tensors[whole].sum(axis=0)
        targets = [names.index(it.name or "") for it in placed]
        return place_all(gram, names, range(len(group.ends)), targets)
    return () if not placed else None


def tell_places(places: "Sequence[HullPlace]", members: int, progress: "Progress") -> None:
    """Say where models lie, which is known before anything is evaluated."""
    from weightscape.regions.hull_places import place_caution
    from weightscape.report.region_words import place_words

    for place in places:
        progress.note(place_words(place))
    caution = place_caution(members) if places else None
    if caution is not None:
        progress.note(caution)


def ask(
    sought: Sought,
    tasks: Sequence[str],
    drawn: Mapping[str, object],
    scored: Sequence[object],
    out: Path | None,
    atlas: Path,
) -> Asked:
    """Settle where the answer goes; see `result_work.ask`."""
    return result_work.ask(
        "region",
        sought.group.title,
        sought.group.ends,
        tasks,
        out=out,
        atlas=atlas,
        outside=sought.outside
        if isinstance(sought.outside, str)
        else [it.source for it in sought.outside],
        base=None if sought.base is None else sought.base.source,
        placed=[it.source for it in sought.placed],
        drawn=drawn,
        scored=scored,
    )


def measure(
    sought: Sought,
    tasks: "Sequence[Task]",
    scored: Mapping[str, Any],
    *,
    progress: "Progress",
    **how: Any,
) -> "RegionResult":
    """Measure the region, and name its models as they were asked for."""
    import torch

    from weightscape.regions.hull_places import place_caution
    from weightscape.regions.region import region
    from weightscape.tasks.objective import Scoring

    result = region(
        [it.source for it in sought.group.ends],
        tasks,
        outside=sought.outside
        if isinstance(sought.outside, str)
        else [it.source for it in sought.outside],
        base=None if sought.base is None else sought.base.source,
        place=[it.source for it in sought.placed] if sought.places is None else (),
        names=result_work.names_of(sought.everyone),
        on_places=lambda places: tell_places(places, len(sought.group.ends), progress),
        progress=progress,
        label=sought.group.label,
        scoring=Scoring(
            scored["limit"],
            scored["train_limit"],
            0,
            scored["batch"],
            torch.bfloat16 if scored["bf16"] else None,
        ),
        **how,
    )
    if not sought.places:
        return result
    caution = place_caution(len(sought.group.ends))
    notes = result.notes if caution is None else (caution, *result.notes)
    return replace(result, places=sought.places, notes=notes)


def finish(
    result: "RegionResult",
    sought: Sought,
    asked: Asked,
    atlas: "Atlas | None",
    plots: Sequence[Path],
) -> "tuple[RegionResultAnswer, Path | None]":
    """Write, keep and draw a region; return its answer and the atlas's page, if it is on it."""
    from weightscape.cli import gather_regions
    from weightscape.report.region_picture import plot_region
    from weightscape.report.region_words import group_title

    answer = gather_regions.region(result, asked.folder.absolute())
    told = answer.model_dump(mode="json")
    task = ", ".join(result.tasks)
    page = result_work.keep_result(asked, told, [it.name for it in sought.group.ends], task, atlas)
    for plot in plots:
        if plot.suffix.lower() == ".html":
            title = group_title(result)
            result_work.write_lone_result("region", result.models, title, task, told, plot)
        else:
            plot_region(result, plot)
    return answer, page
