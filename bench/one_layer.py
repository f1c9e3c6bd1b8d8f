"""How much of a forest one layer of each model tells, and what fetching it costs.

    python -m bench.one_layer ZOO [ZOO ...]

ZOO: a folder that `weightscape zoo` made. It is charted twice by the command line, in processes of
its own: whole, from the disk, and by the URLs of its models on a web server of loopback, of which
one layer of each is fetched. Adapters are fetched as they are. The choice of the layer was made
on the zoos `text` and `held-out`; `demo` had no say in it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bench import report
from bench.serving import serving
from bench.zoo import forest_of, score_map, tasks_of

from weightscape.atlas import Atlas
from weightscape.atlas.passing import members_of
from weightscape.atlas.reading import Shelf
from weightscape.catalog.records import Edge
from weightscape.geometry.look import DeltaLook, look_at
from weightscape.geometry.piece import Member
from weightscape.geometry.products import subset
from weightscape.lineage.forest import recover_forest
from weightscape.lineage.score import score_forest
from weightscape.zoo.truth import Truth, read_truth

NAME = "one-layer"


def charted(given: list[str], atlas: Path, cache: Path) -> dict[str, Any]:
    """Chart in a process of its own, with an empty cache; return its answer and the seconds."""
    command = [sys.executable, "-m", "weightscape.cli.main", "chart", *given]
    start = time.perf_counter()
    done = subprocess.run(
        [*command, "--atlas", str(atlas), "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"WEIGHTSCAPE_CACHE": str(cache)},
        check=True,
    )
    return json.loads(done.stdout) | {"seconds": time.perf_counter() - start}


def judged(answer: dict[str, Any], atlas: Path, truth: Truth) -> dict[str, Any]:
    """Score a chart's forest and regions."""
    true = [Edge(it.parent, it.child, it.kind, 1.0) for it in truth.edges]
    forest = forest_of(answer)
    score = score_forest(forest, true)
    with Atlas(atlas, create=False) as opened:
        largest = max(opened.maps(), key=lambda it: len(it.models))
        regions = score_map(largest, tasks_of(truth))
    told = {(it.parent, it.child) for it in true}
    sure = [it for it in forest.edges if it.confidence >= 0.8]
    return {
        "forest": {name: getattr(score, name) for name in score.__slots__},
        "ari": regions["ari"],
        "regions": regions["regions"],
        "sure_edges": len(sure),
        "sure_and_right": sum((it.parent, it.child) in told for it in sure),
        "seconds": answer["seconds"],
    }


def by_matrix(atlas: Path, truth: Truth) -> dict[str, float]:
    """Tell the share of directed edges that each matrix alone finds, from kept products."""
    true = [Edge(it.parent, it.child, it.kind, 1.0) for it in truth.edges]
    shelf, found = Shelf(), {}
    with Atlas(atlas, create=False) as opened:
        loaded = max(opened.products(), key=lambda it: len(it.products.models))
        whole = loaded.products
        shapes = dict(zip(whole.tensors, whole.shapes, strict=True))
        with opened.store.read() as connection:
            read = members_of(connection, loaded.tree, shapes, shelf)
    members = {it.name: it for it in read}
    facts = {
        name: it if it.adapter_ranks is not None else replace(it, part_of="elsewhere")
        for name, it in loaded.facts.items()
    }
    for name, shape in shapes.items():
        if len(shape) < 2 or "embed" in name:
            continue
        tree = subset(whole, whole.models, [name])
        look = partial(_look, members, {name: shape})
        found[name] = score_forest(recover_forest(tree, facts, look), true).directed
    return found


def _look(
    members: Mapping[str, Member], shapes: Mapping[str, tuple[int, ...]], one: str, other: str
) -> DeltaLook:
    return look_at(members[one], members[other], shapes, seed=0)


def one_zoo(zoo: Path) -> dict[str, Any]:
    """Chart a zoo whole and by one layer of each model."""
    truth = read_truth(zoo)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        answer = charted([str(zoo)], folder / "whole", folder / "nothing")
        whole = judged(answer, folder / "whole", truth) | {"bytes": answer["bytes_on_disk"]}
        single = by_matrix(folder / "whole", truth)
        with serving(zoo) as served:
            urls = [f"{served.url}/{name}/" for name in truth.models]
            answer = charted(urls, folder / "layers", folder / "cache")
        layers = judged(answer, folder / "layers", truth)
    sent = {"bytes": served.bytes_sent, "requests": served.requests}
    return {
        "models": len(truth.models),
        "whole": whole,
        "one_layer": layers | sent,
        "directed_by_matrix": single,
    }


def main() -> None:
    """Chart each zoo, print the table and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("zoos", type=Path, nargs="+")
    asked = parser.parse_args()
    zoos = {}
    for zoo in asked.zoos:
        zoos[zoo.name] = found = one_zoo(zoo)
        print(zoo.name, json.dumps(found), flush=True)
    report.keep(NAME, {"zoos": zoos}, module="bench.one_layer")


if __name__ == "__main__":
    main()
