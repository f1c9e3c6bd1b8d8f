"""Data sets that are one in all but name: made from the same texts, with labels that agree."""

from collections.abc import Iterable
from functools import lru_cache
from itertools import combinations

from sklearn.metrics import adjusted_rand_score

from weightscape.tasks.text_data import load_text_rows

SHARED = 0.5  # of the smaller set's texts
AGREEING = 0.5  # ARI of the two labels of the shared texts


def twins(tasks: Iterable[str]) -> dict[str, frozenset[str]]:
    """Give each task's twins among the tasks."""
    found: dict[str, set[str]] = {task: set() for task in tasks}
    for one, other in combinations(found, 2):
        if are_twins(_labelled(one), _labelled(other)):
            found[one].add(other)
            found[other].add(one)
    return {task: frozenset(others) for task, others in found.items()}


def are_twins(one: dict[str, str], other: dict[str, str]) -> bool:
    """Tell whether two sets of labelled texts are one in all but name."""
    shared = [text for text in one if text in other]
    if len(shared) <= SHARED * min(len(one), len(other)):
        return False
    labels = [[them[text] for text in shared] for them in (one, other)]
    # one label for all shared texts is no agreement: it tells nothing of them
    several = min(len(set(them)) for them in labels) > 1
    return several and adjusted_rand_score(*labels) > AGREEING


def merged(tasks: Iterable[str]) -> dict[str, str]:
    """Name each task and its twins alike."""
    tasks = list(tasks)
    found = twins(tasks)
    return {task: min((task, *found[task]), key=tasks.index) for task in tasks}


@lru_cache(maxsize=32)
def _labelled(task: str) -> dict[str, str]:
    return {str(row.inputs).casefold(): str(row.target) for row in load_text_rows(task)}
