"""Greedy soups: models are added to a mean as long as that helps."""

from collections.abc import Callable, Sequence


def greedy_soup(ranked: Sequence[int], loss: Callable[[tuple[int, ...]], float]) -> tuple[int, ...]:
    """Choose the members of a uniform soup, the best model first.

    Wortsman et al., "Model soups" (2022, arXiv:2203.05482): models are tried in the order of
    `ranked`; one stays if the held-out loss of the mean of those chosen, `loss`, falls strictly.

    >>> greedy_soup([2, 0, 1], lambda members: abs(sum(members) - 3))
    (2, 1)
    """
    chosen: tuple[int, ...] = (ranked[0],)
    least = loss(chosen)
    for model in ranked[1:]:
        tried = (*chosen, model)
        found = loss(tried)
        if found < least:
            chosen, least = tried, found
    return chosen
