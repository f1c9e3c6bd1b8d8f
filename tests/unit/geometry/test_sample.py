"""Grouping into trees from sampled blocks."""

import numpy as np
import torch

from weightscape.geometry.sample import central, group, kinship, sample, sampled_tensors

SHAPES = {"a": (64, 64), "b": (64, 32), "norm": (64,), "table": (64, 64)}


def model(seed: int, base: dict | None = None, step: float = 0.02) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name, shape in SHAPES.items():
        noise = torch.randn(shape, generator=generator)
        made[name] = noise if base is None else base[name] + step * noise
    made["norm"] = torch.ones(64)
    made["table"] = torch.arange(64 * 64).reshape(64, 64).sin()
    return made


def sampled(*models: dict[str, torch.Tensor]) -> np.ndarray:
    chosen = sampled_tensors(SHAPES)
    return np.stack(
        [
            sample(lambda n, a, b, m=m: m[n].flatten()[a:b] if n in m else None, chosen, SHAPES)
            for m in models
        ]
    )


def test_fine_tunes_of_one_base_are_one_tree_and_strangers_another() -> None:
    one, other = model(0), model(1)
    trees = group(
        sampled(model(2, one), other, model(3, one, 0.5), model(4, other), one),
        np.empty((0, 3, 512), np.float32),
        [],
    )
    assert trees[0] == trees[2] == trees[4]
    assert trees[1] == trees[3] != trees[0]


def test_shared_tables_and_constants_make_no_kin() -> None:
    assert kinship(sampled(model(0)), sampled(model(1)))[0, 0] < 0.2


def test_a_newcomer_joins_the_tree_that_is_there() -> None:
    one, other = model(0), model(1)
    assert group(sampled(model(2, other)), sampled(one, other), [7, 9]) == [9]
    assert group(sampled(model(5)), sampled(one, other), [7, 9]) == [-1]


def test_order_does_not_matter() -> None:
    one = model(0)
    models = [model(seed, one) for seed in range(2, 6)] + [model(1)]
    empty = np.empty((0, 3, 512), np.float32)
    forward = group(sampled(*models), empty, [])
    backward = group(sampled(*models[::-1]), empty, [])[::-1]
    assert len(set(forward)) == len(set(backward)) == 2
    assert [forward[0] == it for it in forward] == [backward[0] == it for it in backward]


def test_a_missing_tensor_does_not_matter() -> None:
    one = model(0)
    child = model(2, one)
    del child["a"]
    assert kinship(sampled(one), sampled(child))[0, 0] > 0.9


def test_the_base_is_central() -> None:
    base = model(0)
    assert central(sampled(*(model(seed, base, 0.5) for seed in (2, 3, 4)), base)) == 3


def test_vectors_are_sampled_only_where_there_is_nothing_else() -> None:
    assert "norm" not in sampled_tensors(SHAPES)
    assert sampled_tensors({"bias": (64,)}) == ("bias",)
    many = {f"layer.{i}.weight": (64, 64) for i in range(200)}
    assert len(sampled_tensors(many)) == 48
