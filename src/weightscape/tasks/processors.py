"""What turns examples into a module's inputs: texts, images and arrays."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from weightscape.errors import BadInput, MissingExtra
from weightscape.tasks.live import Encoded
from weightscape.tasks.task import Example, Task

NOT_WRITTEN = -100  # the target of tokens that are not to be written, as in transformers


class TextProcessor:
    """Tokenises texts, pairs of texts, and texts with the text that is to be written after them.

    longest: tokens that the model has positions for; None where it takes any number.
    joined: whether prompt and target are one text, as causal language models read them.

    Batches are padded on the right whatever the tokenizer prefers: with learned positions, padding
    on the left would move a text with the length of its neighbours. Where a tokenizer has no
    padding token (GPT-2), any will do, for the mask hides it.
    """

    def __init__(self, tokenizer: Any, *, longest: int | None = None, joined: bool = False) -> None:
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
        if joined:
            tokenizer.truncation_side = "left"  # a prompt's end asks the question
        self.tokenizer = tokenizer
        self.joined = joined
        # tokenizers that know no length say 1e30
        self.longest = min(longest or 1 << 30, int(min(tokenizer.model_max_length, 1 << 30)))
        self.identity = _identity(tokenizer, self.longest, joined)

    def __call__(self, examples: Sequence[Example], task: Task) -> Encoded:
        """Tokenise examples; texts that are too long are cut."""
        if self.joined and task.kind == "causal":
            return self._prompts_and_targets(examples, task)
        inputs = self._encode(examples, min(task.max_tokens, self.longest), padding=True)
        if task.kind == "seq2seq":
            return Encoded(inputs, self._targets(examples, task))
        return Encoded(inputs, _targets(examples, task))

    def lengths(self, examples: Sequence[Example], task: Task) -> list[int]:
        """Count the tokens that are read."""
        encoded = self._encode(examples, min(task.max_tokens, self.longest))
        return [len(tokens) for tokens in encoded["input_ids"]]

    def prompts(self, examples: Sequence[Example], task: Task) -> dict[str, Tensor]:
        """Tokenise what a model is to write after: padded on the side where it does not write."""
        most = task.max_tokens
        if self.joined:
            most = min(most, max(1, self.longest - task.target_tokens))
        side = "left" if self.joined else "right"
        return self._encode(examples, min(most, self.longest), padding=True, side=side)

    def texts(self, tokens: Tensor) -> list[str]:
        """Turn tokens that a model wrote into texts."""
        written = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [text.strip() for text in written]

    def _encode(
        self, examples: Sequence[Example], most: int, *, padding: bool = False, side: str = "right"
    ) -> dict[str, Any]:
        first, second = _texts(examples)
        padded = {"padding": True, "padding_side": side, "return_tensors": "pt"} if padding else {}
        return dict(self.tokenizer(first, second, truncation=True, max_length=most, **padded))

    def _targets(self, examples: Sequence[Example], task: Task) -> Tensor:
        targets = self.tokenizer(
            text_target=[str(example.target) for example in examples],
            truncation=True,
            max_length=task.target_tokens,
            padding=True,
            padding_side="right",
            return_tensors="pt",
        )
        hidden = targets["attention_mask"] == 0
        return targets["input_ids"].masked_fill(hidden, NOT_WRITTEN)  # type: ignore[no-any-return]

    def _prompts_and_targets(self, examples: Sequence[Example], task: Task) -> Encoded:
        """Join each prompt with its target; only the target's tokens are to be written."""
        end = [] if self.tokenizer.eos_token_id is None else [self.tokenizer.eos_token_id]
        targets = [
            self.tokenizer(str(example.target), add_special_tokens=False)["input_ids"]
            for example in examples
        ]
        room = min(task.target_tokens, self.longest - 1)
        targets = [(tokens + end)[:room] for tokens in targets]
        most = min(task.max_tokens, self.longest - max(map(len, targets)))
        prompts = self._encode(examples, max(1, most))["input_ids"]
        width = max(len(p) + len(t) for p, t in zip(prompts, targets, strict=True))
        tokens = torch.full((len(examples), width), self.tokenizer.pad_token_id)
        mask = torch.zeros_like(tokens)
        wanted = torch.full_like(tokens, NOT_WRITTEN)
        for i, (prompt, target) in enumerate(zip(prompts, targets, strict=True)):
            ends = len(prompt) + len(target)
            tokens[i, :ends] = torch.tensor(prompt + target)
            mask[i, :ends] = 1
            wanted[i, len(prompt) : ends] = torch.tensor(target)
        return Encoded({"input_ids": tokens, "attention_mask": mask}, wanted)


class ArrayProcessor:
    """Stacks arrays, tensors or lists of numbers as float32, without changing them.

    argument: the name by which a module takes them; a number for a place.
    """

    def __init__(self, argument: str = "0") -> None:
        self.argument = argument
        self.identity = f"arrays:{argument}"

    def __call__(self, examples: Sequence[Example], task: Task) -> Encoded:
        """Stack the examples' arrays, which must have one shape."""
        parts = [_array(example, task) for example in examples]
        for example, part in zip(examples, parts, strict=True):
            if part.shape != parts[0].shape:
                raise BadInput(
                    f"task {task.name!r}: row {example.row} has the shape {list(part.shape)} and "
                    f"row {examples[0].row} {list(parts[0].shape)}; give arrays of one shape"
                )
        return Encoded({self.argument: torch.stack(parts)}, _targets(examples, task))

    def lengths(self, examples: Sequence[Example], task: Task) -> list[int]:
        """Tell that all are of one length."""
        return [0] * len(examples)


class ImageProcessor:
    """Scales and normalises images (paths, arrays, PIL images) as a model's own settings say."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        settings = json.dumps(processor.to_dict(), sort_keys=True, default=str)
        self.identity = f"images:{_digest(settings)}"

    def __call__(self, examples: Sequence[Example], task: Task) -> Encoded:
        """Read and prepare the examples' images."""
        images = [_image(example, task) for example in examples]
        try:
            inputs = dict(self.processor(images, return_tensors="pt"))
        except (ValueError, TypeError) as error:
            reason = str(error).partition("\n")[0]
            raise BadInput(f"task {task.name!r}: its images cannot be prepared: {reason}") from None
        return Encoded(inputs, _targets(examples, task))

    def lengths(self, examples: Sequence[Example], task: Task) -> list[int]:
        """Tell that all are of one length."""
        return [0] * len(examples)


class RecordProcessor:
    """Hands a custom task's records on as they are."""

    identity = "records"

    def __call__(self, examples: Sequence[Example], task: Task) -> Encoded:
        """Give nothing but the examples themselves, which every batch carries."""
        return Encoded({}, None)

    def lengths(self, examples: Sequence[Example], task: Task) -> list[int]:
        """Tell that all are of one length."""
        return [0] * len(examples)


def holds_texts(task: Task) -> bool:
    """Tell whether a task's inputs are texts or pairs of texts; paths of images are strings too."""
    inputs = next(example.inputs for rows in task.splits.values() for example in rows)
    return isinstance(inputs, str) or (
        isinstance(inputs, tuple | list) and bool(inputs) and isinstance(inputs[0], str)
    )


def _targets(examples: Sequence[Example], task: Task) -> Tensor | None:
    if task.kind == "custom":
        return None
    numbers = [example.target for example in examples]
    if task.is_regression:
        return torch.tensor([float(number) for number in numbers])
    return torch.tensor([int(number) for number in numbers])


def _texts(examples: Sequence[Example]) -> tuple[list[str], list[str] | None]:
    if isinstance(examples[0].inputs, str):
        return [str(example.inputs) for example in examples], None
    return [str(e.inputs[0]) for e in examples], [str(e.inputs[1]) for e in examples]


def _array(example: Example, task: Task) -> Tensor:
    try:
        return torch.as_tensor(np.asarray(example.inputs)).to(torch.float32)
    except (TypeError, ValueError, RuntimeError):
        raise BadInput(
            f"task {task.name!r}: row {example.row} is {str(example.inputs)[:40]!r}; this model "
            "takes arrays of numbers"
        ) from None


def _image(example: Example, task: Task) -> Any:
    if not isinstance(example.inputs, str | Path):
        return example.inputs
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise MissingExtra("images", "pillow") from error
    try:
        with Image.open(example.inputs) as image:
            return image.convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise BadInput(f"task {task.name!r}: row {example.row}: no image: {error}") from None


def _identity(tokenizer: Any, longest: int, joined: bool) -> str:
    if getattr(tokenizer, "is_fast", False):
        content = json.loads(tokenizer.backend_tokenizer.to_str())
        # what the last call asked for, not what the tokenizer is
        content.pop("padding", None), content.pop("truncation", None)
    else:
        content = [type(tokenizer).__name__, sorted(tokenizer.get_vocab().items())]
    settings: Mapping[str, Any] = {
        "content": content,
        "special": tokenizer.special_tokens_map,
        "inputs": tokenizer.model_input_names,
        "side": tokenizer.truncation_side,
        "longest": longest,
        "joined": joined,
    }
    return f"text:{_digest(json.dumps(settings, sort_keys=True, default=str))}"


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
