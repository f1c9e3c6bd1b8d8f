"""Sentence models: a transformer whose last layer's tokens are averaged (or the first one taken).

Sentence-BERT, Reimers and Gurevych 2019 (1908.10084), section 3: the mean over the tokens.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from weightscape.errors import BadCheckpoint, UnsupportedFormat
from weightscape.io.json_files import read_json
from weightscape.probing.encoders.encoder import TextVectors, normalised
from weightscape.probing.encoders.model_folder import (
    HERE_ONLY,
    check_whole,
    contents_hash,
    find_folder,
    load_tokenizer,
    opened_quietly,
)
from weightscape.probing.encoders.sentence_layout import SentenceLayout, sentence_layout
from weightscape.progress import Progress, silent
from weightscape.tasks.claimed_sizes import no_larger_than_stored

# a bare word lies elsewhere than a sentence about it; the mean of some lies between what people
# would write
MODEL_TEMPLATES = ("{}", "a model trained on {}", "texts about {}", "this is about {}")
BATCH = 64
_LONGEST = 512


class TransformersText:
    """The encoder of a sentence-transformers folder, or of any BERT-like one.

    Its files are only looked at when it is opened; the model is loaded with the first text.
    """

    templates: tuple[str, ...] = MODEL_TEMPLATES

    def __init__(self, folder: Path, *, opened_by: str | None = None) -> None:
        self._layout = sentence_layout(folder)
        self._name = str(folder)
        config = read_json(self._layout.transformer / "config.json")
        if config.get("is_encoder_decoder"):
            raise UnsupportedFormat(
                f"{folder}: a {config.get('model_type')} model writes texts and has no vector of "
                "one; give an encoder (BERT-like)"
            )
        hash_ = contents_hash(
            self._layout.transformer, (self._layout.pooling, self._layout.longest)
        )
        self.opened_by = opened_by or str(folder.absolute())
        self.identity = f"{self._layout.pooling}-{_word(config.get('model_type'))}@{hash_}"
        self.size = _size(config, self._layout)
        self._loaded: tuple[Any, Any] | None = None

    def encode(self, texts: Sequence[str]) -> TextVectors:
        """Encode each text as if it were alone: [n, size], each row of L2 norm 1."""
        if not texts:
            return np.zeros((0, self.size), dtype=np.float32)
        found = np.empty((len(texts), self.size), dtype=np.float32)
        # texts of like lengths together, so that little is padding
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for some in _batches(order):
            found[some] = self._pooled([texts[i] for i in some])
        return normalised(found, self._name)

    def _pooled(self, texts: Sequence[str]) -> np.ndarray:
        tokenizer, module = self._model()
        most = min(self._layout.longest or _LONGEST, _positions(module), tokenizer.model_max_length)
        batch = tokenizer(
            list(texts), padding=True, truncation=True, max_length=most, return_tensors="pt"
        )
        with torch.inference_mode():
            states = module(**batch).last_hidden_state.float()
        pooled = states[:, 0]
        if self._layout.pooling == "mean":
            mask = batch["attention_mask"].unsqueeze(-1).float()
            pooled = (states * mask).sum(1) / mask.sum(1).clamp_min(1)
        vectors: np.ndarray = pooled.numpy()
        return vectors

    def _model(self) -> tuple[Any, Any]:
        if self._loaded is None:
            folder = self._layout.transformer
            with opened_quietly(self._name) as transformers, no_larger_than_stored(folder):
                tokenizer = load_tokenizer(transformers, folder)
                module, info = transformers.AutoModel.from_pretrained(
                    str(folder), dtype=torch.float32, output_loading_info=True, **HERE_ONLY
                )
                check_whole(folder, info)
            self._loaded = tokenizer, module.eval()
        return self._loaded


def open_text(where: str, progress: Progress = silent) -> TransformersText:
    """Open the text model of a folder, or of a hub id (fetched whole, once)."""
    folder = find_folder(where, progress=progress)
    return TransformersText(folder, opened_by=None if Path(where).expanduser().is_dir() else where)


def _positions(module: Any) -> int:
    count = getattr(module.config, "max_position_embeddings", None)
    if not isinstance(count, int) or count < 3:
        return _LONGEST
    # RoBERTa's positions begin behind its padding token's number
    offset = "roberta" in module.config.model_type or module.config.model_type == "mpnet"
    return count - 2 if offset else count


def _size(config: dict[str, Any], layout: SentenceLayout) -> int:
    for key in ("hidden_size", "dim", "d_model", "n_embd"):
        size = config.get(key)
        if isinstance(size, int) and 1 <= size <= 1 << 20:
            return size
    raise BadCheckpoint("does not tell its hidden_size", file=layout.transformer / "config.json")


def _word(kind: object) -> str:
    return kind if isinstance(kind, str) and kind.isprintable() and len(kind) < 40 else "model"


def _batches(order: Sequence[int]) -> Iterator[list[int]]:
    for start in range(0, len(order), BATCH):
        yield list(order[start : start + BATCH])
