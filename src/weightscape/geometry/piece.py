"""One piece of one tensor through all models: deltas, their products, moments and hashes.

Everything happens in float32 blocks that stay in cache, in buffers that are used again; sums over
blocks are float64.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
import xxhash
from jaxtyping import Bool, Float32, Float64, Int64

from weightscape.geometry.blockwise import products_of, products_of_all


@runtime_checkable
class Reader(Protocol):
    """What the pass needs of a checkpoint: a flat range of one stored tensor."""

    def flat(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Return elements start..stop of the flattened tensor, in its stored dtype."""
        ...

    def release(self, name: str, start: int = 0, stop: int | None = None) -> None:
        """Let go of the memory that reading those elements took."""
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
class Piece:
    """Elements start..stop of a tensor, the number-th piece of it."""

    tensor: str
    number: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Part:
    """Sums over one piece; `sums` holds, for each fresh model, the powers 1 to 4 and the rest."""

    rows: Float64[np.ndarray, "K N"]
    sums: Float64[np.ndarray, "K 4"]
    peak: Float64[np.ndarray, " K"]
    equal: Int64[np.ndarray, " K"]
    nonfinite: Int64[np.ndarray, " K"]
    has: tuple[bool, ...]
    digests: tuple[bytes, ...]
    bytes_read: int


def work_piece(
    piece: Piece,
    members: Sequence[Member],
    reference: Member | None,
    fresh: Sequence[int],
    block: int,
    window: int,
) -> Part:
    """Work through one piece of one tensor, block by block, in buffers that are used again.

    window: how many elements, of all models together, may stay mapped behind the current block.
    """
    count, block = len(members), min(block, piece.stop - piece.start)
    # rows of absent models stay zero here; their products become NaN at the end
    delta = np.zeros((count, block), np.float32)
    rank = {index: k for k, index in enumerate(fresh)}
    views = [_View(member, piece, block, i in rank) for i, member in enumerate(members)]
    origin = _View(reference, piece, block, False) if reference is not None else None
    if origin is not None and not origin.present:
        origin = None
    tally = _Tally(len(fresh), block)
    everything = list(fresh) == list(range(count))
    rows = np.zeros((len(fresh), count))
    kept = piece.start
    for start in range(piece.start, piece.stop, block):
        stop = min(start + block, piece.stop)
        deltas = delta[:, : stop - start]
        base = _finite(origin.read(start, stop)) if origin is not None else None
        for index, view in enumerate(views):
            if view.present:
                values = view.read(start, stop)
                _subtract(view, values, origin, base, deltas[index])
                if index in rank:
                    tally.add(rank[index], values, None if base is None else deltas[index])
        rows += products_of_all(deltas) if everything else products_of(deltas, fresh)
        if (stop - kept) * count >= window or stop == piece.stop:
            # mapped pages count as this process's memory until they are let go
            for view in views:
                view.release(kept, stop)
            kept = stop
    for index, view in enumerate(views):
        if not view.present:
            rows[:, index] = np.nan
            if index in rank:
                rows[rank[index]] = np.nan
    return Part(
        rows=rows,
        sums=tally.sums,
        peak=tally.peak,
        equal=tally.equal,
        nonfinite=tally.nonfinite,
        has=tuple(views[index].present for index in fresh),
        digests=tuple(views[index].digest() for index in fresh),
        bytes_read=sum(view.bytes_read for view in views),
    )


def _finite(base: Float32[np.ndarray, " E"]) -> Float32[np.ndarray, " E"]:
    """Put zeros where the reference is not finite: any origin serves that is the same for all."""
    with np.errstate(all="ignore"):
        if np.isfinite(np.dot(base, base)):
            return base
    return np.where(np.isfinite(base), base, np.float32(0.0))


def _subtract(
    view: "_View",
    values: Float32[np.ndarray, " E"],
    origin: "_View | None",
    base: Float32[np.ndarray, " E"] | None,
    out: Float32[np.ndarray, " E"],
) -> None:
    """Write a block's delta from the reference."""
    if base is None:
        np.copyto(out, values)
    elif view.onto is not None and origin is not None and view.onto.reads_as(origin):
        # base + product - base would round the product to the base's last bit
        np.copyto(out, view.product)
    else:
        np.subtract(values, base, out=out)


class _View:
    """One member's side of a piece: float32 values a block at a time, and the raw bytes' hash."""

    def __init__(self, member: Member, piece: Piece, block: int, hashed: bool) -> None:
        self.onto: _View | None = None
        self.product: Float32[np.ndarray, " E"] = np.empty(0, np.float32)
        self.present = False
        self.bytes_read = 0
        self._member = member
        self._name = member.stored.get(piece.tensor)
        self._buffer: Float32[np.ndarray, " E"] = np.empty(block, np.float32)
        self._hashed = hashed
        self._hash = xxhash.xxh3_128()
        self._seeded = False
        if member.onto is not None:
            self.onto = _View(member.onto, piece, block, hashed)
            self.present = self.onto.present
            self.product = np.zeros(block, np.float32)
        else:
            self.present = self._name is not None

    def read(self, start: int, stop: int) -> Float32[np.ndarray, " E"]:
        """Return the next block as float32, valid until the next read; hash its stored bytes."""
        out = self._buffer[: stop - start]
        if self.onto is not None:
            under = self.onto.read(start, stop)
            self.product = self.product[: stop - start]
            if self._name is None:
                return under
            np.copyto(self.product, self._member.reader.flat(self._name, start, stop).numpy())
            if self._hashed:
                self._hash.update(self.product.data)
            np.add(under, self.product, out=out)
            return out
        assert self._name is not None
        # asked for block by block: a reader checks that the file still has what it hands out
        raw = self._member.reader.flat(self._name, start, stop)
        self.bytes_read += raw.numel() * raw.element_size()
        self._add_to_hash(raw)
        if raw.dtype == torch.float32:
            return raw.numpy()
        torch.from_numpy(out).copy_(raw)
        return out

    def _add_to_hash(self, raw: torch.Tensor) -> None:
        if not self._hashed:
            return
        if not self._seeded:
            # the dtype goes in: zeros of any type are the same bytes
            self._hash = xxhash.xxh3_128(seed=hash_seed(raw.dtype))
            self._seeded = True
        self._hash.update(raw.contiguous().view(torch.uint8).numpy().data)

    def release(self, start: int, stop: int) -> None:
        """Let go of the pages of elements that are done with."""
        if self.onto is not None:
            self.onto.release(start, stop)
        elif self._name is not None:
            self._member.reader.release(self._name, start, stop)

    def reads_as(self, other: "_View") -> bool:
        """Tell whether two views are of the very same stored tensor."""
        return self._member is other._member or (
            self._member.reader is other._member.reader and self._member.onto is other._member.onto
        )

    def digest(self) -> bytes:
        """Tell the hash of all that was read; for an adapted tensor, of its base's and its own."""
        if not self.present:
            return b""
        if self.onto is None:
            return self._hash.digest()
        under = self.onto.digest()
        if self._name is None:
            return under
        return xxhash.xxh3_128(under + self._hash.digest()).digest()


def hash_seed(dtype: torch.dtype) -> int:
    """Give each dtype its own seed, the same in every process."""
    return xxhash.xxh32_intdigest(str(dtype).encode())


class _Tally:
    """Moments of the fresh models' raw values, summed over blocks in float64."""

    def __init__(self, fresh: int, block: int) -> None:
        self.sums: Float64[np.ndarray, "K 4"] = np.zeros((fresh, 4))
        self.peak: Float64[np.ndarray, " K"] = np.zeros(fresh)
        self.equal: Int64[np.ndarray, " K"] = np.zeros(fresh, np.int64)
        self.nonfinite: Int64[np.ndarray, " K"] = np.zeros(fresh, np.int64)
        self._squares: Float32[np.ndarray, " E"] = np.empty(block, np.float32)
        self._ones: Float32[np.ndarray, " E"] = np.ones(block, np.float32)
        self._same: Bool[np.ndarray, " E"] = np.empty(block, np.bool_)

    def add(
        self,
        k: int,
        values: Float32[np.ndarray, " E"],
        delta: Float32[np.ndarray, " E"] | None,
    ) -> None:
        """Add a block of model k's values, and its delta where there is a reference."""
        width = len(values)
        squares, ones = self._squares[:width], self._ones[:width]
        with np.errstate(all="ignore"):
            np.multiply(values, values, out=squares)
            fourth = float(np.dot(squares, squares))
            if np.isfinite(fourth):
                # products with ones: BLAS sums twice as fast as a reduction
                self.sums[k] += (
                    np.dot(values, ones),
                    np.dot(squares, ones),
                    np.dot(values, squares),
                    fourth,
                )
                self.peak[k] = max(self.peak[k], float(np.sqrt(squares.max())))
            else:
                self._add_carefully(k, values)
            if delta is not None:
                # x - y is zero only where x equals y: subtraction never underflows to zero
                same = np.equal(delta, 0.0, out=self._same[:width])
                self.equal[k] += np.count_nonzero(same)

    def _add_carefully(self, k: int, values: Float32[np.ndarray, " E"]) -> None:
        """Add a block that holds NaN, infinities or values whose fourth power overflows."""
        finite = values[np.isfinite(values)].astype(np.float64)
        self.nonfinite[k] += values.size - finite.size
        self.sums[k] += [(finite**p).sum() for p in (1, 2, 3, 4)]
        self.peak[k] = max(self.peak[k], np.abs(finite).max(initial=0.0))
