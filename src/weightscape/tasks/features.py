"""What a frozen backbone says of examples: one vector each, whatever the head makes of it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from weightscape.errors import BadInput, UnknownName
from weightscape.progress import Progress, silent
from weightscape.tasks.batches import Batch, prepare
from weightscape.tasks.evaluate import autocasting, evaluating
from weightscape.tasks.heads import last_linear, within
from weightscape.tasks.kinds import run_module
from weightscape.tasks.live import LiveModel
from weightscape.tasks.processors import NOT_WRITTEN
from weightscape.tasks.task import Task

POOLINGS = ("auto", "mean", "cls", "last", "pooler", "head")


def features(
    model: LiveModel,
    task: Task,
    split: str,
    *,
    limit: int | None = None,
    batch: int = 64,
    pooling: str = "auto",
    autocast: torch.dtype | None = None,
    progress: Progress = silent,
) -> Tensor:
    """Give the backbone's features [n, d] of the sampled rows of a split, float32 on the CPU.

    pooling: "mean" over a text's tokens in the last hidden state (of an encoder-decoder: the
    encoder's), "cls" its first token, "last" its last, "pooler" the model's own; "head" what goes
    into the head; a module's name: what goes into that module. "auto" is "mean" for encoders of
    texts, "last" for causal models, "pooler" or else "mean" for images, "head" for plain modules.
    Rows and order are those of `evaluate`.

    Raises UnknownName for a pooling, BadInput where the model has no such thing.
    """
    batches = prepare(model, task, split, limit=limit, batch=batch)
    total = sum(map(len, batches))
    seek = feature_reader(model, pooling)
    parts: list[Tensor] = []
    with (
        evaluating(model.module),
        torch.inference_mode(),
        progress.stage("reading features", total=total, unit="rows") as advance,
    ):
        for part in batches:
            with autocasting(model.device, autocast):
                found = seek(part.to(model.device))
            parts.append(found.float().cpu())
            advance(len(part))
    flat = torch.cat(parts)
    out = torch.empty_like(flat)
    out[torch.cat([part.order for part in batches])] = flat
    return out.clone()  # an ordinary tensor: autograd refuses those of inference mode


def feature_reader(model: LiveModel, pooling: str = "auto") -> Callable[[Batch], Tensor]:
    """Make the function that gives a batch's features [b, d], through which gradients flow."""
    read = _reader(model, pooling)
    if getattr(model.processor, "joined", False):
        return lambda batch: read(_questions(batch))
    return read


def _questions(batch: Batch) -> Batch:
    """Hide the answers that follow the prompts in what causal models read."""
    if batch.targets is None or batch.targets.ndim != 2:
        return batch
    mask = batch.inputs["attention_mask"] * (batch.targets == NOT_WRITTEN)
    return replace(batch, inputs={**batch.inputs, "attention_mask": mask})


def _reader(model: LiveModel, pooling: str) -> Callable[[Batch], Tensor]:
    base = _transformer(model.module)
    if pooling == "auto":
        pooling = "head" if base is None else _usual(base)
    if pooling not in POOLINGS:
        _named(model.module, pooling)
        return lambda batch: _input_of(model, pooling, batch)
    if pooling == "head":
        at = _head_module(model)
        return lambda batch: _input_of(model, at, batch)
    if base is None:
        raise BadInput(
            f"{model.name}: {type(model.module).__name__} is a plain module without hidden states; "
            "take the pooling 'head' or a module's name"
        )
    backbone = base.get_encoder() if base.config.is_encoder_decoder else base.base_model
    return lambda batch: _pooled(_output_of(model.module, backbone, batch), batch, pooling)


def _transformer(module: nn.Module) -> Any:
    """Give the transformers model in a module, also where peft has wrapped it; None in others."""
    for part in module.modules():
        if hasattr(part, "config") and hasattr(part, "base_model_prefix"):
            return part
    return None


def _usual(base: Any) -> str:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    config = base.config
    if getattr(config, "num_channels", None) is not None or hasattr(config, "image_size"):
        return "pooler"
    # BERT and its like are in that table too: as decoders, which their configurations deny
    encodes = config.is_encoder_decoder or getattr(config, "is_decoder", True) is False
    causal = config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and not encodes
    return "last" if causal else "mean"


class _Enough(Exception):
    """Ends a forward pass at the module that was waited for; what follows it is not computed."""

    def __init__(self, found: Any) -> None:
        self.found = found


def _output_of(module: nn.Module, part: nn.Module, batch: Batch) -> Any:
    def stop(_: nn.Module, __: Any, output: Any) -> None:
        raise _Enough(output)

    return _run_until(module, batch, part.register_forward_hook(stop))


def _input_of(model: LiveModel, name: str, batch: Batch) -> Tensor:
    def stop(_: nn.Module, given: tuple[Any, ...]) -> None:
        raise _Enough(given[0] if given else None)

    part = _named(model.module, name)
    found = _run_until(model.module, batch, part.register_forward_pre_hook(stop))
    if not isinstance(found, Tensor) or found.ndim < 2 or len(found) != len(batch):
        raise BadInput(
            f"{model.name}: what goes into {name!r} is no tensor with a vector for every row"
        )
    return found.flatten(1) if found.ndim == 2 else _pool_tokens(found, batch, "mean")


def _run_until(module: nn.Module, batch: Batch, hook: Any) -> Any:
    inputs = dict(batch.inputs)
    config = getattr(_transformer(module), "config", None)
    if config is not None and config.is_encoder_decoder and batch.targets is not None:
        # a decoder wants something to start from, though it is never reached
        inputs.setdefault("decoder_input_ids", inputs["input_ids"][:, :1])
    try:
        run_module(module, inputs)
    except _Enough as enough:
        return enough.found
    finally:
        hook.remove()
    raise BadInput(f"{type(module).__name__} never came to the module that was waited for")


def _pooled(output: Any, batch: Batch, pooling: str) -> Tensor:
    own = getattr(output, "pooler_output", None)
    hidden = output[0]
    if pooling == "pooler" and own is not None:
        return own.flatten(1)  # type: ignore[no-any-return]
    if pooling == "pooler" and "input_ids" in batch.inputs:
        raise BadInput("the model has no pooler; take the pooling 'mean' or 'cls'")
    if hidden.ndim == 4:  # [b, channels, height, width] of convolutions
        return hidden.mean((2, 3))  # type: ignore[no-any-return]
    return _pool_tokens(hidden, batch, "mean" if pooling == "pooler" else pooling)


def _pool_tokens(hidden: Tensor, batch: Batch, pooling: str) -> Tensor:
    """Pool [b, t, d] over the tokens that are texts' own; prompts' virtual tokens come first."""
    mask = _own_tokens(hidden, batch)
    if pooling == "cls":
        at = mask.to(torch.int8).argmax(1)
        return hidden[torch.arange(len(hidden)), at]
    if pooling == "last":
        places = torch.arange(hidden.shape[1], device=hidden.device)
        return hidden[torch.arange(len(hidden)), (mask * places).argmax(1)]
    weights = mask.to(hidden.dtype).unsqueeze(-1)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


def _own_tokens(hidden: Tensor, batch: Batch) -> Tensor:
    mask = batch.inputs.get("attention_mask")
    if mask is None:
        return torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device)
    mask = mask.bool()
    extra = hidden.shape[1] - mask.shape[1]
    return nn.functional.pad(mask, (extra, 0), value=False) if extra > 0 else mask


def _head_module(model: LiveModel) -> str:
    named = [prefix.rstrip(".") for prefix in model.head or ()]
    named = [name for name in named if _has(model.module, name)] or [
        prefix.rstrip(".") for prefix in within(model.module, model.head)
    ]
    name = named[0] if named else last_linear(model.module)
    if name is None:
        raise BadInput(
            f"{model.name}: {type(model.module).__name__} has no linear layer for a head"
        )
    return name


def _has(module: nn.Module, name: str) -> bool:
    return any(name == known for known, _ in module.named_modules())


def _named(module: nn.Module, name: str) -> nn.Module:
    modules: dict[str, nn.Module] = dict(module.named_modules())
    if name not in modules:
        raise UnknownName("pooling or module", name, (*POOLINGS, *modules))
    return modules[name]
