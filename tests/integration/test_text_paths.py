"""Paths between text models on disk: whole models and adapters, bends as folders, knowledge."""

import dataclasses

import numpy as np
import pytest
import torch

from weightscape.paths.bends import BendTraining
from weightscape.paths.path import connect
from weightscape.tasks.evaluate import evaluate
from weightscape.tasks.fine_tune import fine_tune
from weightscape.tasks.fine_tuning import FineTuning
from weightscape.tasks.models import load_model
from weightscape.tasks.objective import Scoring
from weightscape.tasks.task import make_task

WORDS = "[PAD] [UNK] [CLS] [SEP] good bad fine poor film book a the was very not".split()
TRAINING = BendTraining(lr=3e-3, steps=20, batch=8, validate_every=10)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def reviews():
    rows = [
        (f"{a} {b} was {'very ' * very}{word}", "pos" if word in ("good", "fine") else "neg")
        for a in ("a", "the")
        for b in ("film", "book")
        for very in range(4)
        for word in ("good", "bad", "fine", "poor")
    ]
    return make_task("reviews", "sentiment", {"train": rows[:40], "test": rows[40:]}, max_tokens=9)


@pytest.fixture(scope="module")
def models(tmp_path_factory, reviews):
    """A random base, and two models of each method fine-tuned from it."""
    from tokenizers import Tokenizer, pre_tokenizers, processors
    from tokenizers.models import WordLevel
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("texts")
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder / "base")
    words = Tokenizer(WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]"
    ).save_pretrained(folder / "base")
    for method in ("full", "lora", "adapter"):
        for seed in (1, 2):
            how = FineTuning(
                method=method,
                lr=1e-2,
                steps=60,
                batch=8,
                rank=2,
                bottleneck=4,
                init_seed=seed,
                data_seed=seed,
                record_dynamics=10,
            )
            fine_tune(folder / "base", reviews, folder / f"{method}-{seed}", how)
    return folder


@pytest.mark.parametrize("method", ["full", "lora", "adapter"])
def test_a_bend_of_texts_is_a_folder_like_its_ends(models, reviews, method, tmp_path):
    ends = [models / f"{method}-{seed}" for seed in (1, 2)]
    how = {"curve": "bezier", "points": 5, "device": "cpu", "scoring": Scoring(limit=None)}
    how["allow_chance"] = True  # small adapters learn little on a base that knows nothing
    found = connect(*ends, reviews, training=TRAINING, folder=tmp_path, **how)
    assert found.head == "own"
    assert found.space == ("product" if method == "full" else "factor")
    alone = [evaluate(load_model(end, reviews, device="cpu"), reviews).loss for end in ends]
    assert [found.points[0].loss, found.points[-1].loss] == pytest.approx(alone, abs=1e-6)
    (bend,) = found.training.folders
    assert load_model(bend, reviews, device="cpu").labels == reviews.labels
    again = connect(*ends, reviews, bends=[bend], **how)
    assert [p.loss for p in again.points] == pytest.approx([p.loss for p in found.points], abs=1e-6)
    assert again.training is None


def test_what_is_forgotten_is_set_beside_how_it_was_learned(models, reviews):
    ends = [models / f"full-{seed}" for seed in (1, 2)]
    found = connect(*ends, reviews, points=5, base=models / "base", device="cpu")
    series = found.series[0]
    assert series.forgetting.dynamics.endswith("full-1")
    told = [traits.examples for traits in series.forgetting.forgotten]
    assert told == [len(rows) for rows in series.train.forgotten]
    assert series.forgetting.rest.examples > 0
    assert 0 < series.forgetting.rest.confidence <= 1
    assert found.ends.delta_cosine is not None and found.ends.base == "base"
    assert np.isfinite(found.ends.delta_cosine)


def test_a_task_of_other_labels_is_followed_by_probes(models, reviews):
    relabelled = dataclasses.replace(reviews, name="other", labels=("no", "yes"))
    ends = [models / f"full-{seed}" for seed in (1, 2)]
    found = connect(*ends, relabelled, points=3, curve="chain", training=TRAINING, device="cpu")
    assert found.head == "probe"
    assert found.points[1].train_metrics["accuracy"] > 0.7
