"""Texts written out by a language model, greedily, one batch at a time."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from weightscape.errors import BadInput
from weightscape.tasks.live import LiveModel
from weightscape.tasks.processors import TextProcessor
from weightscape.tasks.task import Example, Task


def write_texts(model: LiveModel, examples: Sequence[Example], task: Task) -> list[str]:
    """Let a model write its most likely answer to each example, up to `target_tokens` long.

    Raises BadInput for a module that cannot write.
    """
    processor, module = model.processor, model.module
    if not isinstance(processor, TextProcessor) or not hasattr(module, "generate"):
        raise BadInput(
            f"{model.name}: {type(module).__name__} cannot write texts, which the metrics "
            f"{', '.join(task.metrics)} of task {task.name!r} need; ask for 'loss' alone"
        )
    prompts = {
        name: part.to(model.device) for name, part in processor.prompts(examples, task).items()
    }
    with torch.inference_mode():
        tokens = module.generate(  # type: ignore[operator]
            **prompts, generation_config=_greedy(module, processor, task)
        )
    if processor.joined:
        tokens = tokens[:, prompts["input_ids"].shape[1] :]
    return processor.texts(tokens)


def _greedy(module: nn.Module, processor: TextProcessor, task: Task) -> Any:
    """Ask for the likeliest token each time, whatever the model's own settings prefer."""
    from transformers import GenerationConfig

    own = getattr(module, "generation_config", None)
    tokenizer = processor.tokenizer
    return GenerationConfig(
        max_new_tokens=task.target_tokens,
        do_sample=False,
        num_beams=1,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=getattr(own, "eos_token_id", None) or tokenizer.eos_token_id,
        bos_token_id=getattr(own, "bos_token_id", None),
        decoder_start_token_id=getattr(own, "decoder_start_token_id", None),
    )
