"""Groups of models at the paper's three levels, and the losses of their points."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from bench.regions.models import TASKS, Member, base_folder, task_named

from weightscape.regions.records import RegionResult
from weightscape.regions.region import region
from weightscape.tasks.objective import Scoring

RARE = frozenset({"reuters_r8"})
"""Tasks with a label that 128 rows drawn by chance may lack."""

Losses = list[list[float]]
"""Of points [points][tasks]."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group In and what lies outside of it; names of models, and of the tasks they are scored on.

    outside: models, or () for noise around the base.
    """

    level: str
    name: str
    members: tuple[str, ...]
    outside: tuple[str, ...]
    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Measuring:
    """How points are scored: rows, tokens, and how many points of the hull and of noise."""

    rows: int = 128
    train_rows: int = 128
    tokens: int = 32
    samples: int = 6
    noise: int = 4

    def of(self, group: Group) -> "Measuring":
        """Give the rows for a group: every label of every task must be among those drawn."""
        rare = RARE & set(group.tasks)
        return replace(self, train_rows=max(self.train_rows, 256)) if rare else self

    @property
    def scoring(self) -> Scoring:
        """Give the rows that a point is scored on."""
        return Scoring(limit=self.rows, train_limit=self.train_rows, validation_limit=0)


def groups_of(models: Sequence[Member], tasks: Sequence[str]) -> list[Group]:
    """List the groups of the three levels that are scored on some of the tasks.

    The group outside of a data set is the first model of each other task: a few of each kind, for
    every model has to be scored on every task.
    """
    first = {it.task: it for it in reversed(models)}
    wanted = [task for task in TASKS if task in first and task in tasks]
    found = []
    for task in wanted:
        members = tuple(it.name for it in models if it.task == task)
        others = tuple(it.name for name, it in first.items() if name != task)
        found.append(Group("data set", task, members, tuple(sorted(others)), (task,)))
    domains = {first[task].domain: None for task in wanted}
    for domain in domains:
        inside = tuple(task for task in wanted if first[task].domain == domain)
        if len(inside) < 3:
            continue
        members = tuple(first[task].name for task in inside)
        others = tuple(sorted(it.name for it in first.values() if it.domain != domain))
        found.append(Group("domain", domain, members, others, inside))
    everyone = tuple(first[task].name for task in wanted)
    return [*found, Group("general", "all tasks", everyone, (), tuple(wanted))]


def measure(group: Group, how: Measuring, work: Path) -> dict[str, Any]:
    """Score a group's points, from the work folder if they were scored before."""
    how = how.of(group)
    file = file_of(group, how, work)
    if file.is_file():
        return json.loads(file.read_text())  # type: ignore[no-any-return]
    folders = work / "models"
    base = base_folder()
    found = region(
        [folders / name for name in group.members],
        [task_named(task, how.tokens) for task in group.tasks],
        # the base is scored beside the models outside, and counted apart
        outside=[*(folders / name for name in group.outside), base] if group.outside else "noise",
        base=base,
        samples=how.samples,
        noise_samples=how.noise,
        rays=0,
        pairs=0,
        scoring=how.scoring,
        folder=work / "cache",
    )
    kept = {"group": asdict(group), "how": asdict(how), **losses_of(found, base.name)}
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_suffix(".half")
    half.write_text(json.dumps(kept))
    half.replace(file)
    return kept


def file_of(group: Group, how: Measuring, work: Path) -> Path:
    """Say where a group's losses are kept."""
    told = json.dumps([asdict(group), asdict(how.of(group))])
    return work / "groups" / f"{blake2b(told.encode(), digest_size=12).hexdigest()}.json"


def losses_of(found: RegionResult, base: str) -> dict[str, Losses]:
    """Give the losses of a region's points by group; of the base and the centroid apart."""
    groups: dict[str, Losses] = {"in": [], "hull": [], "ex": [], "base": []}
    for point in found.points:
        losses = [point.scores[task].loss for task in found.tasks]
        groups["base" if point.name == base else point.group].append(losses)
    groups["centroid"] = [[found.centroid.scores[task].loss for task in found.tasks]]
    return groups
