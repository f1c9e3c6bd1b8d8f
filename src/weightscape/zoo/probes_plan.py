"""Which models a probes zoo holds, what each of them knows and how it is trained."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from weightscape.catalog.records import EdgeKind
from weightscape.errors import BadInput, UnknownName
from weightscape.zoo.plan import Planned, draw_seeds
from weightscape.zoo.probes_classes import SOURCES
from weightscape.zoo.truth import Knows

TEXT_A, TEXT_B, DIGITS, ADAPTERS = "text-a", "text-b", "digits", "adapters"
TREES = (TEXT_A, DIGITS, ADAPTERS, TEXT_B)
"""In the order in which they are made."""

HELD_OUT_SHARE = 0.26
SPLIT_SHARES: Mapping[Knows, float] = MappingProxyType(
    {"train": 0.7, "validation": 0.1, "test": 0.1, "unseen": 0.1}
)


@dataclass(frozen=True, slots=True)
class ProbesZoo:
    """The make-up of a probes zoo.

    models: of the three trees together; half of them are the first tree's. adapters: of one class
    each, for every text class. sources, classes_per_source, rows: see `fine_classes`.
    random_init: every model has a start of its own, as a negative control.
    """

    models: int = 640
    adapters: int = 5
    sources: tuple[str, ...] = SOURCES
    classes_per_source: int | None = None
    rows: int = 125
    max_tokens: int = 40
    epochs: float = 2.0
    root_steps: int = 600
    random_init: bool = False
    declare: bool = False
    seed: int = 0


PRESETS: Mapping[str, ProbesZoo] = MappingProxyType(
    {
        "full": ProbesZoo(),
        "small": ProbesZoo(
            models=24,
            adapters=2,
            sources=("20ng", "trec50"),
            classes_per_source=4,
            rows=30,
            max_tokens=16,
            root_steps=30,
        ),
    }
)


@dataclass(frozen=True, slots=True)
class ProbeTraining:
    """How one model is trained.

    tree, split, classes: where it belongs and what it learns. init_seed: draws its start, where
    it has no parent. rank: of an adapter, 0 for a training of the weights themselves.
    """

    tree: str
    split: Knows | None
    classes: tuple[str, ...]
    steps: int
    batch: int
    lr: float
    weight_decay: float
    head_seed: int
    data_seed: int
    init_seed: int
    rank: int = 0


ProbeModel: TypeAlias = Planned[ProbeTraining]


def probes_zoo(preset: str = "full", **changes: Any) -> ProbesZoo:
    """Give a preset with the changes that are not None; raises UnknownName, BadInput."""
    if preset not in PRESETS:
        raise UnknownName("zoo preset", preset, PRESETS)
    zoo = replace(
        PRESETS[preset], **{n: value for n, value in changes.items() if value is not None}
    )
    if zoo.models < 24 or zoo.adapters < 0 or zoo.epochs <= 0:
        raise BadInput(
            "a probes zoo needs 24 models or more, no fewer than 0 adapters a class and more than "
            f"0 epochs; got models={zoo.models}, adapters={zoo.adapters}, epochs={zoo.epochs}"
        )
    return zoo


def plan_probes_zoo(
    zoo: ProbesZoo, rows: Mapping[str, int], unseen: frozenset[str]
) -> dict[str, list[ProbeModel]]:
    """Plan every model by tree, parents before children.

    rows: of the text classes, to train on. unseen: classes that only the models of the split
    "unseen" learn. In the control no tree has a root and there are no adapters.
    """
    half = zoo.models // 2
    digits = {f"digit {number}": 143 for number in range(10)}
    plans = {
        TEXT_A: [_root(zoo, TEXT_A), *_tree(zoo, TEXT_A, half, rows, unseen)],
        DIGITS: [_root(zoo, DIGITS), *_tree(zoo, DIGITS, half // 2, digits, frozenset())],
        TEXT_B: [_root(zoo, TEXT_B), *_tree(zoo, TEXT_B, half - half // 2, rows, unseen)],
        ADAPTERS: list(_adapters(zoo, rows, unseen)),
    }
    if zoo.random_init:
        del plans[ADAPTERS]
        return {tree: plan[1:] for tree, plan in plans.items()}
    return plans


def _root(zoo: ProbesZoo, tree: str) -> ProbeModel:
    if tree == TEXT_A:
        return Planned(tree, "base")
    head, data, init = draw_seeds(zoo.seed, tree)
    classes = tuple(f"digit {number}" for number in range(10)) if tree == DIGITS else ()
    steps, lr = (
        (max(30, zoo.root_steps * 2 // 3), 3e-3) if tree == DIGITS else (zoo.root_steps, 1e-3)
    )
    training = ProbeTraining(
        tree, None, classes, steps, 128, lr, 0.01, head_seed=head, data_seed=data, init_seed=init
    )
    return Planned(tree, "train", training=training)


def _tree(
    zoo: ProbesZoo, tree: str, models: int, rows: Mapping[str, int], unseen: frozenset[str]
) -> Iterator[ProbeModel]:
    """Plan the models of a tree: each learns half of the classes, drawn for it alone."""
    shares = SPLIT_SHARES if unseen else {**SPLIT_SHARES, "test": 0.2, "unseen": 0.0}
    splits = _splits(models, shares, np.random.default_rng([zoo.seed, len(tree)]))
    digits = tree == DIGITS
    kind: EdgeKind = "full" if digits else "frozen-part"
    for number, split in enumerate(splits):
        name = f"{tree}-{number + 1:04d}"
        head, data, init = draw_seeds(zoo.seed, name)
        draw = np.random.default_rng([zoo.seed, data])
        seen = sorted(set(rows) - unseen)
        known = draw.permutation(seen)[: len(seen) // 2].tolist()
        if split == "unseen":
            known += draw.permutation(sorted(unseen))[: len(unseen) // 2].tolist()
        batch = int(draw.choice([32, 48] if digits else [48, 64, 96]))
        epochs = zoo.epochs * draw.uniform(0.6, 1.4) * (3 if digits else 1)
        training = ProbeTraining(
            tree,
            split,
            tuple(sorted(known)),
            steps=max(2, round(epochs * sum(rows[name] for name in known) / batch)),
            batch=batch,
            lr=float(f"{10 ** draw.uniform(-2.8, -2.3):.2g}"),
            weight_decay=float(draw.choice([0.0, 0.01, 0.1])),
            head_seed=head,
            data_seed=data,
            init_seed=init,
        )
        if zoo.random_init:
            yield Planned(name, "train", task=tree, domain=tree, training=training)
        else:
            yield Planned(name, "train", (tree,), kind, tree, tree, training)


def _adapters(
    zoo: ProbesZoo, rows: Mapping[str, int], unseen: frozenset[str]
) -> Iterator[ProbeModel]:
    """Plan the adapters: several for each class, each telling it from all others."""
    count = 0
    for turn in range(zoo.adapters):
        for fine in sorted(rows):
            count += 1
            name = f"adapter-{count:04d}"
            head, data, init = draw_seeds(zoo.seed, name)
            draw = np.random.default_rng([zoo.seed, data])
            training = ProbeTraining(
                ADAPTERS,
                "unseen" if fine in unseen else _split_of_turn(turn, zoo.adapters),
                (fine,),
                steps=max(2, round(40 * zoo.epochs * draw.uniform(0.6, 1.4))),
                batch=64,
                lr=float(f"{10 ** draw.uniform(-2.5, -2.2):.2g}"),
                weight_decay=float(draw.choice([0.0, 0.01, 0.1])),
                head_seed=head,
                data_seed=data,
                init_seed=init,
                rank=int(draw.integers(4, 9)),
            )
            # an adapter is of no use to anybody unless it names its base
            yield Planned(
                name, "train", (TEXT_A,), "lora", ADAPTERS, TEXT_A, training, declared=True
            )


def _split_of_turn(turn: int, turns: int) -> Knows:
    """Let each class have models in every split: the last one tests, the one before validates."""
    if turn == turns - 1 and turns > 1:
        return "test"
    return "validation" if turn == turns - 2 and turns > 2 else "train"


def _splits(
    models: int, shares: Mapping[Knows, float], draw: np.random.Generator
) -> Sequence[Knows]:
    """Deal out the splits in the given shares, in random order."""
    ends = np.cumsum(list(shares.values())) * models
    names = list(shares)
    dealt = [names[int(np.searchsorted(ends, place + 0.5))] for place in range(models)]
    return [dealt[place] for place in draw.permutation(models)]
