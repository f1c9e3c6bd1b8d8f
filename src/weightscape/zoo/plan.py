"""What a zoo will hold before any of it is made, and the truth that follows from it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from weightscape.catalog.records import EdgeKind
from weightscape.zoo.truth import Truth, ZooEdge, ZooModel

Training = TypeVar("Training")

Step = Literal["base", "train", "copy", "cast", "merge", "quantise", "prune"]


@dataclass(frozen=True, slots=True)
class Planned(Generic[Training]):
    """A model to be made. `kind` is that of the edges to its parents, None for a root.

    checkpoints: steps after which the training also leaves a `checkpoint-N` inside its folder.
    declared: whether its files will name the parent, as an adapter's must.
    """

    name: str
    step: Step
    parents: tuple[str, ...] = ()
    kind: EdgeKind | None = None
    task: str | None = None
    domain: str | None = None
    training: Training | None = None
    checkpoints: tuple[int, ...] = ()
    declared: bool = False


def draw_seeds(seed: int, name: str) -> tuple[int, int, int]:
    """Draw a model's own three seeds (head, data order, dropout).

    No two models share one: a shared seed makes two models move alike as much as shared data does.
    """
    digest = hashlib.blake2b(f"{seed}\n{name}".encode(), digest_size=12).digest()
    head, data, dropout = (int.from_bytes(digest[i : i + 4], "big") >> 1 for i in (0, 4, 8))
    return head, data, dropout


def truth_of(
    kind: Literal["text", "digits"],
    plan: Sequence[Planned[Any]],
    scores: Mapping[str, Mapping[str, float]],
    options: Mapping[str, Any],
    *,
    missing: Sequence[str] = (),
) -> Truth:
    """Turn a plan that was carried out into its truth. missing: models whose files were removed."""
    models: dict[str, ZooModel] = {}
    edges: list[ZooEdge] = []

    def add(name: str, parents: tuple[str, ...], planned: Planned[Any]) -> None:
        training = planned.training
        seeds = {
            part: getattr(training, f"{part}_seed")
            for part in ("init", "head", "data", "dropout")
            if hasattr(training, f"{part}_seed")
        }
        models[name] = ZooModel(
            path=None if name in missing else name,
            parents=list(parents),
            kind=planned.kind,
            task=planned.task,
            domain=planned.domain,
            seeds=seeds,
            scores=dict(scores.get(name, {})),
        )
        if planned.kind is not None:
            edges.extend(
                ZooEdge(parent=parent, child=name, kind=planned.kind, declared=planned.declared)
                for parent in parents
            )

    for planned in plan:
        parents = planned.parents
        for step in planned.checkpoints:
            add(f"{planned.name}/checkpoint-{step}", parents, planned)
            parents = (f"{planned.name}/checkpoint-{step}",)
        add(planned.name, parents, planned)
    return Truth(zoo=kind, options=dict(options), models=models, edges=edges)
