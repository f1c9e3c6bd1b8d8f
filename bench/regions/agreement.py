"""How well clusters agree with the groups that are known: one cluster for each group at most."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

Groups = Sequence[Hashable]


def agreement(truth: Groups, found: Groups) -> dict[str, float]:
    """Score clusters: ARI, and accuracy after matching clusters and groups one to one."""
    return {"ari": float(adjusted_rand_score(truth, found)), "accuracy": accuracy(truth, found)}


def accuracy(truth: Groups, found: Groups) -> float:
    """Give the share of the items in the cluster that was matched to their group (Hungarian)."""
    matched = matching(truth, found)
    hits = [matched.get(cluster) == group for group, cluster in zip(truth, found, strict=True)]
    return float(np.mean(hits))


def f1_by_group(truth: Groups, found: Groups) -> dict[Hashable, float]:
    """Give every group's F1 in the matched clusters; 0 for a group that got none."""
    matched = matching(truth, found)
    answers = [matched.get(cluster) for cluster in found]
    scores: dict[Hashable, float] = {}
    for group in dict.fromkeys(truth):
        hits = sum(a == b == group for a, b in zip(truth, answers, strict=True))
        scores[group] = 2 * hits / (list(truth).count(group) + answers.count(group))
    return scores


def matching(truth: Groups, found: Groups) -> Mapping[Hashable, Hashable]:
    """Match each cluster to at most one group, so that as many items as possible are right."""
    groups, clusters = list(dict.fromkeys(truth)), list(dict.fromkeys(found))
    table = np.zeros((len(clusters), len(groups)))
    for group, cluster in zip(truth, found, strict=True):
        table[clusters.index(cluster), groups.index(group)] += 1
    rows, columns = linear_sum_assignment(table, maximize=True)
    return {clusters[r]: groups[c] for r, c in zip(rows, columns, strict=True) if table[r, c] > 0}
