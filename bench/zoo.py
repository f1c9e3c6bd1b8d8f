"""Chart a zoo whose truth is known, and score what came out.

    python bench/zoo.py ZOO [--name text]

ZOO: a folder that `weightscape zoo` made. The chart runs as a process of its own, so that its time
and memory are a user's. Regions are scored on the models whose place is not a matter of opinion:
direct fine-tunes of a root on one task (full, LoRA, frozen parts), not chains, merges, copies.
"""

import argparse
import json
import select
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.metrics import adjusted_rand_score

import report
from weightscape.atlas import Atlas
from weightscape.catalog.records import Edge, Forest, RegionMap, Undecided
from weightscape.lineage.score import score_forest
from weightscape.regions.poolings import poolings
from weightscape.zoo.truth import Truth, read_truth

OWN_WAY = ("full", "lora", "frozen-part")


def chart(zoo: Path, atlas: Path) -> dict:
    """Chart in a process of its own; return its answer with seconds and peak memory."""
    command = [sys.executable, "-m", "weightscape.cli.main", "chart", str(zoo)]
    start = time.perf_counter()
    child = subprocess.Popen(
        [*command, "--atlas", str(atlas), "--json"], stdout=subprocess.PIPE, text=True
    )
    peaks = {"RssAnon": 0, "VmHWM": 0}
    # once the answer begins the work is done, and the pipe must be drained
    while child.poll() is None and not select.select([child.stdout], [], [], 0.02)[0]:
        _watch(child.pid, peaks)
    out, _ = child.communicate()
    if child.returncode not in (0, 3):
        raise SystemExit(f"chart failed with exit code {child.returncode}")
    return {
        **json.loads(out),
        "seconds": time.perf_counter() - start,
        "peak_anonymous_bytes": peaks["RssAnon"] * 1024,
        "peak_resident_bytes": peaks["VmHWM"] * 1024,
    }


def _watch(pid: int, peaks: dict[str, int]) -> None:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        name, _, rest = line.partition(":")
        if name in peaks and rest.strip():
            peaks[name] = max(peaks[name], int(rest.split()[0]))


def forest_of(answer: dict) -> Forest:
    """Read the forest out of the answer."""
    tree = answer["tree"]
    return Forest(
        edges=tuple(
            Edge(it["parent"], it["child"], it["kind"], it["confidence"]) for it in tree["edges"]
        ),
        roots=tuple(tree["roots"]),
        undecided=tuple(Undecided(tuple(it["models"]), it["reason"]) for it in tree["undecided"]),
    )


def tasks_of(truth: Truth) -> dict[str, str]:
    """Tell the task of each model that was fine-tuned straight from a root."""
    return {
        name: model.task
        for name, model in truth.models.items()
        if model.task and model.kind in OWN_WAY and set(model.parents) <= set(truth.roots)
    }


def score_map(found: RegionMap, tasks: dict[str, str]) -> dict[str, float]:
    """Score regions against tasks: ARI (a model in no region counts as alone), 1-NN, cosines."""
    names = [name for name in found.models if name in tasks]
    region = {name: it.label for it in found.regions for name in it.members}
    labels = [region.get(name, f"alone {name}") for name in names]
    places = [found.models.index(name) for name in names]
    cosine = np.array(found.cosine)[np.ix_(places, places)]
    np.fill_diagonal(cosine, -np.inf)
    nearest = [tasks[names[int(j)]] for j in cosine.argmax(axis=1)]
    same = np.array([[tasks[a] == tasks[b] for b in names] for a in names])
    off = ~np.eye(len(names), dtype=bool)
    return {
        "ari": float(adjusted_rand_score([tasks[name] for name in names], labels)),
        "nearest_same_task": statistics.mean(
            tasks[name] == near for name, near in zip(names, nearest, strict=True)
        ),
        "regions": len(found.regions),
        "in_no_region": len(set(found.outliers) & set(names)),
        "cosine_same_task": float(cosine[same & off].mean()),
        "cosine_other_task": float(cosine[~same].mean()),
    }


def score_regions(atlas: Path, truth: Truth) -> dict[str, dict[str, float]]:
    """Score every pooling, with the number of regions chosen by the data and given."""
    tasks = tasks_of(truth)
    given = len(set(tasks.values()))
    scores = {}
    with Atlas(atlas, create=False) as opened:
        for pooling in poolings:
            for label, count in (("chosen", None), ("given", given)):
                maps = opened.maps(pooling=pooling, regions=count)
                largest = max(maps, key=lambda it: len(it.models))
                scores[f"{pooling}, k {label}"] = score_map(largest, tasks)
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("zoo", type=Path)
    parser.add_argument("--name", default="text", help="of the result: bench/results/zoo-NAME.json")
    options = parser.parse_args()
    truth = read_truth(options.zoo)
    true = [Edge(it.parent, it.child, it.kind, 1.0) for it in truth.edges]
    with tempfile.TemporaryDirectory() as scratch:
        atlas = Path(scratch) / "atlas"
        answer = chart(options.zoo, atlas)
        again = chart(options.zoo, atlas)
        regions = score_regions(atlas, truth)
    forest = forest_of(answer)
    score = score_forest(forest, true)
    result = {
        "zoo": {"models": len(truth.models), "options": truth.options},
        "forest": {name: getattr(score, name) for name in score.__slots__},
        "undecided": [list(it.models) for it in forest.undecided],
        "regions": regions,
        "chart": {
            "seconds": answer["seconds"],
            "again_seconds": again["seconds"],
            "peak_anonymous_bytes": answer["peak_anonymous_bytes"],
            "peak_resident_bytes": answer["peak_resident_bytes"],
            "bytes_on_disk": answer["bytes_on_disk"],
            "read_over_disk": (answer["bytes_read"] + answer["bytes_sampled"])
            / answer["bytes_on_disk"],
            "looked_over_disk": answer["bytes_looked"] / answer["bytes_on_disk"],
            "again_bytes_read": again["bytes_read"]
            + again["bytes_sampled"]
            + again["bytes_looked"],
        },
    }
    path = report.keep(f"zoo-{options.name}", result)
    forest_row = [f"{result['forest'][it]:.3f}" for it in ("undirected", "directed", "kinds")]
    report.show(
        ["true edges", "undirected", "directed", "kinds right", "merges", "invented"],
        [(score.edges, *forest_row, f"{score.merges:.3f}", f"{score.invented:.3f}")],
    )
    report.show(
        ["pooling", "ARI", "1-NN same task", "regions", "in no region", "cosine same / other"],
        [
            (
                name,
                f"{it['ari']:.2f}",
                f"{it['nearest_same_task']:.2f}",
                it["regions"],
                it["in_no_region"],
                f"{it['cosine_same_task']:.2f} / {it['cosine_other_task']:.2f}",
            )
            for name, it in regions.items()
        ],
    )
    print(json.dumps(result["chart"], indent=1))
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
