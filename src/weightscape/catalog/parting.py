"""Long lists of ids for statements, since databases bound how many values one may name."""

from collections.abc import Iterable, Iterator

MOST = 500


def parted(ids: Iterable[int]) -> Iterator[list[int]]:
    """Part ids into lists that one statement can name.

    >>> [len(part) for part in parted(range(1200))]
    [500, 500, 200]
    """
    whole = list(ids)
    for start in range(0, len(whole), MOST):
        yield whole[start : start + MOST]
