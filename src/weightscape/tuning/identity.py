"""What a study must have in common with one that goes on with it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from weightscape.tuning.search_space import SearchSpace


@dataclass(frozen=True, slots=True)
class StudyIdentity:
    """All that decides what a study's weights mean and which are tried.

    models: name and fingerprint of each, in the order of the weights. task, task_fingerprint: what
    is searched for. rows: a digest of the rows that candidates are judged on. start: a point to
    begin at, other than the space's; batch: how many candidates are asked for at once, other than
    the sampler's. settings: what else changes a loss, as plain JSON (racing, precision, ...).
    """

    models: tuple[tuple[str, str], ...]
    task: str
    task_fingerprint: str
    rows: str
    space: SearchSpace
    sampler: str
    seed: int = 0
    batch: int | None = None
    start: tuple[float, ...] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """Give it as JSON that is equal where the identity is."""
        plain: dict[str, Any] = json.loads(
            json.dumps(
                {
                    "models": self.models,
                    "task": self.task,
                    "task fingerprint": self.task_fingerprint,
                    "rows": self.rows,
                    "space": self.space.plain(),
                    "sampler": self.sampler,
                    "seed": self.seed,
                    "batch": self.batch,
                    "start": self.start,
                    "settings": dict(self.settings),
                }
            )
        )
        return plain


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """List in words what two identities, as plain JSON, do not share.

    Names of models and of the task may differ where their content is the same.
    """
    found = _models_differ(then["models"], now["models"])
    if then["task fingerprint"] != now["task fingerprint"]:
        same = then["task"] == now["task"]
        found.append(
            f"the data or settings of task {now['task']!r} have changed"
            if same
            else f"task: {then['task']!r} then, {now['task']!r} now"
        )
    elif then["rows"] != now["rows"]:
        found.append("the rows that candidates are judged on are others")
    for part in ("space", "settings"):
        found += _values_differ(then[part], now[part])
    alone = ("sampler", "seed", "batch", "start")
    return found + _values_differ({it: then[it] for it in alone}, {it: now[it] for it in alone})


def _models_differ(then: list[list[str]], now: list[list[str]]) -> list[str]:
    before, after = ({mark: name for name, mark in models} for models in (then, now))
    if before.keys() == after.keys():
        if [mark for _, mark in then] == [mark for _, mark in now]:
            return []
        return [f"the models are in another order; then it was {', '.join(before.values())}"]
    gone = [name for mark, name in before.items() if mark not in after]
    new = [name for mark, name in after.items() if mark not in before]
    changed = [name for name in gone if name in new]
    found = [f"model {name!r} has other weights" for name in changed]
    found += [f"model {name!r} is missing" for name in gone if name not in changed]
    return found + [f"model {name!r} is new" for name in new if name not in changed]


def _values_differ(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [
        f"{key}: {_said(then.get(key))} then, {_said(now.get(key))} now"
        for key in dict.fromkeys([*then, *now])
        if then.get(key) != now.get(key)
    ]


def _said(value: Any) -> str:
    return "none" if value is None else f"{value}"
