"""In which arguments two runs differ, in words."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

_MOST = 6


def differing(kept: Mapping[str, Any] | str, wanted: Mapping[str, Any] | str) -> str:
    """Name what differs between the arguments of a run that was kept and of one that is wanted.

    Mappings within mappings are looked into; texts are read as JSON. Empty for equal ones, and
    where a text says nothing.

    >>> differing({"steps": 20, "how": {"lr": 1.0}}, {"steps": 30, "how": {"lr": 1.0}})
    'steps 20 against 30'
    """
    one, two = (dict(_flat(_read(it))) for it in (kept, wanted))
    names = [name for name in dict.fromkeys((*one, *two)) if one.get(name) != two.get(name)]
    told = [f"{name} {_shown(one.get(name))} against {_shown(two.get(name))}" for name in names]
    return ", ".join(told[:_MOST]) + (", ..." if len(told) > _MOST else "")


def _read(given: Mapping[str, Any] | str) -> Mapping[str, Any]:
    if isinstance(given, str):
        try:
            found = json.loads(given)
        except ValueError:
            return {}
        return found if isinstance(found, Mapping) else {}
    return json.loads(json.dumps(given))  # type: ignore[no-any-return]


def _flat(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in given.items():
        if isinstance(value, Mapping):
            yield from _flat(value)
        else:
            yield name.replace("task_fingerprint", "the task's rows (by hash)"), value


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)[:60]
