from functools import cache

import numpy as np
import pytest
from gaussian_trees import SHAPES, Gaussian, bf16, gram_of
from hypothesis import given, settings
from hypothesis import strategies as st

from weightscape.catalog.records import ModelFacts
from weightscape.geometry.look import DeltaLook
from weightscape.geometry.products import TreeGram
from weightscape.lineage.forest import recover_forest
from weightscape.lineage.score import score_forest


def star(seed, **options):
    g = Gaussian(seed, **options)
    g.root()
    for i in range(8):
        g.train("base", f"s{i}", task=i // 3)
    return g


def chain(seed, **options):
    g = Gaussian(seed, **options)
    last = g.root()
    for i in range(5):
        last = g.train(last, f"c{i}", size=0.06)
    return g


def lopsided(seed, **options):
    g = Gaussian(seed, **options)
    g.root()
    for edge in ("base a", "base b", "b b1", "b1 b2", "b1 b3", "b3 b4"):
        g.train(*edge.split(), size=0.06)
    return g


def balanced(seed, **options):
    g = Gaussian(seed, **options)
    g.root()
    for i in range(3):
        g.train("base", f"n{i}", task=i)
        for j in range(3):
            g.train(f"n{i}", f"n{i}.{j}", task=3 + j)
    return g


def one_task(seed, **options):
    g = Gaussian(seed, **options)
    g.root()
    for i in range(6):
        g.train("base", f"s{i}", task=0)
    return g


SHAPED = [star, chain, lopsided, balanced, one_task]


def seen_once(forest, models):
    """Every model is a child (often only of a merge), a root or undecided, and only one of it."""
    children = {}
    for edge in forest.edges:
        children.setdefault(edge.child, []).append(edge.kind)
    assert all(len(kinds) == 1 or set(kinds) == {"merge"} for kinds in children.values())
    placed = [*children, *forest.roots, *(name for it in forest.undecided for name in it.models)]
    assert sorted(placed) == sorted(models)


@pytest.mark.parametrize("shape", SHAPED)
def test_every_shape_is_recovered(shape):
    g = shape(1)
    forest = recover_forest(g.shuffled(), {})
    score = score_forest(forest, g.truth)
    assert (score.directed, score.invented) == (1.0, 0.0)
    assert forest.roots == ("base",)
    seen_once(forest, g.models)


@pytest.mark.parametrize("shape", [star, balanced])
def test_weight_decay_does_not_hide_who_belongs_to_whom(shape):
    g = shape(2, decay=0.02)
    assert score_forest(recover_forest(g.shuffled(), {}), g.truth).undirected == 1.0


def test_a_chain_under_weight_decay_is_not_directed_with_confidence():
    g = chain(2, decay=0.05)
    forest = recover_forest(g.shuffled(), {})
    score = score_forest(forest, g.truth)
    assert score.undirected == 1.0
    (root,) = forest.roots
    assert not any("only model" in word for edge in forest.edges for word in edge.evidence)
    assert all(edge.confidence < 0.75 for edge in forest.edges if edge.parent == root)


def test_siblings_nearer_than_their_parent_stay_siblings():
    # cosine .6: two runs on the same data are nearer to each other than to where they started
    g = Gaussian(3, likeness=0.6)
    g.root()
    for i in range(6):
        g.train("base", f"s{i}", task=i // 2)
    forest = recover_forest(g.shuffled(), {})
    assert score_forest(forest, g.truth).directed == 1.0
    assert any("so it is a sibling" in word for edge in forest.edges for word in edge.evidence)


@cache
def zoo(seed):
    g = star(seed)
    g.train("s0", "s0-more", task=4)
    g.train("base", "frozen", only=lambda name: name.split(".")[1] in "4567")
    g.low_rank("base", "low-rank")
    g.copy("s4", "s4-copy")
    g.cast("s5", "s5-bf16")
    g.cast("base", "base-bf16")
    g.prune("s1", "s1-pruned")
    g.quantise("s3", "s3-int8")
    g.merge({"s1": 0.5, "s3": 0.3, "s6": 0.2}, "soup")
    g.merge({"base": 0.6, "s7": 0.4}, "halfway")
    g.train("soup", "soup-more", task=5)
    return g, {name: ModelFacts(name, dtype=dtype_of(name)) for name in g.models}


def dtype_of(name):
    return "BF16" if "bf16" in name else "F32"


def look_into(g):
    """Look at whole tensors: what the targeted second look samples."""

    def look(parent, child):
        before, after = g.models[parent], g.models[child]
        ranks = {
            n: min(int(np.linalg.matrix_rank(after[n] - before[n], tol=1e-5)), 17)
            for n, shape in SHAPES.items()
            if len(shape) == 2
        }
        return DeltaLook(
            unchanged={n: float(np.mean(after[n] == before[n])) for n in SHAPES},
            rank=ranks,
            rank_cap=16,
            rounded={
                n: float(np.mean(after[n] == (bf16(before[n]) if "bf16" in child else before[n])))
                for n in SHAPES
            },
            zeros={n: float(np.mean(after[n] == 0)) for n in SHAPES},
            bytes_read=0,
        )

    return look


def test_kinds_and_parents_of_a_mixed_zoo():
    g, facts = zoo(4)
    forest = recover_forest(g.shuffled(), facts, look_into(g))
    score = score_forest(forest, g.truth)
    assert (score.directed, score.kinds, score.merges) == (1.0, 1.0, 1.0)
    seen_once(forest, g.models)
    words = {edge.child: " ".join(edge.evidence) for edge in forest.edges}
    assert "tensors are unchanged: embed, layer 0-3" in words["frozen"]
    assert "rank 4" in words["low-rank"]
    assert "8 bits" in words["s3-int8"]
    assert "equal by content hash" in words["s4-copy"]


def test_the_second_look_is_for_final_edges_and_once_for_each():
    g, facts = zoo(4)
    asked = []
    look = look_into(g)

    def counted(parent, child):
        asked.append((parent, child))
        return look(parent, child)

    forest = recover_forest(g.shuffled(), facts, counted)
    assert len(asked) == len(set(asked))
    assert set(asked) <= {(edge.parent, edge.child) for edge in forest.edges}


def test_merge_weights_are_told():
    g, facts = zoo(4)
    edges = [e for e in recover_forest(g.shuffled(), facts).edges if e.child == "soup"]
    told = {edge.parent: edge.evidence[0].split("weight ")[1][:4] for edge in edges}
    assert told == {"s1": "0.50", "s3": "0.30", "s6": "0.20"}


@settings(deadline=None, max_examples=3)
@given(st.randoms(use_true_random=False))
def test_the_order_of_models_does_not_matter(random):
    g, facts = zoo(4)
    names = list(g.models)
    random.shuffle(names)
    one, other = recover_forest(g.gram(), facts), recover_forest(g.gram(names), facts)
    assert {(e.parent, e.child, e.kind) for e in one.edges} == {
        (e.parent, e.child, e.kind) for e in other.edges
    }
    assert one.roots == other.roots
    for edge, twin in zip(sorted_edges(one), sorted_edges(other), strict=True):
        assert edge.confidence == pytest.approx(twin.confidence, abs=2e-3)


def sorted_edges(forest):
    return sorted(forest.edges, key=lambda edge: (edge.parent, edge.child))


@pytest.mark.parametrize("reference", ["base", "s3", "s7"])
def test_the_reference_does_not_matter(reference):
    g = star(7)
    forest = recover_forest(g.gram(reference=reference), {})
    assert score_forest(forest, g.truth).directed == 1.0


def test_siblings_of_a_missing_base_are_not_strung_together():
    g = Gaussian(8)
    g.root()
    for i in range(5):
        g.train("base", f"s{i}", task=i)
    g.train("s1", "s1-more")
    forest = recover_forest(
        g.shuffled(without=("base",)), {"s0": ModelFacts("s0", wants=("org/b",))}
    )
    assert [(e.parent, e.child) for e in forest.edges] == [("s1", "s1-more")]
    (undecided,) = forest.undecided
    assert set(undecided.models) == {f"s{i}" for i in range(5)}
    assert "base seems to be missing" in undecided.reason
    assert "org/b" in undecided.reason
    assert forest.roots == ()


def test_two_siblings_alone_are_undecided():
    g = Gaussian(9)
    g.root()
    g.train("base", "a")
    g.train("base", "b")
    forest = recover_forest(g.shuffled(without=("base",)), {})
    assert forest.edges == ()
    assert "two models" in forest.undecided[0].reason


@pytest.mark.parametrize("larger", [0.03, 0.1])
def test_two_models_alone_are_never_directed_with_confidence(larger):
    g = Gaussian(9)
    g.root()
    g.train("base", "a", size=0.02)
    g.train("base", "b", size=larger)
    forest = recover_forest(g.shuffled(without=("base",)), {})
    assert all(edge.confidence < 0.6 for edge in forest.edges)
    assert forest.undecided or "two models alone" in " ".join(forest.edges[0].evidence)


def test_a_step_on_a_straight_way_is_no_certain_merge():
    g = Gaussian(24)
    g.root()
    g.train("base", "late")
    g.merge({"base": 0.5, "late": 0.5}, "early")
    edges = [edge for edge in recover_forest(g.shuffled(), {}).edges if edge.child == "early"]
    assert edges
    assert all(edge.confidence < 0.6 for edge in edges)
    assert all("a step on a straight way" in edge.evidence[-1] for edge in edges)


def test_two_models_that_declare_their_relation_are_decided():
    g = Gaussian(9)
    g.root()
    g.train("base", "a")
    forest = recover_forest(g.shuffled(), {"a": ModelFacts("a", declared=("base",))})
    (edge,) = forest.edges
    assert (edge.parent, edge.child) == ("base", "a")
    assert edge.confidence >= 0.9
    assert "declared in its files" in edge.evidence


def test_a_declared_base_turns_a_chain_that_norms_leave_open():
    g = chain(10, decay=0.05)
    facts = {f"c{i}": ModelFacts(f"c{i}", declared=("base",)) for i in range(5)}
    forest = recover_forest(g.shuffled(), facts)
    assert score_forest(forest, g.truth).directed == 1.0


def test_a_declaration_that_the_weights_contradict_is_said_so():
    g = balanced(11)
    facts = {"n0.1": ModelFacts("n0.1", declared=("n2",))}
    forest = recover_forest(g.shuffled(), facts)
    (edge,) = [edge for edge in forest.edges if edge.child == "n0.1"]
    assert edge.parent == "n0"
    assert any("declare n2" in word for word in edge.evidence)


def test_declarations_in_a_circle_do_no_harm():
    g = star(12)
    facts = {
        "s0": ModelFacts("s0", declared=("s1",), adapter_ranks={"x": 1}),
        "s1": ModelFacts("s1", declared=("s0",), adapter_ranks={"x": 1}),
    }
    seen_once(recover_forest(g.shuffled(), facts), g.models)


def test_a_training_run_is_a_chain_by_step_with_the_final_model_last():
    g = Gaussian(13)
    last = g.root()
    for name in ("run/checkpoint-100", "run/checkpoint-900", "run"):
        last = g.train(last, name, task=0, size=0.02)
    steps = {"run/checkpoint-100": 100, "run/checkpoint-900": 900, "run": None}
    facts = {name: ModelFacts(name, run="run", step=step) for name, step in steps.items()}
    forest = recover_forest(g.shuffled(), facts)
    assert score_forest(forest, g.truth).directed == 1.0
    assert {e.confidence for e in forest.edges if e.parent != "base"} == {0.97}


def test_a_run_that_ends_with_its_best_checkpoint_is_still_a_chain_by_step():
    g = Gaussian(13)
    last = g.root()
    for step in (100, 200, 300):
        last = g.train(last, f"run/checkpoint-{step}", task=0, size=0.02)
    g.copy("run/checkpoint-200", "run")
    steps = {f"run/checkpoint-{step}": step for step in (100, 200, 300)} | {"run": None}
    facts = {name: ModelFacts(name, run="run", step=step) for name, step in steps.items()}
    facts["other"] = ModelFacts("other", declared=("run",))
    forest = recover_forest(g.shuffled(), facts)
    assert score_forest(forest, g.truth).kinds == 1.0
    assert score_forest(forest, g.truth).directed == 1.0


def test_numbered_siblings_are_not_strung_together_as_a_run():
    g = Gaussian(13)
    g.root()
    for step in (1, 2, 3):
        g.train("base", f"exp/step_{step}")
    facts = {
        f"exp/step_{step}": ModelFacts(f"exp/step_{step}", run="exp", step=step)
        for step in (1, 2, 3)
    }
    forest = recover_forest(g.shuffled(), facts)
    assert score_forest(forest, g.truth).directed == 1.0
    words = {edge.child: " ".join(edge.evidence) for edge in forest.edges}
    assert "does not carry" in words["exp/step_2"]


def test_a_model_trained_from_a_late_step_does_not_break_its_run():
    g = Gaussian(13)
    g.root("run/step_1")
    g.train("run/step_1", "run/step_2", size=0.05)
    g.train("run/step_2", "run/step_3", size=0.05)
    g.train("run/step_3", "more", size=0.01)
    facts = {f"run/step_{k}": ModelFacts(f"run/step_{k}", run="run", step=k) for k in (1, 2, 3)}
    forest = recover_forest(g.shuffled(), facts)
    assert score_forest(forest, g.truth).directed == 1.0


def test_an_adapter_is_its_declared_bases_child():
    g = star(14)
    g.low_rank("s2", "adapter")
    facts = {
        "adapter": ModelFacts("adapter", declared=("s2",), adapter_ranks={"layer.0.weight": 4})
    }
    (edge,) = [e for e in recover_forest(g.shuffled(), facts).edges if e.child == "adapter"]
    assert (edge.parent, edge.kind) == ("s2", "lora")


def test_adapters_of_an_absent_base_say_which_base_they_want():
    g = star(15)
    tree = g.gram()
    orphans = TreeGram(tree.models, tree.tensors, tree.shapes, tree.gram, tree.moments, None)
    facts = {name: ModelFacts(name, wants=("org/base",)) for name in tree.models[:-1]}
    forest = recover_forest(orphans, facts)
    assert forest.edges == forest.roots == ()
    assert any("'org/base'" in it.reason and "--base" in it.reason for it in forest.undecided)
    seen_once(forest, tree.models)


def test_copies_hang_on_the_one_that_is_declared_a_base():
    g = Gaussian(16)
    g.root("a")
    g.copy("a", "zz-original")
    g.train("a", "child")
    facts = {"child": ModelFacts("child", declared=("zz-original",))}
    forest = recover_forest(g.shuffled(), facts)
    assert forest.roots == ("zz-original",)
    copies = [edge for edge in forest.edges if edge.kind == "copy"]
    assert [(edge.parent, edge.child, edge.confidence) for edge in copies] == [
        ("zz-original", "a", 0.5)
    ]


def test_two_casts_of_one_model_are_both_its_casts():
    g = star(17)
    g.cast("s2", "cast-1")
    g.cast("s2", "cast-2")
    facts = {name: ModelFacts(name, dtype="BF16") for name in ("cast-1", "cast-2")}
    forest = recover_forest(g.shuffled(), facts)
    casts = {(edge.parent, edge.child) for edge in forest.edges if edge.kind == "cast"}
    assert casts == {("s2", "cast-1"), ("s2", "cast-2")}


def test_a_small_update_of_a_narrow_model_is_no_cast():
    g = Gaussian(18)
    g.root("wide")
    g.cast("wide", "base-bf16")
    for i in range(4):
        g.train("base-bf16", f"s{i}", size=5e-4)
    del g.models["wide"]
    facts = {name: ModelFacts(name, dtype=dtype_of(name)) for name in g.models}
    forest = recover_forest(g.shuffled(), facts, look_into(g))
    assert not [edge for edge in forest.edges if edge.kind == "cast"]
    assert not any("rounding" in word for edge in forest.edges for word in edge.evidence)
    alone = recover_forest(g.gram(["base-bf16", "s0"]), facts, look_into(g))
    assert all(edge.kind != "cast" and edge.confidence < 0.9 for edge in alone.edges)


def test_a_model_stored_wider_without_new_digits_comes_from_the_narrow_one():
    g = Gaussian(18)
    g.root("wide")
    g.cast("wide", "narrow")
    tree = gram_of({"narrow": g.models["narrow"], "wide": g.models["narrow"]})
    unequal = tuple((a, a + "as F32") for a, _ in tree.moments.hashes)
    moments = type(tree.moments)(*(getattr(tree.moments, f) for f in FIELDS), hashes=unequal)
    tree = TreeGram(tree.models, tree.tensors, tree.shapes, tree.gram, moments, "narrow")
    forest = recover_forest(tree, {"narrow": ModelFacts("narrow", dtype="BF16")})
    assert [u.models for u in forest.undecided] == [("narrow", "wide")]
    assert "differs" in forest.undecided[0].reason


FIELDS = ("norm", "kurtosis", "peak", "unchanged", "nonfinite")


@pytest.mark.parametrize("with_look", [True, False])
def test_a_base_with_matrices_of_zeros_is_not_a_pruned_model(with_look):
    g = Gaussian(23)
    g.root()
    zeros = [f"layer.{k}.weight" for k in range(4)]
    for name in zeros:
        g.models["base"][name] = np.zeros(SHAPES[name])
    trained = {name: 0.01 * g.rng.normal(size=SHAPES[name]) for name in zeros}
    g.add("control", g.models["base"] | trained, "frozen-part", "base")
    forest = recover_forest(g.shuffled(), {}, look_into(g) if with_look else None)
    assert all(edge.kind != "pruned" for edge in forest.edges)


def test_biases_alone_tell_models_apart():
    g = Gaussian(19)
    g.root()
    for i in range(4):
        g.train("base", f"bitfit-{i}", only=lambda name: name.endswith("bias"))
    g.train("base", "full")
    forest = recover_forest(g.shuffled(), {})
    score = score_forest(forest, g.truth)
    assert (score.directed, score.kinds) == (1.0, 1.0)


def test_constants_that_never_moved_are_no_evidence():
    g = star(20)
    table = np.random.default_rng(0).normal(size=(200, 64)) * 5
    for model in g.models.values():
        model["positions"] = table
    assert score_forest(recover_forest(g.shuffled(), {}), g.truth).directed == 1.0


def test_tensors_that_some_models_lack_are_left_out_of_their_pairs():
    g = star(21)
    tree = g.gram()
    tree.gram[:2, 3, :] = tree.gram[:2, :, 3] = np.nan
    for moment in (tree.moments.norm, tree.moments.peak):
        moment[:2, 3] = np.nan
    assert score_forest(recover_forest(tree, {}), g.truth).directed == 1.0


@pytest.mark.parametrize("count", [0, 1])
def test_no_model_and_one_model(count):
    g = Gaussian(22)
    g.root()
    tree = g.gram()
    if count == 0:
        empty = tree.gram[:, :0, :0]
        fields = [getattr(tree.moments, field)[:, :0] for field in FIELDS]
        moments = type(tree.moments)(*fields, hashes=((),) * len(SHAPES))
        tree = TreeGram((), tree.tensors, tree.shapes, empty, moments, "base")
    forest = recover_forest(tree, {})
    assert (forest.edges, forest.roots) == ((), ("base",)[:count])


def test_confidence_is_lower_for_wrong_edges():
    right, wrong = [], []
    for seed in range(4):
        for shape in (lopsided, chain):
            g = shape(30 + seed, decay=0.01)
            true = {(edge.parent, edge.child) for edge in g.truth}
            for edge in recover_forest(g.shuffled(), {}).edges:
                (right if (edge.parent, edge.child) in true else wrong).append(edge.confidence)
    assert wrong
    assert np.mean(wrong) < np.mean(right) - 0.05
