"""weightscape: the landscape of model weights.

The public names, loaded when they are first asked for, so that `import weightscape` takes no time:
the facade (Atlas), checkpoints (discover, open_checkpoint, write_checkpoint, fingerprint), the
methods (gram_pass, recover_forest, chart_regions), their data, and the errors one catches.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weightscape.atlas import Atlas
    from weightscape.catalog.records import Edge, Forest, Model, Region, RegionMap, Undecided
    from weightscape.errors import (
        BadCheckpoint,
        BadInput,
        NotFound,
        UnknownName,
        UnsupportedFormat,
        WeightscapeError,
    )
    from weightscape.geometry.gram import gram_pass
    from weightscape.geometry.piece import Member
    from weightscape.geometry.products import TreeGram
    from weightscape.io import (
        Checkpoint,
        discover,
        fingerprint,
        open_checkpoint,
        write_checkpoint,
    )
    from weightscape.lineage.forest import recover_forest
    from weightscape.progress import Progress
    from weightscape.regions.chart import chart_regions

__version__ = "0.1.0"

__all__ = [
    "Atlas",
    "BadCheckpoint",
    "BadInput",
    "Checkpoint",
    "Edge",
    "Forest",
    "Member",
    "Model",
    "NotFound",
    "Progress",
    "Region",
    "RegionMap",
    "TreeGram",
    "Undecided",
    "UnknownName",
    "UnsupportedFormat",
    "WeightscapeError",
    "__version__",
    "chart_regions",
    "discover",
    "fingerprint",
    "gram_pass",
    "open_checkpoint",
    "recover_forest",
    "write_checkpoint",
]

_HOMES = {
    "atlas": "Atlas",
    "catalog.records": "Edge Forest Model Region RegionMap Undecided",
    "errors": "BadCheckpoint BadInput NotFound UnknownName UnsupportedFormat WeightscapeError",
    "geometry.gram": "gram_pass",
    "geometry.piece": "Member",
    "geometry.products": "TreeGram",
    "io": "Checkpoint discover fingerprint open_checkpoint write_checkpoint",
    "lineage.forest": "recover_forest",
    "progress": "Progress",
    "regions.chart": "chart_regions",
}
_HOME_OF = {name: f"weightscape.{home}" for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    """Load a public name from its home the first time it is asked for (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'weightscape' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
