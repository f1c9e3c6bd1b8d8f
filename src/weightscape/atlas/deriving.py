"""From Grams to findings: the forest and the map of each tree that changed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np
from sqlalchemy import Connection

from weightscape.atlas.passing import members_of
from weightscape.atlas.reading import Shelf, resolved
from weightscape.catalog import families, findings, grams
from weightscape.catalog import models as model_rows
from weightscape.catalog.records import Forest, Model, ModelFacts, Status, Tree, Undecided
from weightscape.catalog.store import Store
from weightscape.geometry.look import DeltaLook, look_at
from weightscape.geometry.products import TreeGram, subset, with_equals_equal
from weightscape.lineage.forest import recover_forest
from weightscape.progress import Progress, silent
from weightscape.regions.chart import chart_regions


@dataclass(frozen=True, slots=True)
class TreeProducts:
    """One tree, ready to be worked on: products of its comparable models, and their facts.

    apart: models whose files went before the newest models came, so that no products tie them.
    """

    tree: Tree
    products: TreeGram
    facts: dict[str, ModelFacts]
    apart: tuple[str, ...]


def derive(
    store: Store,
    shelf: Shelf,
    trees: Iterable[int] | None = None,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> int:
    """Find forest and regions of these trees (those without findings, if None) and keep them.

    Returns how many bytes the second look at candidate edges read.
    """
    looked = 0
    wanted = None if trees is None else set(trees)
    with store.lock("findings", progress.note):
        with store.read() as connection:
            chosen = [
                tree.id
                for tree in families.all_trees(connection)
                if (
                    findings.load_forest(connection, tree.id) is None
                    if wanted is None
                    else tree.id in wanted
                )
                and _inside(connection, tree.id)
            ]
        with progress.stage("finding trees and regions", total=len(chosen), unit="trees") as step:
            for tree_id in chosen:
                looked += _derive_tree(store, shelf, tree_id, seed)
                step(1)
    return looked


def load_products(connection: Connection, tree_id: int) -> TreeProducts:
    """Load what is known of a tree's models that are in the atlas, constants left out."""
    inside = _inside(connection, tree_id)
    tree = families.get_tree(connection, tree_id)
    products = grams.load_tree_gram(connection, tree_id)
    whole = subset(products, [it.name for it in inside])
    apart = _apart(whole, inside)
    names = [it.name for it in inside if it.name not in apart]
    constants = _constants(connection, tree)
    kept = [name for name in products.tensors if name not in constants]
    everyone = model_rows.all_models(connection, statuses=("ready", "gone", "pending"))
    facts = {}
    for model in inside:
        if tree.reference_id is None:
            # no base is here: what an adapter wants is told as its files have it
            facts[model.name] = replace(model.facts, declared=())
            continue
        here, elsewhere = resolved(model.facts.wants, everyone, model.name)
        if model.kind == "adapter" and here:
            here = model.facts.declared
        mixed, _ = resolved(model.facts.mixes, everyone, model.name)
        facts[model.name] = replace(model.facts, declared=here, wants=elsewhere, sources=mixed)
    chosen = with_equals_equal(subset(products, names, kept))
    return TreeProducts(tree, chosen, facts, tuple(sorted(apart)))


def _inside(connection: Connection, tree_id: int) -> list[Model]:
    return [
        it
        for it in model_rows.of_tree(connection, tree_id)
        if it.tree_id == tree_id and it.status in ("ready", "gone")
    ]


def _apart(products: TreeGram, inside: Sequence[Model]) -> set[str]:
    """Name the models, gone or on a base that is, that newer ones were never compared with."""
    comparable = np.isfinite(products.gram).any(axis=0)
    there = {it.name for it in inside if it.status == "ready"}
    ready = [
        i
        for i, model in enumerate(inside)
        if model.name in there and (model.kind == "full" or there.issuperset(model.facts.declared))
    ]
    return {
        model.name
        for i, model in enumerate(inside)
        if i not in ready and ready and not comparable[i, ready].all()
    }


def _constants(connection: Connection, tree: Tree) -> set[str]:
    """Name the tensors that models of two separate trees have bit for bit alike.

    What strangers share was not learned: position tables, masks, norms never trained.
    """
    others = [it for it in families.all_trees(connection, tree.family_id) if it.id != tree.id]
    if not others or tree.reference_id is None:
        return set()
    names = [it.name for it in families.tensors_of(connection, tree.family_id)]
    mine = _hashes(connection, tree, ("ready", "gone"))
    # the gone may be the same models before somebody moved them
    theirs = [_hashes(connection, other, ("ready",)) for other in others]
    return {
        name
        for row, name in enumerate(names)
        if any((mine[row] & hashes[row]) - {""} for hashes in theirs)
    }


def _hashes(connection: Connection, tree: Tree, statuses: tuple[Status, ...]) -> list[set[str]]:
    """Gather each tensor's content hashes over the models that live in a tree.

    Models that have left it for another tree have rows in both, and are no strangers there.
    """
    places = model_rows.of_tree(connection, tree.id)
    living = [it.tree_id == tree.id and it.status in statuses for it in places]
    moments = grams.load_moments(connection, tree.id)
    return [set(compress(row, living)) for row in moments.hashes]


def _derive_tree(store: Store, shelf: Shelf, tree_id: int, seed: int) -> int:
    with store.read() as connection:
        loaded = load_products(connection, tree_id)
        shapes = dict(zip(loaded.products.tensors, loaded.products.shapes, strict=True))
        members = {it.name: it for it in members_of(connection, loaded.tree, shapes, shelf)}
    read = 0

    def look(parent: str, child: str) -> DeltaLook:
        nonlocal read
        seen = look_at(members[parent], members[child], shapes, seed=seed)
        read += seen.bytes_read
        return seen

    forest = recover_forest(loaded.products, loaded.facts, look, seed=seed)
    if loaded.apart:
        reason = (
            "their files or their base's are gone, and models that came later could not be "
            "compared with them"
        )
        forest = replace(forest, undecided=(*forest.undecided, Undecided(loaded.apart, reason)))
    region_map = chart_regions(loaded.products, base=base_of(forest), seed=seed)
    parts = sum(it.part_of is not None for it in loaded.facts.values())
    if parts and region_map.regions:
        note = f"{parts} of {len(loaded.facts)} models are compared by one layer: regions may blur"
        region_map = replace(region_map, notes=(*region_map.notes, note))
    with store.write() as connection:
        findings.replace_findings(connection, tree_id, forest, region_map)
    return read


def base_of(forest: Forest) -> str | None:
    """Tell which model the others' deltas are taken against: the root, if there is one only."""
    return forest.roots[0] if len(forest.roots) == 1 else None
