"""More rows of a target than somebody has: none that its adapted models were trained on."""

from collections.abc import Sequence

import numpy as np
from bench.regions.models import task_named
from bench.tune.parts import TOKENS, target_task

from weightscape.tasks.task import Example


def unseen_rows(target: str, count: int, seed: int, made: int = 0) -> Sequence[Example]:
    """Draw rows of the training split by a seed.

    made: the seed of the adapted models.
    """
    seen = {it.row for it in target_task(target, made).rows("train")}
    left = [it for it in task_named(target, TOKENS).rows("train") if it.row not in seen]
    if len(left) < count:
        raise SystemExit(f"{target} has only {len(left)} rows that its models have not seen")
    order = np.random.default_rng([seed, made]).permutation(len(left))[:count]
    return tuple(left[place] for place in order.tolist())
