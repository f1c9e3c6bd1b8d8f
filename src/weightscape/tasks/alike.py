"""Whether two models compute alike: class, settings, adapters' base, tokenizer."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch
from torch import nn

from weightscape.errors import MismatchedModels
from weightscape.tasks.adapters import adapter_kind
from weightscape.tasks.live import LiveModel
from weightscape.tasks.task import Task

_SETTINGS = (
    "model_type",
    "hidden_act",
    "activation_function",
    "num_attention_heads",
    "n_head",
    "num_heads",
    "num_key_value_heads",
    "position_embedding_type",
    "rope_theta",
    "rope_parameters",
    "sliding_window",
    "layer_types",
    "is_decoder",
    "hidden_activation",
    "feed_forward_proj",
    "layer_norm_eps",
    "layer_norm_epsilon",
    "rms_norm_eps",
    "scale_embedding",
    "classifier_pooling",
)
"""What shapes do not show, but what a network computes by."""

_COMPARED_TEXTS = 16


def computed_by(module: nn.Module) -> dict[str, Any]:
    """Give the settings of a module that its tensors' shapes do not show."""
    config = getattr(module, "config", None)
    return {key: getattr(config, key, None) for key in _SETTINGS}


def check_alike(first: LiveModel, other: LiveModel, tasks: Sequence[Task]) -> None:
    """Raise MismatchedModels unless both take the same inputs and compute with them alike."""
    pair = f"{first.name} and {other.name}"
    _check_kinds(first, other)
    one, two = type(first.module).__name__, type(other.module).__name__
    if one != two:
        raise MismatchedModels(f"{pair} are of different families: {one} and {two}")
    theirs = computed_by(other.module)
    for key, value in computed_by(first.module).items():
        if value != theirs[key]:
            raise MismatchedModels(
                f"{pair} are of different families: {key} is {value!r} and {theirs[key]!r}"
            )
    if first.adapted is not None:
        _check_base(first, other, pair)
    _check_tokenizers(first, other, tasks, pair)


def _check_kinds(first: LiveModel, other: LiveModel) -> None:
    """Refuse an adapter beside a whole model or beside one of another kind."""
    kinds = [None if it.adapted is None else adapter_kind(it.adapted) for it in (first, other)]
    if kinds[0] == kinds[1] and (first.adapted is None) == (other.adapted is None):
        return
    said = " and ".join(
        f"{it.name} is {'a whole model' if it.adapted is None else f'a {kind} adapter'}"
        for it, kind in zip((first, other), kinds, strict=True)
    )
    if set(kinds) == {None, "LoRA"}:
        raise MismatchedModels(f"{said}: take the space 'product', in which LoRA is merged")
    raise MismatchedModels(
        f"{said}: nothing lies between them, as only LoRA is a change of its base's weights; take "
        "models of one kind"
    )


def _check_base(first: LiveModel, other: LiveModel, pair: str) -> None:
    adapted = (first.adapted or frozenset()) | (other.adapted or frozenset())
    theirs = dict(other.module.state_dict())
    for name, tensor in first.module.state_dict().items():
        if name in adapted or name.startswith((*first.head, *other.head)):
            continue
        if name not in theirs or not torch.equal(tensor, theirs[name]):
            raise MismatchedModels(
                f"{pair} are adapters of different bases (tensor {name!r}); take the space "
                "'product'"
            )
    one, two = (_scalings(model.module) for model in (first, other))
    for name in one.keys() & two.keys():
        if one[name] != two[name]:
            raise MismatchedModels(
                f"{pair} scale their factors differently (layer {name!r}, by {one[name]} and "
                f"{two[name]}); take the space 'product'"
            )


def _scalings(module: nn.Module) -> dict[str, list[float]]:
    """Tell by what each layer multiplies the product of its factors (alpha, patterns, rsLoRA)."""
    layers = {name: getattr(part, "scaling", None) for name, part in module.named_modules()}
    return {name: list(it.values()) for name, it in layers.items() if isinstance(it, dict)}


def _check_tokenizers(first: LiveModel, other: LiveModel, tasks: Sequence[Task], pair: str) -> None:
    """Refuse tokenizers of other vocabularies, or that number the tasks' texts otherwise."""
    if first.processor.identity == other.processor.identity:
        return
    tokenizers = [model.tokenizer for model in (first, other) if model.tokenizer is not None]
    if len(tokenizers) == 2 and tokenizers[0].get_vocab() != tokenizers[1].get_vocab():
        raise MismatchedModels(f"{pair} have tokenizers of different vocabularies")
    for task in tasks:
        rows = next(iter(task.splits.values()))
        examples = list(islice(rows, _COMPARED_TEXTS))
        one, two = (dict(m.processor(examples, task).inputs) for m in (first, other))
        if one.keys() != two.keys() or not all(torch.equal(one[k], two[k]) for k in one):
            raise MismatchedModels(
                f"{pair} turn the texts of task {task.name!r} into different inputs; "
                "their tokenizers or image settings differ"
            )
