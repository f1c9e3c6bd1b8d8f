"""One number for everything about a task that an evaluation rests on."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from weightscape.tasks.sameness import array_bytes
from weightscape.tasks.task import Task


def task_fingerprint(task: Task) -> str:
    """Hash what an evaluation rests on: two tasks of one fingerprint give one result.

    In it: every split's rows in their order (inputs, targets, row numbers; of an image's file the
    content, of arrays and tensors the bytes, dtype and shape), the labels in order, the kind, the
    lengths, the metrics, and a custom task's function with its source. Not in it: the task's name
    and domain, and where the data lie. It changes with no run, machine or Python.
    """
    hashed = xxhash.xxh3_128()
    told = (task.kind, task.labels, task.metrics, task.max_tokens, task.target_tokens)
    _feed(hashed, told)
    _feed(hashed, None if task.function is None else _source(task.function))
    for split in sorted(task.splits):
        _feed(hashed, split)
        for example in task.splits[split]:
            _feed(hashed, tuple(example))
    return f"task1:{hashed.hexdigest()}"


def _source(function: Callable[..., Any]) -> str:
    name = f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', '')}"
    try:
        return name + "\n" + inspect.getsource(function)
    except (OSError, TypeError):  # made by exec, or an object that is callable
        return name


def _feed(hashed: Any, value: Any) -> None:
    """Feed a value's type, length and content, so that no two values look alike."""
    if isinstance(value, tuple | list):
        hashed.update(f"({len(value)}".encode())
        for part in value:
            _feed(hashed, part)
        return
    if isinstance(value, Mapping):
        _feed(hashed, list(value.items()))
        return
    content = _content(value)
    hashed.update(f"{type(value).__name__}:{len(content)}:".encode())
    hashed.update(content)


def _content(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", errors="surrogatepass")
    if isinstance(value, Path):
        return value.read_bytes() if value.is_file() else str(value).encode()
    if isinstance(value, np.generic):
        value = value.item()
    content = array_bytes(value)
    return repr(value).encode() if content is None else content
