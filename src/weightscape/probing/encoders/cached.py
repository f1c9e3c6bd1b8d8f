"""An encoder that keeps what it has encoded: a text asked for again loads no model."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from weightscape.probing.encoders.encoder import Encoder, TextVectors

_LONGEST = 2000


class CachedEncoder:
    """An encoder in front of a folder with a small file a text, named by the text's hash.

    A file is written whole or not at all, so that processes can share the folder; one that is
    not as it should be counts as absent. Texts themselves are not written, and long ones are not
    kept at all.
    """

    def __init__(self, encoder: Encoder, folder: Path) -> None:
        self._encoder = encoder
        self._folder = folder / encoder.identity.replace("/", "_")
        self.opened_by = encoder.opened_by
        self.identity = encoder.identity
        self.size = encoder.size
        self.templates = encoder.templates

    def encode(self, texts: Sequence[str]) -> TextVectors:
        """Encode each text as if it were alone: [n, size], each row of L2 norm 1."""
        known = {text: self._kept(text) for text in dict.fromkeys(texts)}
        wanted = [text for text, vector in known.items() if vector is None]
        if wanted:
            for text, vector in zip(wanted, self._encoder.encode(wanted), strict=True):
                known[text] = vector
                self._keep(text, vector)
        rows = [known[text] for text in texts]
        return np.array(rows, dtype=np.float32).reshape(len(texts), self.size)

    def _file(self, text: str) -> Path:
        name = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        return self._folder / name[:2] / f"{name[2:34]}.f32"

    def _kept(self, text: str) -> np.ndarray | None:
        try:
            data = self._file(text).read_bytes()
        except OSError:
            return None
        if len(data) != 4 * self.size:
            return None
        vector = np.frombuffer(data, dtype="<f4").astype(np.float32)
        norm = float(np.linalg.norm(vector.astype(np.float64)))
        return vector if abs(norm - 1) < 1e-3 else None

    def _keep(self, text: str, vector: np.ndarray) -> None:
        if len(text) > _LONGEST:
            return
        file = self._file(text)
        half = file.with_suffix(f".{os.getpid()}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            half.write_bytes(vector.astype("<f4").tobytes())
            half.replace(file)
        except OSError:  # a full disk or a folder that may not be written: nothing is kept
            with suppress(OSError):
                half.unlink()
