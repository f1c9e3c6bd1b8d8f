"""What the models of a group began with: their base, if the atlas has it, in the layers read."""

from collections import Counter
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from weightscape.atlas.deriving import base_of
from weightscape.atlas.expert_groups import Group
from weightscape.atlas.layer_reading import Meter, opened
from weightscape.catalog import findings
from weightscape.catalog.labels import all_labels
from weightscape.catalog.records import Model
from weightscape.catalog.store import Store
from weightscape.errors import WeightscapeError
from weightscape.probing.layer_set import LayerSet, read_set
from weightscape.probing.origin import Origin, may_be_origin, no_delta, origin_of, unmoved
from weightscape.probing.stacks import DenseStack


def origin_of_group(
    store: Store, group: Group, layers: LayerSet, told: Sequence[str], meter: Meter
) -> Origin | None:
    """Read what models began with in the layer that is read of them; None where nobody knows.

    told: models that have labels to learn, none of which is taken for a base. A root that nobody
    names as a base may be a model like the others, and has to lie among them as a base does.
    """
    if group.low_rank:
        return no_delta([layers.stack])
    for model, declared in _candidates(store, group, told):
        try:
            found = read_set(
                {model.name: partial(opened, model, meter)}, layers.layer, shape=layers.stack.shape
            )
        except WeightscapeError:
            continue
        assert isinstance(found.stack, DenseStack)
        layer = found.stack.matrices[0]
        if declared or may_be_origin(layer, layers.stack):
            return origin_of(model.name, [layer], [layers.stack])
    return None


def without_unmoved(layers: LayerSet, origin: Origin | None) -> LayerSet:
    """Leave out the models that have learned nothing in a layer: it has nothing to teach."""
    if origin is None:
        return layers
    still = unmoved(origin, [layers.stack])
    moved = [name for name, left in zip(layers.names, still, strict=True) if not left]
    reason = "nothing was learned in its " + layers.layer
    skipped = dict.fromkeys(np.array(layers.names)[still].tolist(), reason)
    return LayerSet(
        layers.layer,
        tuple(moved),
        layers.stack.take(torch.from_numpy(np.flatnonzero(~still))),
        {**layers.skipped, **skipped},
    )


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
