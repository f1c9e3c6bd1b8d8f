"""The blocks of docs/results.md about what is read from weights by ProbeX."""

from collections.abc import Callable
from typing import Any

from results_tables import ROOT, load, source, table

Row = dict[str, Any]
PROBEX = "ProbeX"
AIM_MEMBERSHIP, AIM_CONTROL, AIM_LEAD, AIM_CHANCE, AIM_SECONDS = 0.85, 0.55, 0.03, 5.0, 120.0
AIM_CLASSES = 20
AIM_SCAN, SCANNED = 0.1, 100_000
PAPER = {
    "DINO": (0.705, 0.614),
    "MAE": (0.765, 0.666),
    "ResNet": (0.842, 0.713),
    "supervised ViT": (0.885, 0.663),
}
"""Membership accuracy of ProbeX and of the linear expert in the paper's four trees."""


def blocks() -> dict[str, str]:
    """Write the blocks; those of benches that were not run say so."""
    made: dict[str, Callable[[Row], str]] = {
        "membership": membership_block,
        "zero-shot": zero_shot_block,
        "oddness": oddness_block,
        "several-layers": several_layers_block,
        "cost": cost_block,
        "data-size": data_size_block,
        "scan": scan_block,
    }
    found = {f"probex {name}": _of(f"probex-{name}", write) for name, write in made.items()}
    return {**found, "probex aims": aims_block()}


def membership_block(result: Row) -> str:
    """Tell each way's accuracy in each tree and in the control."""
    columns = dict(result["trees"])
    columns |= {f"{name}, random": it for name, it in result["control"].items()}
    ways = list(dict.fromkeys(way for it in columns.values() for way in it["ways"]))
    rows = [
        [f"**{way}**" if way == PROBEX else way, *(_accuracy(it, way) for it in columns.values())]
        for way in ways
    ]
    size = ["training / validation / test models"]
    size += ["{train} / {valid} / {test}".format(**it["models"]) for it in columns.values()]
    layers = ["layer of ProbeX", *(f"`{it['ways'][PROBEX]['layer']}`" for it in columns.values())]
    classes = ["classes", *(str(it["classes"]) for it in columns.values())]
    paper = ", ".join(f"{tree} {own:.3f} ({plain:.3f})" for tree, (own, plain) in PAPER.items())
    beside = f"The paper's ProbeX (its linear expert) on other models: {paper}."
    whole = table(["way", *columns], [*rows, classes, size, layers])
    return f"{whole}\n\n{beside}\n\n{source(result)}"


def zero_shot_block(result: Row) -> str:
    """Tell how often the right text, and the right model, comes first."""
    rows = []
    for tree in (
        it for it in result if "ways" in (result[it] if isinstance(result[it], dict) else {})
    ):
        for side in ("seen", "unseen", "unseen among all"):
            for way, found in result[tree]["ways"].items():
                rows.append([tree, side, way, *_measures(found[side])])
            by_chance = next(iter(result[tree]["ways"].values()))[side]
            rows.append([tree, side, "chance", *_chances(by_chance["chance"])])
    head = ["models", "classes", "way", "top-1", "top-5", "MRR", "AUC"]
    whole = table([*head, "retrieval top-1", "retrieval MRR"], rows)
    return f"{whole}\n\n{source(result)}"


def oddness_block(result: Row) -> str:
    """Tell what neighbours and one-class scores find."""
    adapters = result["adapters"]
    rows = [
        [space, f"{it['nearest']:.3f}", f"{it['one_class']:.3f}"]
        for space, it in adapters["ways"].items()
    ]
    rows.append(["chance", f"{adapters['chance']:.3f}", "0.500"])
    first = table(["adapters of unseen classes, by", "nearest is of the class", "AUC"], rows)
    if "text-a" not in result:
        return f"{first}\n\n{source(result)}"
    odd = result["text-a"]["odd"]
    ways = list(dict.fromkeys(way for it in odd.values() for way in it))
    rows = [[way, *(f"{it[way]:.3f}" for it in odd.values())] for way in ways]
    return f"{first}\n\n{table(['AUC of', *odd], rows)}\n\n{source(result)}"


def several_layers_block(result: Row) -> str:
    """Tell accuracy by the number of layers that are read, with attention and without."""
    rows = []
    for tree, it in result.items():
        if not isinstance(it, dict) or "rows" not in it:
            continue
        for row in it["rows"]:
            over = row["over_one"]
            above = "" if over is None else _interval(over["value"], over["interval"])
            way = row["way"] if row["layers"] > 1 else ""
            rows.append([tree, str(row["layers"]), way, f"{row['accuracy']:.3f}", above])
    head = ["tree", "layers", "by", "accuracy", "above one layer, points"]
    return f"{table(head, rows)}\n\n{source(result)}"


def _interval(value: float, within: list[float]) -> str:
    low, high = within
    return f"{100 * value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def cost_block(result: Row) -> str:
    """Tell what an expert costs."""
    read = result["bytes"]
    whole, layer = read["whole"], read["layer"]
    share, times = read["read"] / layer, whole / read["read"]
    took = f"{result['seconds']:.0f} s, {result['processor_seconds']:.0f} of the processor"
    rows = [
        ["parameters of ProbeX and its heads", f"{result['parameters'] / 1e6:.2f} million"],
        ["parameters of the linear expert", f"{result['linear_parameters'] / 1e6:.2f} million"],
        [f"training on {result['models']} models", f"{took} ({result['threads']} thread)"],
        ["bytes read of a model", f"{read['read'] / 1e6:.2f} MB, {share:.2f} x the layer"],
        ["bytes of its whole checkpoint", f"{whole / 1e6:.1f} MB, {times:.0f} x what is read"],
    ]
    return f"{table(['what', 'costs'], rows)}\n\n{source(result)}"


def data_size_block(result: Row) -> str:
    """Tell accuracy by the number of training models."""
    rows = []
    for tree, it in result.items():
        if not isinstance(it, dict) or "rows" not in it:
            continue
        for row in it["rows"]:
            rows.append([tree, str(row["models"]), _spread(row[PROBEX]), _spread(row["linear"])])
    return f"{table(['tree', 'training models', PROBEX, 'linear'], rows)}\n\n{source(result)}"


def scan_block(result: Row) -> str:
    """Tell what a search by weights takes, from the scan to the command line."""
    rows = result["rows"]
    parts = {
        "the scan of loaded vectors": "scan_seconds",
        "the scan, of the processor": "scan_processor_seconds",
        "its floor: one product with them": "floor_seconds",
        "loading the vectors": "load_seconds",
        "loading the expert": "load_expert_seconds",
        "`search` as a call": "call_seconds",
        "the call, of the processor": "call_processor_seconds",
        "`weightscape search --weights-only`": "command_seconds",
        "the command, of the processor": "command_processor_seconds",
        "imports in it": "import_seconds",
        "`weightscape --help`": "help_seconds",
    }
    table_rows = [[what, *(_seconds(it[key]) for it in rows)] for what, key in parts.items()]
    ratio = ["scan / floor", *(f"{it['scan_seconds'] / it['floor_seconds']:.1f}" for it in rows)]
    head = [f"{it['models']:,} models" for it in rows]
    return f"{table(['what', *head], [*table_rows, ratio])}\n\n{source(result)}"


def aims_block() -> str:
    """Set what was aimed at beside what was found."""
    rows = []
    if (found := _load("probex-membership")) is not None:
        rows += [row for tree, it in found["trees"].items() for row in _tree_aims(tree, it["ways"])]
        for tree, it in found["control"].items():
            own = it["ways"][PROBEX]["accuracy"]
            what = f"{tree}, random: at most {AIM_CONTROL}"
            rows.append(_aim(what, f"{own:.3f}", own <= AIM_CONTROL))
    if (found := _load("probex-zero-shot")) is not None and "adapters" in found:
        it = found["adapters"]["ways"][PROBEX]["unseen"]
        times = it["top1"] / it["chance"]["top1"]
        enough = it["classes"] >= AIM_CLASSES and times >= AIM_CHANCE
        what = f"zero-shot top-1 at least {AIM_CHANCE:.0f} x chance, {AIM_CLASSES} classes or more"
        rows.append(_aim(what, f"{times:.1f} x chance, {it['classes']} classes", enough))
    if (found := _load("probex-cost")) is not None:
        seconds = found["processor_seconds"]
        said = f"{seconds:.0f} s of one processor; {found['seconds']:.0f} s as it was shared"
        what = f"an expert of {found['models']} models in at most 2 minutes"
        rows.append(_aim(what, said, seconds <= AIM_SECONDS))
    if (found := _load("probex-scan")) is not None:
        for it in (it for it in found["rows"] if it["models"] == SCANNED):
            what = f"a scan of {SCANNED:,} models, once loaded, in at most {1e3 * AIM_SCAN:.0f} ms"
            taken = it["scan_seconds"]
            rows.append(_aim(what, f"{_seconds(taken)} on one core", taken <= AIM_SCAN))
    return table(["aim", "found", "reached"], rows) if rows else "Not measured yet."


def _tree_aims(tree: str, ways: Row) -> list[list[str]]:
    own = ways[PROBEX]["accuracy"]
    plain = [way for way in ways if not way.startswith(PROBEX)]
    best = max(plain, key=lambda way: ways[way]["accuracy"])
    lead = ways[best]["probex_over"]
    low, high = lead["interval"]
    said = f"{100 * lead['value']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}] over “{best}”"
    return [
        _aim(f"{tree}: membership at least {AIM_MEMBERSHIP}", f"{own:.3f}", own >= AIM_MEMBERSHIP),
        _aim(f"{tree}: 3 points above every baseline", said, lead["value"] >= AIM_LEAD),
    ]


def _of(name: str, write: Callable[[Row], str]) -> str:
    found = _load(name)
    return "Not measured yet." if found is None else write(found)


def _load(name: str) -> Row | None:
    return load(name) if (ROOT / "bench/results" / f"{name}.json").is_file() else None


def _aim(what: str, found: str, reached: bool) -> list[str]:
    return [what, found, "yes" if reached else "no"]


def _accuracy(tree: Row, way: str) -> str:
    if way not in tree["ways"]:
        return ""
    it = tree["ways"][way]
    low, high = it["interval"]
    return f"{it['accuracy']:.3f} [{low:.3f}, {high:.3f}]"


def _measures(it: Row) -> list[str]:
    low, high = it["top1_interval"]
    names = ("top5", "mrr", "auc", "retrieval_top1", "retrieval_mrr")
    return [f"{it['top1']:.3f} [{low:.3f}, {high:.3f}]", *(f"{it[name]:.3f}" for name in names)]


def _chances(it: Row) -> list[str]:
    names = ("top1", "top5", "mrr", "", "retrieval_top1", "retrieval_mrr")
    return [f"{it[name]:.3f}" if name else "0.500" for name in names]


def _seconds(taken: float) -> str:
    return f"{taken:.2f} s" if taken >= 1 else f"{1e3 * taken:.1f} ms"


def _spread(runs: list[float]) -> str:
    mean = sum(runs) / len(runs)
    return f"{mean:.3f} ({min(runs):.3f} to {max(runs):.3f})" if len(runs) > 1 else f"{mean:.3f}"
