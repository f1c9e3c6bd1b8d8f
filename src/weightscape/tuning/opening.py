"""Models to be blended in one span, with the base behind them where there is one."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from weightscape.errors import BadInput
from weightscape.progress import Progress, silent
from weightscape.tasks.alike import check_alike
from weightscape.tasks.label_order import Source
from weightscape.tasks.live import LiveModel
from weightscape.tasks.models import load_model
from weightscape.tasks.spanning import SpannedModels, open_span
from weightscape.tasks.task import Task
from weightscape.tuning.adapting import home_of
from weightscape.tuning.shared_head import (
    HeadChoice,
    SharedHead,
    begin_head,
    has_head,
    kept_head,
    put_head,
)


@dataclass(frozen=True, slots=True)
class OpenedModels:
    """The span of the models, and that with the base as its last one; they share all tensors.

    told: what is to be said of how they were made.
    """

    models: SpannedModels
    with_base: SpannedModels | None
    told: str

    @property
    def widest(self) -> SpannedModels:
        """Give the span with the base, if there is one."""
        return self.models if self.with_base is None else self.with_base


def open_models(
    models: Sequence[Source],
    task: Task,
    *,
    base: Source | None = None,
    head: HeadChoice = "drawn",
    seed: int = 0,
    progress: Progress = silent,
    **loading: Any,
) -> OpenedModels:
    """Span models by their whole weights, heads and all; adapters are merged.

    The base gets the head that the models started from, where `adapt` made them; else its own, if
    that answers the task, or one that is begun as `head` says.

    Raises as `open_span` does; BadInput where heads do not answer the task, or all models are the
    same.
    """
    spanned = open_span(models, task, head="auto", space="product", progress=progress, **loading)
    if spanned.head == "probe":
        raise BadInput(
            f"a blend needs models whose heads answer task {task.name!r}, for heads are blended "
            f"too; {spanned.head_reason}; fine-tune them on the task first"
        )
    if not spanned.span.names:
        raise BadInput("all these models are the same, bit for bit; there is nothing to blend")
    live = replace(spanned.model, folder=home_of(models[0]))
    spanned = replace(spanned, model=live)
    kept, told = _kept_head(models, task) if has_head(task) else (None, "")
    if base is None:
        return OpenedModels(spanned, None, told)
    root = _root(base, task, kept, head, seed, loading)
    check_alike(live, root, (task,))
    name = f"{root.name} (base)" if root.name in spanned.names else root.name
    with_base = spanned.with_model(name, root.module.state_dict())
    return OpenedModels(spanned, with_base, told)


def _kept_head(models: Sequence[Source], task: Task) -> tuple[SharedHead | None, str]:
    """Find the head that all models started from; say if that was for other rows."""
    parents = {None if isinstance(it, LiveModel) else Path(it).parent for it in models}
    parent = parents.pop()
    if parent is None or parents:
        return None, ""
    try:
        return kept_head(parent, task), ""
    except BadInput:
        return None, (
            f"the models in {parent} were fine-tuned on other rows of the task than those that "
            "are left for that here, so that they may have seen rows that weights are searched on"
        )


def _root(
    base: Source,
    task: Task,
    kept: SharedHead | None,
    head: HeadChoice,
    seed: int,
    loading: Mapping[str, Any],
) -> LiveModel:
    """Bring the base up with a head for the task."""
    if isinstance(base, LiveModel):
        root = replace(base, module=copy.deepcopy(base.module))
    else:
        root = load_model(base, task, **loading)
    if not has_head(task):
        return root
    if kept is not None:
        return put_head(root, kept, task)
    if root.labels == task.labels and not root.drawn:
        return root
    begin_head(root, task, head, seed, "the base")
    return replace(root, labels=task.labels, drawn=False)
