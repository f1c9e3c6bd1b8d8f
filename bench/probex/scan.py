"""Searching many models by their weights: the scan alone, the call, the whole command line.

    python -m bench.probex.scan [--models 10000 100000] [--times 7] [--work FOLDER]

The atlases are made through the catalog: models of one tree that are there by name only, with
random vectors of the width that experts have, and an expert that was trained on a few random
layers. Nothing of a model is read by a search whose vectors are in the atlas, so that no files are
needed. Floor: one product of the same vectors with one. Imports: what Python says that they took
in a run of the same command (`-X importtime`, which itself slows them down a little).
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench import report

from weightscape.atlas.asking import chosen_experts, load_kept
from weightscape.atlas.labelling import refresh_labels
from weightscape.atlas.searching import search
from weightscape.catalog import experts, families, models, vectors
from weightscape.catalog.labels import words_of_labels
from weightscape.catalog.records import KeptExpert, Model, ModelFacts
from weightscape.catalog.store import Store
from weightscape.io.cache import cache_folder
from weightscape.probing.encoders import open_encoder
from weightscape.probing.expert import Expert
from weightscape.probing.layer_set import LayerSet
from weightscape.probing.prompts import label_vectors, text_vectors
from weightscape.probing.retrieval import top
from weightscape.probing.saving import save_expert
from weightscape.probing.settings import ProbeTraining
from weightscape.probing.stacks import DenseStack
from weightscape.probing.training import train_expert

NAME = "probex-scan"
SUBJECTS = ("cars", "films", "food", "medicine", "music", "sports", "trains", "weather")
TEXT = "movie review sentiment"
TREE = "base"
TRAINED, SHAPE = 48, (24, 32)
_IMPORTED = re.compile(r"^import time:\s+(\d+) \|", re.MULTILINE)


def main() -> None:
    """Measure, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--work", type=Path, help="where atlases are kept (default: nowhere)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # an atlas takes what it is told of its experts as seen from itself
        work = (asked.work or Path(folder)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        rows = [measured(made(work, count), count, asked.times) for count in asked.models]
    result = {"text": TEXT, "threads": torch.get_num_threads(), "rows": rows}
    report.keep(NAME, result, module="bench.probex.scan")
    print(json.dumps(result, indent=1))


def made(work: Path, count: int) -> Path:
    """Make an atlas of that many models in one tree, all with a vector of one expert."""
    folder = work / f"atlas-{count}"
    if folder.is_dir():
        return folder
    expert = planted()
    row = KeptExpert(
        TREE, str(save_expert(expert, work / "expert")), TREE, expert.layer, "packaged"
    )
    drawn = np.random.default_rng(0).standard_normal((count, expert.width), dtype=np.float32)
    with Store.open(folder) as store:
        with store.write() as connection:
            added = models.register(connection, [named(number) for number in range(count)])
            family = families.ensure_family(connection, "f", [("w", SHAPE)], "full")
            tree = families.ensure_tree(connection, family.id, TREE, added[0].id)
            families.claim(connection, tree.id, [it.id for it in added])
            models.mark_ready(connection, [it.id for it in added])
            kept = experts.keep_expert(connection, row)
            read = zip(added, drawn, strict=True)
            while some := {it.id: (it.fingerprint, own) for it, own in islice(read, 5000)}:
                vectors.put_vectors(connection, kept.id, some)
        refresh_labels(store)
    return folder


def named(number: int) -> Model:
    """Describe a model that is there by name only, with a configuration as large as usual ones."""
    name = TREE if not number else f"model-{number:06d}"
    config = {f"setting_{place}": place for place in range(30)}
    return Model(
        name=name,
        path=f"/nowhere/{name}",
        kind="full",
        format="safetensors",
        fingerprint=f"{number:032x}",
        stamp=(("model.safetensors", 90_900_000, 1_700_000_000_000_000_000 + number),),
        nbytes=90_900_000,
        parameters=22_700_000,
        facts=ModelFacts(name),
        config={"model_type": "bert", **config},
    )


def planted() -> Expert:
    """Train an expert of the usual width on a few random layers."""
    draw = np.random.default_rng(1)
    layers = torch.from_numpy(draw.standard_normal((TRAINED, *SHAPE), dtype=np.float32))
    labels = [frozenset({SUBJECTS[it % 8], SUBJECTS[it // 8 % 8]}) for it in range(TRAINED)]
    encoder = open_encoder(cache=cache_folder() / "texts")
    return train_expert(
        LayerSet("layer.weight", tuple(f"t{it}" for it in range(TRAINED)), DenseStack(layers), {}),
        labels,
        text_vectors(encoder, SUBJECTS),
        encoder=encoder.identity,
        tree=TREE,
        how=ProbeTraining(steps=2),
    )


def measured(folder: Path, count: int, times: int) -> dict[str, Any]:
    """Time the parts, the call and the command line on one atlas; medians."""
    command = [sys.executable, "-c", "from weightscape.cli.main import main; main()"]
    asking = [*command, "search", TEXT, "--weights-only", "--json", "--atlas", str(folder)]
    answer = json.loads(subprocess.run(asking, check=True, capture_output=True, text=True).stdout)
    assert answer["read"] == count and len(answer["hits"]) == 10, answer["notes"]
    with Store.open(folder, create=False) as store:
        parts = of_parts(store, times)
        call = both_times(lambda: search(store, TEXT, by=("weights",)), times)
    whole, processor = of_process(asking, times)
    return {
        "models": count,
        "database_bytes": (folder / "atlas.sqlite").stat().st_size,
        **parts,
        "call_seconds": call[0],
        "call_processor_seconds": call[1],
        "command_seconds": whole,
        "command_processor_seconds": processor,
        "import_seconds": statistics.median(imports(asking) for _ in range(times)),
        "help_seconds": of_process([*command, "--help"], times)[0],
    }


def of_parts(store: Store, times: int) -> dict[str, float]:
    """Time the scan of vectors that are loaded, its floor in turn with it, and what comes first."""
    (kept,) = chosen_experts(store)
    expert = load_kept(kept)
    with store.read() as connection:
        loaded = vectors.load_vectors(connection, kept.id)
        words = words_of_labels(connection)
        loading = timed(lambda: vectors.load_vectors(connection, kept.id), times)
    encoder = open_encoder(kept.encoder, cache=cache_folder() / "texts")
    asked = label_vectors(encoder, [TEXT], words=words)
    one = loaded.vectors[0].copy()

    def scan() -> None:
        top(expert.text_scores_of(loaded.vectors, asked)[:, 0], 10)

    scans, floors = [], []
    for _ in range(5 * times):
        scans.append(both_times(scan, 1))
        floors.append(timed(lambda: loaded.vectors @ one, 1))
    return {
        "width": loaded.vectors.shape[1],
        "scan_seconds": statistics.median(wall for wall, _ in scans),
        "scan_processor_seconds": statistics.median(own for _, own in scans),
        "floor_seconds": statistics.median(floors),
        "load_seconds": loading,
        "load_expert_seconds": timed(lambda: load_kept(kept), times),
    }


def of_process(command: list[str], times: int) -> tuple[float, float]:
    """Give the median times of a process of its own: on the wall, and of the processor."""
    wall, processor = [], []
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall += report.seconds(
            lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), 1
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(wall), statistics.median(processor)


def imports(command: list[str]) -> float:
    """Add up what imports took in a run of a Python command."""
    watched = [command[0], "-X", "importtime", *command[1:]]
    told = subprocess.run(watched, check=True, capture_output=True, text=True, env=os.environ)
    return sum(int(it) for it in _IMPORTED.findall(told.stderr)) / 1e6


def both_times(run: Callable[[], object], times: int) -> tuple[float, float]:
    """Give a function's median times: on the wall, and of the processor."""
    wall, processor = [], []
    for _ in range(times):
        before = time.process_time()
        wall += report.seconds(run, 1)
        processor.append(time.process_time() - before)
    return statistics.median(wall), statistics.median(processor)


def timed(run: Callable[[], object], times: int) -> float:
    """Give the median time of a function."""
    return statistics.median(report.seconds(run, times))


if __name__ == "__main__":
    main()
