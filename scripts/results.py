"""Write the tables of docs/results.md and README.md from bench/results/*.json.

    python scripts/results.py

Every figure comes out of a file that a bench wrote, with the command that made it beside it.
"""

from pathlib import Path

import connectivity_results
import cost_results
import probex_results
import region_results
import transfer_results
import tune_cost_results
from results_tables import ROOT, load, source, table

ZOOS = ("text", "held-out")
DIGITS = ("star", "chain", "balanced", "lopsided", "random", "decay", "no-base")


def forest_block() -> str:
    """Tell how much of each zoo's forest was found."""
    rows = []
    for name in ZOOS:
        zoo = load(f"zoo-{name}")
        found = zoo["forest"]
        scores = [f"{found[key]:.2f}" for key in ("undirected", "directed", "kinds", "merges")]
        rows.append([name, str(zoo["zoo"]["models"]), str(found["edges"]), *scores])
    head = ["zoo", "models", "true edges", "undirected", "directed", "kinds right", "merges right"]
    return table(head, rows) + "\n\n" + "\n".join(source(load(f"zoo-{it}")) + "  " for it in ZOOS)


def one_layer_block() -> str:
    """Tell what one layer of each model tells, beside all of it."""
    result = load("one-layer")
    rows = []
    for name, zoo in result["zoos"].items():
        for title, found in (("whole", zoo["whole"]), ("one layer", zoo["one_layer"])):
            forest = found["forest"]
            share = found["bytes"] / zoo["whole"]["bytes"]
            rows.append(
                [
                    name.removeprefix("zoo-"),
                    title,
                    f"{found['bytes'] / 1e6:,.0f} MB ({share:.2%})",
                    *(f"{forest[key]:.2f}" for key in ("undirected", "directed", "kinds")),
                    f"{found['sure_and_right']} of {found['sure_edges']}",
                    f"{found['ari']:.2f}",
                    f"{found['seconds']:.0f} s",
                ]
            )
    head = ["zoo", "read", "bytes", "undirected", "directed", "kinds right"]
    return (
        table([*head, "right of those 80 % sure", "ARI", "chart"], rows) + "\n\n" + source(result)
    )


def each_matrix_block() -> str:
    """Tell what every single matrix tells of descent, by its part of a block, from low to high."""
    zoos = load("one-layer")["zoos"]
    parts: dict[str, dict[str, list[float]]] = {}
    for zoo, found in zoos.items():
        for name, directed in sorted(found["directed_by_matrix"].items()):
            part = name.split(".", 3)[-1] if ".layer." in name else name
            parts.setdefault(part.removesuffix(".weight"), {}).setdefault(zoo, []).append(directed)
    rows = [
        [part, *(" ".join(f"{it:.2f}" for it in found[zoo]) for zoo in zoos)]
        for part, found in sorted(parts.items())
    ]
    return table(["matrix of blocks 0 to 5", *(it.removeprefix("zoo-") for it in zoos)], rows)


def digits_block() -> str:
    """Tell how much was found in zoos of tiny models of every shape."""
    rows = []
    for name in DIGITS:
        zoo = load(f"zoo-digits-{name}")
        found = zoo["forest"]
        scores = [f"{found[key]:.2f}" for key in ("undirected", "directed", "kinds", "merges")]
        doubt = sum(len(it) for it in zoo["undecided"])
        rows.append([name, str(found["edges"]), *scores, f"{found['invented']:.2f}", str(doubt)])
    head = ["zoo", "true edges", "undirected", "directed", "kinds right", "merges right"]
    return table([*head, "invented", "models undecided"], rows)


def regions_block() -> str:
    """Tell how well regions agree with tasks, for each pooling."""
    rows = []
    for name in ZOOS:
        for pooling, found in load(f"zoo-{name}")["regions"].items():
            rows.append(
                [
                    name,
                    pooling,
                    f"{found['ari']:.2f}",
                    f"{found['nearest_same_task']:.2f}",
                    str(found["regions"]),
                    str(found["in_no_region"]),
                    f"{found['cosine_same_task']:.2f} / {found['cosine_other_task']:.2f}",
                ]
            )
    head = ["zoo", "pooling", "ARI", "1-NN same task", "regions", "in none", "cosine same / other"]
    return table(head, rows)


def cost_block() -> str:
    """Tell what charting each zoo took."""
    rows = []
    for name in ZOOS:
        cost = load(f"zoo-{name}")["chart"]
        rows.append(
            [
                name,
                f"{cost['bytes_on_disk'] / 1e9:.2f} GB",
                f"{cost['seconds']:.1f} s",
                f"{cost['again_seconds']:.1f} s",
                f"{cost['peak_anonymous_bytes'] / 1e6:.0f} MB",
                f"{cost['peak_resident_bytes'] / 1e6:.0f} MB",
                f"{cost['read_over_disk']:.3f}",
                f"{cost['looked_over_disk']:.3f}",
                str(cost["again_bytes_read"]),
            ]
        )
    head = ["zoo", "on disk", "chart", "again", "peak memory", "with mapped pages"]
    return table([*head, "read / disk", "second look / disk", "bytes read again"], rows)


def gram_block() -> str:
    """Tell how near to its floor the Gram pass is."""
    result = load("gram")
    rows = [
        [
            str(it["models"]),
            str(it["threads"]),
            f"{it['bytes'] / 1e9:.2f}",
            f"{it['pass_seconds']:.2f}",
            f"{it['floor_seconds']:.2f}",
            f"{it['ratio']:.1f}",
            f"{it['pass_gb_per_second']:.2f}",
            f"{it['floor_gb_per_second']:.2f}",
            f"{result['product_alone_gb_per_second'][str(it['models'])]:.1f}",
        ]
        for it in result["rows"]
    ]
    head = ["models", "threads", "GB", "pass s", "floor s", "ratio"]
    naive = result["naive"]
    beside = (
        f"The naive way, N = {naive['models']}: {naive['naive_seconds']:.0f} s by "
        f"{naive['pairs_timed']} timed pairs scaled to all, against {naive['pass_seconds']:.1f} s: "
        f"{naive['ratio']:.0f} times the pass."
    )
    whole = table([*head, "pass GB/s", "floor GB/s", "products alone GB/s"], rows)
    return f"{whole}\n\n{beside}\n\n{source(result)}"


def readme_block() -> str:
    """Tell the main figures in four lines."""
    held, gram = load("zoo-held-out"), load("gram")
    regions = held["regions"]["matrices, k chosen"]
    cost = held["chart"]
    sixteen = [it["ratio"] for it in gram["rows"] if it["models"] == 16]
    rows = [
        ["true edges found, with direction", f"{held['forest']['directed']:.2f}"],
        ["kinds of those right", f"{held['forest']['kinds']:.2f}"],
        [
            "regions against tasks (ARI), number chosen by us; its regions were seen once before",
            f"{regions['ari']:.2f}",
        ],
        ["bytes read / bytes on disk", f"{cost['read_over_disk']:.3f}"],
        [
            f"chart of {cost['bytes_on_disk'] / 1e9:.1f} GB, peak memory",
            f"{cost['seconds']:.0f} s, {cost['peak_anonymous_bytes'] / 1e6:.0f} MB",
        ],
        ["the pass over its floor, 16 models", " to ".join(f"{it:.1f}" for it in sorted(sixteen))],
        ["the naive way over the pass, 32 models", f"{gram['naive']['ratio']:.0f}"],
    ]
    return table(["a zoo of real models that was held out", ""], rows)


def fill(page: Path, blocks: dict[str, str]) -> None:
    """Put each block between its markers."""
    text = page.read_text()
    for name, block in blocks.items():
        start, end = f"<!-- figures: {name} -->", "<!-- end -->"
        first = text.index(start) + len(start)
        text = text[:first] + f"\n{block}\n" + text[text.index(end, first) :]
    page.write_text(text)


def main() -> None:
    """Fill both pages."""
    fill(
        ROOT / "docs/results.md",
        {
            "forest": forest_block(),
            "one-layer": one_layer_block(),
            "each-matrix": each_matrix_block(),
            "digits": digits_block(),
            "regions": regions_block(),
            "cost": cost_block(),
            "gram": gram_block(),
            **connectivity_results.blocks(),
            **cost_results.blocks(),
            **probex_results.blocks(),
            **region_results.blocks(),
            **tune_cost_results.blocks(),
            **transfer_results.blocks(),
        },
    )
    fill(ROOT / "README.md", {"main": readme_block()})


if __name__ == "__main__":
    main()
