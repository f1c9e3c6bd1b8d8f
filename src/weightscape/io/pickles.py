"""Reading a pickle without running it.

A pickle is a program for a small stack machine. Python's own unpickler imports and calls what
the program names; this one has no import and no call in it. Names become `Global`, objects
become `Opaque`, and the few calls that rebuild tensors become plain data (`Storage`, `Rebuilt`).
A call of anything else is refused by its name, because in Python it would have run.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weightscape.errors import BadCheckpoint, WeightscapeError
from weightscape.io.pickle_values import DICTS, Global, Opaque, call, storage

PICKLE_LIMIT = 64 << 20
"""Bytes of the object pickle; a state dict needs about 150 a tensor."""

OPCODE_LIMIT = 5_000_000
"""About 30 a tensor; this many take some seconds."""

_MARK = object()


def read_pickle(data: bytes, file: Path | str) -> Any:
    """Return what a pickle describes, as inert data; `file` is what errors name.

    Raises UnsafeCheckpoint for a call that is not known to be harmless, BadCheckpoint for a
    pickle that is damaged or too large.
    """
    if len(data) > PICKLE_LIMIT:
        raise BadCheckpoint(
            f"its pickle has {len(data):,} bytes; {PICKLE_LIMIT:,} at most", file=file
        )
    machine = _Machine(file)
    try:
        for count, (opcode, arg, _) in enumerate(pickletools.genops(data)):
            if count > OPCODE_LIMIT:
                raise BadCheckpoint(
                    f"its pickle has more than {OPCODE_LIMIT:,} instructions", file=file
                )
            if opcode.name == "STOP":
                return machine.pop()
            step = _STEPS.get(opcode.name)
            if step is None:
                raise BadCheckpoint(
                    f"its pickle uses {opcode.name}, which no checkpoint needs", file=file
                )
            step(machine, arg)
    except WeightscapeError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        # a stack that is too short, a memo never written, arguments of the wrong kind
        raise BadCheckpoint(f"its pickle is damaged: {error!s:.200}", file=file) from None
    raise BadCheckpoint("its pickle has no end; it is truncated", file=file)


@dataclass(slots=True)
class _Machine:
    file: Path | str
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def pop(self) -> Any:
        top = self.stack.pop()
        if top is _MARK:
            raise ValueError("a value is missing")
        return top

    def pop_mark(self) -> list[Any]:
        items: list[Any] = []
        while (top := self.stack.pop()) is not _MARK:
            items.append(top)
        items.reverse()
        return items

    def build(self) -> None:
        self.pop()  # the state of an object that is opaque, or attributes of a dict

    def set_items(self, target: Any, pairs: list[Any]) -> None:
        if not isinstance(target, dict):
            return  # items of an opaque object
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            # a nested tuple as key would be hashed recursively: a cheap bomb
            if isinstance(key, str | int | float | bytes | None):
                target[key] = value


def _push(machine: _Machine, arg: Any) -> None:
    machine.stack.append(arg)


def _push_made(make: Callable[[], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, arg: machine.stack.append(make())


def _nothing(machine: _Machine, arg: Any) -> None:
    pass


def _forget(machine: _Machine, arg: Any) -> None:
    machine.stack.pop()


def _forget_to_mark(machine: _Machine, arg: Any) -> None:
    machine.pop_mark()


def _frozen_set(machine: _Machine, arg: Any) -> None:
    machine.pop_mark()
    machine.stack.append(Opaque(Global("builtins", "frozenset")))


def _tuple_of(size: int) -> Callable[[_Machine, Any], None]:
    def step(machine: _Machine, arg: Any) -> None:
        items = [machine.pop() for _ in range(size)]
        machine.stack.append(tuple(reversed(items)))

    return step


def _global(machine: _Machine, arg: Any) -> None:
    module, _, name = str(arg).partition(" ")
    machine.stack.append(Global(module, name))


def _stack_global(machine: _Machine, arg: Any) -> None:
    name, module = machine.pop(), machine.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise ValueError("a name that is no text")
    machine.stack.append(Global(module, name))


def _memoize(machine: _Machine, arg: Any) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _put(machine: _Machine, arg: Any) -> None:
    machine.memo[int(arg)] = machine.stack[-1]


def _get(machine: _Machine, arg: Any) -> None:
    machine.stack.append(machine.memo[int(arg)])


def _append(machine: _Machine, arg: Any) -> None:
    _extend(machine, [machine.pop()])


def _appends(machine: _Machine, arg: Any) -> None:
    _extend(machine, machine.pop_mark())


def _extend(machine: _Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if isinstance(target, list):
        target.extend(items)


def _set_item(machine: _Machine, arg: Any) -> None:
    value, key = machine.pop(), machine.pop()
    machine.set_items(machine.stack[-1], [key, value])


def _set_items(machine: _Machine, arg: Any) -> None:
    pairs = machine.pop_mark()
    machine.set_items(machine.stack[-1], pairs)


def _dict(machine: _Machine, arg: Any) -> None:
    pairs, made = machine.pop_mark(), dict[Any, Any]()
    machine.set_items(made, pairs)
    machine.stack.append(made)


def _reduce(machine: _Machine, arg: Any) -> None:
    args, target = machine.pop(), machine.pop()
    machine.stack.append(call(target, args, machine.file))


def _new_object(machine: _Machine, extra: int) -> None:
    for _ in range(extra):
        machine.pop()
    kind = machine.pop()
    if not isinstance(kind, Global):
        raise ValueError("an object without a class")
    machine.stack.append({} if str(kind) in DICTS else Opaque(kind))


def _instance(machine: _Machine, arg: Any) -> None:
    args = tuple(machine.pop_mark())
    module, _, name = str(arg).partition(" ")
    machine.stack.append(call(Global(module, name), args, machine.file))


def _object(machine: _Machine, arg: Any) -> None:
    target, *args = machine.pop_mark()
    machine.stack.append(call(target, tuple(args), machine.file))


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME"), _nothing),
    **dict.fromkeys(
        "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING "
        "SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 UNICODE SHORT_BINUNICODE "
        "BINUNICODE BINUNICODE8".split(),
        _push,
    ),
    "NONE": _push_made(lambda: None),
    "NEWTRUE": _push_made(lambda: True),
    "NEWFALSE": _push_made(lambda: False),
    "MARK": _push_made(lambda: _MARK),
    "EMPTY_LIST": _push_made(list),
    "EMPTY_DICT": _push_made(dict),
    "EMPTY_TUPLE": _push_made(tuple),
    "EMPTY_SET": _push_made(lambda: Opaque(Global("builtins", "set"))),
    "ADDITEMS": _forget_to_mark,
    "FROZENSET": _frozen_set,
    "LIST": lambda machine, arg: machine.stack.append(machine.pop_mark()),
    "TUPLE": lambda machine, arg: machine.stack.append(tuple(machine.pop_mark())),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "DICT": _dict,
    "APPEND": _append,
    "APPENDS": _appends,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "POP": _forget,
    "POP_MARK": _forget_to_mark,
    "DUP": lambda machine, arg: machine.stack.append(machine.stack[-1]),
    "MEMOIZE": _memoize,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _get),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "NEWOBJ": lambda machine, arg: _new_object(machine, 1),
    "NEWOBJ_EX": lambda machine, arg: _new_object(machine, 2),
    "BUILD": lambda machine, arg: machine.build(),
    "INST": _instance,
    "OBJ": _object,
    "BINPERSID": lambda machine, arg: machine.stack.append(storage(machine.pop(), machine.file)),
}
