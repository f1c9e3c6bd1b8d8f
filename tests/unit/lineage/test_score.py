import pytest

from weightscape.catalog.records import Edge, Forest
from weightscape.lineage.score import score_forest

TRUTH = [
    Edge("base", "a", "full", 1.0),
    Edge("base", "b", "lora", 1.0),
    Edge("a", "m", "merge", 1.0),
    Edge("b", "m", "merge", 1.0),
]


def test_the_truth_scores_full_marks():
    score = score_forest(Forest(edges=tuple(TRUTH)), TRUTH)
    assert (score.edges, score.undirected, score.directed, score.kinds) == (4, 1.0, 1.0, 1.0)
    assert (score.merges, score.invented) == (1.0, 0.0)


def test_a_turned_edge_counts_undirected_only():
    found = [Edge("a", "base", "full", 1.0), *TRUTH[1:]]
    score = score_forest(Forest(edges=tuple(found)), TRUTH)
    assert (score.undirected, score.directed, score.invented) == (1.0, 0.75, 0.25)


def test_kinds_are_judged_on_edges_that_were_found():
    found = [Edge("base", "b", "full", 1.0), TRUTH[0]]
    score = score_forest(Forest(edges=tuple(found)), TRUTH)
    assert score.kinds == 0.5
    assert score.directed == 0.5


@pytest.mark.parametrize(
    "extra", [[], [Edge("a", "m", "merge", 1.0), Edge("c", "m", "merge", 1.0)]]
)
def test_a_merge_needs_exactly_its_sources(extra):
    found = [*TRUTH[:3], *extra]
    assert score_forest(Forest(edges=tuple(found)), TRUTH).merges == 0.0


def test_nothing_to_find_and_nothing_found():
    score = score_forest(Forest(), [])
    assert (score.undirected, score.invented) == (1.0, 0.0)
