"""Do models cluster by data set, and by what their tasks are about?

    python -m bench.regions.clustering --work FOLDER [--sizes]

Every registered pooling of cosines of deltas; the raw weights and the distance as controls. The
number of clusters is given as in the paper, or chosen by us. --sizes: also the models that were
trained on 200 to 1,600 rows (made by `python -m bench.regions.sizes`).
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bench import report
from bench.connectivity.tables import save
from bench.regions.agreement import agreement, f1_by_group
from bench.regions.domains import in_two_levels, made_up, nearness
from bench.regions.grams import Array, distances, tree_gram
from bench.regions.models import Member, base_folder, members
from bench.regions.sizes import by_size
from bench.regions.twins import merged

from weightscape.catalog.records import RegionMap
from weightscape.geometry.products import TreeGram, subset
from weightscape.regions.chart import chart_regions
from weightscape.regions.clusters import clusterings
from weightscape.regions.poolings import cosine_of, poolings

BASE = "base"
TWINS = "data set, twins as one"
"""Two sets that were made from the same texts with the same labels are one in all but name."""
TWO_LEVELS = "chosen, in two levels"
ALL_SETS = "domain, all data sets"
"""A data set that is alone in its domain should be in a group of its own."""
Labels = Mapping[str, str]


def main() -> None:
    """Cluster, score, and write the table, the picture and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sizes", action="store_true")
    asked = parser.parse_args()
    models = members(asked.work)
    folders = {BASE: base_folder(), **{it.name: it.folder for it in models}}
    tree = tree_gram(folders, BASE)
    raw = tree_gram(folders, None)
    tasks = {it.name: it.task for it in models}
    domains = several_tasks(models)
    rows = [row for it in poolings for row in by_data_set(tree, tasks, it)]
    rows += controls(tree, raw, tasks, "data set")
    one_of = merged(dict.fromkeys(tasks.values()))
    apart = {name: one_of[task] for name, task in tasks.items()}
    if set(apart.values()) != set(tasks.values()):
        rows += [row for it in poolings for row in by_data_set(tree, apart, it, TWINS)]
        rows += controls(tree, raw, apart, TWINS)
    rows += [row for it in poolings for row in by_domain(tree, domains, it)]
    rows += controls(tree, raw, domains, "domain")
    every = {it.name: it.domain for it in models}
    rows += [
        scored(ALL_SETS, it, TWO_LEVELS, in_two_levels(tree, BASE, it), every) for it in poolings
    ]
    result: dict[str, Any] = {
        "twins": sorted(task for task, name in one_of.items() if task != name),
        "models": len(models),
        "tasks": {task: list(tasks.values()).count(task) for task in dict.fromkeys(tasks.values())},
        "domains": {
            domain: sorted({tasks[name] for name, it in domains.items() if it == domain})
            for domain in dict.fromkeys(domains.values())
        },
        "cosines": mean_cosines(tree, models),
        "nearness": nearness(tree, BASE, tasks, every),
        "made_up": made_up(tree, BASE, tasks, every),
        "rows": rows,
    }
    if asked.sizes:
        result["sizes"] = by_size(asked.work)
    report.keep("regions-clustering", result, module="bench.regions.clustering")
    draw(chart_regions(tree, base=BASE), models, rows)
    head = ["level", "what", "k", "clusters", "in none", "accuracy", "ARI"]
    names = ("level", "what", "k", "clusters", "in_none", "accuracy", "ari")
    report.show(head, [[_short(row[name]) for name in names] for row in rows])


def by_data_set(
    tree: TreeGram, tasks: Labels, pooling: str, level: str = "data set"
) -> list[dict[str, Any]]:
    """Score clusters against data sets, their number chosen by us and given."""
    rows = []
    for k, count in (("chosen", None), ("given", len(set(tasks.values())))):
        found = chart_regions(tree, base=BASE, pooling=pooling, regions=count)
        rows.append(scored(level, pooling, k, labels_of(found), tasks))
    return rows


def by_domain(tree: TreeGram, domains: Labels, pooling: str) -> list[dict[str, Any]]:
    """Score clusters against domains: k given; and in two levels, k chosen both times."""
    inner = subset(tree, (BASE, *domains))
    given = chart_regions(inner, base=BASE, pooling=pooling, regions=len(set(domains.values())))
    chosen = in_two_levels(inner, BASE, pooling)
    return [
        scored("domain", pooling, "given", labels_of(given), domains),
        scored("domain", pooling, TWO_LEVELS, chosen, domains),
    ]


def controls(tree: TreeGram, raw: TreeGram, truth: Labels, level: str) -> list[dict[str, Any]]:
    """Cluster by what the paper says does not work: raw weights, and distances."""
    names = list(truth)
    at = [tree.models.index(it) for it in names]
    places = np.ix_(at, at)
    apart = distances(tree)[places]
    similar: dict[str, Array] = {
        "raw weights, cosine": cosine_of(raw.gram.sum(axis=0))[places],
        "Euclidean distance": 1 - apart / apart.max(),
    }
    count = len(set(truth.values()))
    return [
        scored(
            level,
            f"{what}, {how}",
            "given",
            dict(zip(names, clusterings[how](matrix, count).tolist(), strict=True)),
            truth,
        )
        for what, matrix in similar.items()
        for how in clusterings
    ]


def scored(
    level: str, what: str, k: str, found: Mapping[str, Any], truth: Labels
) -> dict[str, Any]:
    """Score labels of models; one that is in no region counts as a cluster of its own."""
    names = list(truth)
    labels = [found[name] for name in names]
    groups = [truth[name] for name in names]
    return {
        "level": level,
        "what": what,
        "k": k,
        "clusters": len({it for it in labels if not str(it).startswith("alone ")}),
        "in_none": sum(str(it).startswith("alone ") for it in labels),
        "alone": [name for name in names if str(found[name]).startswith("alone ")],
        **agreement(groups, labels),
        "f1": {str(group): value for group, value in f1_by_group(groups, labels).items()},
    }


def labels_of(found: RegionMap) -> dict[str, str]:
    """Give every model's region; models in none are alone."""
    return {name: f"alone {name}" for name in found.models} | {
        name: region.label for region in found.regions for name in region.members
    }


def several_tasks(models: Sequence[Member]) -> dict[str, str]:
    """Give the domain of the models whose domain has more than one task."""
    tasks: dict[str, set[str]] = {}
    for it in models:
        tasks.setdefault(it.domain, set()).add(it.task)
    return {it.name: it.domain for it in models if len(tasks[it.domain]) > 1}


def mean_cosines(tree: TreeGram, models: Sequence[Member]) -> dict[str, dict[str, float]]:
    """Give mean cosines inside data sets, inside domains across data sets, and elsewhere."""
    found = {}
    for pooling in poolings:
        cosine = chart_regions(tree, base=BASE, pooling=pooling).cosine
        kinds: dict[str, list[float]] = {"data set": [], "domain": [], "other": []}
        for i, one in enumerate(models):
            for other in models[:i]:
                same = "data set" if one.task == other.task else "domain"
                kind = same if one.domain == other.domain else "other"
                place = tree.models.index(one.name), tree.models.index(other.name)
                kinds[kind].append(float(cosine[place]))
        found[pooling] = {kind: float(np.mean(them)) for kind, them in kinds.items() if them}
    return found


def draw(found: RegionMap, models: Sequence[Member], rows: Sequence[dict[str, Any]]) -> Path:
    """Draw the map by data set, and the agreement of every pooling and control."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), dpi=90, layout="constrained")
    plane, bars = figure.subplots(1, 2, width_ratios=(1.25, 1))
    tasks = list(dict.fromkeys(it.task for it in models))
    for number, task in enumerate(tasks):
        points = np.array([found.points[it.name] for it in models if it.task == task])
        shape = "os^Dvp"[number % 6]
        plane.scatter(
            *points.T, s=26, marker=shape, color=colormaps["tab20"](number % 20), label=task
        )
    plane.scatter(*found.points[BASE], marker="*", s=90, color="black", label="base")
    plane.set_xticks([]), plane.set_yticks([])
    plane.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    plane.set_title("models, by data set", fontsize=10)
    shown = [row for row in rows if row["level"] == "data set"]
    bars.barh(range(len(shown)), [row["ari"] for row in shown], color="#2c6fb0")
    words = [f"{row['what']}, k {row['k']}" for row in shown]
    bars.set_yticks(range(len(shown)), words, fontsize=7)
    bars.invert_yaxis()
    bars.set_xlim(0, 1)
    bars.set_title("agreement with data sets (ARI)", fontsize=10)
    return save(figure, "regions-clustering.png")


def _short(cell: Any) -> str:
    return f"{cell:.2f}" if isinstance(cell, float) else str(cell)


if __name__ == "__main__":
    main()
