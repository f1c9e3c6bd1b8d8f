"""The blocks of docs/results.md about connectivity: three tables, and the paper's findings."""

from typing import Any

from results_tables import load, source, table

Row = dict[str, Any]
FATES = ("lost_early", "lost_later", "never_lost")


def blocks() -> dict[str, str]:
    """Write each block by its name."""
    return {
        "connectivity factors": factors_block(),
        "connectivity pretraining": pretraining_block(),
        "connectivity knowledge": knowledge_block(),
        "connectivity findings": findings_block(),
    }


def factors_block() -> str:
    """Tell the barriers of every cell of the first question."""
    result = load("connectivity-factors")
    rows = [
        [
            it["factor"],
            it["ends"],
            f"{it['end_accuracy']:.3f}",
            "" if it["delta_cosine"] is None else f"{it['delta_cosine']:.2f}",
            estimate(it["line"]["barrier"]),
            estimate(it["line"]["above_reference"]) if "above_reference" in it["line"] else "",
            f"{100 * it['line']['drop']:.1f}",
            estimate(it["bezier"]["barrier"]),
            f"{100 * it['bezier']['drop']:.1f}",
            f"{connected(it, 'line')} / {connected(it, 'bezier')}",
        ]
        for it in result["rows"]
    ]
    head = ["factor", "ends", "accuracy of the ends", "cosine of deltas", "line, nats"]
    head += ["above the first row", "drop, points", "curve, nats", "drop, points", "connected"]
    return table(head, rows) + "\n\n" + source(result)


def pretraining_block() -> str:
    """Tell the barriers at each step of pre-training, and their trend."""
    result = load("connectivity-pretraining")
    rows = [
        [
            it["group"],
            str(it["step"]),
            f"{it['probe_accuracy']:.3f}",
            f"{it['end_accuracy']:.3f}",
            estimate(it["line"]["barrier"]),
            f"{it['line']['of_gap']:.2f}",
            estimate(it["bezier"]["barrier"]),
            f"{connected(it, 'line')} / {connected(it, 'bezier')}",
        ]
        for it in result["rows"]
    ]
    head = ["ends", "step", "probe before", "accuracy of the ends", "line, nats"]
    head += ["line, of the gap to chance", "curve, nats", "connected"]
    trends = [
        [group, name, estimate(it)]
        for group, trend in result["trends"].items()
        for name, it in trend.items()
    ]
    ranks = table(["ends", "barrier", "Spearman with the step"], trends)
    return f"{table(head, rows)}\n\n{ranks}\n\n{source(result)}"


def knowledge_block() -> str:
    """Tell what was forgotten on each line between two tasks' models."""
    result = load("connectivity-knowledge")
    rows = [
        [
            it["from"],
            it["to"],
            str(it["known"]),
            str(it["lost_early"]),
            str(it["lost"]),
            " / ".join(number(it[f"confidence_{fate}"]) for fate in FATES),
            estimate(it["auc"], 2),
            number(it["end_probability_auc"]),
            number(it["order"]),
        ]
        for it in result["rows"]
    ]
    head = ["from", "to", "known rows", "lost before half", "lost in all"]
    head += ["confidence: lost early / later / never", "AUC", "AUC of the end's own", "order"]
    mean = result["mean_auc"]
    beside = (
        f"Mean AUC of low confidence: {estimate(mean['confidence'], 2)}; of the first end's own "
        f"low probability: {estimate(mean['end_probability'], 2)}."
    )
    return f"{table(head, rows)}\n\n{beside}\n\n{source(result)}"


def findings_block() -> str:
    """Set the paper's findings beside ours; whether they agree is told by a rule each."""
    cells = {(it["factor"], it["ends"]): it for it in load("connectivity-factors")["rows"]}
    trends = load("connectivity-pretraining")["trends"]
    auc = load("connectivity-knowledge")["mean_auc"]["confidence"]
    found = [
        mostly_connected(cells),
        adapters(cells),
        curves_remove(cells),
        initialisation(cells),
        pretraining(trends),
        [
            "easy examples are forgotten last (in our words: low confidence tells early loss)",
            f"mean AUC {estimate(auc, 2)}",
            verdict(auc["low"] > 0.5, auc["high"] < 0.5),
        ],
    ]
    return table(["the paper's finding", "here", "agrees"], found)


def mostly_connected(cells: dict[tuple[str, str], Row]) -> list[str]:
    """Count the pairs of full fine-tunes of one task from one start that a line connects."""
    full = ("seeds", "learning rate", "batch size", "steps")
    pairs = [it for (factor, _), it in cells.items() if factor in full]
    whole = sum(it["pairs"] for it in pairs)
    yes = sum(it["line"]["verdicts"].get("connected", 0) for it in pairs)
    no = sum(it["line"]["verdicts"].get("not connected", 0) for it in pairs)
    start = cells["seeds", "all three differ"]["line"]["of_gap"]
    control = cells["start", "two random starts"]["line"]["of_gap"]
    return [
        "fine-tuned minima from one start are mostly linearly connected",
        f"{yes} of {whole} pairs of full fine-tunes are, {no} are not; the barrier is "
        f"{start:.0%} of the gap to chance, {control:.0%} with two random starts",
        verdict(yes > whole / 2, no > whole / 2),
    ]


def adapters(cells: dict[tuple[str, str], Row]) -> list[str]:
    """Compare small modules of other initialisations with full fine-tuning, and with their own."""
    full = cells["seeds", "all three differ"]
    parts, worse = [], []
    for factor in ("LoRA", "adapter"):
        other, same = cells[factor, "all three differ"], cells[factor, "same initialisation"]
        parts.append(
            f"{factor} {estimate(other['line']['barrier'])} against "
            f"{estimate(same['line']['barrier'])} with the same initialisation"
        )
        worse.append(other["line"]["barrier"]["value"] > same["line"]["barrier"]["value"])
    higher = [
        cells[factor, "all three differ"]["line"]["above_reference"]["low"] > 0
        for factor in ("LoRA", "adapter")
    ]
    lower = [
        cells[factor, "all three differ"]["line"]["above_reference"]["high"] < 0
        for factor in ("LoRA", "adapter")
    ]
    parts.append(f"full fine-tuning {estimate(full['line']['barrier'])}")
    return [
        "adapters are less connected than full fine-tunes, above all from other initialisations",
        "; ".join(parts),
        verdict(all(worse) and all(higher), all(lower)),
    ]


def curves_remove(cells: dict[tuple[str, str], Row]) -> list[str]:
    """Tell how much of the line's barrier the curve leaves, where there is one."""
    high = {key: it for key, it in cells.items() if connected_share(it, "line") < 1}
    removed = sorted(
        1 - it["bezier"]["barrier"]["value"] / it["line"]["barrier"]["value"]
        for it in high.values()
        if it["line"]["barrier"]["low"] > 0.02
    )
    if not removed:
        return ["a Bezier curve removes what a line cannot", "no cell had a barrier", "not tested"]
    middle = removed[len(removed) // 2]
    return [
        "a Bezier curve removes what a line cannot",
        f"of {len(removed)} cells with a barrier on the line it removes {middle:.0%} in the "
        f"median, {removed[0]:.0%} to {removed[-1]:.0%}",
        verdict(removed[0] > 0.5, middle < 0.5),
    ]


def initialisation(cells: dict[tuple[str, str], Row]) -> list[str]:
    """Compare what the head's initialisation alone does with what each other factor does."""
    head = cells["seeds", "only the head's initialisation"]["line"]["barrier"]
    order = cells["seeds", "only the order of the data"]["line"]["barrier"]
    batch = cells["batch size", "16 and 8"]["line"]["barrier"]
    halves = cells["data", "two halves of one set"]["line"]["barrier"]
    others = {"data order": order, "batch size": batch, "other half of the data": halves}
    words = ", ".join(f"{name} {estimate(it)}" for name, it in others.items())
    return [
        "initialisation matters most",
        f"line barrier, head's initialisation alone {estimate(head)}; {words}",
        verdict(
            all(head["low"] > it["high"] for it in others.values()),
            any(head["high"] < it["low"] for it in others.values()),
        ),
    ]


def pretraining(trends: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """Tell the trend of the line's barrier with the steps of pre-training."""
    parts = [
        f"{group}: Spearman {estimate(trend['line'], 2)}, as a share of the gap to chance "
        f"{estimate(trend['line, of the gap'], 2)}"
        for group, trend in trends.items()
    ]
    each = [trend[name] for trend in trends.values() for name in ("line", "line, of the gap")]
    return [
        "barriers fall with pre-training",
        "; ".join(parts),
        verdict(all(it["high"] < 0 for it in each), all(it["low"] > 0 for it in each)),
    ]


def verdict(yes: bool, no: bool) -> str:
    """Say whether a finding agrees."""
    return "yes" if yes else "no" if no else "partly, or cannot tell"


def connected(it: Row, curve: str) -> str:
    """Write how many of the pairs are connected, of how many."""
    return f"{it[curve]['verdicts'].get('connected', 0)} of {it['pairs']}"


def connected_share(it: Row, curve: str) -> float:
    """Give the share of a cell's pairs that are connected."""
    return float(it[curve]["verdicts"].get("connected", 0)) / float(it["pairs"])


def estimate(it: dict[str, Any], places: int = 3) -> str:
    """Write a figure with its interval; nothing where there is none."""
    if it["value"] is None:
        return "–"
    return f"{it['value']:.{places}f} [{it['low']:.{places}f}, {it['high']:.{places}f}]"


def number(value: float | None) -> str:
    """Write a figure; nothing where there is none."""
    return "–" if value is None else f"{value:.2f}"
