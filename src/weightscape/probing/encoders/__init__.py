"""Encoders of texts, each opened by a scheme and what stands behind it."""

from pathlib import Path

from weightscape.probing.encoders.cached import CachedEncoder
from weightscape.probing.encoders.clip_text import ClipText, open_clip
from weightscape.probing.encoders.encoder import ENCODERS, Encoder, TextVectors
from weightscape.probing.encoders.kept_vectors import KeptVectors, open_vectors
from weightscape.probing.encoders.packaged import open_packaged
from weightscape.probing.encoders.transformers_text import TransformersText, open_text
from weightscape.progress import Progress, silent

DEFAULT_ENCODER = "packaged"

ENCODERS.add("packaged", open_packaged)
ENCODERS.add("text", open_text)
ENCODERS.add("clip", open_clip)
ENCODERS.add("vectors", open_vectors)


def open_encoder(
    given: str = DEFAULT_ENCODER, *, cache: Path | None = None, progress: Progress = silent
) -> Encoder:
    """Open a text encoder.

    given: "packaged" or "packaged:NAME" (a model that comes as a package), the folder or the hub
    id of a sentence-transformers or BERT-like model ("text:" may stand before it), "clip:FOLDER",
    "vectors:FILE", or a scheme that another package registered. cache: a folder that keeps what
    was encoded. A model is looked at here and loaded with its first text.

    Raises UnknownName for another scheme, MissingExtra where what it needs is not installed,
    NotFound, BadInput or BadCheckpoint for what it names.
    """
    scheme, colon, rest = given.partition(":")
    plain = Path(given).expanduser().is_dir() or not (colon or given in ENCODERS)
    opened: Encoder = open_text(given, progress) if plain else ENCODERS[scheme](rest, progress)
    return opened if cache is None else CachedEncoder(opened, cache)


__all__ = [
    "DEFAULT_ENCODER",
    "ENCODERS",
    "CachedEncoder",
    "ClipText",
    "Encoder",
    "KeptVectors",
    "TextVectors",
    "TransformersText",
    "open_encoder",
]
