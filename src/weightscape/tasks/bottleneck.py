"""Bottleneck adapters: small residual modules behind what each sub-layer gives out.

Houlsby et al. 2019, "Parameter-Efficient Transfer Learning for NLP", arXiv:1902.00751: after the
projection out of attention and after that out of the feed-forward part, before the residual is
added, ``h + up(gelu(down(h)))``. Here each is a child called `bottleneck` of the projection's own
module, called by a hook: no name of the base changes.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from weightscape.errors import BadInput, MismatchedModels
from weightscape.io import open_checkpoint, write_checkpoint
from weightscape.io.adapter_config import BOTTLENECK

CHILD = "bottleneck"

# the projections out of attention and feed-forward parts, as families of models call them
OUTPUTS = (
    "*attention.output.dense", "*output.dense", "*out_lin", "*lin2", "*o_proj", "*out_proj",
    "*fc2", "*down_proj", "*SelfAttention.o", "*EncDecAttention.o", "*DenseReluDense.wo",
    "*.c_proj", "*attention_output", "*.output", "*linear2", "*attn.proj", "*self_attn",
    "*multihead_attn",
)  # fmt: skip


class Bottleneck(nn.Module):
    """Down to a few numbers, through a GELU, up again, and beside it the input as it was."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        # without memory yet: whoever puts it on a model fills it, and nothing is drawn by chance
        self.down = nn.Linear(width, inner, device="meta")
        self.up = nn.Linear(inner, width, device="meta")

    def forward(self, hidden: Tensor) -> Tensor:
        """Transform hidden states [..., width]."""
        changed: Tensor = self.up(nn.functional.gelu(self.down(hidden)))
        return hidden + changed


def add_bottlenecks(
    model: nn.Module,
    *,
    inner: int,
    seed: int,
    std: float = 0.01,
    places: Sequence[str] = (),
    head: Sequence[str] = (),
) -> nn.Module:
    """Put bottlenecks on a model, in place, and let only these and the head be trained.

    inner: their width. std: spread of their matrices, drawn with `seed`; biases begin at zero, so
    a small one begins as the identity. places: shell patterns of the modules whose output is
    adapted; by default every projection out of attention or feed-forward in a numbered layer.
    head: name prefixes.

    Raises BadInput when there is no such place.
    """
    where = _places(model, places)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(tuple(head)))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, module, width in where:
            made = _put_on(module, width, inner)
            for part in (made.down, made.up):
                drawn = torch.randn(part.weight.shape, generator=generator)
                part.weight.copy_(drawn * std)
                part.bias.zero_()
    return model


def bottleneck_modules(model: nn.Module) -> Iterator[tuple[str, Bottleneck]]:
    """Give a model's bottlenecks by the names of their modules."""
    for name, module in model.named_modules():
        if isinstance(module, Bottleneck):
            yield name, module


def write_bottlenecks(model: nn.Module, folder: Path, *, parent: str, names: Sequence[str]) -> None:
    """Write the named tensors (bottlenecks, head) as an adapter folder that names its base."""
    inner = next(module.down.out_features for _, module in bottleneck_modules(model))
    config = {
        "peft_type": BOTTLENECK,
        "base_model_name_or_path": parent,
        "bottleneck": inner,
        "activation": "gelu",
    }
    state = model.state_dict()
    write_checkpoint(
        folder,
        {name: state[name].detach().cpu() for name in names},
        metadata={"weightscape.parent": parent},
        overwrite=True,
    )
    (folder / "model.safetensors").replace(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")


def load_bottlenecks(model: nn.Module, folder: Path) -> frozenset[str]:
    """Put a folder's bottlenecks and head on their base, in place; give their names.

    Raises MismatchedModels, which names the tensor, for a base that they do not fit.
    """
    with open_checkpoint(folder) as stored:
        tensors = {name: stored.tensor(name) for name in stored.tensors}
    modules = dict(model.named_modules())
    for name, tensor in tensors.items():
        place, child, _ = name.partition(f".{CHILD}.down.weight")
        if not child:
            continue
        module = modules.get(place)
        width = None if module is None else _width(module)
        if module is None or width is None or tuple(tensor.shape)[1:] != (width,):
            raise MismatchedModels(f"{folder}: {name!r} {list(tensor.shape)} fits nothing there")
        _put_on(module, width, len(tensor))
    _fill(model, tensors, folder)
    return frozenset(tensors)


def _fill(model: nn.Module, tensors: Mapping[str, Tensor], folder: Path) -> None:
    state = model.state_dict()
    for name, tensor in tensors.items():
        there = state.get(name)
        if there is None or there.shape != tensor.shape:
            found = "has no such tensor" if there is None else f"has {list(there.shape)} there"
            raise MismatchedModels(
                f"{folder}: tensor {name!r} has shape {list(tensor.shape)}, but the base {found}; "
                "put the adapter on the base that it names, with the labels that it was made for"
            )
        with torch.no_grad():
            there.copy_(tensor)
    missing = [
        f"{name}.{part}"
        for name, _ in bottleneck_modules(model)
        for part in ("down.weight", "down.bias", "up.weight", "up.bias")
        if f"{name}.{part}" not in tensors
    ]
    if missing:
        raise MismatchedModels(f"{folder}: tensor {missing[0]!r} is missing")


def _put_on(module: nn.Module, width: int, inner: int) -> Bottleneck:
    if hasattr(module, CHILD):
        raise BadInput("there is an adapter on this model already; take a fresh base")
    made = Bottleneck(width, inner)
    module.add_module(CHILD, made.to_empty(device=next(module.parameters()).device))
    module.register_forward_hook(_pass_through)
    return made


def _pass_through(module: nn.Module, given: Any, output: Any) -> Any:
    child: Any = module.get_submodule(CHILD)
    # attention gives its weights and caches beside what it puts out
    return (child(output[0]), *output[1:]) if isinstance(output, tuple) else child(output)


def _places(model: nn.Module, patterns: Sequence[str]) -> list[tuple[str, nn.Module, int]]:
    found = []
    for name, module in model.named_modules():
        in_layer = any(part.isdigit() for part in name.split("."))
        wanted = patterns or (OUTPUTS if in_layer else ())
        width = _width(module)
        if any(fnmatch(name, pattern) for pattern in wanted) and width is not None:
            found.append((name, module, width))
    # a fused attention never calls its own projection: only its output as a whole passes a hook
    fused = tuple(f"{n}." for n, m, _ in found if isinstance(m, nn.MultiheadAttention))
    found = [it for it in found if not it[0].startswith(fused)]
    if not found:
        what = f"matches {list(patterns)}" if patterns else "is a known projection out of a layer"
        raise BadInput(
            f"no matrix of {type(model).__name__} {what}; name modules by patterns in `places`"
        )
    return found


def _width(module: nn.Module) -> int | None:
    """Tell how many numbers a module gives out; None where its kind does not say."""
    if isinstance(module, nn.Linear):
        return module.out_features
    if isinstance(module, nn.MultiheadAttention):
        return int(module.embed_dim)
    if isinstance(module, nn.LayerNorm):
        return int(module.normalized_shape[-1])
    nf = getattr(module, "nf", None)
    return nf if isinstance(nf, int) and type(module).__name__ == "Conv1D" else None
