"""The blocks of docs/results.md about what blends cost to find."""

from results_tables import load, source, table


def blocks() -> dict[str, str]:
    """Write each block by its name."""
    return {
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


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
