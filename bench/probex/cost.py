"""What an expert costs: parameters, time to train for 500 models, bytes read of each model.

    python -m bench.probex.cost FOLDER --work WORK

The 500 models are those of both text trees; where there are fewer, the first ones stand there
twice. Time is wall-clock and of the processor, of as many threads as torch is given
(OMP_NUM_THREADS); the rest of the machine's work slows down the former.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench import report
from bench.probex.membership import layer_of
from bench.probex.zoos import Tree, trees_of

from weightscape.io import open_checkpoint
from weightscape.probing.encoders import open_encoder
from weightscape.probing.layer_set import LayerSet
from weightscape.probing.prompts import text_vectors
from weightscape.probing.stacks import DenseStack
from weightscape.probing.training import train_expert

NAME = "probex-cost"
MODELS = 500
INDEX = "model.safetensors.index.json"


def main() -> None:
    """Measure, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("zoo", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    asked = parser.parse_args()
    trees = trees_of(asked.zoo, asked.work)
    texts = [it for name, it in trees.items() if name.startswith("text")]
    layer = layer_of(texts[0])[0]
    result = {
        "layer": layer,
        "threads": torch.get_num_threads(),
        "bytes": bytes_read(texts[0], layer),
        **training(texts, layer),
    }
    report.keep(NAME, result, module="bench.probex.cost")
    print(json.dumps(result, indent=1))


def training(trees: list[Tree], layer: str) -> dict[str, Any]:
    """Train one expert of classes and texts on 500 models."""
    stacks, labels = [], []
    for tree in trees:
        found = tree.read(layer)
        assert isinstance(found.stack, DenseStack)
        stacks.append(found.stack.matrices)
        labels += tree.labels(found.names)
    matrices = torch.cat(stacks)
    order = np.resize(np.arange(len(matrices)), MODELS)
    names = tuple(f"model {place:03d}" for place in range(MODELS))
    whole = LayerSet(layer, names, DenseStack(matrices[torch.from_numpy(order)]), {})
    classes = sorted(frozenset().union(*labels))
    encoder = open_encoder(cache=trees[0].work / "texts")
    vectors = text_vectors(encoder, classes, words=trees[0].words)
    wall, processor = time.perf_counter(), time.process_time()
    expert = train_expert(whole, [labels[it] for it in order], vectors, encoder=encoder.identity)
    return {
        "models": MODELS,
        "different": len(matrices),
        "classes": len(classes),
        "seconds": time.perf_counter() - wall,
        "processor_seconds": time.process_time() - processor,
        "steps": expert.metrics["epochs"],
        "parameters": expert.parameters,
        "linear_parameters": matrices[0].numel() * len(classes) + len(classes),
    }


def bytes_read(tree: Tree, layer: str) -> dict[str, Any]:
    """Tell what is read of a model: index, the header of one shard, the layer; and what it has."""
    read, whole = [], []
    for name in tree.models:
        folder = tree.folder / name
        with open_checkpoint(folder) as checkpoint:
            stored = next(it for it in checkpoint.tensors if it.endswith(layer))
            size = checkpoint.tensors[stored].nbytes
        shards = json.loads((folder / INDEX).read_text())["weight_map"]
        with (folder / shards[stored]).open("rb") as file:
            header = 8 + int.from_bytes(file.read(8), "little")
        read.append((folder / INDEX).stat().st_size + header + size)
        whole.append(sum(it.stat().st_size for it in folder.glob("*.safetensors")))
    return {
        "read": float(np.mean(read)),
        "layer": size,
        "whole": float(np.mean(whole)),
    }


if __name__ == "__main__":
    main()
