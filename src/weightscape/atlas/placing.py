"""Placing models: into the family whose backbone they share, and the tree they grew on."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from sqlalchemy import Connection

from weightscape.atlas.adapted import matched
from weightscape.atlas.bases import kept_base, unsettled
from weightscape.atlas.reading import Shelf, backbone_of, matched_here, resolve
from weightscape.atlas.replanting import clear, let_experts_follow, stands_on_part
from weightscape.atlas.sampled_kin import rooted, soundest, stacked, tensors_to_sample, trees_of
from weightscape.catalog import families, findings, samples
from weightscape.catalog import models as model_rows
from weightscape.catalog.places import leave
from weightscape.catalog.records import Family, Model
from weightscape.catalog.store import Store
from weightscape.errors import WeightscapeError
from weightscape.geometry.align import Backbone, Shape, match
from weightscape.geometry.sample import ELEMENTS, central, group, sample
from weightscape.io import Adapter, Checkpoint
from weightscape.progress import Progress, silent

FULL = "full"
# Adapters of one architecture whose base is not in the atlas: charted by their products.
ADAPTERS = "adapters"


@dataclass(frozen=True, slots=True)
class _Candidate:
    model: Model
    checkpoint: Checkpoint | Adapter
    backbone: Backbone


def place(
    store: Store,
    shelf: Shelf,
    bases: Sequence[str] = (),
    progress: Progress = silent,
) -> int:
    """Place every model that has no tree yet; return how many bytes the samples took.

    `bases` names models to try for adapters whose own claim leads nowhere. Adapters that waited
    for a base that is here now move to its tree.
    """
    with store.read() as connection:
        known = model_rows.all_models(connection)
        everyone = [it for it in known if it.status in ("pending", "ready")]
        roles = {family.id: family.role for family in families.all_families(connection)}
    stranded = _stranded(everyone)
    if stranded:
        with store.write() as connection:
            _rejoin(connection, stranded, everyone)
    waiting = [
        model
        for model in everyone
        if model.tree_id is None
        or (
            model.kind == "adapter"
            and (
                model in stranded
                or roles.get(model.family_id or -1) == ADAPTERS
                or unsettled(model, known, shelf)
            )
        )
    ]
    candidates, broken = _open(waiting, shelf)
    if broken:
        with store.write() as connection:
            model_rows.mark(connection, broken, "gone")
    full = [it for it in candidates if it.model.kind == "full"]
    read = 0
    with progress.stage("sampling", total=len(full), unit="models") as advance:
        for family, group_ in _by_family(store, full):
            read += _plant(store, family, group_)
            advance(len(group_))
    with store.write() as connection:
        for candidate in candidates:
            if candidate.model.kind == "adapter":
                _place_adapter(connection, candidate, bases)
        let_experts_follow(connection)
    return read


def _stranded(models: Sequence[Model]) -> list[Model]:
    """Pick models that came back to a tree where nobody is, while their family lives elsewhere.

    What arrived while they were all away took root without them, perhaps in a tree of theirs.
    """
    ready = [it for it in models if it.status == "ready"]
    trees = {it.tree_id for it in ready}
    living = {it.family_id for it in ready}
    return [
        it
        for it in models
        if it.status == "pending"
        and it.tree_id is not None
        and it.tree_id not in trees
        and it.family_id in living
    ]


def _rejoin(connection: Connection, stranded: Sequence[Model], models: Sequence[Model]) -> None:
    """Move stranded models into a tree of their kin, by the samples kept of both."""
    for family_id in {it.family_id for it in stranded}:
        kept = samples.load_samples(connection, _layout(family_id))
        back = [it for it in stranded if it.family_id == family_id and it.id in kept]
        ready = [
            it
            for it in models
            if it.status == "ready" and it.family_id == family_id and it.id in kept
        ]
        if not back or not ready:
            continue
        size = max(kept[it.id].size for it in (*back, *ready)) // ELEMENTS
        trees = group(
            stacked([kept[it.id] for it in back], size),
            stacked([kept[it.id] for it in ready], size),
            [it.tree_id for it in ready if it.tree_id is not None],
        )
        for tree in {tree for tree in trees if tree > 0}:
            moving = [it for it, at in zip(back, trees, strict=True) if at == tree]
            whole = [it for it in moving if it.facts.part_of is None and it.kind == "full"]
            if whole and family_id is not None and stands_on_part(connection, tree):
                planted = families.ensure_tree(connection, family_id, whole[0].name, whole[0].id)
                _move(connection, planted.id, [*clear(connection, tree), *moving])
            else:
                _move(connection, tree, moving)


def _move(connection: Connection, tree_id: int, models: Iterable[Model]) -> None:
    """Give models a place in a tree; what was found of the one that they leave is outdated."""
    models = list(models)
    for left in {it.tree_id for it in models if it.tree_id is not None} - {tree_id}:
        findings.delete_findings(connection, left)
    families.claim(connection, tree_id, [it.id for it in models])


def _layout(family_id: int | None) -> str:
    return f"family {family_id}"


def _open(waiting: Sequence[Model], shelf: Shelf) -> tuple[list[_Candidate], list[int]]:
    candidates, broken = [], []
    for model in waiting:
        try:
            checkpoint = shelf.open(model.path)
        except (WeightscapeError, OSError):
            broken.append(model.id)
            continue
        candidates.append(_Candidate(model, checkpoint, backbone_of(checkpoint)))
    return candidates, broken


def _by_family(
    store: Store, candidates: Sequence[_Candidate]
) -> list[tuple[Family, list[_Candidate]]]:
    """Match each candidate to a family that is there, or found one with it."""
    grouped: dict[int, tuple[Family, list[_Candidate]]] = {}
    exact = Counter(tuple(it.backbone.shapes.items()) for it in candidates)
    # what a family's founder lacks is compared in nobody: the commonest goes first
    usual = sorted(candidates, key=lambda it: -exact[tuple(it.backbone.shapes.items())])
    for candidate in usual:
        with store.write() as connection:
            family = _find(connection, candidate.backbone, FULL)
            if family is None:
                family = families.ensure_family(
                    connection,
                    family_name(candidate),
                    list(candidate.backbone.shapes.items()),
                    FULL,
                )
                families.append_tensors(connection, family.id, family.signature)
        grouped.setdefault(family.id, (family, []))[1].append(candidate)
    return list(grouped.values())


def _find(connection: Connection, backbone: Backbone, role: str) -> Family | None:
    for family in families.all_families(connection):
        if family.role == role and match(dict(family.signature), backbone) is not None:
            return family
    return None


def family_name(candidate: "_Candidate") -> str:
    """Name a family after its architecture and size: "bert 22.7M"."""
    config = candidate.checkpoint.config
    kind = config.get("model_type")
    label = kind if isinstance(kind, str) and kind.isprintable() and 0 < len(kind) < 40 else "model"
    return f"{label} {short_count(candidate.backbone.parameters)}"


def short_count(count: int) -> str:
    """Write a count of parameters the way people do: 22.7M."""
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count)


def _plant(store: Store, family: Family, candidates: Sequence[_Candidate]) -> int:
    """Sample the candidates and give each its tree, planting those that are new."""
    shapes = dict(family.signature)
    chosen = tensors_to_sample(shapes)
    read = 0
    fresh = []
    for candidate in candidates:
        values = _sample(candidate, shapes, chosen)
        read += int(np.isfinite(values).sum()) * 4
        fresh.append(values)
    block = np.stack(fresh)
    layout = _layout(family.id)
    with store.write() as connection:
        kept = samples.load_samples(connection, layout)
        trees = trees_of(block, rooted(connection, family, kept), kept)
        for number in dict.fromkeys(trees):
            members = [i for i, tree in enumerate(trees) if tree == number]
            tree = number
            whole = any(candidates[i].model.facts.part_of is None for i in members)
            if number < 0 or (whole and stands_on_part(connection, number)):
                sound = soundest(block, members)
                reference = candidates[sound[central(block[sound])]].model
                planted = families.ensure_tree(connection, family.id, reference.name, reference.id)
                tree = planted.id
                if number > 0:
                    _move(connection, tree, clear(connection, number))
            _move(connection, tree, [candidates[i].model for i in members])
        samples.put_samples(
            connection,
            layout,
            {it.model.id: block[i].ravel() for i, it in enumerate(candidates)},
        )
    return read


def _sample(
    candidate: _Candidate, shapes: Mapping[str, Shape], chosen: Sequence[str]
) -> np.ndarray:
    stored = matched_here(candidate.checkpoint, shapes)

    def read(name: str, start: int, stop: int) -> torch.Tensor | None:
        if name not in stored:
            return None
        return candidate.checkpoint.flat(stored[name], start, stop)

    return sample(read, chosen, shapes)


def _place_adapter(connection: Connection, candidate: _Candidate, bases: Sequence[str]) -> None:
    """Put an adapter into its base's tree; without a base, among adapters that want the same."""
    model = candidate.model
    everyone = model_rows.all_models(connection, statuses=("pending", "ready"))
    base = _base_of(connection, candidate, everyone, bases)
    if base is not None and base.tree_id is not None:
        if model.facts.declared[:1] != (base.name,):
            model_rows.set_facts(connection, model.id, replace(model.facts, declared=(base.name,)))
            if model.tree_id is not None:
                # rows once written are kept: on another base it is another point
                leave(connection, model.id)
        model_rows.mark(connection, [model.id], "pending")
        _move(connection, base.tree_id, [model])
        return
    roles = {family.id: family.role for family in families.all_families(connection)}
    waits = model.family_id is not None and roles[model.family_id] == ADAPTERS
    if model.tree_id is not None and (waits or model.status == "ready"):
        return
    wanted = next(iter(model.facts.wants), "")
    signature = list(candidate.backbone.shapes.items())
    family = _find(connection, candidate.backbone, ADAPTERS) or families.ensure_family(
        connection, f"adapters of {wanted or 'an unnamed base'}", signature, ADAPTERS
    )
    families.append_tensors(connection, family.id, signature)
    tree = families.ensure_tree(connection, family.id, wanted or "unnamed base")
    _move(connection, tree.id, [model])


def _base_of(
    connection: Connection,
    candidate: _Candidate,
    everyone: Sequence[Model],
    bases: Sequence[str],
) -> Model | None:
    """Find the base that an adapter names, or the one given, if the adapter fits its tensors."""
    full = [model for model in everyone if model.kind == "full"]
    claimed = [resolve(claim, full) for claim in candidate.model.facts.wants]
    claimed.insert(0, kept_base(candidate.model, full))
    given = [model for model in full if model.name in bases]
    for base in [*claimed, *given]:
        if base is None or base.tree_id is None:
            continue
        tree = families.get_tree(connection, base.tree_id)
        shapes = {it.name: it.shape for it in families.tensors_of(connection, tree.family_id)}
        # one that works beside the weights says no more than its base's name
        if not isinstance(candidate.checkpoint, Adapter) or matched(
            candidate.checkpoint.tensors, shapes
        ):
            return base
    return None
