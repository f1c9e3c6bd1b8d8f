"""The streaming pass: per-tensor inner products of deltas, moments and hashes, in one read.

Deltas are 1e-2 to 1e-3 of the weights, so each block is subtracted from the reference *before* it
is multiplied; blocks are float32, sums across blocks float64. The work is cut into pieces of one
tensor, so that memory is bounded whatever the model's size, and a piece is small enough that its
deltas stay in cache between the subtraction and the matrix product.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from math import prod
from typing import Protocol

import numpy as np
import torch
import xxhash
from jaxtyping import Float32, Float64, Int64
from threadpoolctl import threadpool_limits

from weightscape.errors import BadInput
from weightscape.progress import Progress, silent

# A piece is the unit of work of a thread and of hashing (so the hash depends on it: fixed).
PIECE = 1 << 22
# The deltas of one block, all models together, should stay in the last-level cache.
CACHE_BYTES = 4 << 20
LARGEST_BLOCK = 1 << 16
SMALLEST_BLOCK = 1 << 10
DEFAULT_MEMORY = 2 << 30


class Reader(Protocol):
    """What the pass needs of a checkpoint: a flat range of one stored tensor."""

    def flat(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Return elements start..stop of the flattened tensor, in its stored dtype."""
        ...

    def release(self, name: str) -> None:
        """Let go of the memory that reading the tensor took."""
        ...


@dataclass(frozen=True, slots=True)
class Member:
    """One model as the pass reads it: a reader, and its name for each family tensor it has.

    For an adapter whose base is known, `onto` is that base: the model is base + product. Without
    it the product itself is the model (charted against the absent base, which is zero there).
    """

    name: str
    reader: Reader
    stored: Mapping[str, str]
    onto: "Member | None" = None


@dataclass(frozen=True, slots=True)
class TensorProducts:
    """What the pass found about one tensor; row k belongs to the k-th of the fresh models.

    rows: inner products of each fresh model's delta with every model's, in the order of members.
    The rest as in products.Moments; NaN, 0 or "" where the model lacks the tensor.
    """

    tensor: str
    rows: Float64[np.ndarray, "K N"]
    norm: Float64[np.ndarray, " K"]
    kurtosis: Float64[np.ndarray, " K"]
    peak: Float64[np.ndarray, " K"]
    unchanged: Float64[np.ndarray, " K"]
    nonfinite: Int64[np.ndarray, " K"]
    hashes: tuple[str, ...]
    bytes_read: int


def gram_pass(
    members: Sequence[Member],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    reference: Member | None,
    fresh: Sequence[int] | None = None,
    memory: int = DEFAULT_MEMORY,
    threads: int | None = None,
    progress: Progress = silent,
) -> Iterator[TensorProducts]:
    """Stream every tensor of `shapes` once through all members, yielding each as it is done.

    Only the rows of the `fresh` members (indices; all by default) are computed. `reference` is
    subtracted from every member (None: nothing is). Errors of a member's reader pass through.

    Squared distances come out within 1e-4 relative of a float64 brute force for deltas of 1e-3 of
    the weights; a member that lacks a tensor, or has a NaN or infinity in it, has NaN products
    there. Memory stays under `memory` bytes beside the mapped files.

    >>> class One:
    ...     def __init__(self, x): self.x = x
    ...     def flat(self, name, start=0, stop=None): return self.x[start:stop]
    ...     def release(self, name): pass
    >>> a, b = (Member(n, One(torch.tensor(x)), {"w": "w"}) for n, x in
    ...         (("a", [1.0, 2.0]), ("b", [1.0, 5.0])))
    >>> [p.rows.tolist() for p in gram_pass([a, b], {"w": (2,)}, reference=a)]
    [[[0.0, 0.0], [0.0, 9.0]]]
    """
    if not members:
        return
    chosen = list(range(len(members))) if fresh is None else list(fresh)
    workers = max(1, min(threads or default_threads(), 64))
    block = block_length(len(members), memory // workers)
    pieces = list(_pieces(shapes))
    total = sum(_stored_bytes(members, name) for name in shapes)
    with (
        progress.stage("reading weights", total=total, unit="B") as advance,
        # one thread each: two BLAS threads on a busy machine are slower than one
        threadpool_limits(limits=1),
        ThreadPoolExecutor(workers, thread_name_prefix="gram") as pool,
    ):
        parts: dict[str, list[_Part | None]] = {
            name: [None] * _piece_count(shape) for name, shape in shapes.items()
        }
        todo = iter(pieces)
        running: dict[Future[_Part], _Piece] = {}
        try:
            while True:
                # a short queue: the caller may stop the pass (Ctrl-C) without a long wait
                while len(running) < 2 * workers and (piece := next(todo, None)):
                    job = pool.submit(_piece, piece, members, reference, chosen, block)
                    running[job] = piece
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for job in done:
                    piece = running.pop(job)
                    part = job.result()
                    advance(part.bytes_read)
                    mine = parts[piece.tensor]
                    mine[piece.number] = part
                    whole = [p for p in mine if p is not None]
                    if len(whole) == len(mine):
                        parts[piece.tensor] = []
                        _release(members, piece.tensor)
                        yield _combine(piece.tensor, whole, prod(shapes[piece.tensor]))
        finally:
            for job in running:
                job.cancel()


def default_threads() -> int:
    """Tell how many threads a pass uses when nobody says: the processors we may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def block_length(models: int, memory: int) -> int:
    """Choose how many elements of each model are worked on at once.

    Raises BadInput when even the smallest block of that many models does not fit.
    """
    # deltas of all models, and a model's values, squares and comparison, in float32
    per_element = 4 * models + 24
    products = 16 * models * models
    room = (memory - products) // per_element
    if room < SMALLEST_BLOCK:
        least = products + SMALLEST_BLOCK * per_element
        raise BadInput(
            f"{models} models in one tree do not fit in {memory:,} bytes a thread; "
            f"give --memory at least {least:,} bytes a thread, or fewer --threads"
        )
    wish = max(SMALLEST_BLOCK, CACHE_BYTES // (4 * models))
    return int(min(LARGEST_BLOCK, wish, room))


# --- one piece ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Piece:
    tensor: str
    number: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class _Part:
    """Sums over one piece; `sums` holds, for each fresh model, the powers 1 to 4 and the rest."""

    rows: Float64[np.ndarray, "K N"]
    sums: Float64[np.ndarray, "K 4"]
    peak: Float64[np.ndarray, " K"]
    equal: Int64[np.ndarray, " K"]
    nonfinite: Int64[np.ndarray, " K"]
    has: tuple[bool, ...]
    digests: tuple[bytes, ...]
    bytes_read: int


def _pieces(shapes: Mapping[str, tuple[int, ...]]) -> Iterator[_Piece]:
    for name, shape in shapes.items():
        count = prod(shape)
        for number in range(_piece_count(shape)):
            yield _Piece(name, number, number * PIECE, min(count, (number + 1) * PIECE))


def _piece_count(shape: tuple[int, ...]) -> int:
    return max(1, -(-prod(shape) // PIECE))


def _stored_bytes(members: Sequence[Member], tensor: str) -> int:
    total = 0
    for member in members:
        infos = getattr(member.reader, "tensors", {})
        if tensor in member.stored and member.stored[tensor] in infos:
            total += infos[member.stored[tensor]].nbytes
    return total


def _release(members: Sequence[Member], tensor: str) -> None:
    for member in members:
        if tensor in member.stored:
            member.reader.release(member.stored[tensor])


def _piece(
    piece: _Piece,
    members: Sequence[Member],
    reference: Member | None,
    fresh: Sequence[int],
    block: int,
) -> _Part:
    """Work through one piece of one tensor, block by block, in buffers that are used again."""
    count, block = len(members), min(block, piece.stop - piece.start)
    # rows of absent models stay zero here; their products become NaN at the end
    delta = np.zeros((count, block), np.float32)
    squares = np.empty(block, np.float32)
    same = np.empty(block, np.bool_)
    product = np.empty((len(fresh), count), np.float32)
    views = [_View(member, piece, block) for member in members]
    origin = _View(reference, piece, block) if reference is not None else None
    rank = {index: k for k, index in enumerate(fresh)}
    everything = list(fresh) == list(range(count))
    tally = _Tally(len(fresh))
    rows = np.zeros((len(fresh), count))
    for start in range(piece.start, piece.stop, block):
        stop = min(start + block, piece.stop)
        width = stop - start
        deltas = delta[:, :width]
        base = origin.read(start, stop) if origin is not None else None
        for index, view in enumerate(views):
            if not view.present:
                continue
            values = view.read(start, stop)
            if base is None:
                np.copyto(deltas[index], values)
            elif view.onto is not None and origin is not None and view.onto.reads_as(origin):
                # base + product - base would round the product to the base's last bit
                np.copyto(deltas[index], view.product)
            else:
                np.subtract(values, base, out=deltas[index])
            if index in rank:
                tally.add(rank[index], values, base, squares[:width], same[:width])
        with np.errstate(all="ignore"):
            np.matmul(deltas if everything else deltas[fresh], deltas.T, out=product)
        rows += product
    absent = [index for index, view in enumerate(views) if not view.present]
    rows[:, absent] = np.nan
    digests = []
    for k, index in enumerate(fresh):
        if not views[index].present:
            rows[k] = np.nan
        digests.append(views[index].digest())
    has = tuple(views[index].present for index in fresh)
    read = sum(view.bytes_read for view in views)
    return _Part(
        rows, tally.sums, tally.peak, tally.equal, tally.nonfinite, has, tuple(digests), read
    )


class _View:
    """One member's side of a piece: float32 values a block at a time, and the raw bytes' hash."""

    def __init__(self, member: Member, piece: _Piece, block: int) -> None:
        self.onto: _View | None = None
        self.product: Float32[np.ndarray, " E"] = np.empty(0, np.float32)
        self.present = False
        self.bytes_read = 0
        self._member = member
        self._piece = piece
        self._raw: torch.Tensor | None = None
        self._ready: Float32[np.ndarray, " P"] | None = None
        self._buffer: Float32[np.ndarray, " E"] = np.empty(0, np.float32)
        name = member.stored.get(piece.tensor)
        if member.onto is not None:
            self.onto = _View(member.onto, piece, block)
            self.present = self.onto.present
            self._adapts = name is not None
            self._buffer = np.empty(block, np.float32)
            self.product = np.zeros(block, np.float32)
        elif name is not None:
            self.present = True
            self._raw = member.reader.flat(name, piece.start, piece.stop)
            self.bytes_read = self._raw.numel() * self._raw.element_size()
            if self._raw.dtype == torch.float32:
                self._ready = self._raw.numpy()
            else:
                self._buffer = np.empty(block, np.float32)

    def read(self, start: int, stop: int) -> Float32[np.ndarray, " E"]:
        """Return a block as float32; valid until the next read."""
        low, high = start - self._piece.start, stop - self._piece.start
        if self._ready is not None:
            return self._ready[low:high]
        out = self._buffer[: stop - start]
        if self.onto is not None:
            self.product = self.product[: stop - start]
            if self._adapts:
                stored = self._member.stored[self._piece.tensor]
                np.copyto(self.product, self._member.reader.flat(stored, start, stop).numpy())
            np.add(self.onto.read(start, stop), self.product, out=out)
        elif self._raw is not None:
            torch.from_numpy(out).copy_(self._raw[low:high])
        return out

    def reads_as(self, other: "_View") -> bool:
        """Tell whether two views are of the very same stored tensor."""
        return self._member is other._member or (
            self._member.reader is other._member.reader and self._member.onto is other._member.onto
        )

    def digest(self) -> bytes:
        """Hash the piece's stored bytes; an adapted tensor by its base's and its own values."""
        if not self.present:
            return b""
        if self.onto is not None:
            inner = self.onto.digest()
            if not self._adapts:
                return inner
            stored = self._member.stored[self._piece.tensor]
            values = self._member.reader.flat(stored, self._piece.start, self._piece.stop)
            return xxhash.xxh3_128(inner + values.numpy().tobytes()).digest()
        assert self._raw is not None
        raw = self._raw.contiguous().view(torch.uint8).numpy()
        # the dtype goes in: zeros of any type are the same bytes
        return xxhash.xxh3_128(memoryview(raw), seed=hash_seed(self._raw.dtype)).digest()


def hash_seed(dtype: torch.dtype) -> int:
    """Give each dtype its own seed, the same in every process."""
    return xxhash.xxh32_intdigest(str(dtype).encode())


class _Tally:
    """Moments of the fresh models' raw values, summed over blocks in float64."""

    def __init__(self, fresh: int) -> None:
        self.sums: Float64[np.ndarray, "K 4"] = np.zeros((fresh, 4))
        self.peak: Float64[np.ndarray, " K"] = np.zeros(fresh)
        self.equal: Int64[np.ndarray, " K"] = np.zeros(fresh, np.int64)
        self.nonfinite: Int64[np.ndarray, " K"] = np.zeros(fresh, np.int64)

    def add(
        self,
        k: int,
        values: Float32[np.ndarray, " E"],
        base: Float32[np.ndarray, " E"] | None,
        squares: Float32[np.ndarray, " E"],
        same: np.ndarray,
    ) -> None:
        with np.errstate(all="ignore"):
            np.multiply(values, values, out=squares)
            fourth = float(np.dot(squares, squares))
            if np.isfinite(fourth):
                powers: tuple[float, ...] = (
                    float(values.sum()),
                    float(squares.sum()),
                    float(np.dot(values, squares)),
                    fourth,
                )
                peak = float(np.sqrt(squares.max()))
            else:
                powers, peak = self._carefully(k, values)
        self.sums[k] += powers
        self.peak[k] = max(self.peak[k], peak)
        if base is not None:
            np.equal(values, base, out=same)
            self.equal[k] += np.count_nonzero(same)

    def _carefully(
        self, k: int, values: Float32[np.ndarray, " E"]
    ) -> tuple[tuple[float, ...], float]:
        """Sum a block that holds NaN, infinities or values whose fourth power overflows."""
        finite = values[np.isfinite(values)].astype(np.float64)
        self.nonfinite[k] += values.size - finite.size
        powers = tuple(float((finite**p).sum()) for p in (1, 2, 3, 4))
        return powers, float(np.abs(finite).max(initial=0.0))


# --- a whole tensor ----------------------------------------------------------------------------


def _combine(tensor: str, parts: Sequence[_Part], count: int) -> TensorProducts:
    rows = np.sum([part.rows for part in parts], axis=0)
    sums = np.sum([part.sums for part in parts], axis=0)
    nonfinite = np.sum([part.nonfinite for part in parts], axis=0)
    has = np.array(parts[0].has)
    absent = ~has
    norm = np.where(absent, np.nan, np.sqrt(sums[:, 1]))
    return TensorProducts(
        tensor=tensor,
        rows=rows,
        norm=norm,
        kurtosis=np.where(absent, np.nan, _kurtosis(sums, count - nonfinite)),
        peak=np.where(absent, np.nan, np.max([part.peak for part in parts], axis=0)),
        unchanged=np.where(absent, np.nan, np.sum([p.equal for p in parts], axis=0) / count),
        nonfinite=nonfinite,
        hashes=tuple(
            xxhash.xxh3_128(b"".join(part.digests[k] for part in parts)).hexdigest()
            if there
            else ""
            for k, there in enumerate(has)
        ),
        bytes_read=sum(part.bytes_read for part in parts),
    )


def _kurtosis(sums: Float64[np.ndarray, "K 4"], count: Int64[np.ndarray, " K"]) -> np.ndarray:
    """Fisher's kurtosis from power sums: 0 for a normal, NaN for a constant."""
    n = np.maximum(count, 1)
    m1, m2, m3, m4 = (sums[:, p] / n for p in range(4))
    variance = m2 - m1**2
    fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
    with np.errstate(invalid="ignore", divide="ignore"):
        # power sums in float32 cannot tell a variance below a millionth of the mean square
        return np.where(variance > 1e-6 * m2, fourth / variance**2 - 3.0, np.nan)
