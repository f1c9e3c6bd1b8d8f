"""adapter_config.json of a LoRA adapter, checked and reduced to what its product needs."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from weightscape.errors import BadCheckpoint, UnsupportedFormat
from weightscape.io.json_files import read_json
from weightscape.io.tensors import clip

# ways to begin a LoRA that also change the base's own weights, so that B·A is no delta of it
_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
_LARGEST = 1e9

BOTTLENECK = "BOTTLENECK"
"""The `peft_type` of our own bottleneck adapters: peft has none."""

_BESIDE = {BOTTLENECK: "bottleneck", "PREFIX_TUNING": "prefix"}


@dataclass(frozen=True, slots=True)
class LoraConfig:
    """What decides the scale and the orientation of each product.

    alpha_pattern: regular expressions to alphas, in the file's order; the first that matches the
    end of a module's name counts, as in peft.
    """

    base: str | None
    alpha: float
    rank_stabilised: bool
    fan_in_fan_out: bool
    alpha_pattern: tuple[tuple[re.Pattern[str], float], ...]
    raw: Mapping[str, Any]

    def scale(self, module: str, rank: int) -> float:
        """Return the factor of B·A for a module of that rank."""
        alpha = next(
            (alpha for pattern, alpha in self.alpha_pattern if pattern.match(module)), self.alpha
        )
        return alpha / (math.sqrt(rank) if self.rank_stabilised else rank)


def read_lora_config(path: Path) -> LoraConfig:
    """Read an adapter_config.json; raises as `lora_config` does."""
    return lora_config(read_json(path), path)


def lora_config(raw: Mapping[str, Any], path: Path | str) -> LoraConfig:
    """Check what an adapter_config.json holds; `path` is what errors name.

    Raises UnsupportedFormat for adapters other than plain LoRA, BadCheckpoint for values that
    make no sense.
    """
    _refuse_other_kinds(path, raw)
    alpha = raw.get("lora_alpha")
    if not _is_number(alpha):
        raise BadCheckpoint(
            f"lora_alpha should be a number up to {_LARGEST:g}, but is {clip(alpha)}", file=path
        )
    patterns = raw.get("alpha_pattern") or {}
    if not isinstance(patterns, dict) or not all(map(_is_number, patterns.values())):
        raise BadCheckpoint(
            f"alpha_pattern should map module names to numbers up to {_LARGEST:g}", file=path
        )
    base = raw.get("base_model_name_or_path")
    return LoraConfig(
        base=base if isinstance(base, str) and base else None,
        alpha=float(alpha),
        rank_stabilised=bool(raw.get("use_rslora")),
        fan_in_fan_out=bool(raw.get("fan_in_fan_out")),
        alpha_pattern=tuple(
            (_suffix_pattern(path, key), float(value)) for key, value in patterns.items()
        ),
        raw=raw,
    )


def stands_beside(raw: Mapping[str, Any]) -> str | None:
    """Name the kind of an adapter that works beside its base's weights; None if it changes them.

    No delta of the weights can stand for it: its tensors are its own.
    """
    kind = raw.get("peft_type")
    return _BESIDE.get(kind) if isinstance(kind, str) else None


def _refuse_other_kinds(path: Path | str, raw: Mapping[str, Any]) -> None:
    kind, start = raw.get("peft_type"), raw.get("init_lora_weights")
    what = None
    if kind != "LORA":
        what = f"an adapter of type {clip(kind)}"
    elif raw.get("use_dora"):
        what = "DoRA (weight-decomposed LoRA)"
    elif raw.get("lora_bias"):
        what = "a LoRA with biases"
    elif raw.get("layer_replication"):
        what = "a LoRA of replicated layers"
    elif raw.get("target_parameters"):
        what = "a LoRA of bare parameters"
    elif isinstance(start, str) and start.lower().startswith(_CHANGES_BASE):
        what = f"a LoRA begun by {start[:40]}, which changes its base as well,"
    if what is not None:
        raise UnsupportedFormat(
            f"{path}: {what} is not read yet; merge it into its base and save the model"
        )


def _suffix_pattern(path: Path | str, key: str) -> re.Pattern[str]:
    # peft takes these keys as regular expressions; a hostile one could run for hours
    costly = sum(key.count(sign) for sign in "*+?{") > 3 or "(" in key or len(key) > 300
    if costly:
        raise UnsupportedFormat(
            f"{path}: the pattern {key[:80]!r} is too involved; name the modules plainly"
        )
    try:
        return re.compile(rf"(?:.*\.)?(?:{key})$")
    except (re.error, RecursionError, OverflowError) as error:
        raise BadCheckpoint(f"{key[:80]!r} is no regular expression: {error}", file=path) from None


def _is_number(value: object) -> TypeGuard[float]:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    # compared, not converted: a whole number of JSON may be too large for any float
    return -_LARGEST <= value <= _LARGEST
