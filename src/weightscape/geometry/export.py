"""Writing a model tensor by tensor as they are made."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from weightscape.io import write_checkpoint


def export(
    make: Callable[[str], Tensor],
    names: Sequence[str],
    tied: Mapping[str, str],
    folder: str | Path,
    *,
    config: Mapping[str, Any] | None = None,
    metadata: Mapping[str, str] | None = None,
    extra_files: Mapping[str, bytes] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write tensors as a checkpoint, never holding more than one; return its folder.

    Tied names (alias to the name it shares its elements with) are written once and noted in the
    file's metadata, as safetensors' own `save_model` does.
    """
    return write_checkpoint(
        folder,
        ((name, make(name)) for name in names if name not in tied),
        config=config,
        metadata={**tied, **(metadata or {})},
        extra_files=extra_files,
        overwrite=overwrite,
    )
