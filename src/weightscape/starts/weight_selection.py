"""Starts for a smaller model: weights picked out of a larger one of its kind.

Xu et al., "Initializing Models with Larger Ones" (2024, arXiv:2311.18823): of every tensor
evenly spaced elements are kept along every dimension, of the layers the first ones. What belongs
together in one tensor does so in the next: which are kept depends on the two sizes alone.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

import weightscape
from weightscape.errors import BadInput, NotFound
from weightscape.geometry.align import role, strip_wrappers
from weightscape.io import open_checkpoint, write_checkpoint
from weightscape.io.checkpoint import Checkpoint
from weightscape.io.json_files import read_json
from weightscape.tasks.auto_models import import_transformers
from weightscape.tasks.models import companion_files, config_dict

LayerChoice = Literal["first", "uniform"]

Factors = list[tuple[int, int]]
"""The parts that an axis falls into, outermost first: how many of each, and how many are kept."""

_QUERIES = re.compile(r"(^|\.)(query|q|q_proj|q_lin|q_proj_layer)(\.|$)")
_KEYS_AND_VALUES = re.compile(r"(^|\.)(key|value|k|v|[kv]_proj|[kv]_lin)(\.|$)")
_OUTPUTS = re.compile(
    r"(attention\.output\.dense|attention\.out_lin|attn\.c_proj|attn\.out_proj|attn\.o_proj|"
    r"attention\.o|SelfAttention\.o|EncDecAttention\.o|attention\.dense)\.weight$"
)
_FUSED = re.compile(r"(^|\.)(c_attn|qkv|in_proj)(\.|_|$)")  # queries, keys and values in turn
_FUSED_BY_HEAD = re.compile(r"(^|\.)query_key_value(\.|$)")  # in turn within each head
_POSITIONS = re.compile(r"(position_embeddings|embed_positions|wpe)\.weight$")
_NUMBER = re.compile(r"^(.*?\.)(\d+)(\..*)$")


def select_weights(
    source: str | Path,
    config: Any,
    out: str | Path,
    *,
    layers: LayerChoice = "first",
    init_seed: int = 0,
    told: Mapping[str, Any] | None = None,
) -> Path:
    """Write a model of a smaller configuration whose weights are a larger model's; return `out`.

    source: a transformers model's folder. config: a folder, a config.json, or a transformers
    configuration, of the same model type and vocabulary, and nowhere larger.
    Of t elements along a dimension s are kept: ``arange(s) * (t // s)`` if s divides t, else
    ``round(linspace(0, t - 1, s))``. Attention is cut by heads first and within heads then, so
    that no head is made of two; of positions the first are kept. layers: "first" keeps the first
    layers, "uniform" evenly spaced ones. What the source lacks (a head) is drawn from `init_seed`.
    told: what `provenance.json` says beside, or instead.

    Raises BadInput for another model type, vocabulary, or a dimension larger than the source's.
    """
    source, out = Path(source), Path(out)
    if layers not in ("first", "uniform"):
        raise BadInput(f"layers must be 'first' or 'uniform', got {layers!r}")
    large, small = _configurations(source, config)
    module = _drawn(small, large, init_seed)
    with open_checkpoint(source) as stored:
        if not isinstance(stored, Checkpoint):
            raise BadInput(f"{source} is an adapter; merge it into its base first")
        picked = dict(_pick(module, stored, large, small, layers))
    found = sum(name in picked for name in module.state_dict())
    if not found:
        raise BadInput(f"{source}: no tensor of it is found in a {type(module).__name__}")
    tensors = {name: picked.get(name, it) for name, it in _untied(module).items()}
    provenance = {
        "parent": str(source),
        "kind": "weight selection",
        "layers": layers,
        "init_seed": init_seed,
        "weightscape": weightscape.__version__,
        **(told or {}),
    }
    files = {
        "provenance.json": (json.dumps(provenance, indent=2) + "\n").encode(),
        **companion_files(source),
    }
    return write_checkpoint(out, tensors, config=config_dict(module), extra_files=files)


def kept(source: int, target: int) -> Int64[np.ndarray, " s"]:
    """Tell which of `source` elements a smaller dimension keeps.

    >>> kept(6, 3), kept(5, 3)
    (array([0, 2, 4]), array([0, 2, 4]))
    """
    if source % target == 0:
        return np.arange(target) * (source // target)
    return np.round(np.linspace(0, source - 1, target)).astype(np.int64)


def kept_along(factors: Factors) -> Int64[np.ndarray, " s"]:
    """Tell which elements are kept of an axis that falls into parts.

    >>> kept_along([(2, 1), (3, 3)])  # of two heads of three the first, whole
    array([0, 1, 2])
    """
    index = np.zeros(1, dtype=np.int64)
    for size, target in factors:
        index = (index[:, None] * size + kept(size, target)[None, :]).reshape(-1)
    return index


@dataclass(frozen=True, slots=True)
class _Heads:
    """How many heads a model has, and how wide each is."""

    queries: int
    keys: int
    width: int


def _pick(
    module: nn.Module, stored: Checkpoint, large: Any, small: Any, layers: LayerChoice
) -> Iterator[tuple[str, Tensor]]:
    """Give every backbone tensor of the module that the stored model has, cut to its shape."""
    there = {strip_wrappers(name): name for name in (*stored.tensors, *stored.tied)}
    targets = {strip_wrappers(name): name for name in module.state_dict()}
    place = _layer_places(list(there), list(targets), layers)
    heads = _heads(large), _heads(small)
    state = module.state_dict()
    for canonical, name in targets.items():
        origin = there.get(_moved(canonical, place))
        target = state[name]
        if origin is None or role(canonical, target) != "backbone":
            continue
        tensor = stored.tensor(origin)
        if tensor.ndim != target.ndim:
            raise BadInput(
                f"tensor {name!r} has {target.ndim} dimensions, {tensor.ndim} in {origin}"
            )
        for axis in range(target.ndim):
            tensor = _cut(tensor, axis, target.shape[axis], canonical, name, heads)
        yield name, tensor.to(target.dtype).contiguous()


def _cut(
    tensor: Tensor,
    axis: int,
    size: int,
    canonical: str,
    name: str,
    heads: tuple[_Heads | None, _Heads | None],
) -> Tensor:
    have = tensor.shape[axis]
    if size > have:
        raise BadInput(
            f"tensor {name!r}: the smaller model has {size} along dimension {axis}, the source "
            f"only {have}; weights are picked, not made"
        )
    if size == have and not _is_attention(canonical):
        return tensor
    if axis == 0 and _POSITIONS.search(canonical):
        return tensor[:size]
    factors = _factors(canonical, axis, tensor.ndim, *heads)
    if prod(a for a, _ in factors) != have or prod(b for _, b in factors) != size:
        factors = [(have, size)]
    return tensor.index_select(axis, torch.from_numpy(kept_along(factors)))


def _is_attention(canonical: str) -> bool:
    marks = (_QUERIES, _KEYS_AND_VALUES, _OUTPUTS, _FUSED, _FUSED_BY_HEAD)
    return any(mark.search(canonical) for mark in marks)


def _factors(
    canonical: str, axis: int, dimensions: int, large: _Heads | None, small: _Heads | None
) -> Factors:
    """Tell how an axis falls into heads; nothing where it does not."""
    if large is None or small is None:
        return []
    width = (large.width, small.width)
    queries, keys = (large.queries, small.queries), (large.keys, small.keys)
    # a Conv1D's matrix stands the other way round
    out_axis = dimensions - 1 if "c_attn" in canonical else 0
    in_axis = 0 if "c_proj" in canonical else dimensions - 1
    if _FUSED.search(canonical) and axis == out_axis:
        return [(3, 3), queries, width]
    if _FUSED_BY_HEAD.search(canonical) and axis == 0:
        return [queries, (3, 3), width]
    if _QUERIES.search(canonical) and axis == 0:
        return [queries, width]
    if _KEYS_AND_VALUES.search(canonical) and axis == 0:
        return [keys, width]
    if _OUTPUTS.search(canonical) and axis == in_axis:
        return [queries, width]
    return []


def _heads(config: Any) -> _Heads | None:
    count = getattr(config, "num_attention_heads", None)
    hidden = getattr(config, "hidden_size", None)
    if not isinstance(count, int) or not isinstance(hidden, int) or count < 1:
        return None
    given = getattr(config, "head_dim", None) or getattr(config, "d_kv", None)
    keys = getattr(config, "num_key_value_heads", None) or count
    return _Heads(count, keys, given or hidden // count)


def _layer_places(
    source: list[str], target: list[str], layers: LayerChoice
) -> Mapping[str, Int64[np.ndarray, " s"]]:
    """Tell for each list of layers, by what stands before its number, whose places they take."""
    have, want = _layer_counts(source), _layer_counts(target)
    places = {}
    for prefix, count in want.items():
        if prefix in have:
            if count > have[prefix]:
                raise BadInput(
                    f"the smaller model has {count} layers {prefix}*, the source only "
                    f"{have[prefix]}; weights are picked, not made"
                )
            places[prefix] = np.arange(count) if layers == "first" else kept(have[prefix], count)
    return places


def _layer_counts(names: list[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        if found := _NUMBER.match(name):
            counts[found[1]] = max(counts.get(found[1], 0), int(found[2]) + 1)
    return counts


def _moved(canonical: str, place: Mapping[str, Int64[np.ndarray, " s"]]) -> str:
    found = _NUMBER.match(canonical)
    if found is None or found[1] not in place:
        return canonical
    return f"{found[1]}{place[found[1]][int(found[2])]}{found[3]}"


def _configurations(source: Path, config: Any) -> tuple[Any, Any]:
    transformers = import_transformers()
    large = _configuration(transformers, source)
    small = _configuration(transformers, Path(config)) if isinstance(config, str | Path) else config
    if small.model_type != large.model_type:
        raise BadInput(
            f"a {small.model_type} cannot take the weights of a {large.model_type} ({source}); "
            "both must be of one model type"
        )
    sizes = getattr(small, "vocab_size", None), getattr(large, "vocab_size", None)
    if sizes[0] != sizes[1]:
        raise BadInput(
            f"the smaller configuration has a vocabulary of {sizes[0]}, {source} one of "
            f"{sizes[1]}; they read the same tokens, so set vocab_size to {sizes[1]}"
        )
    return large, small


def _configuration(transformers: Any, place: Path) -> Any:
    file = place / "config.json" if place.is_dir() else place
    if not file.is_file():
        raise NotFound(f"{file}: no such file; give a model's config.json or its folder")
    told = read_json(file)
    kind = told.get("model_type") if isinstance(told, Mapping) else None
    if not isinstance(kind, str) or kind not in transformers.CONFIG_MAPPING:
        raise BadInput(f"{file}: names no model_type that transformers knows; got {kind!r}")
    try:
        return transformers.CONFIG_MAPPING[kind].from_dict(dict(told))
    except (TypeError, ValueError) as error:
        raise BadInput(f"{file}: {' '.join(str(error).split())[:300]}") from None


def _drawn(small: Any, large: Any, seed: int) -> nn.Module:
    """Make a module of the smaller configuration, of the source's class."""
    transformers = import_transformers()
    named = (small.architectures or large.architectures or [None])[0]
    make = getattr(transformers, str(named), None) or transformers.AutoModel.from_config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            module: nn.Module = make(small)
        except (TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
            reason = " ".join(str(error).split())[:300]
            raise BadInput(f"no model can be made of the smaller configuration: {reason}") from None
    return module.eval()


def _untied(module: nn.Module) -> dict[str, Tensor]:
    """Give a module's tensors; of those that share their elements the first alone."""
    seen: set[tuple[object, ...]] = set()
    out = {}
    for name, tensor in module.state_dict().items():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() and place in seen:
            continue
        seen.add(place)
        out[name] = tensor
    return out
