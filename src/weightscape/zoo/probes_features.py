"""What the last layer of a BERT is given: read once, and trained on by hundreds of models.

The models of a probes zoo differ above the last layer's attention pattern: its queries, its keys
and everything below are frozen, and their classifiers look at the first token only. So a text
comes down to the first token's own vector and, for each head, the mean of the tokens' vectors that
this head attends to. Of these the last layer's values, its feed-forward half and the pooler give
exactly what the whole model gives.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from weightscape.progress import Progress, silent
from weightscape.zoo.probes_classes import FineClass

FEATURES_FILE = "features.safetensors"
BATCH = 64


@dataclass(frozen=True, slots=True)
class Features:
    """Rows of all classes, one class after the other.

    first [n, width]: the first token. mixed [n, heads, width]: what each head's attention gives,
    before the values. sentence [n, width]: the mean of the model's last tokens, of length 1.
    label [n]: number of the class. test [n]: whether the row is held out.
    """

    first: Tensor
    mixed: Tensor
    sentence: Tensor
    label: Tensor
    test: Tensor

    def rows(self, classes: Sequence[int], *, test: bool) -> Tensor:
        """Number the rows of some classes on one side."""
        wanted = torch.isin(self.label, torch.tensor(list(classes)))
        return (wanted & (self.test == test)).nonzero().flatten()


def read_features(
    base: Path,
    classes: Sequence[FineClass],
    file: Path,
    *,
    max_tokens: int,
    progress: Progress = silent,
) -> None:
    """Read every row of the classes through the base and write the features, unless they are there.

    The file appears whole or not at all.
    """
    if file.is_file():
        return
    from safetensors.torch import save_file

    texts, label, test = _flat(classes)
    tensors = features_of(base, texts, max_tokens=max_tokens, progress=progress)
    tensors |= {"label": torch.tensor(label), "test": torch.tensor(test)}
    half = file.with_name(f".{file.name}.{os.getpid()}")
    save_file(tensors, str(half))
    half.replace(file)


@lru_cache(maxsize=1)
def load_features(file: Path) -> Features:
    """Load what `read_features` wrote; once a process."""
    from safetensors.torch import load_file

    return Features(**load_file(str(file)))


def features_of(
    base: Path, texts: Sequence[str], *, max_tokens: int, progress: Progress = silent
) -> dict[str, Tensor]:
    """Give `first`, `mixed` (in half precision) and `sentence` of texts, in their order."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(base))
    model = _encoder(base)
    tokens = [
        tokenizer(text, truncation=True, max_length=max_tokens)["input_ids"] for text in texts
    ]
    # by length, so that hardly any padding is computed
    order = sorted(range(len(texts)), key=lambda row: len(tokens[row]))
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    with progress.stage("reading texts", total=len(texts), unit="texts") as advance:
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            padded = tokenizer.pad(
                {"input_ids": [tokens[row] for row in rows]}, return_tensors="pt"
            )
            with torch.inference_mode():
                parts.append(_read(model, padded["input_ids"], padded["attention_mask"]))
            advance(len(rows))
    back = torch.tensor(order).argsort()
    first, mixed, sentence = (torch.cat(part)[back] for part in zip(*parts, strict=True))
    return {"first": first, "mixed": mixed, "sentence": sentence}


def _encoder(base: Path) -> torch.nn.Module:
    """Load a base without its pooler, which the features do not need, and without a bar."""
    from safetensors.torch import load_file
    from transformers import AutoConfig, BertModel

    with torch.random.fork_rng(devices=[]):
        model = BertModel(AutoConfig.from_pretrained(str(base)), add_pooling_layer=False)
    kept = model.state_dict()
    stored = load_file(str(base / "model.safetensors"))
    model.load_state_dict({name: stored[name].float() for name in kept})
    model.eval()
    return model  # type: ignore[no-any-return]


def _read(model: torch.nn.Module, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    states = model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
    below, above = states[-2], states[-1]
    attention = model.encoder.layer[-1].attention.self  # type: ignore[union-attr, index]
    heads = model.config.num_attention_heads  # type: ignore[union-attr]
    query = attention.query(below[:, 0]).unflatten(-1, (heads, -1))
    key = attention.key(below).unflatten(-1, (heads, -1))
    scores = torch.einsum("nhk,nthk->nht", query, key) / query.shape[-1] ** 0.5
    pattern = scores.masked_fill(mask[:, None] == 0, -torch.inf).softmax(-1)
    mixed = torch.einsum("nht,ntd->nhd", pattern, below)
    weights = mask[..., None].float()
    mean = (above * weights).sum(1) / weights.sum(1)
    return below[:, 0], mixed.half(), torch.nn.functional.normalize(mean, dim=-1)


def _flat(classes: Sequence[FineClass]) -> tuple[list[str], list[int], list[bool]]:
    texts: list[str] = []
    label: list[int] = []
    test: list[bool] = []
    for number, fine in enumerate(classes):
        for side, held_out in ((fine.train, False), (fine.test, True)):
            texts += side
            label += [number] * len(side)
            test += [held_out] * len(side)
    return texts, label, test
