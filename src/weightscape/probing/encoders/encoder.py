"""What turns texts into vectors: one seam for sentence models, CLIP and vectors from a file."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from weightscape.errors import BadInput
from weightscape.progress import Progress
from weightscape.registry import Registry

TextVectors = Float32[np.ndarray, "texts size"]


@runtime_checkable
class Encoder(Protocol):
    """Texts to vectors of length 1.

    opened_by: what `open_encoder` was given, so that it can be opened again. identity: a name and
    a hash of all that decides its vectors; equal identities give equal vectors, wherever the files
    lie. size: of a vector. templates: sentences with a {} in which it is best told a label.
    """

    @property
    def opened_by(self) -> str: ...  # noqa: D102 (the four are told above)
    @property
    def identity(self) -> str: ...  # noqa: D102
    @property
    def size(self) -> int: ...  # noqa: D102
    @property
    def templates(self) -> tuple[str, ...]: ...  # noqa: D102

    def encode(self, texts: Sequence[str]) -> TextVectors:
        """Encode each text as if it were alone: [n, size], each row of L2 norm 1."""
        ...


OpenEncoder = Callable[[str, Progress], Encoder]
"""Opens what stands behind the scheme: ("FOLDER", progress) for "clip:FOLDER"."""

ENCODERS: Registry[OpenEncoder] = Registry("encoder")


def normalised(vectors: np.ndarray, told: str) -> TextVectors:
    """Scale the rows to L2 norm 1; raises BadInput where one is zero or not finite."""
    plain = np.asarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(plain.astype(np.float64), axis=1, keepdims=True)
    if not (np.isfinite(norms).all() and (norms > 0).all()):
        raise BadInput(f"{told} gives a vector that is zero or not finite; use another encoder")
    scaled: np.ndarray = (plain / norms).astype(np.float32)
    return scaled
