"""The blocks of docs/results.md about what a move between models and a point of a region cost."""

from results_tables import load, source, table


def blocks() -> dict[str, str]:
    """Write each block by its name."""
    return {"span": span_block(), "region cost": region_block()}


def span_block() -> str:
    """Tell how near to its floor a span moves, and how far from the usual way."""
    result = load("span")
    rows = [
        [
            it["held"],
            str(it["threads"]),
            f"{1e3 * it['floor_seconds']:.0f}",
            f"{1e3 * it['span_seconds']:.0f}",
            f"{it['span_over_floor']:.2f}",
            f"{it['layered_over_floor']:.2f}",
            f"{1e3 * it['usual_seconds']:.0f}",
            f"{it['usual_over_span']:.1f}",
        ]
        for it in result["rows"]
    ]
    head = ["held as", "threads", "floor ms", "span ms", "span / floor", "per layer / floor"]
    return table([*head, "usual ms", "usual / span"], rows) + "\n\n" + source(result)


def region_block() -> str:
    """Tell what scoring a point costs beside its forward pass."""
    result = load("region")
    rows = [
        [
            it["task"],
            str(it["rows"]),
            f"{it['forward_seconds']:.2f}",
            f"{it['region_over_forward']:.3f}",
            f"{it['move_over_forward']:.3f}",
            f"{it['probe_over_forward']:.3f}",
            f"{it['plain_over_region']:.2f}",
        ]
        for it in result["rows"]
    ]
    head = ["task", "rows", "forward s", "region / forward", "move / forward", "probe / forward"]
    return table([*head, "plain / region"], rows) + "\n\n" + source(result)
