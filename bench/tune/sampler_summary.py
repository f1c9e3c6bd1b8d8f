"""From runs of samplers to regrets, ranks and a picture."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bench.connectivity.tables import save
from bench.regions.gains import mean_gain
from bench.tune.sampler_runs import BUDGETS, SURROGATE

FIELD = (SURROGATE, "cma-es", "cobyqa", "tpe", "gp", "spsa", "random", "gradient")
COLOURS = dict(
    zip(
        FIELD,
        ("#222222", "#2c6fb0", "#d98c21", "#3a8f4d", "#8a5fb0", "#b5432f", "#999999", "#c9a400"),
        strict=True,
    )
)
AFTER = {f"{SURROGATE}, then {it}": it for it in ("cma-es", "cobyqa")}
FIELD_ORDER = (*FIELD, *AFTER)
ALONE = FIELD[1:-1]
BESIDE = "cma-es"
TITLES = {"simplex": "simplex", "box": "box of ±1.5", "layers": "each layer by itself"}
Case = tuple[str, str, int]
"""Space, target and seed: what runs have in common that can be compared."""


def case_of(run: dict[str, Any]) -> Case:
    """Tell what a run is of."""
    return run["kind"], run["target"], run["seed"]


def way_of(run: dict[str, Any]) -> str:
    """Name what made a run's candidates."""
    return f"{SURROGATE}, then {run['sampler']}" if run["after"] else str(run["sampler"])


def best_at(run: dict[str, Any], budget: int) -> float | None:
    """Give the best loss after so many evaluations; None if it was stopped before by its cap."""
    if run["budget"] < budget and run["evaluations"] >= run["budget"]:
        return None
    known = [loss for spent, loss in run["lines"] if spent <= budget]
    return min(known) if known else None


def best_known(runs: Iterable[dict[str, Any]]) -> dict[Case, float]:
    """Give the best loss that any run has found, case by case."""
    found: dict[Case, float] = defaultdict(lambda: np.inf)
    for it in runs:
        found[case_of(it)] = min(found[case_of(it)], it["lines"][-1][1])
    return dict(found)


def summarise(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Sum up by space and budget: what each way's best is worth there, over targets and seeds."""
    known = best_known(runs)
    tables = []
    for kind in ("simplex", "box", "layers"):
        for budget in BUDGETS:
            rows = _table([it for it in runs if it["kind"] == kind], budget, known)
            if rows:
                tables.append({"kind": kind, "budget": budget, "rows": rows})
    return {
        "tables": tables,
        "to_cma_es_end": _to_the_end_of(BESIDE, runs),
        "cases": {"-".join(map(str, case)): loss for case, loss in known.items()},
        "runs": [{key: value for key, value in it.items() if key != "job"} for it in runs],
    }


def _table(
    runs: Sequence[dict[str, Any]], budget: int, known: dict[Case, float]
) -> list[dict[str, Any]]:
    regrets: dict[str, dict[Case, float]] = defaultdict(dict)
    held_out: dict[str, dict[Case, float]] = defaultdict(dict)
    far = {case_of(it) for it in runs if it["budget"] >= budget}
    for it in runs:
        best = best_at(it, budget)
        if best is None or case_of(it) not in far:
            continue
        regrets[way_of(it)][case_of(it)] = best - known[case_of(it)]
        held_out[way_of(it)][case_of(it)] = it["held_out"][str(budget)]["loss"]
    rows = [
        {
            "way": way,
            "cases": len(them),
            "targets": {name: float(np.mean(it)) for name, it in _by_target(them).items()},
            "seeds": {name: len(it) for name, it in _by_target(them).items()},
            "rank": _rank(regrets, way),
            "above_cma_es": _above(regrets, way),
            "held_out_above_cma_es": _above(held_out, way),
        }
        for way, them in regrets.items()
    ]
    return sorted(rows, key=lambda row: FIELD_ORDER.index(row["way"]))


def _to_the_end_of(beside: str, runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tell after how many evaluations each run had the loss that another way's run ended with."""
    ends = {case_of(it): it["lines"][-1][1] for it in runs if way_of(it) == beside}
    return [
        {
            "way": way_of(it),
            "case": "-".join(map(str, case_of(it))),
            "evaluations": next((n for n, loss in it["lines"] if loss <= ends[case_of(it)]), None),
        }
        for it in runs
        if case_of(it) in ends
    ]


def _by_target(them: dict[Case, float]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for (_, target, _), value in sorted(them.items()):
        found[target].append(value)
    return found


def _above(table: dict[str, dict[Case, float]], way: str) -> dict[str, Any] | None:
    """Compare a way with CMA-ES on the cases that both have; the interval is over these."""
    one, other = table[way], table.get(BESIDE, {})
    both = {case: one[case] - other[case] for case in one if case in other}
    if not both or way == BESIDE:
        return None
    mean = mean_gain([np.array(it) for it in _by_target(both).values()])
    lower = sum(it < 0 for it in both.values())
    return {**mean.as_json(), "cases": len(both), "lower": lower}


def _rank(regrets: dict[str, dict[Case, float]], way: str) -> dict[str, float] | None:
    """Give the mean rank among the samplers without gradients, where all of them were run."""
    if way not in ALONE:
        return None
    cases = set.intersection(*(set(regrets.get(it, {})) for it in ALONE))
    ranks = []
    for case in cases:
        losses = np.array([regrets[it][case] for it in ALONE])
        mine = regrets[way][case]
        ranks.append(float((losses < mine).sum() + ((losses == mine).sum() + 1) / 2))
    return {"mean": float(np.mean(ranks)), "cases": len(ranks)} if ranks else None


def draw(runs: Sequence[dict[str, Any]], seed: int) -> Path:
    """Draw one seed's loss above the best known along the evaluations: spaces by targets."""
    from matplotlib.figure import Figure

    known = best_known(runs)
    shown = [it for it in runs if it["seed"] == seed]
    kinds = [kind for kind in TITLES if any(it["kind"] == kind for it in shown)]
    targets = list(dict.fromkeys(it["target"] for it in shown))
    figure = Figure(
        figsize=(3.6 * len(targets) + 1.4, 2.9 * len(kinds) + 0.3), dpi=90, layout="constrained"
    )
    panels = figure.subplots(len(kinds), len(targets), squeeze=False)
    for row, kind in zip(panels, kinds, strict=True):
        for axes, target in zip(row, targets, strict=True):
            mine = [it for it in shown if (it["kind"], it["target"]) == (kind, target)]
            _panel(axes, mine, known)
            axes.set_title(f"{target}: {TITLES[kind]}" if mine else "", fontsize=9)
            axes.set_axis_on() if mine else axes.set_axis_off()
    for axes in panels[:, 0]:
        axes.set_ylabel("nats above the best known", fontsize=8)
    ways = [way for way in FIELD_ORDER if any(way_of(it) == way for it in shown)]
    handles = [panels[0, 0].plot([], [], _style(way), color=_colour(way))[0] for way in ways]
    figure.legend(handles, ways, loc="outside right upper", frameon=False, fontsize=8)
    return save(figure, "tune-samplers.png")


def _panel(axes: Any, runs: Sequence[dict[str, Any]], known: dict[Case, float]) -> None:
    for it in runs:
        spent = [n for n, _ in it["lines"]] + [it["evaluations"]]
        above = [loss - known[case_of(it)] for _, loss in it["lines"]]
        way = way_of(it)
        width = 2.2 if way == SURROGATE else 1.3
        axes.step(
            spent, [*above, above[-1]], _style(way), where="post", color=_colour(way), lw=width
        )
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=1e-3)
    axes.set_ylim(bottom=0)
    axes.set_xlim(1, 160)
    axes.tick_params(labelsize=8)
    axes.set_xlabel("evaluations", fontsize=8)
    axes.grid(color="#e5e5e5")


def _style(way: str) -> str:
    return "--" if way in AFTER else "-"


def _colour(way: str) -> str:
    return COLOURS[AFTER.get(way, way)]
