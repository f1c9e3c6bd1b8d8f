"""Several models of one family as points of one span, with one module that can be any of them."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
import xxhash
from torch import Tensor

from weightscape.errors import BadInput, MismatchedModels
from weightscape.geometry.span import Span
from weightscape.progress import Progress, silent
from weightscape.tasks.adapters import merge_adapter
from weightscape.tasks.alike import check_alike, computed_by
from weightscape.tasks.heads import head_prefixes
from weightscape.tasks.label_order import Source, load_in_order, stored_labels
from weightscape.tasks.labels import listed
from weightscape.tasks.live import LiveModel
from weightscape.tasks.task import Task

Space = Literal["factor", "product"]


@dataclass(frozen=True, slots=True)
class SpannedModels:
    """Models in one span, and the module that any point of it can be written into.

    head: "own" when the models' heads lie in the span with the rest; "probe" when heads are left
    out and a linear probe is to be fitted; otherwise the name of the model whose head stays.
    head_reason: why "auto" came to a probe, in words; empty where it did not.
    space: "factor" when only adapters' tensors are spanned, "product" for whole weights.
    fingerprints: of each model's spanned tensors; surroundings: of what else the module computes
    with. An evaluation at a point follows from these and the point. places: where each model came
    from, as its files' names tell others: two folders at most, or a hub's id.
    """

    span: Span
    model: LiveModel
    head: str
    space: Space
    names: tuple[str, ...]
    fingerprints: tuple[str, ...]
    surroundings: str
    head_reason: str = ""
    places: tuple[str, ...] = ()

    def with_model(self, name: str, tensors: Mapping[str, Tensor]) -> "SpannedModels":
        """Add one more model to the span, given the tensors that move (others may be left out)."""
        span = self.span.extended(model=tensors)
        moving = {key: tensors[key] for key in span.names if key in tensors}
        # the tensors that do not move are the first model's, so its fingerprint belongs to it
        content = f"{tensors_fingerprint(moving)} in {self.fingerprints[0]}"
        return replace(
            self,
            span=span,
            names=(*self.names, name),
            places=(*self.places, name),
            fingerprints=(*self.fingerprints, content),
        )


def open_span(
    sources: Sequence[Source],
    tasks: Task | Sequence[Task],
    *,
    head: str | Path | LiveModel = "auto",
    space: Space = "factor",
    progress: Progress = silent,
    **loading: Any,
) -> SpannedModels:
    """Load models one after the other and span them.

    Only the tensors stay in memory, those that are the same in all models once, and one module.
    Live models are left as they are; their tensors are shared with the span, so do not train them
    while it is in use.

    head: "own" interpolates the models' heads with the rest; "probe" leaves heads out; "auto" is
    "own" when every head was made for the labels of every task (as far as files tell; or when
    tasks have no labels), else "probe"; anything else is a model whose head is used at every point.
    A head that numbers the labels otherwise has its rows put in the first task's order.
    space: where all models are adapters of one base, "factor" spans the adapters' own tensors and
    "product" the weights that they make of the base.
    loading: the options of `load_model` (factory, trust_remote_code, device, dtype, ...).

    Raises MismatchedModels for another class, configuration, tensor, shape, tokenizer or base;
    BadInput for own heads where a model has none for the labels.
    """
    tasks = (tasks,) if isinstance(tasks, Task) else tuple(tasks)
    if len(sources) < 2:
        raise BadInput(f"a span needs at least two models, got {len(sources)}")
    if space not in ("factor", "product"):
        raise BadInput(f"there is no space {space!r}; choose factor or product")
    loading["merge_adapter"] = space == "product"
    first: LiveModel | None = None
    names: list[str] = []
    states: list[Mapping[str, Tensor]] = []
    headless: list[Headless] = []
    heads: tuple[str, ...] = ()
    with progress.stage("loading", total=len(sources), unit="models") as advance:
        for source in sources:
            model = _load(source, tasks[0], loading)
            if first is None:
                # the first module becomes the live one, so its own tensors must not be the span's
                first = _detached(model, source)
            else:
                check_alike(first, model, tasks)
            state: Mapping[str, Tensor] = model.module.state_dict()
            if first is model:
                state = _cloned(state)
            names.append(_free_name(model.name, source, names))
            states.append(_spanned(state, model))
            heads = tuple(dict.fromkeys((*heads, *model.head)))
            if not _made_for(model, tasks):
                headless.append(_lacking(model, names[-1], tasks))
            advance(1)
    assert first is not None
    policy, live = _settle_head(head, headless, first, tasks, loading)
    if policy != "own":
        states = [_without_heads(state, heads) for state in states]
    _check_tensors(states, names)
    span = Span.through(states)
    return SpannedModels(
        span=span,
        model=live,
        head=policy,
        space="factor" if first.adapted is not None else "product",
        names=tuple(names),
        fingerprints=tuple(tensors_fingerprint(state) for state in states),
        surroundings=_surroundings(live, span, heads if policy == "probe" else ()),
        head_reason=headless[0].reason if head == "auto" and policy == "probe" else "",
        places=tuple(map(_place, sources, names)),
    )


def tensors_fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Hash names, dtypes, shapes and elements of tensors, whatever their order."""
    hashed = xxhash.xxh3_128()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        hashed.update(f"{name}:{tensor.dtype}:{list(tensor.shape)}:".encode())
        if tensor.numel():
            hashed.update(tensor.view(-1).view(torch.uint8).numpy().data)
    return hashed.hexdigest()


def _load(source: Source, task: Task, loading: Mapping[str, Any]) -> LiveModel:
    model = load_in_order(source, task, loading)
    if model.adapted is None or not loading["merge_adapter"]:
        return model
    module = merge_adapter(model.module, model.name)
    return replace(model, module=module, adapted=None, head=head_prefixes(module, task))


def _detached(model: LiveModel, source: Source) -> LiveModel:
    """Give a live model whose module may be written into: a copy, where it is the caller's own."""
    if not isinstance(source, LiveModel) or model.module is not source.module:
        return model
    return replace(model, module=copy.deepcopy(model.module))


def _cloned(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors; those that share their elements go on sharing them."""
    copies: dict[tuple[object, ...], Tensor] = {}
    out = {}
    for name, tensor in state.items():
        place = (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() == 0 or place not in copies:
            copies[place] = tensor.detach().clone()
        out[name] = copies[place]
    return out


def _spanned(state: Mapping[str, Tensor], model: LiveModel) -> Mapping[str, Tensor]:
    if model.adapted is None:
        return state
    return {name: state[name] for name in state if name in model.adapted}


def _without_heads(state: Mapping[str, Tensor], heads: Sequence[str]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.startswith(tuple(heads))}


def _made_for(model: LiveModel, tasks: Sequence[Task]) -> bool:
    """Tell whether a model's own head answers every task.

    A head that was stored and not drawn by chance, but whose labels nobody told (a plain module's,
    a foreign adapter's), is taken to: it has the shape, and an end at chance is found out.
    """
    untold = model.labels is None and not model.drawn
    return all(
        task.kind not in ("classification", "pair") or untold or model.labels == task.labels
        for task in tasks
    )


@dataclass(frozen=True, slots=True)
class Headless:
    """A model without a head for a task: the reason in a few words, and as an error."""

    reason: str
    error: str


def _lacking(model: LiveModel, name: str, tasks: Sequence[Task]) -> Headless:
    """Say which labels a model has no head of its own for."""
    task = next(task for task in tasks if not _made_for(model, (task,)))
    has = model.labels or (None if model.folder is None else stored_labels(model.folder))
    other = "" if has is None else f" (its head answers {listed(has)})"
    wanted = f"the labels {listed(task.labels)}" if task.labels else "the numbers"
    return Headless(
        f"{name} has no head for the labels of {task.name}{other}",
        f"{name} has no head of its own for {wanted} of task {task.name!r}{other}; take the head "
        "'probe', or a model whose head was made for them",
    )


def _settle_head(
    head: str | Path | LiveModel,
    headless: Sequence[Headless],
    first: LiveModel,
    tasks: Sequence[Task],
    loading: Mapping[str, Any],
) -> tuple[str, LiveModel]:
    if head in ("auto", "own", "probe"):
        if head == "own" and headless:
            raise BadInput(headless[0].error)
        if head == "own" or (head == "auto" and not headless):
            return "own", first
        if any(task.kind not in ("classification", "pair") for task in tasks):
            raise BadInput(
                "a linear probe answers with labels or numbers; take the head 'own' for texts"
            )
        return "probe", first
    giver = _detached(_load(head, tasks[0], loading), head)
    if not _made_for(giver, tasks):
        raise BadInput(
            f"the head of {giver.name} was made for the labels {listed(giver.labels or ())}, "
            f"the task has {listed(tasks[0].labels)}; choose another model, or the head 'probe'"
        )
    check_alike(first, giver, tasks)
    return giver.name, giver


def _check_tensors(states: Sequence[Mapping[str, Tensor]], names: Sequence[str]) -> None:
    first = states[0]
    for name, state in zip(names[1:], states[1:], strict=True):
        for tensor in dict.fromkeys((*first, *state)):
            if tensor not in state or tensor not in first:
                lacking = name if tensor not in state else names[0]
                raise MismatchedModels(f"tensor {tensor!r} is missing in {lacking}")
            one, two = list(first[tensor].shape), list(state[tensor].shape)
            if one != two:
                raise MismatchedModels(
                    f"tensor {tensor!r} has shape {one} in {names[0]} and {two} in {name}"
                )


def _free_name(name: str, source: Source, taken: Sequence[str]) -> str:
    """Name a model so that no other is called the same."""
    if name in taken and not isinstance(source, LiveModel):
        name = "/".join(Path(source).parts[-2:])
    plain, number = name, 2
    while name in taken:
        name, number = f"{plain} ({number})", number + 1
    return name


def _place(source: Source, name: str) -> str:
    if isinstance(source, LiveModel):
        return "/".join(source.folder.absolute().parts[-2:]) if source.folder else name
    folder = Path(source)
    return "/".join(folder.absolute().parts[-2:]) if folder.exists() else str(source)


def _surroundings(live: LiveModel, span: Span, unused: Sequence[str]) -> str:
    """Hash what the module computes with beside the span's tensors."""
    spanned = {*span.names, *span.constants}
    rest = {
        name: tensor
        for name, tensor in live.module.state_dict().items()
        if name not in spanned and not name.startswith(tuple(unused))
    }
    told = f"{type(live.module).__name__}:{computed_by(live.module)}:{live.processor.identity}:"
    return xxhash.xxh3_128_hexdigest((told + tensors_fingerprint(rest)).encode())
