"""What the models of a group began with: their base, if the atlas has it, in the layers read."""

from collections import Counter
from collections.abc import Sequence

from weightscape.atlas.deriving import base_of
from weightscape.atlas.expert_groups import Group
from weightscape.atlas.layer_reading import Meter, opened
from weightscape.catalog import findings
from weightscape.catalog.labels import all_labels
from weightscape.catalog.records import Model
from weightscape.catalog.store import Store
from weightscape.errors import WeightscapeError
from weightscape.probing.layer_set import LayerSet, select
from weightscape.probing.layers import Dense, read_layer
from weightscape.probing.origin import Origin, may_be_origin, no_delta, origin_of, unmoved


def origin_of_group(
    store: Store, group: Group, sets: Sequence[LayerSet], told: Sequence[str], meter: Meter
) -> Origin | None:
    """Read what models began with in the layers that are read of them; None where nobody knows.

    told: models that have labels to learn, none of which is taken for a base. A root that nobody
    names as a base may be a model like the others, and has to lie among them as a base does.
    """
    stacks = [it.stack for it in sets]
    if group.low_rank:
        return no_delta(stacks)
    for model, declared in _candidates(store, group, told):
        try:
            with opened(model, meter) as checkpoint:
                read = [read_layer(checkpoint, it.layer, shape=it.stack.shape) for it in sets]
        except (WeightscapeError, OSError):
            continue
        layers = [it.matrix.clone() for it in read if isinstance(it, Dense)]
        near = (may_be_origin(*it) for it in zip(layers, stacks, strict=True))
        if declared or all(near):
            return origin_of(model.name, layers, stacks)
    return None


def without_unmoved(
    sets: Sequence[LayerSet], origin: Origin | None
) -> tuple[list[LayerSet], dict[str, str]]:
    """Leave out the models that have learned nothing in the layers; tell all that are skipped."""
    skipped = dict(sets[0].skipped)
    if origin is None:
        return list(sets), skipped
    still = unmoved(origin, [it.stack for it in sets])
    reason = "nothing was learned in its " + ", ".join(it.layer for it in sets)
    names = sets[0].names
    moved = [name for name, left in zip(names, still, strict=True) if not left]
    skipped |= {name: reason for name in names if name not in set(moved)}
    return [select(it, moved) for it in sets], skipped


def _candidates(store: Store, group: Group, told: Sequence[str]) -> list[tuple[Model, bool]]:
    """Find models that may be the base, and tell whether others name them as theirs."""
    tree_id = group.models[0].tree_id
    assert tree_id is not None
    with store.read() as connection:
        forest = findings.load_forest(connection, tree_id)
        said = all_labels(connection)
    knows = {name for name, own in said.items() if any(it.kind == "class" for it in own)}
    declared = Counter(name for it in group.models for name in it.facts.declared[:1])
    names = [name for name, _ in declared.most_common(1)]
    root = None if forest is None else base_of(forest)
    names += [] if root is None else [root]
    by_name = {it.name: it for it in group.models if it.status != "gone"}
    return [
        (by_name[name], name in declared)
        for name in dict.fromkeys(names)
        if name in by_name and name not in knows and name not in told
    ]
