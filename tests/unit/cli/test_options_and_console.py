import io
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from weightscape.answers import EdgeAnswer, TreeAnswer
from weightscape.cli import console
from weightscape.cli.exports import as_csv, as_dot
from weightscape.cli.options import parse_size
from weightscape.cli.summary import MOST_LINES, print_forest
from weightscape.errors import BadInput


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2GiB", 2**31),
        ("500M", 500_000_000),
        ("64 kb", 64_000),
        ("1e9", 10**9),
        ("1.5 gib", 3 << 29),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "banana", "-1G", "0", "1XB", "inf", "nan", "1e99", "G"])
def test_what_is_no_size_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadInput, match="is no size"):
        parse_size(text)


def test_without_a_terminal_a_line_now_and_then_tells_the_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr(console, "monotonic", lambda: clock[0])
    shown = io.StringIO()
    progress = console.TerminalProgress(Console(file=shown), quiet=False)
    with progress.stage("training", total=10, unit="steps") as advance:
        for _ in range(10):
            clock[0] += 12
            advance(1)
    assert shown.getvalue().splitlines() == [
        "training ...",
        "training: 3 of 10 steps, about 84 s left ...",
        "training: 6 of 10 steps, about 48 s left ...",
        "training: 9 of 10 steps, about 12 s left ...",
    ]


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=20))
def test_nothing_that_a_terminal_obeys_is_printable(text: str) -> None:
    shown = console.printable(text)
    assert shown.isprintable()
    assert shown == text or not text.isprintable()


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=20), st.text(max_size=20))
def test_any_name_can_stand_in_dot_and_csv(parent: str, child: str) -> None:
    edge = EdgeAnswer(parent=parent, child=child, kind="full", confidence=0.5, evidence=[])
    tree = TreeAnswer(edges=[edge], roots=[parent], undecided=[], families=[])
    dot = as_dot(tree)
    unescaped = dot.replace("\\\\", "").replace('\\"', "")
    assert unescaped.count('"') % 2 == 0
    assert len(dot.split("\n")) == 7
    assert as_csv(tree).startswith("parent,child,kind,confidence,evidence\n")


def test_a_forest_of_thousands_is_cut_short_and_says_so() -> None:
    edges = [
        EdgeAnswer(parent="root", child=f"m{i}", kind="full", confidence=0.9, evidence=[])
        for i in range(3000)
    ]
    tree = TreeAnswer(edges=edges, roots=["root"], undecided=[], families=[])
    out = io.StringIO()
    print_forest(Console(file=out, width=80), tree)
    lines = out.getvalue().splitlines()
    assert MOST_LINES <= len(lines) <= MOST_LINES + 2
    assert "3001 in all" in lines[-1]


def test_a_chain_of_thousands_does_not_recurse() -> None:
    edges = [
        EdgeAnswer(parent=f"m{i}", child=f"m{i + 1}", kind="full", confidence=0.9, evidence=[])
        for i in range(sys.getrecursionlimit() * 2)
    ]
    tree = TreeAnswer(edges=edges, roots=["m0"], undecided=[], families=[])
    out = io.StringIO()
    print_forest(Console(file=out, width=400), tree)
    assert "m0" in out.getvalue()


def test_a_cycle_of_edges_ends() -> None:
    pairs = [("a", "b"), ("b", "c"), ("c", "a")]
    edges = [
        EdgeAnswer(parent=p, child=c, kind="full", confidence=0.9, evidence=[]) for p, c in pairs
    ]
    print_forest(
        Console(file=io.StringIO()), TreeAnswer(edges=edges, roots=["a"], undecided=[], families=[])
    )
