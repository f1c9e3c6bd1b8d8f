"""The block of docs/results.md about blends on few rows: what each way gains, target by target."""

from typing import Any

from results_tables import ROOT, load, source, table

Row = dict[str, Any]
NAME = "tune-transfer"
BLEND, REFITTED = "blend", "blend, refitted"
PLAIN, FAIR = "fine-tuned base", "fine-tuned base, all rows"
CONTROL = "fine-tuned base, all rows, refitted"
AIM_GAIN, AIM_WINS = 2.0, 0.8


def blocks() -> dict[str, str]:
    """Write the block, or say that the bench was not run."""
    there = (ROOT / "bench/results" / f"{NAME}.json").is_file()
    block = transfer_block(load(NAME)) if there else "Not measured yet."
    return {"tune transfer": block}


def transfer_block(result: Row) -> str:
    """Tell the ways' scores and gains, each target's, the time, and the aims beside them."""
    rows = {it["way"]: it for it in result["summary"]}
    parts = [
        ways_table(rows),
        targets_table(rows),
        aims(rows),
        shares(result),
        times(result),
        left(result) + source(result),
    ]
    return "\n\n".join(parts)


def ways_table(rows: dict[str, Row]) -> str:
    """Tell what each way gains over the measure and over the blend."""
    lines = [
        [
            f"**{name}**" if name.startswith(BLEND) else name,
            f"{it['accuracy']:.1f}",
            f"{it['loss']:.3f}",
            "" if name == FAIR else points(it["gain"]["mean"]),
            "" if name == FAIR else f"{it['gain']['wins']} of {it['targets']}",
            "" if name == PLAIN else points(it["over_plain"]["mean"]),
            "" if name == BLEND else points(it["over_blend"]["mean"]),
            str(it["runs"]),
            f"{it['seconds']:.0f} s",
        ]
        for name, it in rows.items()
    ]
    head = ["way", "accuracy, %", "loss", f"over “{FAIR}”, points", "targets above it"]
    head += [f"over “{PLAIN}”", f"over “{BLEND}”", "runs", "its own time"]
    return table(head, lines)


def targets_table(rows: dict[str, Row]) -> str:
    """Tell each target's gains."""
    shown = [name for name in rows if name != FAIR]
    base = rows[FAIR]["by_target"]
    lines = [
        [
            target,
            f"{accuracy:.1f}",
            *(
                f"{rows[name]['gain']['targets'][target]:+.1f}"
                if target in rows[name]["gain"]["targets"]
                else ""
                for name in shown
            ),
        ]
        for target, accuracy in base.items()
    ]
    return table(["target", f"{FAIR}, %", *shown], lines)


def aims(rows: dict[str, Row]) -> str:
    """Set what was aimed at beside what was found, for the blend as it is and refitted."""
    lines = []
    for way, key, others in (
        (BLEND, "over_blend", ((PLAIN, "over_plain"), (FAIR, "gain"))),
        (REFITTED, "over_refitted", ((FAIR, "gain"), (CONTROL, "over_control"))),
    ):
        it = rows[way]
        for other, over in ((name, it[measure]) for name, measure in others if it[measure]):
            wins, mean, targets = over["wins"], over["mean"], len(over["targets"])
            enough = wins >= AIM_WINS * targets, mean["value"] >= AIM_GAIN
            found = f"{wins} of {targets}"
            lines.append([way, f"above “{other}” on 80 % of targets", found, said(enough[0])])
            aim = f"and by {AIM_GAIN:.0f} points on average"
            lines.append([way, aim, points(mean), said(enough[1])])
        refits = way == REFITTED  # what is refitted has more training than what is not
        rivals = [
            row
            for name, row in rows.items()
            if not name.startswith(BLEND) and (refits or not name.endswith("refitted"))
        ]
        best = max(rivals, key=lambda row, key=key: row[key]["mean"]["value"])  # type: ignore[misc]
        lead = best[key]["mean"]
        found = f"“{best['way']}” is {points(lead)} above it"
        reached = "yes" if lead["value"] <= 0 else "no" if lead["low"] > 0 else "cannot tell"
        lines.append([way, "level with the best of the others", found, reached])
    return table(["way", "aim", "found", "reached"], lines)


def said(reached: bool) -> str:
    """Say whether an aim was reached."""
    return "yes" if reached else "no"


def shares(result: Row) -> str:
    """Tell what shares of the way from the mean of all models to the best weights score."""
    runs = result["runs"]
    lines = []
    for share in runs[0]["shares"]:
        scores = [it["shares"][share] for it in runs]
        accuracy = 100 * sum(it["accuracy"] for it in scores) / len(runs)
        loss = sum(it["loss"] for it in scores) / len(runs)
        lines.append([f"{float(share):.0%}", f"{accuracy:.1f}", f"{loss:.3f}"])
    chosen = [it["ways"][BLEND] for it in runs]
    accuracy = 100 * sum(it["accuracy"] for it in chosen) / len(runs)
    loss = sum(it["loss"] for it in chosen) / len(runs)
    lines.append(["as cross-validation says", f"{accuracy:.1f}", f"{loss:.3f}"])
    head = "of the way from the mean of all models to the best weights on the 40 rows"
    return table([head, "accuracy, %", "loss"], lines)


def times(result: Row) -> str:
    """Tell what a whole run takes."""
    took = [it for it in result["runs"] if it["adapt_cpu_seconds"] is not None]
    if not took:
        return ""
    adapting = sorted(it["adapt_cpu_seconds"] for it in took)[len(took) // 2]
    whole = sorted(it["cpu_seconds"] for it in took)[len(took) // 2]
    return (
        f"A run took {whole:.0f} processor seconds (median), {adapting:.0f} of them to adapt the "
        "experts; the rest is the search, and all other ways."
    )


def left(result: Row) -> str:
    """Say what was not run."""
    lacking = result["left"]
    return f"Not run for want of time: {'; '.join(lacking)}.\n\n" if lacking else ""


def points(it: Row) -> str:
    """Write a gain with its interval."""
    return f"{it['value']:+.1f} [{it['low']:+.1f}, {it['high']:+.1f}]"
