"""A LoRA adapter, read as the low-rank deltas of its base.

The delta of a weight is ``scale * B @ A`` with ``scale = alpha / r``, or ``alpha / sqrt(r)`` with
rank-stabilised LoRA (Hu et al. 2021, arXiv:2106.09685; Kalajdzievski 2023, arXiv:2312.03732).
File and key names are those of the peft library.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Protocol

import torch

from weightscape.errors import BadCheckpoint, UnknownName, UnsupportedFormat
from weightscape.io.adapter_config import LoraConfig
from weightscape.io.checkpoint import Checkpoint
from weightscape.io.tensors import TensorInfo

_FACTORS = {
    "lora_A": ("A", False),
    "lora_B": ("B", False),
    "lora_embedding_A": ("A", True),
    "lora_embedding_B": ("B", True),
}
_PRODUCT_LIMIT = 2**31
"""Elements of one product: the largest layers there are, 128,256 x 16,384 and 262,144 x 8,192."""

_GROWTH_LIMIT = 2**14
"""Elements of products for each one stored. With rank r it is at most the layer's smaller side
over r, and no model that was published for use is wider than this; a few kilobytes that claim a
square of 131,072 are a bomb."""

_RANK_LIMIT = 1024
"""Of layers with shorter sides; larger ones may have a rank as large as their longer side. Factors
of a higher one hold more than the layer itself: who asks for a small layer would be sent a bomb."""


class Stored(Protocol):
    """A checkpoint of an adapter's factors, here or on a server."""

    @property
    def path(self) -> Path | str:
        """Tell what errors should call it."""
        ...

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """Every stored tensor by name."""
        ...

    @property
    def tied(self) -> Mapping[str, str]:
        """Alias to the tensor whose elements it shares."""
        ...

    @property
    def metadata(self) -> Mapping[str, str]:
        """Give what the file says beside its tensors."""
        ...

    @property
    def nbytes(self) -> int:
        """Tell the size of all tensors."""
        ...

    def info(self, name: str) -> TensorInfo:
        """Tell what is known of a tensor."""
        ...

    def tensor(self, name: str) -> torch.Tensor:
        """Read a tensor."""
        ...

    def flat(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Read elements in row-major order."""
        ...

    def raw(self, name: str, start: int, count: int) -> bytes:
        """Read stored bytes of a tensor."""
        ...

    def release(self, name: str, start: int = 0, stop: int | None = None) -> None:
        """Let go of what was read of a tensor."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


@dataclass(frozen=True, slots=True)
class Low:
    """One delta as it is stored: the names of its factors, its scale, its orientation."""

    b: str
    a: str
    rank: int
    scale: float
    transposed: bool
    info: TensorInfo


class Adapter:
    """A LoRA adapter with the same reading surface as a `Checkpoint`.

    tensors: the weights of the *base* that it changes, by the base's names; reading one gives its
    delta in float32, the product rounded once from float64. saved: tensors that the adapter holds
    in full (`modules_to_save`, biases), read by `full_tensor`. base: the model it claims to
    belong to. ranks, scales: by tensor. stored: the checkpoint of the factors themselves.
    """

    format = "lora"

    def __init__(self, stored: Stored, config: LoraConfig, path: Path | str) -> None:
        self.path = path
        self.stored = stored
        self.base = config.base
        self.config = config.raw
        self.metadata = stored.metadata
        self.nbytes = stored.nbytes
        self.tied: Mapping[str, str] = MappingProxyType({})
        self._low, saved = _pair_up(stored, config)
        self._stored_name = saved
        self.tensors: Mapping[str, TensorInfo] = MappingProxyType(
            {name: low.info for name, low in self._low.items()}
        )
        self.saved: Mapping[str, TensorInfo] = MappingProxyType(
            {name: stored.info(key) for name, key in saved.items()}
        )
        self.ranks = MappingProxyType({name: low.rank for name, low in self._low.items()})
        self.scales = MappingProxyType({name: low.scale for name, low in self._low.items()})

    def info(self, name: str) -> TensorInfo:
        """Tell what is known of a delta."""
        return self._find(name).info

    def factors(self, name: str) -> tuple[torch.Tensor, torch.Tensor, float]:
        """Return B (out, r), A (r, in) as stored, and the scale of their product.

        For an embedding and for weights stored as (in, out) the delta is the transposed product.
        """
        low = self._find(name)
        b, a = self.stored.tensor(low.b), self.stored.tensor(low.a)
        return b.reshape(-1, low.rank), a.reshape(low.rank, -1), low.scale

    def tensor(self, name: str) -> torch.Tensor:
        """Return the delta of a weight in the base's shape, float32."""
        return self.flat(name).view(self._find(name).info.shape)

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Return rows `start` to `stop` of a delta; only these are multiplied out."""
        shape = self._find(name).info.shape
        first, last, _ = slice(start, stop).indices(shape[0])
        last = max(first, last)
        return self._product(name, first, last).view(last - first, *shape[1:])

    def flat(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Return elements `start` to `stop` of a delta in row-major order."""
        info = self._find(name).info
        first, last, _ = slice(start, stop).indices(info.numel)
        if first >= last:
            return torch.empty(0)
        width = info.numel // info.shape[0]
        top, bottom = first // width, -(-last // width)
        block = self._product(name, top, bottom).reshape(-1)
        return block[first - top * width : last - top * width]

    def full_tensor(self, name: str) -> torch.Tensor:
        """Return a tensor of `saved`, which the adapter holds in full."""
        if name not in self._stored_name:
            raise UnknownName("saved tensor", name, self._stored_name)
        return self.stored.tensor(self._stored_name[name])

    def release(self, name: str, start: int = 0, stop: int | None = None) -> None:
        """Let the kernel drop the pages of a delta's factors, once the whole delta is released."""
        if stop is not None:
            return
        low = self._find(name)
        self.stored.release(low.b)
        self.stored.release(low.a)

    def close(self) -> None:
        """Forget the mapped files."""
        self.stored.close()

    def __enter__(self) -> "Adapter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Adapter {self.path}: {len(self.tensors)} tensors of {self.base!r}>"

    def _find(self, name: str) -> Low:
        low = self._low.get(name)
        if low is None:
            raise UnknownName("tensor", name, self._low)
        return low

    def _product(self, name: str, first: int, last: int) -> torch.Tensor:
        low = self._find(name)
        b, a, scale = self.factors(name)
        if low.transposed:
            left, right = a[:, first:last].T.double(), b.T.double()
        else:
            left, right = b[first:last].double(), a.double()
        return (left @ right).mul_(scale).float()


def _pair_up(stored: Stored, config: LoraConfig) -> tuple[dict[str, Low], dict[str, str]]:
    """Sort the stored tensors into factors by the base's names and tensors held in full."""
    factors: dict[tuple[str, bool], dict[str, str]] = {}
    saved: dict[str, str] = {}
    for key in stored.tensors:
        name = key.removeprefix("base_model.model.")
        module, kind, embedding = _split(name)
        if kind is None:
            saved[_plain_name(name)] = key
        elif kind in ("A", "B"):
            pair = factors.setdefault((_plain_name(module), embedding), {})
            if kind in pair:
                raise UnsupportedFormat(
                    f"{stored.path}: module {module!r} has several adapters; save them apart"
                )
            pair[kind] = key
        else:
            raise UnsupportedFormat(
                f"{stored.path}: tensor {key!r} belongs to {kind}, which is not read yet; "
                "merge the adapter into its base and save the model"
            )
    if not factors:
        raise BadCheckpoint("holds no LoRA factors (lora_A, lora_B)", file=stored.path)
    low = {}
    for (module, embedding), pair in factors.items():
        if len(pair) != 2:
            lone = next(iter(pair.values()))
            raise BadCheckpoint("its other LoRA factor is missing", file=stored.path, tensor=lone)
        name = f"{module}.weight"
        low[name] = _low(stored, config, module, pair["B"], pair["A"], embedding)
    _refuse_shared_bomb(stored, low)
    return low, saved


def _refuse_shared_bomb(stored: Stored, low: Mapping[str, Low]) -> None:
    """Refuse products that many modules make of the same few bytes of a torch file."""
    total = sum(each.info.numel for each in low.values())
    held = max(info.end for info in stored.tensors.values())
    if total > held * _GROWTH_LIMIT:
        raise BadCheckpoint(
            f"its {len(low):,} products would have {total:,} elements, made of {held:,} bytes; "
            "no adapter of a real model does",
            file=stored.path,
        )


def _split(name: str) -> tuple[str, str | None, bool]:
    """Split a key into its module, which part of an adapter it is, and whether of an embedding."""
    parts = name.split(".")
    for position, part in enumerate(parts):
        if part in _FACTORS:
            kind, embedding = _FACTORS[part]
            module = ".".join(parts[:position])
            return module, "a LoRA bias" if parts[-1] == "bias" else kind, embedding
        if part.startswith("lora_magnitude_vector"):
            return "", "DoRA (weight-decomposed LoRA)", False
        if part.startswith(("lora_", "ia3_", "hada_", "lokr_", "oft_", "vera_")):
            return "", f"an adapter of another kind ({part})", False
    return name, None, False


def _plain_name(name: str) -> str:
    """Undo the wrapping that peft puts around a module it changes or saves."""
    parts = name.split(".")
    if "modules_to_save" in parts:
        position = parts.index("modules_to_save")
        # followed by the adapter's name in a raw state dict, not in what peft writes
        skip = 2 if len(parts) - position > 2 else 1
        parts[position : position + skip] = []
    return ".".join(part for part in parts if part != "base_layer")


def _low(stored: Stored, config: LoraConfig, module: str, b: str, a: str, embedding: bool) -> Low:
    b_info, a_info = stored.info(b), stored.info(a)
    for info in (b_info, a_info):
        if len(info.shape) < 2 or not info.dtype.is_floating_point or not info.numel:
            raise BadCheckpoint(
                f"a LoRA factor of shape {list(info.shape)} and type {info.stored} "
                "cannot be multiplied",
                file=stored.path,
                tensor=info.name,
            )
    rank = a_info.shape[0]
    if b_info.shape[1] != rank or any(size != 1 for size in b_info.shape[2:]):
        raise BadCheckpoint(
            f"shape {list(b_info.shape)} of B does not fit shape {list(a_info.shape)} of A",
            file=stored.path,
            tensor=b,
        )
    transposed = embedding or (config.fan_in_fan_out and len(a_info.shape) == 2)
    shape = (b_info.shape[0], *a_info.shape[1:])
    if transposed:
        shape = (a_info.shape[1], b_info.shape[0])
    if rank > max(_RANK_LIMIT, shape[0], math.prod(shape[1:])):
        raise BadCheckpoint(
            f"rank {rank:,} is beyond both sides of its product, of shape {list(shape)}; "
            "no adapter of a real model has it",
            file=stored.path,
            tensor=b,
        )
    stored_elements = a_info.numel + b_info.numel
    limit = min(_PRODUCT_LIMIT, stored_elements * _GROWTH_LIMIT)
    if math.prod(shape) > limit:
        raise BadCheckpoint(
            f"its product would have shape {list(shape)}; of {stored_elements:,} elements stored "
            f"at most {limit:,} are made",
            file=stored.path,
            tensor=b,
        )
    info = TensorInfo(
        f"{module}.weight",
        shape,
        torch.float32,
        "F32",
        math.prod(shape) * 4,
        b_info.file,
        min(a_info.start, b_info.start),
        max(a_info.end, b_info.end),
    )
    return Low(b, a, rank, config.scale(module, rank), transposed, info)


def stored_of(model: Checkpoint | Adapter) -> Stored:
    """Return the checkpoint of the bytes themselves: of the factors, for an adapter."""
    return model.stored if isinstance(model, Adapter) else model
