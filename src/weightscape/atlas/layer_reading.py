"""Opening an atlas's models for the one layer that is read of each, and counting its bytes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from weightscape.atlas.reading import Shelf, as_kept
from weightscape.catalog.records import Model
from weightscape.errors import MismatchedModels, NotFound
from weightscape.io.tensors import TensorInfo
from weightscape.probing.layers import Factored, Readable


@dataclass(slots=True)
class Meter:
    """Counts the bytes of the tensors that were read."""

    bytes_read: int = 0


class Metered:
    """A model's files, each reading of which is counted."""

    def __init__(self, checkpoint: Readable, meter: Meter) -> None:
        self._checkpoint = checkpoint
        self._meter = meter

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """Every stored tensor by name."""
        return self._checkpoint.tensors

    @property
    def tied(self) -> Mapping[str, str]:
        """Alias to the tensor whose elements it shares."""
        return self._checkpoint.tied

    def tensor(self, name: str) -> Tensor:
        """Read one tensor."""
        self._meter.bytes_read += self._checkpoint.tensors[name].nbytes
        return self._checkpoint.tensor(name)


class MeteredFactors(Metered):
    """An adapter's files, each reading of which is counted."""

    def __init__(self, adapter: Any, meter: Meter) -> None:
        super().__init__(adapter, meter)
        self._adapter: Factored = adapter

    def factors(self, name: str) -> tuple[Tensor, Tensor, float]:
        """Return B [out, r], A [r, in] and the scale of their product."""
        b, a, scale = self._adapter.factors(name)
        self._meter.bytes_read += b.nbytes + a.nbytes
        return b, a, scale


def metered(checkpoint: Any, meter: Meter) -> Metered:
    """Count what is read of an open model, whole or an adapter."""
    kind = MeteredFactors if isinstance(checkpoint, Factored) else Metered
    return kind(checkpoint, meter)


@contextmanager
def opened(model: Model, meter: Meter) -> Iterator[Metered]:
    """Open a model of the atlas; raises NotFound where its files are not what they were.

    Of one that is elsewhere some layers are here: what needs another is told how to get it.
    """
    shelf = Shelf()
    try:
        if not as_kept(model, shelf):
            raise NotFound("its files are gone or were changed; add it again")
        yield metered(shelf.open(model.path), meter)
    except MismatchedModels as problem:
        if model.facts.part_of is None:
            raise
        raise MismatchedModels(
            f"{problem}; only some layers of {model.facts.part_of} were fetched: add it again, "
            "which fetches those that experts read"
        ) from None
    finally:
        shelf.close()
