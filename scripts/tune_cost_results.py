"""The blocks of docs/results.md about what blends cost to find, and by which sampler."""

from typing import Any

from results_tables import load, source, table

SPACES = {"simplex": "simplex", "box": "box of ±1.5", "layers": "simplex, each layer by itself"}
TOLD = ("20", "50", "150")


def blocks() -> dict[str, str]:
    """Write each block by its name."""
    return {
        "blend samplers": sampler_block(),
        "blend candidates": candidate_block(),
        "blend searches": search_block(),
    }


def candidate_block() -> str:
    """Tell what a candidate costs beside its forward pass, and in the usual ways."""
    result = load("tune-candidates")
    rows = []
    for it in result["costs"]:
        seconds = it["seconds"]
        rows.append(
            [
                str(it["rows"]),
                it["precision"],
                f"{1e3 * seconds['forward']:.0f}",
                f"{1e3 * seconds['candidate']:.0f}",
                f"{100 * it['beyond_forward']:.0f} %",
                f"{max(0.0, 100 * it['one_layer_beyond_forward']):.0f} %",
                f"{it['state_dict_over_candidate']:.1f}",
                f"{seconds['folder and process']:.1f} s ({it['folder_over_candidate']:.0f} x)",
                f"{it['ranked_per_second'] / 1e6:.1f}",
                f"{it['ranked_over_folder'] / 1e6:.0f} million x",
            ]
        )
    head = ["rows", "precision", "forward ms", "candidate ms", "beyond forward"]
    head += ["one layer's weights changed", "state dict / candidate", "folder and process"]
    head += ["surrogate, millions a second", "surrogate / folder"]
    return table(head, rows) + "\n\n" + source(result)


def search_block() -> str:
    """Tell how long searches take to what the plain one ends with."""
    rows = []
    for it in load("tune-candidates")["to_a_loss"]:
        for name, way in it["ways"].items():
            rows.append(
                [
                    str(it["rows"]),
                    name,
                    f"{way['came_there']} of {it['seeds']}",
                    *(_number(way[key]) for key in ("evaluations", "forwards", "seconds")),
                    f"{way['faster_than_plain']:.1f}",
                    f"{way['faster_than_folder']:.0f}",
                ]
            )
    head = ["rows", "search", "came there", "candidates", "passes of all rows", "seconds"]
    return table([*head, "times faster than plain", "than folder and process"], rows)


def sampler_block() -> str:
    """Tell each way's loss above the best known at each budget, space by space."""
    result = load("tune-samplers")
    parts = []
    for kind, words in SPACES.items():
        tables = {str(it["budget"]): it["rows"] for it in result["tables"] if it["kind"] == kind}
        if tables:
            parts.append(_samplers(words, tables))
    return "\n\n".join(parts) + "\n\n" + source(result)


def _samplers(words: str, tables: dict[str, list[dict[str, Any]]]) -> str:
    found = {budget: {row["way"]: row for row in them} for budget, them in tables.items()}
    targets = list(dict.fromkeys(name for row in tables["20"] for name in row["targets"]))
    rows = []
    for row in tables["20"]:
        lines = [found[budget].get(row["way"]) for budget in TOLD]
        runs = [row["seeds"].get(name, 0) for name in targets]
        rows.append(
            [
                row["way"],
                ", ".join(map(str, runs)),
                *(" / ".join(_regret(line, name) for line in lines) for name in targets),
                _compared(lines[-1], "above_cma_es"),
                _compared(lines[-1], "held_out_above_cma_es"),
            ]
        )
    columns = [f"{name}: {', '.join(TOLD)}" for name in targets]
    head = [words, "seeds", *columns, "above CMA-ES at 150", "held-out loss above CMA-ES at 150"]
    return table(head, rows)


def _regret(row: dict[str, Any] | None, target: str) -> str:
    return f"{row['targets'][target]:.3f}" if row and target in row["targets"] else "-"


def _compared(row: dict[str, Any] | None, key: str) -> str:
    it = row[key] if row else None
    if it is None:
        return "-"
    if it["cases"] == 1:
        return f"{it['value']:+.3f} (1 run)"
    spread = f"[{it['low']:+.3f}, {it['high']:+.3f}]"
    return f"{it['value']:+.3f} {spread} (lower in {it['lower']} of {it['cases']})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
