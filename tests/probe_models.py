"""Models whose weights say what they know: a base, and one direction for each class of a model."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from weightscape.probing.settings import ProbeTraining

LAYER = "encoder.layer.1.dense.weight"
CLASSES = ("apple", "bread", "cloud", "drum", "eagle", "field")
OUT, INPUTS, SIZE = 24, 32, 12

SMALL = ProbeTraining(width=24, steps=12, step_patience=12)


class Population:
    """Folders of models in two trees, told apart by where they were drawn.

    Classes are linear in the vectors of `text`, so that one that no model was trained with can be
    read as well.
    """

    def __init__(self, folder: Path, *, seed: int = 0) -> None:
        self.folder = folder
        self.generator = torch.Generator().manual_seed(seed)
        texts = self._draw(len(CLASSES) + 2, SIZE)
        self.text = dict(
            zip(
                (*CLASSES, "glass", "honey"),
                torch.nn.functional.normalize(texts, dim=1),
                strict=True,
            )
        )
        self.meaning = self._draw(SIZE, OUT, INPUTS)
        self.bases = {tree: self._base() for tree in ("first", "second")}
        self.labels: dict[str, list[str]] = {}

    def make(self, tree: str, number: int, *, within: tuple[str, ...] = CLASSES) -> None:
        """Write models `tree-000` and so on, each with a random half of the classes."""
        for place in range(number):
            knows = [it for it in within if torch.rand(1, generator=self.generator) < 0.5]
            self.one(f"{tree}-{place:03}", tree, knows or [within[place % len(within)]])

    def one(self, name: str, tree: str, knows: list[str], *, into: Path | None = None) -> Path:
        """Write one model that knows these classes."""
        tensors = {key: it.clone() for key, it in self.bases[tree].items()}
        delta = sum(torch.einsum("s,soi->oi", self.text[it], self.meaning) for it in knows)
        tensors[LAYER] += 0.02 * (delta + 0.3 * self._draw(OUT, INPUTS))
        target = (into or self.folder) / name
        target.mkdir(parents=True)
        save_file(tensors, target / "model.safetensors")
        (target / "config.json").write_text(json.dumps({"model_type": "planted"}))
        if into is None:
            self.labels[name] = knows
        return target

    def adapter(self, name: str, base: str, knows: str, *, into: Path | None = None) -> Path:
        """Write a LoRA adapter of rank 2 on a model, which knows one class."""
        u, values, v = torch.linalg.svd(torch.einsum("s,soi->oi", self.text[knows], self.meaning))
        stem = f"base_model.model.{LAYER.removesuffix('.weight')}"
        tensors = {
            f"{stem}.lora_A.weight": v[:2] + 0.05 * self._draw(2, INPUTS),
            f"{stem}.lora_B.weight": 0.02 * u[:, :2] * values[:2] + 0.002 * self._draw(OUT, 2),
        }
        target = (into or self.folder) / name
        target.mkdir(parents=True)
        save_file(
            {key: it.contiguous() for key, it in tensors.items()},
            target / "adapter_model.safetensors",
        )
        told = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "base_model_name_or_path": base}
        (target / "adapter_config.json").write_text(json.dumps(told))
        if into is None:
            self.labels[name] = [knows]
        return target

    def write_labels(self, file: Path, names: list[str] | None = None) -> Path:
        """Write the table that `label` reads."""
        kept = {it: own for it, own in self.labels.items() if names is None or it in names}
        lines = [f"{name},{';'.join(own)}" for name, own in kept.items()]
        file.write_text("\n".join(["model,labels", *lines]) + "\n")
        return file

    def write_texts(self, file: Path) -> Path:
        """Write what the encoder `vectors:FILE` looks up."""
        save_file({name: it.clone() for name, it in self.text.items()}, file)
        return file

    def _base(self) -> dict[str, torch.Tensor]:
        return {
            "embeddings.word.weight": self._draw(40, INPUTS),
            "encoder.layer.0.dense.weight": self._draw(OUT, INPUTS),
            LAYER: self._draw(OUT, INPUTS),
            "encoder.layer.1.dense.bias": self._draw(OUT),
        }

    def _draw(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self.generator)
