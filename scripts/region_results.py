"""The blocks of docs/results.md about regions and starts: four tables, and the paper's findings."""

from collections.abc import Callable
from typing import Any

from results_tables import ROOT, load, source, table

Row = dict[str, Any]
COMPARED = {
    "in over ex": "P_B(In over Ex)",
    "hull over ex": "P_B(In' over Ex)",
    "hull over in": "P_B(In' over In)",
}
TOO_FEW = "too few were run to tell"
FEWEST = 8  # groups or targets: of fewer no finding is told
FEWEST_OF = {"data set": FEWEST, "domain": 2}
STARTS = {
    "centroid": "centroid of all others",
    "right region": "centre of its domain, told",
    "start": "chosen by `start`",
    "hindsight": "best in hindsight",
}


def blocks() -> dict[str, str]:
    """Write each block by its name."""
    return {
        "regions clustering": written("regions-clustering", clustering_block),
        "regions sizes": written("regions-clustering", sizes_block),
        "regions dominance": written("regions-dominance", dominance_block),
        "regions extrapolation": written("regions-extrapolation", extrapolation_block),
        "regions centroid": written("regions-centroid", centroid_block),
        "regions findings": findings_block(),
    }


def written(name: str, block: Callable[[Row], str]) -> str:
    """Write a block, or say that its bench was not run."""
    result = found(name)
    bench = name.partition("-")[2]
    return (
        f"Not measured yet: `python -m bench.regions.{bench}`." if result is None else block(result)
    )


def found(name: str) -> Row | None:
    """Read a bench's result, if there is one."""
    return load(name) if (ROOT / "bench/results" / f"{name}.json").is_file() else None


def clustering_block(result: Row) -> str:
    """Tell how well clusters agree with data sets and domains, and what models have in common."""
    rows = [
        [
            it["level"],
            it["what"],
            it["k"],
            str(it["clusters"]),
            str(it["in_none"]),
            f"{it['accuracy']:.2f}",
            f"{it['ari']:.2f}",
        ]
        for it in result["rows"]
    ]
    head = [
        "groups",
        "clustered by",
        "number of clusters",
        "clusters",
        "in none",
        "accuracy",
        "ARI",
    ]
    cosines = [
        [pooling, *(f"{it[kind]:.3f}" for kind in ("data set", "domain", "other"))]
        for pooling, it in result["cosines"].items()
    ]
    beside = table(["mean cosine of deltas", "same data set", "same domain", "other"], cosines)
    made = sorted(result["tasks"].values())
    each = str(made[0]) if made[0] == made[-1] else f"{made[0]} to {made[-1]}"
    roster = f"{result['models']} models of {len(made)} data sets, {each} of each."
    alone = sorted({name for it in result["rows"] if it["k"] == "chosen" for name in it["alone"]})
    if alone:
        roster += f" In no region with some pooling, where we choose: {', '.join(alone)}."
    parts = [roster, table(head, rows), beside, *bound_of_domains(result), source(result)]
    return "\n\n".join(parts)


def bound_of_domains(result: Row) -> list[str]:
    """Tell how far domains can be seen at all, and how well strangers do in a domain's place."""
    if "nearness" not in result:
        return []
    rows = [
        [domain, f"{it['cosine']:.3f}", f"{it['as_near']:.0%}"]
        for domain, it in result["nearness"].items()
    ]
    head = ["domain", "mean cosine of its data sets' centres", "other pairs as near or nearer"]
    posing = result["made_up"]
    words = (
        f"Two data sets without a domain in common in the place of {posing['domain']}, number of "
        f"clusters given: accuracy 1.00 in {posing['perfect']} of {posing['groups']} such pairs."
    )
    return [table(head, rows), words]


def sizes_block(result: Row) -> str:
    """Tell whether models cluster by data set or by how many rows they saw."""
    if "sizes" not in result:
        return "Not measured yet: `python -m bench.regions.sizes`."
    rows = [
        [it["what"], str(it["models"]), f"{it['accuracy']:.2f}", f"{it['ari']:.2f}"]
        for it in result["sizes"]
    ]
    return table(["clusters against", "models", "accuracy", "ARI"], rows)


def dominance_block(result: Row) -> str:
    """Tell P_B at the three levels beside the paper's, and the losses of each group."""
    rows = []
    for level, it in result["levels"].items():
        if not it["groups"]:
            continue
        for part, word in (("", f"all {it['groups']}"), (", learned", "learned")):
            if part and len(it["learned"]) in (0, it["groups"]):
                continue
            word = f"{len(it['learned'])} {word}" if part else word
            rows.append([level, word, *(estimate(it[f"{name}{part}"]) for name in COMPARED)])
        paper = result["paper"][level]
        told = [f"{paper[name]:.3g}" if name in paper else "-" for name in COMPARED]
        rows.append([level, "the paper's", *told])
    groups = [
        [
            it["level"],
            it["name"],
            *(number(it["losses"][kind]) for kind in ("in", "hull", "centroid", "ex", "base")),
            *(f"{it[name]['value']:.2f}" for name in COMPARED),
        ]
        for it in result["groups"]
    ]
    head = ["level", "group", "In", "In'", "centroid", "Ex", "base", *COMPARED.values()]
    whole = table(["level", "groups", *COMPARED.values()], rows)
    return f"{whole}\n\n{table(head, groups)}\n\n{left(result)}{source(result)}"


def extrapolation_block(result: Row) -> str:
    """Tell the loss between and beyond two models, over that of its ends."""
    first = next(it for it in result["levels"].values() if it["curves"])
    places = [name for name in first if name.startswith("at ")]
    rows = [
        [
            {"different": "neither"}.get(level, level),
            str(it["curves"]),
            *(f"{it[place]:.2f}" for place in places),
            f"{it['span'][0]:.1f} to {it['span'][1]:.1f}",
        ]
        for level, it in result["levels"].items()
        if it["curves"]
    ]
    head = ["models of the same", "curves", *(f"loss {place} / ends" for place in places)]
    head += ["a, while the loss is within 1.5 times the ends'"]
    return f"{table(head, rows)}\n\n{left(result)}{source(result)}"


def centroid_block(result: Row) -> str:
    """Tell what each start gains over the base, over all targets and target by target."""
    rows, targets = [], []
    for it in result["summaries"]:
        for start, gained in it["starts"].items():
            seeds = " to ".join(str(n) for n in dict.fromkeys(gained["seeds"]))
            rows.append(
                [
                    *named(it["way"]),
                    STARTS[start],
                    str(len(gained["targets"])),
                    seeds,
                    f"{gained['wins']} / {gained['ties']}",
                    f"{gained['clear_wins']} / {gained['clear_losses']}",
                    points(gained["mean"]),
                ]
            )
        for target, accuracy in sorted(it["base"].items()):
            gains = [
                f"{it['starts'][start]['targets'][target]:+.1f}"
                if target in it["starts"].get(start, {"targets": ()})["targets"]
                else ""
                for start in STARTS
            ]
            targets.append([*named(it["way"]), target, f"{accuracy:.1f}", *gains])
    head = ["rows", "head", "start", "targets", "seeds", "above the base / equal"]
    head += ["by more than 0.5 / below by more", "mean gain, points"]
    each = table(["rows", "head", "target", "base, %", *STARTS.values()], targets)
    return f"{table(head, rows)}\n\n{each}\n\n{left(result)}{source(result)}"


def findings_block() -> str:
    """Set the paper's findings beside ours; whether they agree is told by a rule each."""
    rows = [
        *clustering_findings(found("regions-clustering")),
        *dominance_findings(found("regions-dominance")),
        *extrapolation_findings(found("regions-extrapolation")),
        *centroid_findings(found("regions-centroid")),
    ]
    return table(["the paper's finding", "here", "agrees"], rows)


def clustering_findings(result: Row | None) -> list[list[str]]:
    """Compare accuracies, k given as in the paper, at the default pooling."""
    if result is None:
        return []
    shown = []
    for level, words in (
        ("data set", "models cluster by data set: accuracy 98 %"),
        ("data set, twins as one", "the same, where data sets of the same texts count as one"),
        ("domain", "models cluster by task: accuracy 90 %"),
    ):
        rows = {
            it["k"]: it
            for it in result["rows"]
            if it["level"] == level and it["what"] == "matrices"
        }
        if not rows:
            continue
        words_here = "; ".join(
            f"k {k}: {it['accuracy']:.0%} (ARI {it['ari']:.2f})" for k, it in rows.items()
        )
        given = rows["given"]["accuracy"]
        shown.append([words, words_here, verdict(given >= 0.9, given < 0.75)])
    distance = [
        it["ari"] for it in result["rows"] if it["level"] == "data set" and "Euclid" in it["what"]
    ]
    shown.append(
        [
            "Euclidean distance gives no clear clusters",
            f"ARI {min(distance):.2f} to {max(distance):.2f}, by the linkage",
            verdict(max(distance) < 0.5, min(distance) > 0.8),
        ]
    )
    return shown


def dominance_findings(result: Row | None) -> list[list[str]]:
    """Compare P_B at every level: yes where the interval is above a half, no where it is below.

    Weaker where the interval ends more than a tenth below the paper's figure.
    """
    rows = []
    for level, paper in (result or {"paper": {}})["paper"].items():
        it = result["levels"][level] if result else {"groups": 0}
        if not it["groups"]:
            continue
        for name, told in paper.items():
            ours = it[name]
            words = f"{level} level: {COMPARED[name]} = {told:.1%}"
            agrees = verdict(ours["low"] > 0.5, ours["high"] < 0.5)
            if ours["low"] > 0.5 and ours["high"] < told - 0.1:
                agrees = "in direction, but weaker"
            few = it["groups"] < FEWEST_OF.get(level, 1)
            shown = f"{estimate(ours)}, {it['groups']} group{'s' * (it['groups'] > 1)}"
            rows.append([words, shown, TOO_FEW if few else agrees])
    return rows


def extrapolation_findings(result: Row | None) -> list[list[str]]:
    """Tell whether lines are flat inside and steep outside, by their medians."""
    it = None if result is None else result["levels"].get("data set")
    if not it or not it["curves"]:
        return []
    inside, outside = it["at 0.5"], min(it["at -3"], it["at 4"])
    words = f"half way {inside:.2f} times the ends' loss; "
    words += f"at a = -3 {it['at -3']:.2f}, at 4 {it['at 4']:.2f}"
    finding = "flat between models of one data set, steep beyond"
    return [
        [finding, words, verdict(inside < 1.1 and outside > 1.5, inside > 1.5 or outside < 1.1)]
    ]


def centroid_findings(result: Row | None) -> list[list[str]]:
    """Compare the centroid's gain, for few and many rows; yes where its interval is above 0."""
    rows = []
    for it in (result or {"summaries": []})["summaries"]:
        gained = it["starts"].get("centroid")
        if gained is None:
            continue
        few = it["way"]["rows"] is not None
        paper = "+10.66 on average with <= 1,000 rows" if few else "11 of 12, +3.06 (abstract)"
        mean = gained["mean"]
        rows.append(
            [
                f"the centroid of other models beats the base: {paper}",
                f"{it['way']['rows'] or 'all'} rows, head {it['way']['head']}, rate "
                f"{it['way']['lr']:g}: {gained['wins']} of "
                f"{len(gained['targets'])}, {points(mean)}",
                TOO_FEW
                if len(gained["targets"]) < FEWEST
                else verdict(mean["low"] > 0, mean["high"] < 0),
            ]
        )
    return rows


def named(way: Row) -> list[str]:
    """Name a way of judging."""
    return [str(way["rows"] or "all"), f"{way['head']}, rate {way['lr']:g}"]


def left(result: Row) -> str:
    """Say what was not run."""
    if not result.get("left"):
        return ""
    return f"Not run for want of time: {'; '.join(result['left'])}.\n\n"


def verdict(yes: bool, no: bool) -> str:
    """Say whether a finding agrees."""
    return "yes" if yes else "no" if no else "partly, or cannot tell"


def estimate(it: Row) -> str:
    """Write a figure with its interval."""
    return f"{it['value']:.2f} [{it['low']:.2f}, {it['high']:.2f}]"


def points(it: Row) -> str:
    """Write a gain with its interval."""
    return f"{it['value']:+.1f} [{it['low']:+.1f}, {it['high']:+.1f}]"


def number(value: float | None) -> str:
    """Write a loss, if there is one."""
    return "" if value is None else f"{value:.3f}"
