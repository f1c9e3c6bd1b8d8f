"""A forest for other programs: Graphviz DOT and CSV."""

import csv
import io

from weightscape.answers import TreeAnswer

STYLES = {
    "full": "solid",
    "lora": "dashed",
    "adapter": "dashed",
    "cast": "dotted",
    "copy": "dotted",
}


def as_dot(tree: TreeAnswer) -> str:
    """Write a forest in Graphviz's language, one cluster a family.

    >>> from weightscape.answers import TreeAnswer
    >>> print(as_dot(TreeAnswer(edges=[], roots=['a "b"'], undecided=[], families=[])))
    digraph forest {
      rankdir=LR; node [shape=box, fontname="sans-serif", fontsize=10];
      edge [fontname="sans-serif", fontsize=9];
      "a \\"b\\"" [penwidth=2];
    }
    <BLANKLINE>
    """
    lines = [
        "digraph forest {",
        '  rankdir=LR; node [shape=box, fontname="sans-serif", fontsize=10];',
        '  edge [fontname="sans-serif", fontsize=9];',
    ]
    for number, family in enumerate(tree.families):
        lines.append(f"  subgraph cluster_{number} {{ label={_quoted(family.name)};")
        lines += [f"    {_quoted(name)};" for name in family.members]
        lines.append("  }")
    lines += [f"  {_quoted(name)} [penwidth=2];" for name in tree.roots]
    for edge in tree.edges:
        style = STYLES.get(edge.kind, "solid")
        label = _quoted(f"{edge.kind} {edge.confidence:.0%}")
        ends = f"{_quoted(edge.parent)} -> {_quoted(edge.child)}"
        lines.append(f"  {ends} [label={label}, style={style}];")
    return "\n".join([*lines, "}"]) + "\n"


def as_csv(tree: TreeAnswer) -> str:
    """Write one line an edge; roots have an empty parent."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["parent", "child", "kind", "confidence", "evidence"])
    for root in tree.roots:
        writer.writerow(["", _cell(root), "root", "", ""])
    for edge in tree.edges:
        row = [_cell(edge.parent), _cell(edge.child), edge.kind, edge.confidence]
        writer.writerow([*row, _cell("; ".join(edge.evidence))])
    return text.getvalue()


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _cell(text: str) -> str:
    """Keep a spreadsheet from taking a hostile name for a formula."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
