"""Tiny populations whose truth is known by construction: random deltas, nothing is trained."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from weightscape.io import write_checkpoint

Tensors = dict[str, torch.Tensor]
WIDTH = 48
LAYERS = 4


def random_model(
    seed: int, width: int = WIDTH, vocabulary: int = 64, pooler: bool = True
) -> Tensors:
    """Draw a small transformer's tensors: the root of a tree."""
    noise = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=noise) * 0.1

    tensors = {"embeddings.word_embeddings.weight": draw(vocabulary, width)}
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        tensors[f"{layer}.attention.query.weight"] = draw(width, width)
        tensors[f"{layer}.attention.query.bias"] = draw(width)
        tensors[f"{layer}.attention.value.weight"] = draw(width, width)
        tensors[f"{layer}.intermediate.dense.weight"] = draw(2 * width, width)
        tensors[f"{layer}.output.dense.weight"] = draw(width, 2 * width)
        tensors[f"{layer}.LayerNorm.weight"] = 1 + draw(width)
    if pooler:
        tensors["pooler.dense.weight"] = draw(width, width)
    return tensors


def moved(tensors: Tensors, seed: int, size: float, task: int | None = None) -> Tensors:
    """Add a random delta of relative length `size`; deltas of one task have a cosine of 0.4."""
    own = torch.Generator().manual_seed(seed)
    shared = torch.Generator().manual_seed(10_000 + task) if task is not None else None
    result = {}
    for name, tensor in tensors.items():
        delta = torch.randn(tensor.shape, generator=own)
        if shared is not None:
            delta = 0.6**0.5 * delta + 0.4**0.5 * torch.randn(tensor.shape, generator=shared)
        result[name] = tensor + size * 0.1 * delta
    return result


@dataclass
class Population:
    """Models by name, their folder, and who was made from whom."""

    folder: Path
    tensors: dict[str, Tensors] = field(default_factory=dict)
    edges: set[tuple[str, str]] = field(default_factory=set)
    seeds: int = 0

    def root(self, name: str, seed: int = 1, **options: Any) -> Tensors:
        """Write a model that was made from no other."""
        return self.write(name, random_model(seed, **options))

    def child(
        self, name: str, parent: str, *, size: float = 0.05, task: int | None = None
    ) -> Tensors:
        """Write a model fine-tuned from another."""
        self.seeds += 1
        self.edges.add((parent, name))
        return self.write(name, moved(self.tensors[parent], 100 + self.seeds, size, task))

    def write(
        self,
        name: str,
        tensors: Tensors,
        *,
        dtype: torch.dtype | None = None,
        prefix: str = "",
        config: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Tensors:
        """Write a model's folder, in that dtype and with that prefix to every name."""
        self.tensors[name] = tensors
        stored = {
            prefix + key: (value.to(dtype) if dtype else value).clone()
            for key, value in tensors.items()
        }
        settings = {"model_type": "bert"} if config is None else config
        write_checkpoint(self.folder / name, stored, config=settings, overwrite=True, **options)
        return tensors

    def adapter(
        self, name: str, base: str, *, rank: int = 4, seed: int = 7, declared: str | None = None
    ) -> dict[str, torch.Tensor]:
        """Write a LoRA adapter of a model; return its deltas by the base's tensor names."""
        noise = torch.Generator().manual_seed(seed)
        factors, deltas = {}, {}
        targets = [key for key in self.tensors[base] if "attention" in key and "weight" in key]
        for key in targets:
            rows, columns = self.tensors[base][key].shape
            a = torch.randn(rank, columns, generator=noise) * 0.1
            b = torch.randn(rows, rank, generator=noise) * 0.1
            module = f"base_model.model.bert.{key.removesuffix('.weight')}"
            factors[f"{module}.lora_A.weight"], factors[f"{module}.lora_B.weight"] = a, b
            deltas[key] = (b @ a) * (8 / rank)
        folder = self.folder / name
        folder.mkdir(parents=True)
        (folder / "adapter_model.safetensors").write_bytes(save(factors))
        claim = {"peft_type": "LORA", "r": rank, "lora_alpha": 8, "target_modules": ["query"]}
        claim["base_model_name_or_path"] = base if declared is None else declared
        (folder / "adapter_config.json").write_text(json.dumps(claim))
        return deltas

    def distance(self, one: str, other: str) -> float:
        """Tell the L2 distance of two models in float64, over the tensors of equal shape."""
        return distance(self.tensors[one], self.tensors[other])


def distance(one: Tensors, other: Tensors) -> float:
    """Tell the L2 distance of two models by brute force in float64."""
    shared = [key for key in one if key in other and one[key].shape == other[key].shape]
    squares = [(one[key].double() - other[key].double()).square().sum() for key in shared]
    return float(torch.stack(squares).sum().sqrt())


def family_tree(folder: Path) -> Population:
    """Make a root, three children of each of two tasks, and a grandchild."""
    population = Population(folder)
    population.root("base")
    for task in (0, 1):
        for number in (1, 2, 3):
            population.child(f"task{task}-{number}", "base", task=task)
    population.child("task0-1-more", "task0-1", size=0.07)
    return population


def pairs(names: list[str]) -> list[tuple[str, str]]:
    """List all pairs."""
    return list(combinations(names, 2))
