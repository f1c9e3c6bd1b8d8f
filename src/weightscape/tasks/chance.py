"""Whether a model knows more of a task than how common each answer is."""

import math
from collections.abc import Mapping

from weightscape.tasks.metrics import METRICS, chance_level
from weightscape.tasks.task import Task


def is_at_chance(task: Task, loss: float, metrics: Mapping[str, float], rows: int) -> bool:
    """Tell whether scores on so many held-out rows are those of a model that learned nothing.

    It has learned something where its loss is below that of answering by the label shares by a
    fiftieth, or its first metric above that of always giving the commonest answer by 1 / sqrt(rows)
    (two standard errors of a share, at most). False for tasks of which chance is not known.
    """
    if task.kind not in ("classification", "pair") or not rows:
        return False
    split = "test" if task.splits.get("test") else "validation"
    targets = [example.target for example in task.rows(split)]
    level = chance_level("loss", targets, len(task.labels))
    if level is None or loss < 0.98 * level:
        return False
    name = next((it for it in task.metrics if it in metrics and it != "loss"), None)
    if name is None or not METRICS[name].higher_is_better:
        return True
    level = chance_level(name, targets, len(task.labels))
    return level is None or not metrics[name] > level + 1 / math.sqrt(rows)
