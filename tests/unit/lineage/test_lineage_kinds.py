import pytest
from gaussian_trees import Gaussian

from weightscape.geometry.look import HIDDEN, DeltaLook
from weightscape.lineage.kinds import describe_unchanged, kind_of


def saw(**told):
    fields = ("unchanged", "rank", "rounded", "zeros")
    nothing = {**{field: {} for field in fields}, "rank_cap": 16, "bytes_read": 0}
    return lambda parent, child: DeltaLook(**{**nothing, **told})


@pytest.fixture
def pair():
    g = Gaussian(0)
    g.root()
    g.train("base", "child")
    return g.gram()


def test_full_where_everything_moved(pair):
    assert kind_of(pair, "base", "child", "F32", None) == ("full", ())


def test_a_cast_equals_its_parent_rounded(pair):
    look = saw(rounded={"a": 0.9999}, unchanged={"a": 0.01})
    kind, words = kind_of(pair, "base", "child", "BF16", look)
    assert kind == "cast"
    assert "BF16" in words[0]


def test_rounding_to_a_quantised_dtype_is_quantisation(pair):
    look = saw(rounded={"a": 1.0}, unchanged={"a": 0.01})
    assert kind_of(pair, "base", "child", "F8_E4M3", look)[0] == "quantised"


def test_a_low_rank_everywhere_is_lora(pair):
    look = saw(rank={"layer.0.weight": 8, "layer.1.weight": 4})
    kind, words = kind_of(pair, "base", "child", "F32", look)
    assert kind == "lora"
    assert "rank 4 to 8" in words[0]


@pytest.mark.parametrize("high", [17, 33])
def test_one_full_rank_matrix_is_no_lora(pair, high):
    look = saw(rank={"layer.0.weight": 8, "layer.1.weight": high}, rank_cap=32)
    expected = "lora" if high <= 32 else "full"
    assert kind_of(pair, "base", "child", "F32", look)[0] == expected


@pytest.mark.parametrize("rank", [HIDDEN, 0])
def test_a_rank_that_cannot_be_told_is_no_lora(pair, rank):
    look = saw(rank={"layer.0.weight": rank, "layer.1.weight": rank})
    kind, words = kind_of(pair, "base", "child", "BF16", look)
    assert kind == "full"
    assert any("rounding hides" in word for word in words) == (rank == HIDDEN)


def test_new_zeros_over_an_unchanged_rest_are_pruning(pair):
    look = saw(zeros={"a": 0.4}, unchanged={"a": 0.6})
    kind, words = kind_of(pair, "base", "child", "F32", look)
    assert kind == "pruned"
    assert "40%" in words[0]


def test_whole_matrices_of_zeros_are_not_pruned_ones(pair):
    look = saw(zeros={"a": 1.0, "b": 0.0, "c": 0.0}, unchanged={"a": 0.0, "b": 1.0, "c": 1.0})
    assert kind_of(pair, "base", "child", "F32", look)[0] == "full"


@pytest.mark.parametrize("bits", [8, 4])
def test_rounding_to_few_bits_is_seen_in_the_size_of_the_change(bits):
    g = Gaussian(1)
    g.root()
    g.quantise("base", "q", bits)
    kind, words = kind_of(g.gram(), "base", "q", "F32", None)
    assert kind == "quantised"
    assert f"{bits} bits" in words[0]


def test_an_update_of_matrices_alone_is_not_taken_for_rounding():
    g = Gaussian(2)
    g.root()
    g.train("base", "a", size=0.03, only=lambda name: not name.endswith("bias"))
    assert kind_of(g.gram(), "base", "a", "F32", None)[0] == "frozen-part"


def test_parts_are_named_and_layers_joined():
    names = ["embed.weight", *(f"encoder.layer.{i}.w" for i in (0, 1, 2, 5)), "pool.weight"]
    same = dict.fromkeys(names, True) | {"encoder.layer.3.w": False, "pool.bias": False}
    told = describe_unchanged(same)
    assert told == "6 of 8 tensors are unchanged: embed, layer 0-2, layer 5"
