"""Connecting two models: a curve between them, a task along it, and what that says."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from torch import Tensor

from weightscape.errors import BadInput, NotFound
from weightscape.paths.bending import bend
from weightscape.paths.bends import BendTraining
from weightscape.paths.curves import Curve, in_model_order, make_curve, spread
from weightscape.paths.ends import measure_ends
from weightscape.paths.knowledge import Cartography
from weightscape.paths.lowest import look_for_lowest
from weightscape.paths.records import BendsTrained, CurveName, PathResult
from weightscape.paths.series import Judging, Place, ends_at_chance, follow
from weightscape.progress import Progress, silent
from weightscape.tasks.dynamics import cartography, load_dynamics
from weightscape.tasks.label_order import Source
from weightscape.tasks.live import LiveModel
from weightscape.tasks.models import load_model
from weightscape.tasks.objective import Objective, PointEvaluation, Scoring
from weightscape.tasks.spanning import Space, SpannedModels, open_span
from weightscape.tasks.task import Task


def connect(
    a: Source,
    b: Source,
    task: Task | Sequence[Task],
    *,
    curve: CurveName = "line",
    points: int = 26,
    bends: int | Sequence[Source] = 1,
    training: BendTraining = BendTraining(),
    head: str | Path | LiveModel = "auto",
    space: Space = "factor",
    base: Source | None = None,
    dynamics: str | Path | None = None,
    scoring: Scoring = Scoring(),
    judging: Judging = Judging(),
    allow_chance: bool = False,
    folder: str | Path | None = None,
    progress: Progress = silent,
    **loading: Any,
) -> PathResult:
    """Follow a task along a curve between two models: is there a barrier, and what is known where?

    a, b: folders, hub ids, or live models. task: one, or several that are all followed (ends of
    different tasks); bends are trained on the first.
    curve: "line", "bezier" or "chain"; the latter two have `bends` control points that are
    trained as `training` says, or the models given as `bends`.
    head, space: see `open_span`. base: the model that both ends come from, for the cosine of what
    they learned.
    dynamics: a model folder with recorded training dynamics on the first task; that of `a` by
    default, where there is one.
    allow_chance: go on where an end does no better than chance on any task.
    folder: where evaluations, the state of the training and trained bends are kept, so that a run
    that was killed goes on and one that is repeated takes no time.
    loading: the options of `load_model` (factory, trust_remote_code, device, dtype, ...).

    Raises MismatchedModels for models that do not correspond; BadInput for an end at chance, or a
    loss that is not finite, naming the point and the tensor.
    """
    began = perf_counter()
    tasks = (task,) if isinstance(task, Task) else tuple(task)
    if not tasks or len({one.name for one in tasks}) < len(tasks):
        raise BadInput("give at least one task, each once")
    given = () if isinstance(bends, int) else tuple(bends)
    shape = make_curve(curve, bends if isinstance(bends, int) else len(given))
    at = spread(points)
    recorded = _find_dynamics(dynamics, a)
    where = None if folder is None else Path(folder)
    spanned = open_span((a, b, *given), tasks, head=head, space=space, progress=progress, **loading)
    ends = measure_ends(spanned, *_load_base(base, tasks[0], loading))
    keep = None if where is None else where / "points"
    objectives = [Objective(spanned, one, scoring, folder=keep) for one in tasks]
    if not allow_chance:
        _refuse_chance(spanned, objectives, judging, progress)
    trained: BendsTrained | None = None
    if shape.bends and not given:
        spanned, trained = bend(
            spanned, shape, tasks[0], training, scoring, folder=where, progress=progress
        )
        objectives = [objective.moved_to(spanned) for objective in objectives]
    places = _places(spanned, shape, at)
    found = _evaluate(spanned, objectives, places, progress)
    series = tuple(
        follow(one, places, found[i], ends.names, judging, recorded if i == 0 else None)
        for i, one in enumerate(tasks)
    )
    return PathResult(
        ends=ends,
        curve=shape.name,
        bends=shape.bends,
        head=spanned.head,
        head_reason=spanned.head_reason,
        space=spanned.space,
        length=places[-1].length,
        series=series,
        training=trained,
        seconds=perf_counter() - began,
    )


def _places(spanned: SpannedModels, curve: Curve, at: Sequence[float]) -> list[Place]:
    """Find where the points lie; the length of the path is that of the polygon through them."""
    places: list[Place] = []
    before: tuple[float, ...] | None = None
    length = 0.0
    for t in at:
        weights = curve.weights(t)
        here = spanned.span.coefficients(in_model_order(weights))
        if before is not None:
            length += spanned.span.distance(before, here)
        places.append(Place(t, weights, length))
        before = here
    return places


def _evaluate(
    spanned: SpannedModels,
    objectives: Sequence[Objective],
    places: Sequence[Place],
    progress: Progress,
) -> list[list[PointEvaluation]]:
    points = [spanned.span.coefficients(in_model_order(place.weights)) for place in places]
    total = len(places) * len(objectives)

    def along(objective: Objective) -> list[PointEvaluation]:
        found: dict[int, PointEvaluation] = {}

        def score(i: int, validation: bool) -> PointEvaluation:
            if i not in found:
                where = f"t = {places[i].t:.4g}"
                found[i] = objective.at(points[i], where, validation=validation)
                advance(1)
            return found[i]

        def validation_loss(i: int) -> float:
            rows = score(i, True).validation
            assert rows is not None
            return rows.loss

        if objective.has_validation:
            look_for_lowest(len(points), validation_loss)
        return [score(i, False) for i in range(len(points))]

    with progress.stage("evaluating", total=total, unit="points") as advance:
        return [along(objective) for objective in objectives]


def _refuse_chance(
    spanned: SpannedModels,
    objectives: Sequence[Objective],
    judging: Judging,
    progress: Progress,
) -> None:
    """Refuse ends that have learned none of the tasks: a path between them says nothing."""
    names = (spanned.names[0], spanned.names[1])
    lost = set(names)
    total = 2 * len(objectives)
    with progress.stage("evaluating the ends", total=total, unit="points") as advance:
        for objective in objectives:
            first = objective.at(spanned.span.vertex(0), "t = 0")
            advance(1)
            second = objective.at(spanned.span.vertex(1), "t = 1")
            advance(1)
            lost &= set(ends_at_chance(objective.task, names, (first, second), judging))
    if lost:
        tasks = ", ".join(repr(objective.task.name) for objective in objectives)
        which = " and ".join(name for name in names if name in lost)
        verb = "is" if len(lost) == 1 else "are"
        raise BadInput(
            f"{which} {verb} no better than chance on {tasks} (head: {spanned.head}): a path "
            "between models that have not learned a task says nothing; allow chance to go on all "
            "the same"
        )


def _load_base(
    base: Source | None, task: Task, loading: Mapping[str, Any]
) -> tuple[Mapping[str, Tensor] | None, str | None]:
    if base is None:
        return None, None
    model = base if isinstance(base, LiveModel) else load_model(base, task, **loading)
    return model.module.state_dict(), model.name


def _find_dynamics(given: str | Path | None, a: Source) -> tuple[str, Cartography] | None:
    if given is not None:
        return str(given), cartography(load_dynamics(given))
    folder = a.folder if isinstance(a, LiveModel) else Path(a)
    if folder is None:
        return None
    try:
        return str(folder), cartography(load_dynamics(folder))
    except (NotFound, BadInput):  # nobody asked for it
        return None
