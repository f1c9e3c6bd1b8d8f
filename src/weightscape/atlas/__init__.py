"""The atlas: the catalog of a landscape tied to the methods that read it.

The facade ties all of them together, and is loaded when it is asked for: what needs a part alone,
as a search does, does not wait for the others.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weightscape.atlas.deriving import TreeProducts
    from weightscape.atlas.facade import Added, Atlas, FamilyMembers

__all__ = ["Added", "Atlas", "FamilyMembers", "TreeProducts"]


def __getattr__(name: str) -> object:
    """Load a public name the first time it is asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'weightscape.atlas' has no attribute {name!r}")
    from weightscape.atlas import facade

    value = globals()[name] = getattr(facade, name)
    return value
