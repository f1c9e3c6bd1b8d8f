"""The pass against a float64 brute force, and what a user relies on in it."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from weightscape.errors import BadInput
from weightscape.geometry.gram import PIECE, Member, block_length, gram_pass


@dataclass
class Tensors:
    """A reader of tensors in memory that counts what is asked of it."""

    data: dict[str, torch.Tensor]
    asked: list[tuple[str, int, int]] = field(default_factory=list)

    def flat(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        values = self.data[name].flatten()
        stop = len(values) if stop is None else stop
        self.asked.append((name, start, stop))
        return values[start:stop]

    def release(self, name: str, start: int = 0, stop: int | None = None) -> None: ...


def members_of(models: list[dict[str, torch.Tensor]]) -> list[Member]:
    return [Member(f"m{i}", Tensors(it), {n: n for n in it}) for i, it in enumerate(models)]


def distances(gram: np.ndarray) -> np.ndarray:
    lengths = np.diag(gram)
    return lengths[:, None] + lengths[None, :] - 2 * gram


def brute_force(models: list[dict[str, torch.Tensor]], name: str) -> np.ndarray:
    stacked = torch.stack([it[name].double().flatten() for it in models])
    return ((stacked[:, None] - stacked[None]) ** 2).sum(-1).numpy()


def fine_tunes(dtype: torch.dtype, count: int, size: int, seed: int = 0) -> list[dict]:
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(size, generator=generator) * 0.05
    return [
        {"w": (base + torch.randn(size, generator=generator) * 5e-5).to(dtype)}
        for _ in range(count)
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_distances_of_small_deltas_keep_four_digits(dtype: torch.dtype) -> None:
    models = fine_tunes(dtype, 5, 300_000)
    (found,) = gram_pass(members_of(models), {"w": (300_000,)}, reference=members_of(models)[0])
    true = brute_force(models, "w")
    off = ~np.eye(5, dtype=bool)
    assert np.abs(distances(found.rows) - true)[off].max() < 1e-4 * true[off].min()


def test_stored_as_bf16_beside_fp32() -> None:
    single = fine_tunes(torch.float32, 3, 50_000)
    models = [*single, {"w": single[0]["w"].to(torch.bfloat16)}]
    (found,) = gram_pass(members_of(models), {"w": (50_000,)}, reference=members_of(models)[1])
    np.testing.assert_allclose(
        distances(found.rows), brute_force(models, "w"), rtol=1e-4, atol=1e-9
    )


@pytest.mark.parametrize("fresh", [None, [5], [1, 2]])
def test_siblings_far_from_the_reference_keep_their_distances(fresh: list[int] | None) -> None:
    generator = torch.Generator().manual_seed(3)

    def noise(scale: float) -> torch.Tensor:
        return scale * torch.randn(200_000, generator=generator)

    base, far = noise(0.05), noise(0.05)
    models = [{"w": origin + noise(5e-5)} for origin in (base, far) for _ in range(3)]
    members = members_of(models)
    shapes = {"w": (200_000,)}
    (whole,) = gram_pass(members, shapes, reference=members[0])
    gram = whole.rows.copy()
    if fresh is not None:
        (part,) = gram_pass(members, shapes, reference=members[0], fresh=fresh)
        gram[fresh] = part.rows
        gram[:, fresh] = part.rows.T
    np.testing.assert_allclose(distances(gram), brute_force(models, "w"), rtol=1e-4, atol=1e-12)


def test_a_model_that_comes_late_beside_a_far_one_keeps_its_distance() -> None:
    generator = torch.Generator().manual_seed(4)
    base, way = (0.05 * torch.randn(200_000, generator=generator) for _ in range(2))
    far = base + 0.3 * way  # an instruction-tuned model, say, and a small fine-tune of it
    twin = far + 5e-5 * torch.randn(200_000, generator=generator)
    models = [{"w": it} for it in (base, far, twin)]
    members = members_of(models)
    shapes = {"w": (200_000,)}
    (first,) = gram_pass(members[:2], shapes, reference=members[0])
    (late,) = gram_pass(members, shapes, reference=members[0], fresh=[2])
    squared = first.rows[1, 1] + late.rows[0, 2] - 2 * late.rows[0, 1]
    np.testing.assert_allclose(squared, brute_force(models, "w")[1, 2], rtol=2e-3)


def test_a_tensor_of_several_pieces_is_whole() -> None:
    models = fine_tunes(torch.float32, 2, PIECE + 12_345)
    shapes = {"w": (PIECE + 12_345,)}
    (found,) = gram_pass(members_of(models), shapes, reference=members_of(models)[0], threads=3)
    np.testing.assert_allclose(distances(found.rows), brute_force(models, "w"), rtol=1e-4, atol=0)
    assert found.unchanged[0] == 1.0
    expected = np.linalg.norm(models[1]["w"].double().numpy())
    np.testing.assert_allclose(found.norm[1], expected, rtol=1e-6)


def test_only_fresh_rows_are_computed_and_agree_with_the_whole() -> None:
    models = fine_tunes(torch.float32, 6, 10_000)
    shapes = {"w": (10_000,)}
    (whole,) = gram_pass(members_of(models), shapes, reference=members_of(models)[0])
    (part,) = gram_pass(members_of(models), shapes, reference=members_of(models)[0], fresh=[4, 5])
    assert part.rows.shape == (2, 6)
    np.testing.assert_allclose(part.rows, whole.rows[4:], rtol=1e-6, atol=1e-12)
    assert part.hashes == whole.hashes[4:]


def test_every_element_is_read_once_beside_the_reference() -> None:
    models = fine_tunes(torch.float32, 3, 10_000)
    members = members_of(models)
    list(gram_pass(members, {"w": (10_000,)}, reference=members[0]))
    for member in members[1:]:
        assert isinstance(member.reader, Tensors)
        assert sum(stop - start for _, start, stop in member.reader.asked) == 10_000


small = hnp.arrays(np.float32, (4, 37), elements=st.floats(-2, 2, width=32))


@settings(max_examples=25, deadline=None)
@given(values=small, reference=st.integers(0, 3), order=st.permutations(range(4)))
def test_gram_is_symmetric_psd_and_invariant(
    values: np.ndarray, reference: int, order: list[int]
) -> None:
    models = [{"w": torch.from_numpy(row.copy())} for row in values]
    members = members_of(models)
    (found,) = gram_pass(members, {"w": (37,)}, reference=members[reference])
    np.testing.assert_allclose(found.rows, found.rows.T, rtol=1e-5, atol=1e-5)
    assert np.linalg.eigvalsh((found.rows + found.rows.T) / 2).min() > -1e-3
    np.testing.assert_allclose(
        distances(found.rows), brute_force(models, "w"), rtol=1e-4, atol=1e-3
    )
    shuffled = [members[i] for i in order]
    (again,) = gram_pass(shuffled, {"w": (37,)}, reference=members[reference])
    np.testing.assert_allclose(again.rows, found.rows[np.ix_(order, order)], rtol=1e-5, atol=1e-5)


def test_a_missing_tensor_is_nan_and_leaves_the_others_alone() -> None:
    models = fine_tunes(torch.float32, 3, 1_000)
    members = members_of(models)
    members[1] = Member("lacks it", members[1].reader, {})
    (found,) = gram_pass(members, {"w": (1_000,)}, reference=members[0])
    assert np.isnan(found.rows[1]).all()
    assert np.isnan(found.rows[:, 1]).all()
    assert np.isfinite(found.rows[np.ix_([0, 2], [0, 2])]).all()
    assert found.hashes[1] == ""
    assert np.isnan(found.norm[1])


def test_nan_and_infinity_are_counted_and_stay_with_their_model() -> None:
    models = fine_tunes(torch.float32, 3, 1_000)
    models[2]["w"][:3] = torch.tensor([float("nan"), float("inf"), float("-inf")])
    members = members_of(models)
    (found,) = gram_pass(members, {"w": (1_000,)}, reference=members[0])
    assert found.nonfinite.tolist() == [0, 0, 3]
    assert np.isfinite(found.rows[:2, :2]).all()
    assert not np.isfinite(found.rows[2, 2])
    assert np.isfinite(found.peak).all()


def test_huge_values_overflow_no_moment() -> None:
    models = [{"w": torch.full((64,), 1e30)}, {"w": torch.randn(64)}]
    members = members_of(models)
    (found,) = gram_pass(members, {"w": (64,)}, reference=members[1])
    assert found.nonfinite.tolist() == [0, 0]
    np.testing.assert_allclose(found.norm[0], 8e30, rtol=1e-5)
    np.testing.assert_allclose(found.peak[0], 1e30, rtol=1e-5)


def test_moments_agree_with_scipy() -> None:
    from scipy.stats import kurtosis

    values = torch.randn(20_000, generator=torch.Generator().manual_seed(1)) ** 3
    models = [{"w": values}, {"w": values + 1}]
    members = members_of(models)
    (found,) = gram_pass(members, {"w": (20_000,)}, reference=members[0])
    for k, model in enumerate(models):
        x = model["w"].double().numpy()
        np.testing.assert_allclose(found.kurtosis[k], kurtosis(x), rtol=1e-3)
        np.testing.assert_allclose(found.peak[k], np.abs(x).max(), rtol=1e-6)


def test_equal_tensors_are_equal_by_hash_and_nearly_equal_ones_are_not() -> None:
    one = torch.randn(5_000)
    near = one.clone()
    near[4_999] = torch.nextafter(near[4_999], torch.tensor(9.0))
    models = [{"w": one}, {"w": one.clone()}, {"w": near}, {"w": torch.zeros(5_000)}]
    models.append({"w": torch.zeros(5_000, dtype=torch.float16)})
    members = members_of(models)
    (found,) = gram_pass(members, {"w": (5_000,)}, reference=members[0])
    assert found.hashes[0] == found.hashes[1]
    assert len(set(found.hashes)) == 4  # zeros of two dtypes are two contents


@pytest.mark.parametrize("others", [2, 9])
def test_models_of_equal_values_have_equal_products(others: int) -> None:
    base = torch.randn(40_000).bfloat16()
    child = (base.float() + 1e-2 * torch.randn(40_000)).bfloat16()
    models = [{"w": base}, {"w": child}, {"w": child.float()}]
    models += [{"w": base.float() + 1e-2 * torch.randn(40_000)} for _ in range(others)]
    members = members_of(models)
    (found,) = gram_pass(members, {"w": (40_000,)}, reference=members[0])
    assert distances(found.rows)[1, 2] == 0.0
    np.testing.assert_array_equal(found.rows[1], found.rows[2])


def test_hashes_do_not_depend_on_the_blocks() -> None:
    base = torch.randn(300_000)
    root = Member("root", Tensors({"w": base, "b": base}), {"w": "w", "b": "b"})
    adapter = Member("adapter", Tensors({"x": base * 1e-3}), {"w": "x"}, onto=root)
    shapes = {"w": (300_000,), "b": (300_000,)}
    hashes = set()
    for memory in (1 << 20, 8 << 20, 2 << 30):
        passed = gram_pass([root, adapter], shapes, reference=root, memory=memory, threads=1)
        hashes |= {(it.tensor, it.hashes) for it in passed}
    assert len(hashes) == 2


def test_unchanged_elements_are_counted() -> None:
    base = torch.randn(1_000)
    child = base.clone()
    child[:250] += 1
    members = members_of([{"w": base}, {"w": child}])
    (found,) = gram_pass(members, {"w": (1_000,)}, reference=members[0])
    assert found.unchanged.tolist() == [1.0, 0.75]


def test_an_adapter_on_the_reference_keeps_its_product_exactly() -> None:
    base = torch.randn(64, 48) * 100
    product = torch.randn(64, 48) * 1e-4  # base + product would round most of it away
    root = Member("root", Tensors({"w": base, "b": torch.randn(9)}), {"w": "w", "b": "b"})
    adapter = Member("adapter", Tensors({"x": product}), {"w": "x"}, onto=root)
    shapes = {"w": (64, 48), "b": (9,)}
    found = {p.tensor: p for p in gram_pass([root, adapter], shapes, reference=root)}
    true = float((product.double() ** 2).sum())
    np.testing.assert_allclose(found["w"].rows[1, 1], true, rtol=1e-5)
    assert found["b"].rows[1, 1] == 0.0
    assert found["b"].hashes[0] == found["b"].hashes[1]
    assert found["w"].hashes[0] != found["w"].hashes[1]


def test_adapters_without_a_base_are_their_products() -> None:
    one, other = torch.randn(8, 6), torch.randn(8, 6)
    members = members_of([{"w": one}, {"w": other}])
    (found,) = gram_pass(members, {"w": (8, 6)}, reference=None)
    np.testing.assert_allclose(found.rows[0, 1], float((one * other).sum()), rtol=1e-5)


def test_a_readers_error_ends_the_pass() -> None:
    class Broken(Tensors):
        def flat(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
            raise OSError("the disk is gone")

    members = [Member("bad", Broken({}), {"w": "w"})]
    with pytest.raises(OSError, match="the disk is gone"):
        list(gram_pass(members, {"w": (5,)}, reference=None))


def test_blocks_shrink_with_the_memory_and_refuse_when_too_small() -> None:
    assert block_length(16, 2 << 30) > block_length(16, 1 << 20)
    assert block_length(1_000, 2 << 30) * 4 * 1_000 < 2 << 30
    with pytest.raises(BadInput, match="--memory"):
        block_length(1_000, 1 << 20)
