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

import numpy as np
import xxhash
from jaxtyping import Float64, Int64
from threadpoolctl import threadpool_limits

from weightscape.errors import BadInput
from weightscape.geometry.piece import Member, Part, Piece, work_piece
from weightscape.progress import Progress, silent

# A piece is the unit of work of a thread and of hashing (so the hash depends on it: fixed).
PIECE = 1 << 22
# The deltas of one block, all models together, should stay in the last-level cache.
CACHE_BYTES = 16 << 20
LARGEST_BLOCK = 1 << 16
SMALLEST_BLOCK = 1 << 10
DEFAULT_MEMORY = 2 << 30
# Half of the memory is for buffers, half for mapped pages: most are float32.
BYTES_MAPPED = 4


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
    the weights, however far the reference is from both; only between a `fresh` member and an
    older one that is 100 times nearer to it than to the reference it may be 1e-3. A member that
    lacks a tensor, or has a NaN or infinity in it, has NaN products there. Memory stays under
    `memory` bytes, mapped pages included.

    >>> import torch
    >>> class One:
    ...     def __init__(self, x): self.x = x
    ...     def flat(self, name, start=0, stop=None): return self.x[start:stop]
    ...     def release(self, name, start=0, stop=None): pass
    >>> a, b = (Member(n, One(torch.tensor(x)), {"w": "w"}) for n, x in
    ...         (("a", [1.0, 2.0]), ("b", [1.0, 5.0])))
    >>> [p.rows.tolist() for p in gram_pass([a, b], {"w": (2,)}, reference=a)]
    [[[0.0, 0.0], [0.0, 9.0]]]
    """
    if not members:
        return
    chosen = list(range(len(members))) if fresh is None else list(fresh)
    workers = max(1, min(threads or default_threads(), 64))
    block = block_length(len(members), memory // (2 * workers))
    window = memory // (2 * workers) // BYTES_MAPPED
    there = {
        name: shape
        for name, shape in shapes.items()
        if any(_has(members[index], name) for index in chosen)
    }
    for name in shapes:
        if name not in there:
            yield _nothing(name, len(chosen), len(members))
    shapes = there
    pieces = list(_pieces(shapes))
    total = sum(_stored_bytes(members, name) for name in shapes)
    with (
        progress.stage("reading weights", total=total, unit="B") as advance,
        # one thread each: two BLAS threads on a busy machine are slower than one
        threadpool_limits(limits=1),
        ThreadPoolExecutor(workers, thread_name_prefix="gram") as pool,
    ):
        parts: dict[str, list[Part | None]] = {
            name: [None] * _piece_count(shape) for name, shape in shapes.items()
        }
        todo = iter(pieces)
        running: dict[Future[Part], Piece] = {}
        try:
            while True:
                # a short queue: the caller may stop the pass (Ctrl-C) without a long wait
                while len(running) < 2 * workers and (piece := next(todo, None)):
                    job = pool.submit(work_piece, piece, members, reference, chosen, block, window)
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
    # deltas of all models in float32 and, where need be, float64; one model's values and squares
    per_element = 12 * models + 24
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


def _pieces(shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Piece]:
    for name, shape in shapes.items():
        count = prod(shape)
        for number in range(_piece_count(shape)):
            yield Piece(name, number, number * PIECE, min(count, (number + 1) * PIECE))


def _piece_count(shape: tuple[int, ...]) -> int:
    return max(1, -(-prod(shape) // PIECE))


def _has(member: Member, tensor: str) -> bool:
    return tensor in member.stored or (member.onto is not None and _has(member.onto, tensor))


def _nothing(tensor: str, fresh: int, members: int) -> TensorProducts:
    """Tell of a tensor that no fresh model has; nothing is read and multiplied for it."""
    unknown = np.full(fresh, np.nan)
    rows = np.full((fresh, members), np.nan)
    nonfinite = np.zeros(fresh, np.int64)
    return TensorProducts(
        tensor, rows, unknown, unknown, unknown, unknown, nonfinite, ("",) * fresh, 0
    )


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


def _combine(tensor: str, parts: Sequence[Part], count: int) -> TensorProducts:
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
