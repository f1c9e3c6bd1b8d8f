"""Vectors that somebody else's encoder made: a file of names and vectors.

Either a .safetensors file with one vector a text, named by the text, or a .npz file with the
arrays `names` [n] (texts) and `vectors` [n, size]. Pickled arrays are refused, never loaded.
"""

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from weightscape.errors import BadCheckpoint, BadInput, NotFound, UnsupportedFormat
from weightscape.io import Checkpoint, open_checkpoint
from weightscape.probing.encoders.encoder import TextVectors, normalised
from weightscape.progress import Progress, silent

_MOST_BYTES = 2 << 30
_SUFFIXES = (".safetensors", ".npz")


class KeptVectors:
    """An encoder that knows the texts of its file alone; upper and lower case are alike to it."""

    templates: tuple[str, ...] = ("{}",)

    def __init__(self, file: Path, *, opened_by: str | None = None) -> None:
        read = {".safetensors": _read_safetensors, ".npz": _read_npz}.get(file.suffix)
        if not file.is_file():
            raise NotFound(f"{file}: no such file of vectors")
        if read is None:
            raise UnsupportedFormat(
                f"{file}: vectors are read from {' and '.join(_SUFFIXES)} files"
            )
        names, vectors = read(file)
        if not names:
            raise BadInput(f"{file}: has no vectors")
        self._file = file
        self._vectors = normalised(vectors, str(file))
        self._rows = _rows(names, file)
        self.size = int(vectors.shape[1])
        self.opened_by = opened_by or f"vectors:{file.absolute()}"
        self.identity = f"vectors@{_hash(names, self._vectors)}"

    def encode(self, texts: Sequence[str]) -> TextVectors:
        """Look each text up; raises BadInput with the nearest where one is not in the file."""
        return self._vectors[[self._row(text) for text in texts]].reshape(len(texts), self.size)

    def _row(self, text: str) -> int:
        for spelled in (_folded(text), _folded(text.replace("_", " "))):
            if spelled in self._rows:
                return self._rows[spelled]
        near = get_close_matches(_folded(text), list(self._rows), n=3, cutoff=0.5)
        hint = f"nearest: {', '.join(near)}" if near else f"it has {len(self._rows)} others"
        raise BadInput(f"{self._file} has no vector of {text[:200]!r}; {hint}")


def open_vectors(where: str, progress: Progress = silent) -> KeptVectors:
    """Open a file of vectors; raises NotFound, BadCheckpoint or BadInput."""
    return KeptVectors(Path(where).expanduser())


def _read_safetensors(file: Path) -> tuple[list[str], np.ndarray]:
    with open_checkpoint(file) as opened:
        if not isinstance(opened, Checkpoint):
            raise BadInput(f"{file}: is an adapter and no file of vectors")
        names = list(opened.tensors)
        shapes = {opened.info(name).shape for name in names}
        if len(shapes) > 1 or any(len(shape) != 1 or not shape[0] for shape in shapes):
            some = ", ".join(str(list(shape)) for shape in sorted(shapes)[:3])
            raise BadInput(f"{file}: should hold one vector a text, all of one length; has {some}")
        vectors = [opened.tensor(name).float().numpy() for name in names]
    return names, np.array(vectors, dtype=np.float32).reshape(len(names), -1)


def _read_npz(file: Path) -> tuple[list[str], np.ndarray]:
    try:
        with zipfile.ZipFile(file) as archive:
            names, vectors = (
                _read_array(archive, f"{it}.npy", file) for it in ("names", "vectors")
            )
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as problem:
        raise BadCheckpoint(f"is no .npz file: {problem}", file=file) from None
    if names.ndim != 1 or names.dtype.kind != "U":
        raise BadInput(f"{file}: names should be a list of texts, is {names.dtype}")
    if vectors.ndim != 2 or vectors.dtype.kind != "f" or len(vectors) != len(names):
        raise BadInput(
            f"{file}: vectors should be numbers [{len(names)}, size], one row a name; is "
            f"{vectors.dtype} {list(vectors.shape)}"
        )
    return [str(name) for name in names], vectors.astype(np.float32)


def _read_array(archive: zipfile.ZipFile, member: str, file: Path) -> np.ndarray:
    """Read one array, believing its header only as far as it agrees with the bytes behind it."""
    try:
        info = archive.getinfo(member)
    except KeyError:
        raise BadInput(f"{file}: has no array {member.removesuffix('.npy')!r}") from None
    if info.file_size > _MOST_BYTES:
        raise BadCheckpoint(f"{member} is {info.file_size:,} bytes unpacked", file=file)
    with archive.open(info) as stream:
        try:
            shape, fortran, dtype = _read_header(stream)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as problem:
            raise BadCheckpoint(f"{member} is no array: {problem}", file=file) from None
        if dtype.hasobject:
            raise UnsupportedFormat(f"{file}: {member} holds pickled objects, which are not loaded")
        data = stream.read()
    count = int(np.prod([int(it) for it in shape], dtype=object)) if shape else 1
    if count < 0 or count * dtype.itemsize != len(data):
        raise BadCheckpoint(f"{member} claims {list(shape)} in {len(data):,} bytes", file=file)
    if not dtype.itemsize:
        raise BadCheckpoint(f"{member} has elements without bytes", file=file)
    return np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if fortran else "C")


def _read_header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    version = np.lib.format.read_magic(stream)
    if version not in read:
        raise ValueError(f"its format's version is {version}")
    return read[version](stream)


def _rows(names: Sequence[str], file: Path) -> Mapping[str, int]:
    rows: dict[str, int] = {}
    for i, name in enumerate(names):
        if rows.setdefault(_folded(name), i) != i:
            raise BadInput(f"{file}: {name[:200]!r} stands there twice")
    return rows


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _hash(names: Sequence[str], vectors: np.ndarray) -> str:
    digest = hashlib.sha256(vectors.astype("<f4").tobytes())
    for name in names:
        digest.update(b"\0" + name.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]
