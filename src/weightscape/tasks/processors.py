"""What turns examples into a module's inputs: texts, images and arrays."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weightscape.errors import BadInput, MissingExtra
from weightscape.tasks.live import Encoded
from weightscape.tasks.task import Example, Task

NOT_WRITTEN = -100  # the target of tokens that are not to be written, as in transformers

Numbers = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One example in tokens: its inputs [t] by name, and its target, a number or tokens."""

    inputs: Mapping[str, Numbers]
    target: float | int | Numbers

    def __len__(self) -> int:
        """Count the tokens that are read."""
        return len(self.inputs["input_ids"])


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
        return self.pad(self.encode(examples, task))

    def encode(self, examples: Sequence[Example], task: Task) -> list[TokenRow]:
        """Tokenise examples, each as if it were alone."""
        if self.joined and task.kind == "causal":
            return self._prompts_and_targets(examples, task)
        inputs = self._tokenise(examples, min(task.max_tokens, self.longest))
        targets: Sequence[Any] = (
            self._written(examples, task)
            if task.kind == "seq2seq"
            else _targets(examples, task).tolist()
        )
        return [
            TokenRow({name: _numbers(rows[i]) for name, rows in inputs.items()}, target)
            for i, target in enumerate(targets)
        ]

    def pad(self, rows: Sequence[TokenRow]) -> Encoded:
        """Make one batch of tokenised examples, padded on the right."""
        first = rows[0]
        inputs = {
            name: _padded([row.inputs[name] for row in rows], self._filling(name))
            for name in first.inputs
        }
        targets = [row.target for row in rows]
        if isinstance(first.target, np.ndarray):
            return Encoded(inputs, _padded(targets, NOT_WRITTEN))
        return Encoded(inputs, torch.tensor(targets))

    def lengths(self, examples: Sequence[Example], task: Task) -> list[int]:
        """Count the tokens that are read."""
        return [len(row) for row in self.encode(examples, task)]

    def prompts(self, examples: Sequence[Example], task: Task) -> dict[str, Tensor]:
        """Tokenise what a model is to write after: padded on the side where it does not write."""
        most = task.max_tokens
        if self.joined:
            most = min(most, max(1, self.longest - task.target_tokens))
        inputs = self._tokenise(examples, min(most, self.longest))
        return {
            name: _padded([_numbers(row) for row in rows], self._filling(name), left=self.joined)
            for name, rows in inputs.items()
        }

    def texts(self, tokens: Tensor) -> list[str]:
        """Turn tokens that a model wrote into texts."""
        written = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [text.strip() for text in written]

    def _tokenise(self, examples: Sequence[Example], most: int) -> dict[str, list[list[int]]]:
        first, second = _texts(examples)
        return dict(self.tokenizer(first, second, truncation=True, max_length=most))

    def _filling(self, name: str) -> int:
        known = {
            "input_ids": self.tokenizer.pad_token_id,
            "token_type_ids": self.tokenizer.pad_token_type_id,
        }
        return int(known.get(name, 0))

    def _written(self, examples: Sequence[Example], task: Task) -> list[Numbers]:
        texts = [str(example.target) for example in examples]
        most = task.target_tokens
        targets = self.tokenizer(text_target=texts, truncation=True, max_length=most)["input_ids"]
        return [_numbers(self._ended(tokens)[:most]) for tokens in targets]

    def _ended(self, tokens: list[int]) -> list[int]:
        """Put the token that ends a text behind one whose tokenizer does not; it learns it so.

        Where a tokenizer names no such token, what it puts there itself is the end.
        """
        end = self.tokenizer.eos_token_id
        return tokens if end is None or tokens[-1:] == [end] else [*tokens, end]

    def _prompts_and_targets(self, examples: Sequence[Example], task: Task) -> list[TokenRow]:
        """Join each prompt with its target; only the target's tokens are to be written."""
        end = [] if self.tokenizer.eos_token_id is None else [self.tokenizer.eos_token_id]
        texts = [str(example.target) for example in examples]
        targets = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
        room = min(task.target_tokens, self.longest - 1)
        targets = [(tokens + end)[:room] for tokens in targets]
        prompts: dict[int, list[int]] = {}
        # what a target leaves of the model's positions is its own prompt's, not its neighbours'
        rooms = [max(1, min(task.max_tokens, self.longest - len(it))) for it in targets]
        for most in set(rooms):
            at = [i for i, own in enumerate(rooms) if own == most]
            tokens = self._tokenise([examples[i] for i in at], most)["input_ids"]
            prompts |= dict(zip(at, tokens, strict=True))
        return [_joined(prompts[i], target) for i, target in enumerate(targets)]


def _joined(prompt: list[int], target: list[int]) -> TokenRow:
    tokens = _numbers(prompt + target)
    inputs = {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}
    return TokenRow(inputs, _numbers([NOT_WRITTEN] * len(prompt) + target))


def _numbers(tokens: Sequence[int]) -> Numbers:
    return np.asarray(tokens, dtype=np.int32)


def _padded(rows: Sequence[Any], filling: int, *, left: bool = False) -> Tensor:
    out = np.full((len(rows), max(map(len, rows))), filling, dtype=np.int64)
    for i, row in enumerate(rows):
        out[i, slice(out.shape[1] - len(row), None) if left else slice(len(row))] = row
    return torch.from_numpy(out)


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


def _targets(examples: Sequence[Example], task: Task) -> Tensor:
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
        raise MissingExtra("tasks", "pillow") from error
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
