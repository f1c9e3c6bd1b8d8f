from dataclasses import replace

import numpy as np
import pytest
import torch

from weightscape.errors import BadInput
from weightscape.probing.layer_set import LayerSet, select
from weightscape.probing.settings import ProbeTraining
from weightscape.probing.stacks import DenseStack
from weightscape.probing.training import train_expert


def fresh(planted, first):
    """Part the models into those that are trained on and those that are only asked about."""
    names = planted.set.names
    return select(planted.set, names[:first]), select(planted.set, names[first:])


def accuracy(expert, models, labels):
    members = np.array([[label in own for label in expert.labels] for own in labels])
    return float(((expert.label_scores(models.stack) >= 0.5) == members).mean())


def test_combinations_of_classes_never_seen_are_told(planted, small):
    train, test = fresh(planted, 120)
    expert = train_expert(train, planted.labels[:120], how=small)
    assert accuracy(expert, test, planted.labels[120:]) > 0.9


def test_models_of_no_common_base_tell_nothing(small, plant):
    strangers = plant(one_base=False)
    train, test = fresh(strangers, 120)
    expert = train_expert(train, strangers.labels[:120], how=small)
    assert accuracy(expert, test, strangers.labels[120:]) < 0.6


def test_classes_never_seen_are_found_by_their_texts(small, plant):
    planted = plant(models=240, classes=24, size=4, share=0.1)
    new = frozenset(planted.classes[18:])
    untouched = [n for n, own in enumerate(planted.labels) if not own & new]
    others = [n for n, own in enumerate(planted.labels) if own & new]
    train = select(planted.set, [planted.set.names[n] for n in untouched])
    expert = train_expert(
        train, [planted.labels[n] for n in untouched], planted.vectors, encoder="words", how=small
    )
    assert not new & set(expert.labels)
    texts = torch.stack([planted.vectors[label] for label in sorted(new)])
    scores = expert.text_scores(planted.set.stack.take(torch.tensor(others)), texts)
    members = np.array([[it in planted.labels[n] for it in sorted(new)] for n in others])
    better = [
        (scores[members[:, c], c][:, None] > scores[~members[:, c], c]).mean()
        for c in range(len(new))
    ]
    assert np.mean(better) > 0.75


def test_one_class_a_model_is_learned_by_cross_entropy_and_by_contrast(small):
    generator = torch.Generator().manual_seed(0)
    meaning = torch.randn(6, 20, 24, generator=generator)
    vectors = {f"class {n}": it for n, it in enumerate(torch.eye(6))}
    owners = [n % 6 for n in range(90)]
    noise = torch.randn(90, 20, 24, generator=generator)
    stack = DenseStack(meaning[torch.tensor(owners)] + noise)
    models = LayerSet("w", tuple(f"model {n:02}" for n in range(90)), stack, {})
    labels = [frozenset({f"class {n}"}) for n in owners]
    for loss in ("auto", "contrastive"):
        how = replace(small, text_loss=loss, epochs=30)
        expert = train_expert(models, labels, vectors, encoder="one-hot", how=how)
        assert expert.metrics["text_top1"] > 0.9


def test_the_order_of_the_models_changes_nothing(planted, small):
    how = replace(small, epochs=4)
    names = planted.set.names
    one = train_expert(planted.set, planted.labels, how=how)
    turned = select(planted.set, reversed(names))
    two = train_expert(turned, list(reversed(planted.labels)), how=how)
    assert two.known.names == names
    assert np.array_equal(one.known.vectors, two.known.vectors)


def test_a_training_that_was_killed_goes_on_as_if_it_had_not_been(
    planted, small, tmp_path, monkeypatch
):
    how = replace(small, epochs=12)
    whole = train_expert(planted.set, planted.labels, how=how)
    monkeypatch.setattr("weightscape.probing.fitting._SAVE_SECONDS", 0.0)

    class Killed(Exception):
        pass

    from weightscape.probing import fitting

    looked = fitting._look

    def dies(state, valid, texts, fitted):
        if fitted.epoch == 8:
            raise Killed
        looked(state, valid, texts, fitted)

    monkeypatch.setattr(fitting, "_look", dies)
    with pytest.raises(Killed):
        train_expert(planted.set, planted.labels, how=how, folder=tmp_path)
    trained = []
    monkeypatch.setattr(fitting, "_look", looked)
    epoch = fitting._epoch
    monkeypatch.setattr(fitting, "_epoch", lambda *given: (trained.append(1), epoch(*given)))
    again = train_expert(planted.set, planted.labels, how=how, folder=tmp_path)
    assert len(trained) == 8
    assert np.array_equal(again.known.vectors, whole.known.vectors)
    trained.clear()
    train_expert(planted.set, planted.labels, how=replace(how, seed=1), folder=tmp_path)
    assert len(trained) == 12, "a state of other settings was gone on from"


def test_a_damaged_state_is_only_lost_work(planted, small, tmp_path):
    how = replace(small, epochs=4)
    train_expert(planted.set, planted.labels, how=how, folder=tmp_path)
    state = tmp_path / "training.safetensors"
    state.write_bytes(state.read_bytes()[:-4])
    expert = train_expert(planted.set, planted.labels, how=how, folder=tmp_path)
    assert expert.metrics["epochs"] == 4


def test_training_stops_when_validation_models_are_told_no_better(planted, small):
    how = replace(small, epochs=500, patience=20)
    expert = train_expert(planted.set, planted.labels, how=how)
    assert expert.metrics["epochs"] < 400
    assert expert.metrics["epochs"] - expert.metrics["best_epoch"] <= 24


def test_several_layers_are_read_with_attention(planted, small):
    noise = torch.randn(160, 10, 12, generator=torch.Generator().manual_seed(1))
    other = LayerSet("noise.weight", planted.set.names, DenseStack(noise), {})
    train = [select(it, it.names[:120]) for it in (planted.set, other)]
    expert = train_expert(train, planted.labels[:120], how=small)
    stacks = [it.stack.take(torch.arange(120, 160)) for it in (planted.set, other)]
    members = np.array([[c in own for c in expert.labels] for own in planted.labels[120:]])
    assert ((expert.label_scores(stacks) >= 0.5) == members).mean() > 0.8
    assert expert.layers == ("layer.weight", "noise.weight")


@pytest.mark.parametrize(
    "labels, problem",
    [
        ([frozenset()] * 160, "no model has a label"),
        ([frozenset({"a"})] * 160, "the same labels"),
        ([frozenset({"a"})] * 2, "2 sets of labels were given for 160"),
    ],
)
def test_labels_that_teach_nothing_are_refused(planted, small, labels, problem):
    with pytest.raises(BadInput, match=problem):
        train_expert(planted.set, labels, how=small)


def test_too_few_models_and_settings_without_sense_are_refused(planted, small):
    few = select(planted.set, planted.set.names[:5])
    with pytest.raises(BadInput, match="5 models are too few"):
        train_expert(few, planted.labels[:5], how=small)
    with pytest.raises(BadInput, match="between 0 and 1"):
        train_expert(planted.set, planted.labels, validation=1.5, how=small)
    with pytest.raises(BadInput, match="held out"):
        train_expert(planted.set, planted.labels, validation=[False] * 160, how=small)
    with pytest.raises(BadInput, match="identity of their encoder"):
        train_expert(planted.set, planted.labels, planted.vectors, how=small)
    with pytest.raises(BadInput, match="probes must be 1 or more"):
        ProbeTraining(probes=0)
