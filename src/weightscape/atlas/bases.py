"""Which base an adapter builds on: found when it is placed, kept, and never taken for another."""

from collections.abc import Sequence

from weightscape.atlas.reading import Shelf, as_kept
from weightscape.catalog.records import Model


def kept_base(adapter: Model, models: Sequence[Model]) -> Model | None:
    """Return the model that an adapter was placed on, whatever became of it since."""
    names = adapter.facts.declared[:1]
    return next((it for it in models if (it.name,) == names and it.kind == "full"), None)


def may_carry(base: Model | None, shelf: Shelf) -> bool:
    """Tell whether a base's files still hold what they did: else they say nothing of its adapters.

    One that was removed from the atlas is no member any more, but its adapters are read with it.
    """
    if base is None or base.status == "gone":
        return False
    return base.status != "removed" or as_kept(base, shelf)


def unsettled(adapter: Model, models: Sequence[Model], shelf: Shelf) -> bool:
    """Tell whether an adapter in a tree has to be placed anew: its base went, moved or came back.

    Coming back, a base brings what its adapter missed meanwhile.
    """
    base = kept_base(adapter, models)
    if base is None or not may_carry(base, shelf):
        return True
    if base.status == "removed":
        return False
    return base.tree_id != adapter.tree_id or (base.status, adapter.status) == ("pending", "ready")
