"""Pre-train a small masked language model on the packaged texts, and keep it along the way.

Only the training sides of the tasks are read, without their labels, so that no row which a
fine-tuned model is scored on was seen in pre-training either.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from transformers import BertConfig, BertForMaskedLM, BertModel, PreTrainedTokenizerFast

from weightscape.progress import Progress, silent
from weightscape.tasks.text_data import TEXT_SOURCES, load_text_task
from weightscape.tasks.training import Resume, Schedule, batch_order, train

SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
PAD, _, CLS, SEP, MASK = range(len(SPECIAL))


@dataclass(frozen=True, slots=True)
class Pretraining:
    """How the small model is pre-trained. save: the steps at which it is kept; 0 is random."""

    layers: int = 4
    width: int = 128
    heads: int = 4
    words: int = 8000
    tokens: int = 32
    batch: int = 64
    lr: float = 1e-3
    warmup: float = 0.02
    masked: float = 0.15
    seed: int = 0
    save: tuple[int, ...] = (0, 30, 100, 300, 1000, 2000, 4000)


def texts(split: str) -> list[str]:
    """Give every packaged task's texts on one side, each once."""
    return sorted(
        {str(row.inputs) for name in TEXT_SOURCES for row in load_text_task(name).rows(split)}
    )


def pretrain(folder: Path, how: Pretraining, progress: Progress = silent) -> dict[int, Path]:
    """Give a model folder for each step of `how.save`, made where they are not there yet."""
    kept = {step: folder / f"step-{step}" for step in how.save}
    if all((it / "config.json").is_file() for it in kept.values()):
        return kept
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(folder / "tokenizer.json", how)
    pieces = _pieces(tokenizer, texts("train"), how.tokens)
    model, pooler = _fresh(how, tokenizer.get_vocab_size())
    order = batch_order(len(pieces), max(how.save), how.batch, how.seed)

    def loss_at(step: int) -> Tensor:
        generator = torch.Generator().manual_seed(step)
        return masked_loss(model, [pieces[i] for i in order[step]], how.masked, generator)

    def keep(step: int) -> None:
        if step in kept and not kept[step].is_dir():
            _write(model, pooler, tokenizer, kept[step], how)

    keep(0)
    train(
        model,
        loss_at,
        Schedule(steps=max(how.save), lr=how.lr, warmup=how.warmup),
        resume=Resume(folder / "state.pt", json.dumps(asdict(how)), every=100),
        after_step=keep,
        progress=progress,
    )
    return kept


def masked_loss(
    model: Any, pieces: Sequence[Sequence[int]], share: float, generator: torch.Generator
) -> Tensor:
    """Give the cross-entropy of masked tokens; of ten, 8 are hidden, 1 replaced, 1 left (BERT)."""
    device = next(model.parameters()).device
    longest = max(map(len, pieces))
    ids = torch.tensor([[*it, *[PAD] * (longest - len(it))] for it in pieces])
    chosen = (ids >= len(SPECIAL)) & (torch.rand(ids.shape, generator=generator) < share)
    if not chosen.any():
        chosen[0, 1] = True
    how = torch.rand(ids.shape, generator=generator)
    vocabulary = int(model.config.vocab_size)
    drawn = torch.randint(len(SPECIAL), vocabulary, ids.shape, generator=generator)
    shown = ids.where(~(chosen & (how < 0.8)), torch.tensor(MASK))
    shown = shown.where(~(chosen & (how >= 0.9)), drawn)
    hidden = model.bert(shown.to(device), attention_mask=(ids != PAD).to(device))
    # the vocabulary's logits are most of the work: only where something is to be told
    logits = model.cls(hidden.last_hidden_state[chosen.to(device)])
    return nn.functional.cross_entropy(logits, ids[chosen].to(device))


def _tokenizer(file: Path, how: Pretraining) -> Tokenizer:
    if file.is_file():
        return Tokenizer.from_file(str(file))
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=how.words, special_tokens=list(SPECIAL.values()), show_progress=False
    )
    tokenizer.train_from_iterator(texts("train"), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)],
    )
    tokenizer.save(str(file))
    return tokenizer


def _pieces(tokenizer: Tokenizer, from_texts: list[str], tokens: int) -> list[list[int]]:
    """Cut texts into pieces of at most `tokens` tokens; pieces of under four tell nothing."""
    pieces = []
    for encoding in tokenizer.encode_batch(from_texts, add_special_tokens=False):
        for start in range(0, len(encoding.ids), tokens - 2):
            piece = encoding.ids[start : start + tokens - 2]
            if len(piece) >= 4:
                pieces.append([CLS, *piece, SEP])
    return pieces


def _fresh(how: Pretraining, vocabulary: int) -> tuple[Any, dict[str, Tensor]]:
    """Draw the model, and the pooler that masked language models lack and classifiers need."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(how.seed)
        config = BertConfig(
            vocab_size=vocabulary,
            hidden_size=how.width,
            num_hidden_layers=how.layers,
            num_attention_heads=how.heads,
            intermediate_size=4 * how.width,
            max_position_embeddings=64,
            pad_token_id=PAD,
        )
        model: Any = BertForMaskedLM(config)
        pooler = BertModel(config).pooler.state_dict()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.to(device), {f"pooler.{name}": value for name, value in pooler.items()}


def _write(
    model: Any, pooler: dict[str, Tensor], tokenizer: Tokenizer, folder: Path, how: Pretraining
) -> None:
    whole = BertModel(model.config)
    weights = {name: value.cpu() for name, value in model.bert.state_dict().items()}
    whole.load_state_dict({**weights, **pooler})
    half = folder.with_name(f".{folder.name}.half")
    whole.save_pretrained(half)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=how.tokens, **SPECIAL
    ).save_pretrained(half)
    half.rename(folder)
