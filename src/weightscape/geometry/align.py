"""Which tensors of two checkpoints correspond: prefixes, heads, buffers, families.

Two checkpoints of one architecture rarely name their tensors alike: `bert.encoder.…` in a
classifier is `encoder.…` in the bare model and `module.bert.encoder.…` after distributed training.
A *backbone* is what is left when the wrappers are stripped and the head, the buffers and the
integers are put aside; models whose backbones match are a *family*.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Literal, Protocol, runtime_checkable

import torch

Role = Literal["backbone", "head", "buffer"]
Shape = tuple[int, ...]

# What training frameworks and model classes put in front of the backbone's own names. Only whole
# leading components are stripped, again and again, so `module.model.bert.x` becomes `x`.
WRAPPERS = frozenset(
    "module _orig_mod model base_model backbone net network state_dict transformer "
    "bert roberta xlm_roberta distilbert albert electra deberta mpnet esm vit deit dinov2 beit "
    "swin convnext resnet gpt_neox gptj llama mistral".split()
)
# A component that opens a head when nothing but wrappers stands before it.
HEADS = frozenset(
    "classifier classification_head score scores lm_head qa_outputs cls fc head heads head_dist "
    "pre_classifier pre_logits logits predictions prediction_head lm_predictions output_projection "
    "summary sequence_summary qa_output logits_proj vocab_projector vocab_transform "
    "vocab_layer_norm generator_predictions discriminator_predictions proj_out embed_out "
    "output".split()
)
# Tensors that are computed, counted or measured and not learned by gradient: they look the same in
# strangers (a causal mask is a causal mask) and would fake kinship.
BUFFERS = re.compile(
    r"(^|\.)(position_ids|token_type_ids|inv_freq|rotary_emb\..*|running_mean|running_var|"
    r"num_batches_tracked|masked_bias|relative_position_index|relative_coords_table|attn_mask|"
    r"causal_mask|attn\.bias|(\w*_)?scaler\.(means|stds|mean|std|scale_?)|sinusoid\w*|"
    r"pos(itional)?_enc(oding)?\.pe|pe)$"
)
# How much of each backbone's parameters must correspond for two models to be one family.
FAMILY_OVERLAP = 0.9


@runtime_checkable
class TensorShape(Protocol):
    """The part of a tensor's header entry that alignment looks at."""

    @property
    def shape(self) -> Shape:
        """Lengths of the dimensions."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The element type as stored."""
        ...


@dataclass(frozen=True, slots=True)
class Backbone:
    """The learned float tensors that a family shares: canonical name to stored name and shape."""

    stored: Mapping[str, str]
    shapes: Mapping[str, Shape]

    @property
    def parameters(self) -> int:
        """Number of elements in all."""
        return sum(prod(shape) for shape in self.shapes.values())


def strip_wrappers(name: str) -> str:
    """Strip the leading components that frameworks add.

    >>> strip_wrappers("module.bert.encoder.layer.0.output.dense.weight")
    'encoder.layer.0.output.dense.weight'
    >>> strip_wrappers("bert.weight")
    'bert.weight'
    """
    parts = name.split(".")
    start = 0
    # the last two components name a module and its parameter: a lone `model.weight` stays whole
    while start < len(parts) - 2 and parts[start] in WRAPPERS:
        start += 1
    return ".".join(parts[start:])


def role(canonical: str, info: TensorShape) -> Role:
    """Tell whether a tensor belongs to the backbone, a head, or is a buffer."""
    if not info.dtype.is_floating_point or BUFFERS.search(canonical) or prod(info.shape) == 0:
        return "buffer"
    if canonical.split(".", 1)[0] in HEADS:
        return "head"
    return "backbone"


def backbone(tensors: Mapping[str, TensorShape], tied: Iterable[str] = ()) -> Backbone:
    """Pick the backbone out of a checkpoint's tensors; `tied` names aliases to leave out.

    A checkpoint whose tensors all look like heads (a lone classifier) is its own backbone.
    """
    aliases = frozenset(tied)
    kept: dict[str, str] = {}
    heads: dict[str, str] = {}
    for name, info in tensors.items():
        if name in aliases:
            continue
        canonical = strip_wrappers(name)
        kind = role(canonical, info)
        into = {"backbone": kept, "head": heads}.get(kind)
        if into is not None:
            # two names that strip to one (a model and its EMA copy): keep the full names apart
            into[name if canonical in into else canonical] = name
    chosen = kept or heads
    return Backbone(chosen, {c: tuple(tensors[s].shape) for c, s in chosen.items()})


def match(
    family: Mapping[str, Shape], candidate: Backbone, least: float = FAMILY_OVERLAP
) -> dict[str, str] | None:
    """Match a backbone to a family: family tensor to stored name, or None if it is no member.

    A tensor whose first dimension alone differs (an embedding resized for new tokens) is left out
    on both sides and does not count against the match; other disagreement does.
    """
    best: dict[str, str] = {}
    best_share = 0.0
    for shift, back in _shifts(family, candidate.shapes):
        renamed = {_shifted(name, shift, back): name for name in candidate.shapes}
        share, common = _overlap(
            family, {new: candidate.shapes[old] for new, old in renamed.items()}
        )
        if share > best_share:
            best_share = share
            best = {new: candidate.stored[renamed[new]] for new in common}
        if best_share == 1.0:
            break
    return best if best_share >= least else None


def _overlap(
    family: Mapping[str, Shape], candidate: Mapping[str, Shape]
) -> tuple[float, list[str]]:
    """Share of the parameters that correspond, of the side that has more left over."""
    common = [name for name, shape in family.items() if candidate.get(name) == shape]
    resized = {
        name
        for name, shape in family.items()
        if name in candidate
        and len(shape) == len(candidate[name]) == 2
        and shape[1:] == candidate[name][1:]
        and shape[0] != candidate[name][0]
    }
    shared = sum(prod(family[name]) for name in common)
    larger = max(
        sum(prod(shape) for name, shape in side.items() if name not in resized)
        for side in (family, candidate)
    )
    return (shared / larger if larger else 0.0), common


def _shifts(
    family: Mapping[str, Shape], candidate: Mapping[str, Shape]
) -> Iterator[tuple[str, bool]]:
    """Try the names as they are, then with a leading prefix of either side taken off."""
    yield "", False
    if not family or not candidate or all(name in family for name in candidate):
        return
    for names, back in ((candidate, False), (family, True)):
        longest = max(names, key=lambda name: prod(names[name]))
        parts = longest.split(".")
        for depth in range(1, min(4, len(parts) - 1)):
            yield ".".join(parts[:depth]) + ".", back


def _shifted(name: str, prefix: str, back: bool) -> str:
    return prefix + name if back else name.removeprefix(prefix)
