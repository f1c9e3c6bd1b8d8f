"""What a torch pickle describes, as inert data, and which calls of it are understood."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from weightscape.errors import UnsafeCheckpoint, UnsupportedFormat
from weightscape.io.dtypes import STORED_NAMES
from weightscape.io.tensors import clip


@dataclass(frozen=True, slots=True)
class Global:
    """The name of something importable; never imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class Opaque:
    """An object of a class that is not ours to know."""

    kind: Global


@dataclass(frozen=True, slots=True, eq=False)
class Storage:
    """A reference to a file in the archive. dtype: None for untyped bytes."""

    key: str
    dtype: torch.dtype | None
    numel: int


@dataclass(frozen=True, slots=True, eq=False)
class Rebuilt:
    """A tensor as its arguments say; nothing of it is checked yet."""

    storage: Storage
    dtype: torch.dtype
    offset: Any
    shape: Any
    stride: Any


_STORAGES: dict[str, torch.dtype | None] = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "UntypedStorage": None,
}

_DTYPES = {str(dtype): dtype for dtype in STORED_NAMES}

# Calls that make plain values when a pickle is loaded by Python; here they make an Opaque (or a
# plain container), and their arguments are thrown away.
_HARMLESS = frozenset(
    {
        "_codecs.encode",
        "argparse.Namespace",
        "collections.Counter",
        "collections.OrderedDict",
        "collections.defaultdict",
        "collections.deque",
        "copyreg._reconstructor",
        "copy_reg._reconstructor",
        "datetime.date",
        "datetime.datetime",
        "datetime.timedelta",
        "datetime.timezone",
        "decimal.Decimal",
        "fractions.Fraction",
        "numpy.core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy._core.numeric._frombuffer",
        "numpy.core.numeric._frombuffer",
        "numpy.dtype",
        "pathlib.Path",
        "pathlib.PosixPath",
        "pathlib.PurePosixPath",
        "pathlib.PureWindowsPath",
        "pathlib.WindowsPath",
        "torch.Size",
        "torch.device",
        "torch.serialization._get_layout",
        "uuid.UUID",
        *(
            f"{module}.{name}"
            for module in ("builtins", "__builtin__")
            for name in "bool bytearray bytes complex dict float frozenset int list object range "
            "set slice str tuple".split()
        ),
    }
)
DICTS = frozenset({"collections.OrderedDict", "collections.defaultdict", "collections.Counter"})


def call(target: Any, args: Any, file: Path | str) -> Any:
    """Return what a call in a pickle makes: plain data, or an Opaque; nothing is called.

    Raises UnsafeCheckpoint for whatever is not known to be harmless.
    """
    if not isinstance(target, Global) or not isinstance(args, tuple):
        raise ValueError("a call of something that has no name")
    name = str(target)
    if name in DICTS:
        return _dict_of(args[0]) if name == "collections.OrderedDict" and args else {}
    if name in _HARMLESS:
        # a str in a protocol-2 pickle of bytes, a set, a path: nobody asks for its value
        kind = args[0] if name.endswith("_reconstructor") and args else target
        return Opaque(kind if isinstance(kind, Global) else target)
    rebuild = _REBUILDS.get(name)
    if rebuild is not None:
        return rebuild(args, file)
    raise UnsafeCheckpoint(
        f"its pickle calls {name[:200]!r} when loaded; nothing was run. "
        "If you trust it, load it yourself and save its state dict as safetensors",
        file=file,
    )


def storage(reference: Any, file: Path | str) -> Storage:
    """Return the storage that a persistent reference names; raise ValueError for any other."""
    if not isinstance(reference, tuple) or len(reference) < 5 or reference[0] != "storage":
        raise ValueError("a persistent reference that is no storage")
    _, kind, key, _, numel = reference[:5]
    if not isinstance(kind, Global) or kind.name not in _STORAGES:
        shown = clip(str(kind) if isinstance(kind, Global) else kind)
        raise UnsupportedFormat(
            f"{file}: a storage of type {shown} is not read; save the model as safetensors"
        )
    if not isinstance(key, str) or type(numel) is not int:
        raise ValueError("a storage without a key or size")
    return Storage(key, _STORAGES[kind.name], numel)


def _dict_of(items: Any) -> dict[Any, Any]:
    """Make the dict of OrderedDict's first argument: a list of pairs, in old pickles."""
    pairs = [pair for pair in items if isinstance(pair, tuple | list) and len(pair) == 2]
    return {key: value for key, value in pairs if isinstance(key, str)}


def _tensor_v2(args: tuple[Any, ...], file: Path | str) -> Rebuilt:
    storage, offset, shape, stride = args[:4]
    if not isinstance(storage, Storage) or storage.dtype is None:
        raise ValueError("a tensor without a typed storage")
    return Rebuilt(storage, storage.dtype, offset, shape, stride)


def _tensor_v3(args: tuple[Any, ...], file: Path | str) -> Rebuilt:
    storage, offset, shape, stride, _, _, dtype = args[:7]
    if not isinstance(storage, Storage) or not isinstance(dtype, Global):
        raise ValueError("a tensor without a storage or dtype")
    if str(dtype) not in _DTYPES:
        raise UnsupportedFormat(
            f"{file}: elements of {clip(str(dtype))} are not read; convert the model to float32"
        )
    return Rebuilt(storage, _DTYPES[str(dtype)], offset, shape, stride)


def _parameter(args: tuple[Any, ...], file: Path | str) -> Any:
    return args[0]


def _from_type(args: tuple[Any, ...], file: Path | str) -> Any:
    if args[0] == Global("torch._tensor", "_rebuild_from_type_v2"):
        raise ValueError("a tensor rebuilt inside itself")
    return call(args[0], args[2], file)  # (rebuild, subclass, its arguments, state)


def _unsupported(args: tuple[Any, ...], file: Path | str) -> Any:
    raise UnsupportedFormat(
        f"{file}: it holds sparse, quantised or device-less tensors, which are not read; "
        "save it with dense tensors"
    )


_REBUILDS: dict[str, Callable[[tuple[Any, ...], Path | str], Any]] = {
    "torch._utils._rebuild_tensor": _tensor_v2,
    "torch._utils._rebuild_tensor_v2": _tensor_v2,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch._utils._rebuild_sparse_tensor": _unsupported,
    "torch._utils._rebuild_sparse_csr_tensor": _unsupported,
    "torch._utils._rebuild_nested_tensor": _unsupported,
    "torch._utils._rebuild_qtensor": _unsupported,
    "torch._utils._rebuild_meta_tensor_no_storage": _unsupported,
    "torch._utils._rebuild_device_tensor_from_numpy": _unsupported,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _unsupported,
}
