"""Which models a digits zoo holds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from weightscape.catalog.records import EdgeKind
from weightscape.errors import BadInput
from weightscape.zoo.digits_data import BASE_TASK, TASK_NAMES, digits_task
from weightscape.zoo.plan import Planned, Step, draw_seeds
from weightscape.zoo.shapes import grow


@dataclass(frozen=True, slots=True)
class DigitsTraining:
    """How one digits model is trained. rank: of a LoRA, 0 for all weights that `freeze` leaves."""

    init_seed: int
    head_seed: int
    data_seed: int
    dropout_seed: int
    steps: int
    lr: float
    weight_decay: float
    freeze: tuple[str, ...] = ()
    rank: int = 0
    merge: bool = True


DigitsModel: TypeAlias = Planned[DigitsTraining]


@dataclass(frozen=True, slots=True)
class DigitsZoo:
    """The make-up of a digits zoo; see `make_digits_zoo`."""

    shape: str = "star"
    models: int = 12
    tasks: int = 4
    roots: int = 1
    specials: bool = True
    missing_base: bool = False
    weight_decay: float = 0.01
    base_steps: int = 400
    steps: int = 60
    lr: float = 3e-3
    declare: bool = False
    seed: int = 0


BASE_LR = 3e-3
LOWER_HALF = ("vit.embeddings.*", "vit.layer.0.*")


def root_names(zoo: DigitsZoo) -> list[str]:
    """Name the bases of a zoo."""
    return [f"base-{i + 1}" for i in range(zoo.roots)] if zoo.roots > 1 else ["base"]


def plan_digits_zoo(zoo: DigitsZoo) -> list[DigitsModel]:
    """Plan every model of a digits zoo, parents before children; raises BadInput."""
    if not 2 <= zoo.tasks <= len(TASK_NAMES):
        raise BadInput(f"tasks must be between 2 and {len(TASK_NAMES)}; got {zoo.tasks}")
    if zoo.models < 2 * zoo.roots or zoo.roots < 1:
        raise BadInput(
            f"a digits zoo needs a root and two models for each; got models={zoo.models}, "
            f"roots={zoo.roots}"
        )
    roots = [
        Planned(
            name,
            "base",
            (),
            None,
            BASE_TASK,
            "plain",
            _training(zoo, name, zoo.base_steps, BASE_LR),
        )
        for name in root_names(zoo)
    ]
    trained = _plan_trees(zoo, [root.name for root in roots])
    specials = _plan_specials(zoo, roots[0].name, trained[:: zoo.roots]) if zoo.specials else []
    return [*roots, *trained, *specials]


def _plan_trees(zoo: DigitsZoo, roots: Sequence[str]) -> list[DigitsModel]:
    trees = [[(name, -1)] for name in roots]
    count = dict.fromkeys(TASK_NAMES, 0)
    out = []
    for i, (tree, parent) in enumerate(grow(zoo.shape, zoo.models, roots=zoo.roots, seed=zoo.seed)):
        parent_name, parent_task = trees[tree][parent]
        number = (i // zoo.roots) % zoo.tasks
        if number == parent_task:
            number = (number + 1) % zoo.tasks
        task = TASK_NAMES[number]
        count[task] += 1
        name = f"{task}-{count[task]}"
        trees[tree].append((name, number))
        out.append(_fine_tuned(zoo, name, task, parent_name))
    return out


def _plan_specials(zoo: DigitsZoo, root: str, tree: Sequence[DigitsModel]) -> list[DigitsModel]:
    """Plan the special models of one tree, whose trained models are given."""
    first, second = tree[:2]
    frozen_task, lora_task, merged_task, *_ = TASK_NAMES
    lora = _fine_tuned(zoo, f"{lora_task}-lora", lora_task, root, rank=4, merge=False)
    merged = _fine_tuned(zoo, f"{merged_task}-lora-merged", merged_task, root, rank=4)
    frozen = _fine_tuned(zoo, f"{frozen_task}-frozen", frozen_task, root, freeze=LOWER_HALF)
    # the average of a parent and its child would only be a point between them
    partner = second if second.parents == first.parents else frozen
    return [
        lora,
        merged,
        frozen,
        _derived(f"{first.name}-copy", "copy", "copy", first),
        _derived(f"{second.name}-bf16", "cast", "cast", second),
        _derived(f"{second.name}-int8", "quantise", "quantised", second),
        _derived(f"{first.name}-pruned", "prune", "pruned", first),
        _derived("merge", "merge", "merge", first, partner),
    ]


def _fine_tuned(
    zoo: DigitsZoo,
    name: str,
    task: str,
    parent: str,
    *,
    freeze: tuple[str, ...] = (),
    rank: int = 0,
    merge: bool = True,
) -> DigitsModel:
    plain = _training(zoo, name, zoo.steps, zoo.lr)
    # factors start at zero and need larger steps than the weights themselves
    lr = 10 * zoo.lr if rank else zoo.lr
    training = replace(plain, freeze=freeze, rank=rank, merge=merge, lr=lr)
    kind: EdgeKind = "lora" if rank else "frozen-part" if freeze else "full"
    declared = zoo.declare or not merge
    domain = digits_task(task).domain
    return Planned(name, "train", (parent,), kind, task, domain, training, declared=declared)


def _derived(name: str, step: Step, kind: EdgeKind, *parents: DigitsModel) -> DigitsModel:
    task, domain = parents[0].task, parents[0].domain
    return Planned(name, step, tuple(parent.name for parent in parents), kind, task, domain)


def _training(zoo: DigitsZoo, name: str, steps: int, lr: float) -> DigitsTraining:
    head, data, dropout = draw_seeds(zoo.seed, name)
    return DigitsTraining(head ^ data, head, data, dropout, steps, lr, zoo.weight_decay)
