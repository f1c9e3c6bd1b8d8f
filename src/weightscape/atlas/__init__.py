"""The atlas: the catalog of a landscape tied to the methods that read it."""

from weightscape.atlas.deriving import TreeProducts
from weightscape.atlas.facade import Added, Atlas, FamilyMembers

__all__ = ["Added", "Atlas", "FamilyMembers", "TreeProducts"]
