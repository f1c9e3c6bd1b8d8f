"""weightscape: the landscape of model weights.

The public names, loaded when they are first asked for, so that `import weightscape` takes no time:
the facade (Atlas), checkpoints (discover, open_checkpoint, write_checkpoint, fingerprint), the
methods (gram_pass, recover_forest, chart_regions), tasks and models that are run (load_task,
load_model, evaluate, fine_tune, linear_probe), what lies between models (Span, connect, plane,
region), where to start from (start, select_weights), their data, and the errors one catches.
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
    from weightscape.geometry.span import Span
    from weightscape.io import Checkpoint, discover, open_checkpoint, write_checkpoint
    from weightscape.io.fingerprint import fingerprint
    from weightscape.lineage.forest import recover_forest
    from weightscape.paths.bends import BendTraining
    from weightscape.paths.path import connect
    from weightscape.paths.plane import plane
    from weightscape.paths.records import PathResult, PlaneResult
    from weightscape.progress import Progress
    from weightscape.regions.chart import chart_regions
    from weightscape.regions.records import RegionResult
    from weightscape.regions.region import region
    from weightscape.starts.records import StartResult
    from weightscape.starts.start import start
    from weightscape.starts.weight_selection import select_weights
    from weightscape.tasks.arrays import task_from_arrays
    from weightscape.tasks.evaluate import evaluate
    from weightscape.tasks.fine_tune import fine_tune
    from weightscape.tasks.fine_tuning import FineTuning
    from weightscape.tasks.models import load_model
    from weightscape.tasks.objective import Scoring
    from weightscape.tasks.probe import linear_probe
    from weightscape.tasks.task import Example, Task
    from weightscape.tasks.task_file import load_task

__version__ = "0.1.0"

__all__ = [
    "Atlas",
    "BadCheckpoint",
    "BadInput",
    "BendTraining",
    "Checkpoint",
    "Edge",
    "Example",
    "FineTuning",
    "Forest",
    "Member",
    "Model",
    "NotFound",
    "PathResult",
    "PlaneResult",
    "Progress",
    "Region",
    "RegionMap",
    "RegionResult",
    "Scoring",
    "Span",
    "StartResult",
    "Task",
    "TreeGram",
    "Undecided",
    "UnknownName",
    "UnsupportedFormat",
    "WeightscapeError",
    "__version__",
    "chart_regions",
    "connect",
    "discover",
    "evaluate",
    "fine_tune",
    "fingerprint",
    "gram_pass",
    "linear_probe",
    "load_model",
    "load_task",
    "open_checkpoint",
    "plane",
    "recover_forest",
    "region",
    "select_weights",
    "start",
    "task_from_arrays",
    "write_checkpoint",
]

_HOMES = {
    "atlas": "Atlas",
    "catalog.records": "Edge Forest Model Region RegionMap Undecided",
    "errors": "BadCheckpoint BadInput NotFound UnknownName UnsupportedFormat WeightscapeError",
    "geometry.gram": "gram_pass",
    "geometry.piece": "Member",
    "geometry.products": "TreeGram",
    "geometry.span": "Span",
    "io": "Checkpoint discover open_checkpoint write_checkpoint",
    "io.fingerprint": "fingerprint",
    "lineage.forest": "recover_forest",
    "paths.bends": "BendTraining",
    "paths.path": "connect",
    "paths.plane": "plane",
    "paths.records": "PathResult PlaneResult",
    "progress": "Progress",
    "regions.chart": "chart_regions",
    "regions.records": "RegionResult",
    "regions.region": "region",
    "starts.records": "StartResult",
    "starts.start": "start",
    "starts.weight_selection": "select_weights",
    "tasks.arrays": "task_from_arrays",
    "tasks.evaluate": "evaluate",
    "tasks.fine_tune": "fine_tune",
    "tasks.fine_tuning": "FineTuning",
    "tasks.models": "load_model",
    "tasks.objective": "Scoring",
    "tasks.probe": "linear_probe",
    "tasks.task": "Example Task",
    "tasks.task_file": "load_task",
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
