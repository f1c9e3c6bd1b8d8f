"""Options that several verbs take, declared once: the fields of a dataclass."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any


def spread(verb: Callable[..., None]) -> Callable[..., None]:
    """Turn each parameter of a verb that is a dataclass into options, one for each field.

    Every field needs a default and an annotation as a verb's own parameters have them. They come
    in the order in which they are declared, at the place of the parameter.
    """
    taken: dict[str, type[Any]] = {}
    spread_out: list[Parameter] = []
    for parameter in signature(verb).parameters.values():
        kind = parameter.annotation
        if not is_dataclass(kind):
            spread_out.append(parameter)
            continue
        assert isinstance(kind, type)
        taken[parameter.name] = kind
        spread_out += [
            Parameter(it.name, parameter.kind, default=it.default, annotation=it.type)
            for it in fields(kind)
        ]

    @wraps(verb)
    def gathered(**given: Any) -> None:
        for name, kind in taken.items():
            given[name] = kind(**{it.name: given.pop(it.name) for it in fields(kind)})
        verb(**given)

    gathered.__signature__ = Signature(spread_out)  # type: ignore[attr-defined]
    gathered.__annotations__ = {it.name: it.annotation for it in spread_out}
    return gathered
