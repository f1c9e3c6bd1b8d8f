"""CLIP's text tower with its projection into the space that it shares with images.

Radford et al. 2021 (2103.00020): the end token's state of the last layer, projected.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from weightscape.errors import BadCheckpoint, BadInput
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
from weightscape.progress import Progress, silent
from weightscape.tasks.claimed_sizes import no_larger_than_stored

IMAGE_TEMPLATES = ("a photo of a {}",)
BATCH = 64


class ClipText:
    """The encoder of a CLIP folder: a whole CLIP, or its text tower with the projection."""

    templates: tuple[str, ...] = IMAGE_TEMPLATES

    def __init__(self, folder: Path, *, opened_by: str | None = None) -> None:
        self._folder = folder
        config = read_json(folder / "config.json")
        kind = config.get("model_type")
        if kind not in ("clip", "clip_text_model"):
            raise BadInput(f"{folder}: is a {kind} model and no CLIP; give it without clip:")
        tower = config.get("text_config") if kind == "clip" else config
        size = config.get("projection_dim")
        size = size if size is not None else dict(tower or {}).get("projection_dim", 512)
        if not isinstance(size, int) or not 1 <= size <= 1 << 20:
            raise BadCheckpoint("does not tell its projection_dim", file=folder / "config.json")
        self.size = size
        self.identity = f"clip-text@{contents_hash(folder, ('projected',))}"
        self.opened_by = opened_by or f"clip:{folder.absolute()}"
        self._loaded: tuple[Any, Any] | None = None

    def encode(self, texts: Sequence[str]) -> TextVectors:
        """Encode each text as if it were alone: [n, size], each row of L2 norm 1."""
        parts = [self._projected(texts[i : i + BATCH]) for i in range(0, len(texts), BATCH)]
        if not parts:
            return np.zeros((0, self.size), dtype=np.float32)
        return normalised(np.concatenate(parts), str(self._folder))

    def _projected(self, texts: Sequence[str]) -> np.ndarray:
        tokenizer, module = self._model()
        most = int(module.config.max_position_embeddings)
        batch = tokenizer(
            list(texts), padding=True, truncation=True, max_length=most, return_tensors="pt"
        )
        with torch.inference_mode():
            told = module(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        projected: np.ndarray = told.text_embeds.float().numpy()
        return projected

    def _model(self) -> tuple[Any, Any]:
        if self._loaded is None:
            folder = self._folder
            with opened_quietly(str(folder)) as transformers, no_larger_than_stored(folder):
                tokenizer = load_tokenizer(transformers, folder)
                config = transformers.AutoConfig.from_pretrained(str(folder), **HERE_ONLY)
                config = getattr(config, "text_config", config)
                # of a whole CLIP, the tower's own settings need not tell it
                config.projection_dim = self.size
                module, info = transformers.CLIPTextModelWithProjection.from_pretrained(
                    str(folder),
                    config=config,
                    dtype=torch.float32,
                    output_loading_info=True,
                    **HERE_ONLY,
                )
                check_whole(folder, info)
            self._loaded = tokenizer, module.eval()
        return self._loaded


def open_clip(where: str, progress: Progress = silent) -> ClipText:
    """Open the text tower of a CLIP folder, or of a hub id (fetched whole, once)."""
    folder = find_folder(where, progress=progress)
    return ClipText(
        folder, opened_by=None if Path(where).expanduser().is_dir() else f"clip:{where}"
    )
