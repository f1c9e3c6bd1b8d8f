"""Adapters of any kind on a base that is up in memory: put on, named, taken in, written."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from torch import nn

from weightscape.errors import BadInput
from weightscape.io.adapter_config import BOTTLENECK
from weightscape.io.json_files import read_json
from weightscape.io.layout import ADAPTER_CONFIG
from weightscape.tasks import bottleneck, low_rank

_PARTS = frozenset(
    (
        "lora_A",
        "lora_B",
        "lora_embedding_A",
        "lora_embedding_B",
        "modules_to_save",
        "prompt_encoder",
        bottleneck.CHILD,
    )
)


def load_adapter(base: nn.Module, folder: Path) -> tuple[nn.Module, frozenset[str]]:
    """Put a stored adapter on its base; give the module and the names that the adapter added.

    The base is changed in place. The names are of the module's state dict: what the adapter added,
    and the head that was trained with it. LoRA and prefixes come up through peft, bottlenecks
    through `weightscape.tasks.bottleneck`.

    Raises BadCheckpoint for a folder that cannot be read, MismatchedModels for another base.
    """
    if read_json(folder / ADAPTER_CONFIG).get("peft_type") == BOTTLENECK:
        return base, bottleneck.load_bottlenecks(base, folder)
    module = low_rank.load_peft_adapter(base, folder)
    return module, adapted_names(module)


def adapted_names(module: nn.Module, head: Sequence[str] = ()) -> frozenset[str]:
    """Name the tensors of a module's state dict that an adapter added, and its head's.

    `head`: name prefixes of a head that stands in its own place.
    """
    return frozenset(
        name
        for name in module.state_dict()
        if not _PARTS.isdisjoint(name.split(".")) or name.startswith(tuple(head))
    )


def adapter_kind(names: Iterable[str]) -> str | None:
    """Tell from the names of a module's tensors which kind of adapter it carries, in words."""
    parts = {part for name in names for part in name.split(".")}
    kinds = {"lora_A": "LoRA", "lora_embedding_A": "LoRA", "prompt_encoder": "prefix"}
    kinds[bottleneck.CHILD] = "bottleneck"
    return next((kind for part, kind in kinds.items() if part in parts), None)


def merge_adapter(module: nn.Module, name: str = "this model") -> nn.Module:
    """Give a whole model that has taken its LoRA factors in; the one given goes on as it was.

    Raises BadInput for other adapters, which no change of the base's weights can stand for.
    """
    if not any("lora_A" in name.split(".") for name in module.state_dict()):
        kind = adapter_kind(module.state_dict()) or "other"
        raise BadInput(
            f"only LoRA can be merged into its base; {name} is a {kind} adapter, which works "
            "beside its base's weights"
        )
    return low_rank.merged(module)


def write_adapter(
    module: nn.Module, folder: Path, *, parent: str, names: Iterable[str] = ()
) -> None:
    """Write an adapter folder that names `parent` as its base; `names`: its tensors."""
    if any(True for _ in bottleneck.bottleneck_modules(module)):
        bottleneck.write_bottlenecks(module, folder, parent=parent, names=sorted(names))
    else:
        low_rank.write_peft_adapter(module, folder, parent=parent)
