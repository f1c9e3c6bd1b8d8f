"""Random models of a few thousand weights, as folders that transformers reads."""

import json

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)

WORDS = "[PAD] [UNK] [CLS] [SEP] good bad fine poor film book a the was very not".split()


def save_tokenizer(folder, *, pad="[PAD]", framed=True, end=None):
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    if framed:
        words.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
    special = {"pad_token": pad, "eos_token": end}
    PreTrainedTokenizerFast(
        tokenizer_object=words,
        unk_token="[UNK]",
        **{name: token for name, token in special.items() if token},
    ).save_pretrained(folder)


def drawn(make, config, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make(config)
        with torch.no_grad():  # far from zero, so that what a test compares does differ
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(8)
    return model


def save_bert(folder, *, labels=None, seed=0, tokenizer=True):
    sizes = {
        "vocab_size": len(WORDS),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 32,
    }
    if labels is None:
        drawn(BertModel, BertConfig(**sizes), seed).save_pretrained(folder)
    else:
        names = dict(enumerate(labels))
        numbers = {label: i for i, label in names.items()}
        config = BertConfig(**sizes, id2label=names, label2id=numbers)
        drawn(BertForSequenceClassification, config, seed).save_pretrained(folder)
    if tokenizer:
        save_tokenizer(folder)
    return folder


def save_gpt2(folder, *, seed=0):
    """Write a GPT-2, whose tokenizer knows no padding."""
    config = GPT2Config(
        vocab_size=len(WORDS),
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=32,
        bos_token_id=3,
        eos_token_id=3,
    )
    drawn(GPT2LMHeadModel, config, seed).save_pretrained(folder)
    save_tokenizer(folder, pad=None, framed=False, end="[SEP]")
    return folder


def save_t5(folder, *, seed=0):
    config = T5Config(
        vocab_size=len(WORDS),
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=3,
    )
    drawn(T5ForConditionalGeneration, config, seed).save_pretrained(folder)
    save_tokenizer(folder, framed=False, end="[SEP]")
    return folder


def save_vit(folder, *, labels, settings=True, seed=0):
    config = ViTConfig(
        image_size=8,
        patch_size=4,
        num_channels=3,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )
    drawn(ViTForImageClassification, config, seed).save_pretrained(folder)
    if settings:
        ViTImageProcessor(size={"height": 8, "width": 8}).save_pretrained(folder)
    return folder


def change_config(folder, **values):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
