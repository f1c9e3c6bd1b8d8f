"""Which models are alike, where of some only a few layers are here."""

from types import SimpleNamespace

from weightscape.catalog.records import ModelFacts
from weightscape.lineage.copies import groups_of_copies


def grouped(contents, parts, shapes=((8, 8), (8, 8), (8,))):
    """Group models by the contents of two matrices and a vector; "" where one is not here."""
    tree = SimpleNamespace(
        models=tuple(contents),
        shapes=shapes,
        moments=SimpleNamespace(hashes=tuple(zip(*contents.values(), strict=True))),
    )
    facts = {it: ModelFacts(it, part_of="elsewhere" if it in parts else None) for it in contents}
    return [[tree.models[i] for i in group] for group in groups_of_copies(tree, facts)]


def test_a_part_goes_behind_the_whole_model_that_has_its_layer():
    contents = {"part": ("a", "", "v"), "whole": ("a", "b", "v"), "other": ("x", "b", "v")}
    assert grouped(contents, {"part"}) == [["whole", "part"], ["other"]]


def test_parts_that_differ_in_a_layer_are_not_joined_by_one_that_lacks_it():
    contents = {"p": ("a", "", "v"), "q": ("a", "b", "v"), "r": ("a", "c", "v")}
    assert grouped(contents, set("pqr")) == [["p", "q"], ["r"]]


def test_what_any_of_a_group_has_tells_the_next_from_it():
    contents = {"q": ("a", "b", "", ""), "s": ("a", "", "c", ""), "t": ("a", "", "d", "")}
    found = grouped(contents, set("qst"), ((8, 8), (8, 8), (8, 8), (8,)))
    assert found == [["q", "s"], ["t"]]


def test_vectors_alone_make_no_copies():
    contents = {"p": ("a", "", "v"), "q": ("", "b", "v")}
    assert grouped(contents, set("pq")) == [["p"], ["q"]]


def test_models_without_any_tensor_are_nobodys_copies():
    contents = {"beside": ("", "", ""), "none": ("", "", ""), "part": ("a", "", "v")}
    assert sorted(grouped(contents, {"part"})) == [["beside"], ["none"], ["part"]]
