"""Clusters by what tasks are about: regions of regions, and what bounds how well they can do."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from bench.regions.agreement import accuracy

from weightscape.geometry.products import TreeGram, subset
from weightscape.regions.chart import chart_regions
from weightscape.regions.domains import centres, group_regions
from weightscape.regions.poolings import DEFAULT_POOLING, pooled_cosines

Labels = Mapping[str, str]


def in_two_levels(tree: TreeGram, base: str, pooling: str) -> dict[str, str]:
    """Give every model's group of regions; those whose region is grouped with none are alone."""
    first = chart_regions(tree, base=base, pooling=pooling)
    members = {it.label: it.members for it in first.regions} | {it: (it,) for it in first.outliers}
    return {
        name: domain[0] if len(domain) > 1 else f"alone {domain[0]}"
        for domain in group_regions(tree, first)
        for label in domain
        for name in members[label]
    }


def nearness(tree: TreeGram, base: str, tasks: Labels, domains: Labels) -> dict[str, Any]:
    """Tell how near data sets of one domain lie, beside pairs that have no domain in common.

    For each domain the mean cosine of its data sets' centres, and the share of the other pairs
    that are as near or nearer: where it is not small, no clusters of cosines can find the domain.
    """
    sets = {task: [name for name in tasks if tasks[name] == task] for task in tasks.values()}
    about = {task: domains[names[0]] for task, names in sets.items()}
    cosine = pooled_cosines(centres(tree, {**sets, base: [base]}), base, DEFAULT_POOLING)
    pairs = list(combinations(range(len(sets)), 2))
    of_pair = [{about[list(sets)[i]] for i in pair} for pair in pairs]
    other = np.array([cosine[it] for it, both in zip(pairs, of_pair, strict=True) if len(both) > 1])
    found = {}
    for domain in dict.fromkeys(about.values()):
        own = [cosine[it] for it, both in zip(pairs, of_pair, strict=True) if both == {domain}]
        if own:
            mean = float(np.mean(own))
            found[domain] = {"cosine": mean, "as_near": float(np.mean(other >= mean))}
    return found


def made_up(tree: TreeGram, base: str, tasks: Labels, domains: Labels) -> dict[str, Any]:
    """Put pairs of strangers in the place of the smallest domain; cluster with k given as before.

    If they come out as well as the domain did, it tells nothing of the domain that it did.
    """
    about = {tasks[name]: domain for name, domain in domains.items()}
    shared = {it: [task for task in about if about[task] == it] for it in about.values()}
    several = sorted((it for it in shared.values() if len(it) > 1), key=len)
    smallest, kept = several[0], [task for them in several[1:] for task in them]
    outside = [task for task in about if task not in kept]
    scores = {}
    for posing in combinations(outside, len(smallest)):
        if len({about[task] for task in posing}) < len(posing):
            continue
        truth = {
            name: "posing" if task in posing else about[task]
            for name, task in tasks.items()
            if task in (*kept, *posing)
        }
        few = subset(tree, (base, *truth))
        found = chart_regions(few, base=base, regions=len(several))
        label = {name: it.label for it in found.regions for name in it.members}
        clusters = [label.get(name, f"alone {name}") for name in truth]
        scores[" + ".join(posing)] = accuracy(list(truth.values()), clusters)
    return {
        "domain": about[smallest[0]],
        "groups": len(scores),
        "perfect": sum(it == 1.0 for it in scores.values()),
        "accuracy": scores,
    }
