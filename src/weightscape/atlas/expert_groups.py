"""Which models one expert can read: those of one tree, all whole or all LoRA adapters."""

from dataclasses import dataclass

from weightscape.catalog import families
from weightscape.catalog import models as model_rows
from weightscape.catalog.experts import peopled_trees
from weightscape.catalog.records import Model
from weightscape.catalog.store import Store

ADAPTERS = "+lora"
"""Behind a tree's name: the adapters on it, whose deltas are another kind of layer."""


@dataclass(frozen=True, slots=True)
class Group:
    """Models for one expert. name: of the expert; that of the tree, for adapters with `+lora`."""

    name: str
    low_rank: bool
    models: tuple[Model, ...]


def expert_groups(store: Store) -> list[Group]:
    """List the groups of an atlas, the largest first; models whose files are gone count."""
    with store.read() as connection:
        trees = {it.id: it.name for it in families.all_trees(connection)}
        models = model_rows.all_models(connection, statuses=("pending", "ready", "gone"))
    found: dict[tuple[str, bool], list[Model]] = {}
    for model in models:
        if model.tree_id is None or not is_read(model):
            continue
        found.setdefault((trees[model.tree_id], model.kind == "adapter"), []).append(model)
    groups = [
        Group(group_name(tree, low_rank), low_rank, tuple(members))
        for (tree, low_rank), members in found.items()
    ]
    return sorted(groups, key=lambda it: (-len(it.models), it.name))


def group_name(tree: str, low_rank: bool) -> str:
    """Name the expert of a tree's models, or of the adapters on it."""
    return tree + ADAPTERS if low_rank else tree


def trees_of_group(name: str) -> list[tuple[str, str]]:
    """Tell the trees, each with a kind of models, whose group has this name.

    A tree may itself be called "x+lora", so there may be two.
    """
    whole = [(name, "full")]
    return [*whole, (name.removesuffix(ADAPTERS), "adapter")] if name.endswith(ADAPTERS) else whole


def peopled_groups(store: Store) -> set[str]:
    """Name the groups that have models, by one look and without opening what is kept of each."""
    with store.read() as connection:
        there = peopled_trees(connection)
    return {group_name(tree, kind == "adapter") for tree, kind in there}


def name_of_group(store: Store, model: Model) -> str | None:
    """Name the group that a model is in, if any."""
    if model.tree_id is None or not is_read(model):
        return None
    with store.read() as connection:
        tree = families.get_tree(connection, model.tree_id)
    return group_name(tree.name, model.kind == "adapter")


def is_read(model: Model) -> bool:
    """Tell whether a model has matrices that an expert may read."""
    # adapters that work beside the weights have no matrix of their base's
    return model.kind == "full" or bool(model.facts.adapter_ranks)
