"""The second look: ranks, unchanged elements, rounding."""

from dataclasses import dataclass

import pytest
import torch

from weightscape.geometry.gram import Member
from weightscape.geometry.look import HIDDEN, RANK_CAP, look_at


@dataclass
class Tensors:
    data: dict[str, torch.Tensor]

    def flat(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        return self.data[name].flatten()[start:stop]

    def release(self, name: str, start: int = 0, stop: int | None = None) -> None: ...


def member(values: torch.Tensor) -> Member:
    return Member("m", Tensors({"w": values}), {"w": "w"})


def randn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(200, 120), (120, 200), (64, 48)])
@pytest.mark.parametrize("rank", [2, 8])
def test_a_merged_low_rank_update_shows_its_rank(
    dtype: torch.dtype, shape: tuple[int, int], rank: int
) -> None:
    base = (randn(*shape, seed=0) * 0.05).to(dtype)
    update = randn(shape[0], rank, seed=1) @ randn(rank, shape[1], seed=2) * 5e-3 / rank**0.5
    seen = look_at(member(base), member((base.float() + update).to(dtype)), {"w": shape})
    assert seen.rank == {"w": rank}


def test_full_fine_tuning_is_above_the_cap() -> None:
    base = randn(300, 200, seed=0)
    seen = look_at(member(base), member(base + 1e-3 * randn(300, 200, seed=1)), {"w": (300, 200)})
    assert seen.rank == {"w": RANK_CAP + 1}
    assert seen.unchanged["w"] < 0.01


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [1e-4, 1e-3, 3e-3, 1e-2])
@pytest.mark.parametrize("rank_of_trend", [0, 4])
def test_a_small_full_update_in_few_bits_shows_no_low_rank(
    dtype: torch.dtype, size: float, rank_of_trend: int
) -> None:
    base = (randn(256, 128, seed=0) * 0.05).to(dtype)
    update = randn(256, 128, seed=1)
    if rank_of_trend:
        trend = randn(256, rank_of_trend, seed=2) @ randn(rank_of_trend, 128, seed=3)
        update += 0.5 * trend
    child = (base.float() + 0.05 * size * update).to(dtype)
    seen = look_at(member(base), member(child), {"w": (256, 128)})
    assert seen.rank["w"] in (0, HIDDEN, RANK_CAP + 1)


def test_a_cast_is_its_parent_rounded() -> None:
    base = randn(80, 80, seed=0)
    seen = look_at(member(base), member(base.to(torch.bfloat16)), {"w": (80, 80)})
    assert seen.rounded == {"w": 1.0}
    assert seen.rank == {"w": HIDDEN}
    back = look_at(member(base.to(torch.bfloat16)), member(base), {"w": (80, 80)})
    assert back.rounded["w"] < 0.1


def test_equal_models_are_unchanged_with_rank_zero() -> None:
    base = randn(70, 70, seed=0)
    seen = look_at(member(base), member(base.clone()), {"w": (70, 70)})
    assert (seen.rank, seen.unchanged) == ({"w": 0}, {"w": 1.0})


def test_pruned_elements_are_counted() -> None:
    base = randn(64, 64, seed=0)
    pruned = torch.where(base.abs() > base.abs().median(), base, 0)
    seen = look_at(member(base), member(pruned), {"w": (64, 64)})
    assert abs(seen.zeros["w"] - 0.5) < 0.01


def test_infinities_do_not_stop_the_look() -> None:
    base = randn(64, 64, seed=0)
    broken = base.clone()
    broken[0, 0] = float("inf")
    assert look_at(member(base), member(broken), {"w": (64, 64)}).rank == {"w": RANK_CAP + 1}


def test_an_adapter_is_looked_at_on_its_base() -> None:
    base = member(randn(90, 64, seed=0))
    product = randn(90, 3, seed=1) @ randn(3, 64, seed=2) * 1e-2
    adapter = Member("a", Tensors({"p": product}), {"w": "p"}, onto=base)
    assert look_at(base, adapter, {"w": (90, 64)}).rank == {"w": 3}


def test_only_the_rows_needed_are_read() -> None:
    base = torch.zeros(5_000, 8)
    seen = look_at(member(base), member(base + 1), {"w": (5_000, 8)})
    assert seen.bytes_read == 2 * 1024 * 8 * 4
