"""Rows of a target that experts of other tasks have been trained on: what would flatter a blend."""

from collections.abc import Iterable, Sequence

from weightscape.tasks.sameness import exact_key
from weightscape.tasks.task import Example, Task


def seen_words(target: Task, sources: Sequence[Task]) -> tuple[str, ...]:
    """Say which sources have rows of the target, answers and all, among their training rows.

    The same texts with other labels are another task, and fair.
    """
    found = []
    for source in sources:
        known = set(_keys(source, source.splits.get("train") or ()))
        shared = {
            split: sum(it in known for it in _keys(target, rows))
            for split, rows in target.splits.items()
        }
        counts = [
            f"{count} of the {len(target.splits[split])} {split} rows"
            for split, count in shared.items()
            if count
        ]
        if not counts:
            continue
        flattered = "scores on the test split" if shared.get("test") else "what weights it gets"
        found.append(
            f"source {source.name!r} has {' and '.join(counts)} of task {target.name!r} among its "
            f"training rows, with their answers: {flattered} cannot be trusted; leave it out"
        )
    return tuple(found)


def _keys(task: Task, rows: Iterable[Example]) -> list[tuple[str, str]]:
    if task.labels:
        return [(exact_key(row.inputs), task.labels[row.target]) for row in rows]
    return [(exact_key(row.inputs), repr(row.target)) for row in rows]
