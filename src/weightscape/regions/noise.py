"""Points beside a group: noise around its base, or random directions from its centroid."""

from collections.abc import Iterator
from math import sqrt
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from weightscape.geometry.combination import combine
from weightscape.regions.groups import Group
from weightscape.tasks.spanning import SpannedModels

NoiseName = Literal["noise", "directions"]
WORDS = {"noise": "noise around the base", "directions": "directions from the centroid"}


def noisy_models(
    group: Group, kind: NoiseName, count: int, seed: int
) -> Iterator[tuple[SpannedModels, str, float]]:
    """Give models that were not trained, as far out as the members, one after the other.

    "noise": the base plus Gaussian noise as long as the members' differences from the base are on
    average (Gueta et al. 2023 for their most general region); "directions": the same around the
    centroid of the members. Each tensor has that share of the noise's squared norm that it has of
    the differences', so tensors that were not trained stay as they are. Each model comes as the
    last vertex of a span of its own, which shares all other tensors, with its name and its
    distance from the centroid; only one of them is in memory if it is let go of.
    """
    start = group.centroid if kind == "directions" or group.base is None else _base(group)
    norms = _norms(group, start)
    word = "direction" if kind == "directions" else "noise"
    for number in range(count):
        name = f"{word} {number + 1}"
        chance = np.random.SeedSequence([seed, number]).generate_state(1)[0]
        tensors, distance = _noisy(group, start, norms, int(chance))
        yield group.spanned.with_model(name, tensors), name, distance


def _base(group: Group) -> Float64[np.ndarray, " N"]:
    assert group.base is not None
    return group.vertex(group.base)


def _norms(group: Group, start: Float64[np.ndarray, " N"]) -> Float64[np.ndarray, " T"]:
    """Tell how long the noise is in each tensor; the whole is as long as the mean difference."""
    steps = np.eye(len(start))[: group.members] - start
    squares = np.einsum("mi,tij,mj->tm", steps, group.products, steps).clip(min=0.0)
    length = float(np.sqrt(squares.sum(axis=0)).mean())
    shares = squares.sum(axis=1) / squares.sum()
    norms: Float64[np.ndarray, " T"] = length * np.sqrt(shares)
    return norms


def _noisy(
    group: Group,
    start: Float64[np.ndarray, " N"],
    norms: Float64[np.ndarray, " T"],
    chance: int,
) -> tuple[dict[str, Tensor], float]:
    """Make one model of noise, and measure its distance from the centroid."""
    span = group.spanned.span
    generator = torch.Generator().manual_seed(chance)
    terms = [span.held(number) for number in range(span.size + 1)]
    away = (start - group.centroid).tolist()
    made: dict[str, Tensor] = {}
    drawn: dict[int, tuple[Tensor, float]] = {}  # tied tensors have one noise
    squared = 0.0
    norm_of = dict(zip(span.names, norms.tolist(), strict=True))
    for name in sorted(span.names):
        flat = [term[name].view(-1) for term in terms]
        if flat[0].data_ptr() not in drawn:
            noise = torch.randn(flat[0].shape, generator=generator)
            noise *= norm_of[name] / max(float(noise.double().norm()), 1e-30)
            noise = noise.to(flat[0].device)
            tensor = torch.empty_like(flat[0])
            combine(tensor, [*zip(flat, start.tolist(), strict=True), (noise, 1.0)])
            gap = torch.empty(flat[0].shape, dtype=torch.float32, device=noise.device)
            combine(gap, [*zip(flat, away, strict=True), (noise, 1.0)])
            drawn[flat[0].data_ptr()] = tensor, float(gap.double().square().sum())
        tensor, square = drawn[flat[0].data_ptr()]
        made[name] = tensor.view(terms[0][name].shape)
        squared += square
    return made, sqrt(squared)
