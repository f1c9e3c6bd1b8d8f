"""What one candidate costs in every way, beside its forward pass."""

import json
import statistics
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench.tune.clock import Taken, taken
from bench.tune.parts import Opened
from bench.tune.unseen_rows import unseen_rows
from bench.tune.usual_ways import by_folder, by_state_dict, states_of

from weightscape.tasks.evaluate import autocasting, evaluating
from weightscape.tuning.candidates import CandidateLoss
from weightscape.tuning.space_choice import layer_groups
from weightscape.tuning.surrogate import linearise

PRECISIONS: dict[str, torch.dtype | None] = {"float32": None, "bfloat16": torch.bfloat16}
RANKED = 100_000
SAME = 1e-3


def costs(
    target: str, models: Opened, folders: list[Path], rows: int, precision: str, work: Path,
    rounds: int,
) -> dict[str, Any]:  # fmt: skip
    """Time all ways in turn, unless that was done; ratios are medians of the rounds' ratios."""
    file = work / "candidates" / f"costs-{target}-{rows}-{precision}-{rounds}.json"
    if file.is_file():
        return json.loads(file.read_text())  # type: ignore[no-any-return]
    spanned, autocast = models.models.models, PRECISIONS[precision]
    count = len(spanned.names)
    dev = unseen_rows(target, rows, 0)
    loss = CandidateLoss(spanned, models.task, dev, autocast=autocast)
    states = states_of(folders)
    dicts = by_state_dict(states, spanned, models.task, loss.dev, autocast)
    scratch = work / "candidates" / "blend"
    folder = by_folder(states, folders[0], scratch, models.task, loss.dev, autocast)
    layers, groups = layer_groups(spanned.span.names, spanned.model.head)
    layered = CandidateLoss(spanned, models.task, dev, layers=layers, autocast=autocast)
    chance = np.random.default_rng(0)
    spent: dict[str, list[Taken]] = {}
    apart = 0.0

    def forward() -> None:
        module = spanned.model.module
        with evaluating(module), torch.inference_mode():
            for batch in loss.dev.batches:
                with autocasting(torch.device("cpu"), autocast):
                    module(**batch.inputs)

    def one_round(number: int) -> dict[str, float]:
        point = chance.dirichlet(np.ones(count))
        by_group = np.tile(point, (len(groups), 1))
        layered(by_group)
        by_group[len(groups) // 2] = chance.dirichlet(np.ones(count))
        told: dict[str, float] = {}
        ways: dict[str, Callable[[], object]] = {
            "one layer": lambda: layered(by_group),
            "candidate": lambda: told.update(ours=loss(point).loss),
            "forward": forward,
            "state dict": lambda: told.update(dicts=dicts(point)),
        }
        if number % 2:
            ways["write"] = lambda: folder.write(point)
            ways["process"] = lambda: told.update(folder=folder.score())
        for way, run in ways.items():
            used = taken(run)
            if number:  # the first round binds modules and faults pages in
                spent.setdefault(way, []).append(used)
        return told

    for number in range(rounds + 1):
        told = one_round(number)
        apart = max(apart, *(abs(it - told["ours"]) for it in told.values()))
        _check_same(apart, precision)
    spent["folder and process"] = [
        Taken(one.wall + other.wall, one.processor + other.processor)
        for one, other in zip(spent["write"], spent["process"], strict=True)
    ]
    ranking = _ranked_per_second(loss, chance)
    result = {
        "rows": rows,
        "precision": precision,
        "rounds": {way: len(them) for way, them in spent.items()},
        "seconds": {way: _middle(them, "processor") for way, them in spent.items()},
        "wall": {way: _middle(them, "wall") for way, them in spent.items()},
        "losses_apart": apart,
        "beyond_forward": _ratio(spent, "candidate", "forward") - 1,
        "one_layer_beyond_forward": _ratio(spent, "one layer", "forward") - 1,
        "state_dict_over_candidate": _ratio(spent, "state dict", "candidate"),
        "ranked_per_second": ranking,
    }
    way_b = result["seconds"]["folder and process"]
    result["folder_over_candidate"] = way_b / result["seconds"]["candidate"]
    result["ranked_over_folder"] = ranking * way_b
    file.write_text(json.dumps(result))
    return result


def _check_same(apart: float, precision: str) -> None:
    if precision == "float32" and apart > SAME:
        raise SystemExit(f"the ways do not score the same blend: losses differ by {apart:.2g}")


def _ranked_per_second(loss: CandidateLoss, chance: np.random.Generator) -> float:
    """Count the candidates that the surrogate scores in a second of the processor."""
    count = len(loss.spanned.names)
    surrogate = linearise(loss, np.full(count, 1 / count))
    points = chance.dirichlet(np.ones(count), RANKED)
    surrogate.losses(points[:1000])
    used = [taken(lambda: surrogate.losses(points)).processor for _ in range(5)]
    return RANKED / statistics.median(used)


def _middle(them: list[Taken], clock: str) -> float:
    return statistics.median(asdict(it)[clock] for it in them)


def _ratio(spent: dict[str, list[Taken]], one: str, other: str) -> float:
    pairs = zip(spent[one], spent[other], strict=True)
    return statistics.median(a.processor / b.processor for a, b in pairs)
