from dataclasses import replace

import numpy as np
import pytest
import torch

from weightscape.errors import BadInput
from weightscape.probing import fitting, leave_one_out, preparing, stacks
from weightscape.probing.assembling import assemble
from weightscape.probing.layer_set import LayerSet, select
from weightscape.probing.leave_one_out import RidgeProbes, regress
from weightscape.probing.network import Network, probe_size
from weightscape.probing.normalising import fit_normalising, normalise
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


def test_combinations_of_classes_never_seen_are_told(planted, either):
    train, test = fresh(planted, 120)
    expert = train_expert(train, planted.labels[:120], how=either)
    assert accuracy(expert, test, planted.labels[120:]) > 0.9


def test_models_of_no_common_base_tell_nothing(either, plant):
    strangers = plant(one_base=False)
    train, test = fresh(strangers, 120)
    expert = train_expert(train, strangers.labels[:120], how=either)
    assert accuracy(expert, test, strangers.labels[120:]) < 0.6


def test_classes_never_seen_are_found_by_their_texts(either, plant):
    planted = plant(models=240, classes=24, size=4, share=0.1)
    new = frozenset(planted.classes[18:])
    untouched = [n for n, own in enumerate(planted.labels) if not own & new]
    others = [n for n, own in enumerate(planted.labels) if own & new]
    train = select(planted.set, [planted.set.names[n] for n in untouched])
    expert = train_expert(
        train, [planted.labels[n] for n in untouched], planted.vectors, encoder="words", how=either
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


def test_one_class_a_model_is_learned_by_cross_entropy_and_by_contrast(either):
    generator = torch.Generator().manual_seed(0)
    meaning = torch.randn(6, 20, 24, generator=generator)
    vectors = {f"class {n}": it for n, it in enumerate(torch.eye(6))}
    owners = [n % 6 for n in range(90)]
    noise = torch.randn(90, 20, 24, generator=generator)
    stack = DenseStack(meaning[torch.tensor(owners)] + noise)
    models = LayerSet("w", tuple(f"model {n:02}" for n in range(90)), stack, {})
    labels = [frozenset({f"class {n}"}) for n in owners]
    for loss in ("auto", "contrastive"):
        how = replace(either, text_loss=loss, epochs=30)
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


def test_a_wrong_label_of_a_training_model_is_not_repeated_by_its_vector(planted, small):
    labels, wrong = list(planted.labels), []
    for place in range(0, 60, 3):
        one = planted.classes[place % len(planted.classes)]
        labels[place] = labels[place] ^ {one}
        wrong.append((place, one))
    expert = train_expert(planted.set, labels, how=small)
    told = expert.label_scores_of(expert.known.vectors) >= 0.5
    training = [(place, one) for place, one in wrong if not expert.known.held_out[place]]
    repeated = [
        told[place, expert.labels.index(one)] == (one in labels[place]) for place, one in training
    ]
    assert len(training) > 12 and sum(repeated) < len(training) / 4
    members = np.array([[one in own for one in expert.labels] for own in planted.labels])
    assert (told == members)[~expert.known.held_out].mean() > 0.9
    assert not expert.in_sample


def test_training_by_descent_says_that_its_models_vectors_are_in_sample(planted, descent):
    expert = train_expert(planted.set, planted.labels, how=replace(descent, epochs=4))
    assert expert.in_sample
    whole = expert.embed(planted.set.stack)
    np.testing.assert_allclose(expert.known.vectors, whole, atol=1e-5)


def test_of_too_many_models_some_are_learned_from_and_the_rest_is_held_out(
    planted, small, monkeypatch
):
    monkeypatch.setattr(preparing, "MOST_MODELS", 90)
    expert = train_expert(planted.set, planted.labels, how=replace(small, steps=4))
    assert (~expert.known.held_out).sum() == expert.metrics["training_models"] == 90
    assert expert.known.held_out.sum() == 70
    again = train_expert(planted.set, planted.labels, how=replace(small, steps=4))
    assert np.array_equal(again.known.held_out, expert.known.held_out)
    turned = select(planted.set, reversed(planted.set.names))
    other_way = train_expert(turned, planted.labels[::-1], how=replace(small, steps=4))
    assert np.array_equal(other_way.known.held_out, expert.known.held_out)


class Killed(Exception):
    pass


@pytest.fixture
def interrupted(monkeypatch):
    """Make the looks at the validation models raise from some moment on, and count them."""

    def make(module, moment):
        looked = module._look
        looks = []

        def look(*given):
            epoch = given[-1].epoch
            looks.append(epoch)
            if epoch >= moment[0]:
                raise Killed
            looked(*given)

        monkeypatch.setattr(module, "_look", look)
        monkeypatch.setattr(module, "_SAVE_SECONDS", 0.0)
        return looks

    return make


def test_a_training_that_was_killed_goes_on_as_if_it_had_not_been(
    planted, either, tmp_path, interrupted
):
    how = replace(either, epochs=16, steps=16, step_patience=16)
    whole = train_expert(planted.set, planted.labels, how=how)
    moment = [8]
    looks = interrupted(fitting if how.way == "descent" else leave_one_out, moment)
    with pytest.raises(Killed):
        train_expert(planted.set, planted.labels, how=how, folder=tmp_path)
    looks.clear()
    moment[0] = 99
    again = train_expert(planted.set, planted.labels, how=how, folder=tmp_path)
    assert looks[0] == 8
    assert np.array_equal(again.known.vectors, whole.known.vectors)
    looks.clear()
    other = select(planted.set, planted.set.names[:150])
    train_expert(other, planted.labels[:150], how=how, folder=tmp_path)
    assert looks[0] < 8, "a state of other models was gone on from"


def test_a_damaged_state_is_only_lost_work(planted, either, tmp_path, caplog):
    how = replace(either, epochs=4, steps=4)
    first = train_expert(planted.set, planted.labels, how=how, folder=tmp_path)
    state = tmp_path / "training.safetensors"
    state.write_bytes(state.read_bytes()[:-4])
    again = train_expert(planted.set, planted.labels, how=how, folder=tmp_path)
    assert "damaged" in caplog.text
    assert np.array_equal(again.known.vectors, first.known.vectors)


def test_training_stops_when_validation_models_are_told_no_better(planted, small, descent):
    by_descent = train_expert(
        planted.set, planted.labels, how=replace(descent, epochs=400, patience=20)
    )
    assert by_descent.metrics["epochs"] < 400
    assert by_descent.metrics["epochs"] - by_descent.metrics["best_epoch"] <= 24
    left_out = train_expert(
        planted.set, planted.labels, how=replace(small, steps=400, step_patience=4)
    )
    assert left_out.metrics["epochs"] < 400


def test_predictions_by_the_others_are_those_of_regressions_without_the_model(planted):
    normalised = fit_normalising(planted.set.stack, sized=True)[1]
    members = torch.tensor([[float(c in own) for c in planted.classes] for own in planted.labels])
    probes = RidgeProbes([(20, 24)], relu=True)
    with torch.no_grad():
        whole = regress(probes, [normalised], members)
        for place in (0, 17):
            others = torch.tensor([n for n in range(len(normalised)) if n != place])
            alone = torch.tensor([place])
            features = probes([normalised.take(others)])
            kernel = (features - whole.mean) @ (features - whole.mean).T / whole.size + 10.0
            kernel = kernel.double() + probes.log_penalty.double().exp() * torch.eye(len(others))
            duals = torch.linalg.solve(kernel, members[others].double() - 0.5)
            mine = probes([normalised.take(alone)]) - whole.mean
            inner = mine @ (features - whole.mean).T / whole.size + 10.0
            torch.testing.assert_close(
                whole.left_out[place], (inner.double() @ duals + 0.5)[0].float(),
                atol=1e-3, rtol=1e-3,
            )  # fmt: skip


@pytest.mark.parametrize("relu", [True, False])
def test_left_out_predictions_are_parted_by_layer(planted, relu):
    other = planted.set.stack.matrices[:, :10, :12]
    layers = [fit_normalising(it, sized=True)[1] for it in (planted.set.stack, DenseStack(other))]
    layers = [it.take(torch.arange(60)) for it in layers]
    members = torch.tensor(
        [[float(c in own) for c in planted.classes] for own in planted.labels[:60]]
    )
    probes = RidgeProbes([(20, 24), (10, 12)], relu=relu)
    with torch.no_grad():
        whole = regress(probes, layers, members)
        parts = whole.left_out_by_layer(probes.features)
        torch.testing.assert_close(torch.stack(parts).mean(0), whole.left_out, atol=1e-4, rtol=1e-4)
        # by hand, of one model: the duals of a regression without it, and each layer's products
        place, others = 7, torch.arange(60) != 7
        features = whole.features
        inner = (features @ features.T / whole.size).double() + 10.0
        kernel = inner + probes.log_penalty.double().exp() * torch.eye(60)
        duals = torch.linalg.solve(kernel[others][:, others], members[others].double() - 0.5)
        for part, mine in zip(parts, torch.split(features, probes.features, 1), strict=True):
            alone = (mine[place] @ mine[others].T / whole.size).double()
            wanted = 2 * alone @ duals + 10.0 * duals.sum(0) + 0.5
            torch.testing.assert_close(part[place], wanted.float(), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("relu", [True, False])
def test_a_network_of_several_layers_predicts_what_the_regression_does(planted, small, relu):
    other = DenseStack(planted.set.stack.matrices[:, :10, :12])
    layers = [fit_normalising(it, sized=True)[1] for it in (planted.set.stack, other)]
    how = replace(small, relu=relu)
    members = torch.tensor([[float(c in own) for c in planted.classes] for own in planted.labels])
    probes = RidgeProbes([(20, 24), (10, 12)], relu=relu)
    network = Network([probe_size(it, how) for it in layers], how, labels=8, text_size=0)
    with torch.no_grad():
        solved = regress(probes, layers, members)
        assemble(network, probes, solved, members)
        torch.testing.assert_close(
            network(layers)[:, :8] + members.mean(0),
            solved.predict(probes(layers)),
            atol=2e-3,
            rtol=1e-3,
        )


@pytest.mark.parametrize("relu", [True, False])
def test_the_network_predicts_what_the_regression_does(planted, small, relu):
    how = replace(small, relu=relu)
    normalised = fit_normalising(planted.set.stack, sized=True)[1]
    members = torch.tensor([[float(c in own) for c in planted.classes] for own in planted.labels])
    probes = RidgeProbes([(20, 24)], relu=relu)
    network = Network([probe_size(normalised, how)], how, labels=8, text_size=0)
    with torch.no_grad():
        solved = regress(probes, [normalised], members)
        assemble(network, probes, solved, members)
        predicted = solved.predict(probes([normalised]))
        torch.testing.assert_close(
            network([normalised])[:, :8] + members.mean(0), predicted, atol=2e-3, rtol=1e-3
        )


def test_more_classes_than_a_vector_has_numbers_are_told_all_the_same(planted, small):
    train, test = fresh(planted, 120)
    whole = train_expert(train, planted.labels[:120], how=small)
    narrow = train_expert(train, planted.labels[:120], how=replace(small, width=6))
    assert narrow.known.vectors.shape[1] == 6
    assert accuracy(narrow, test, planted.labels[120:]) > 0.8
    assert accuracy(whole, test, planted.labels[120:]) > 0.9


def test_several_layers_are_read_with_attention(planted, either):
    noise = torch.randn(160, 10, 12, generator=torch.Generator().manual_seed(1))
    other = LayerSet("noise.weight", planted.set.names, DenseStack(noise), {})
    train = [select(it, it.names[:120]) for it in (planted.set, other)]
    expert = train_expert(train, planted.labels[:120], how=either)
    unseen = [it.stack.take(torch.arange(120, 160)) for it in (planted.set, other)]
    members = np.array([[c in own for c in expert.labels] for own in planted.labels[120:]])
    assert ((expert.label_scores(unseen) >= 0.5) == members).mean() > 0.8
    assert expert.layers == ("layer.weight", "noise.weight")


def test_layers_of_different_sizes_are_read_of_many_models(planted, small, monkeypatch):
    other = LayerSet(
        "part.weight", planted.set.names, DenseStack(planted.set.stack.matrices[:, :10, :12]), {}
    )
    expert = train_expert([planted.set, other], planted.labels, how=replace(small, steps=2))
    whole = expert.embed([planted.set.stack, other.stack])
    monkeypatch.setattr(stacks, "_BLOCK", 20 * 24 * 7)
    in_blocks = expert.embed([planted.set.stack, other.stack])
    np.testing.assert_allclose(in_blocks, whole, atol=1e-5)


def test_attention_learns_which_layer_tells_what_of_whom(planted, small):
    # half of the models were trained in the one layer, half in the other, which then is noise
    noise = 0.02 * torch.randn(2, 160, 20, 24, generator=torch.Generator().manual_seed(2))
    first = torch.arange(160) % 2 == 0
    matrices = planted.set.stack.matrices
    sets = [
        LayerSet(
            f"{name}.weight",
            planted.set.names,
            DenseStack(torch.where(there[:, None, None], matrices, planted.base + faint)),
            {},
        )
        for name, there, faint in zip(("one", "two"), (first, ~first), noise, strict=True)
    ]
    how = replace(small, sized=False)
    expert = train_expert(sets, planted.labels, how=how)
    layers = expert.network.layers
    assert float(layers.keys.detach().abs().max()) > 0.0
    held = torch.from_numpy(np.flatnonzero(expert.known.held_out))
    np.testing.assert_allclose(
        expert.known.vectors[held], expert.embed([it.stack.take(held) for it in sets]), atol=1e-4
    )
    read = [normalise(it.stack, n) for it, n in zip(sets, expert.normalisings, strict=True)]
    weights = layers.weights(read)[:, 0]
    assert float(weights[first].detach().mean()) > float(weights[~first].detach().mean()) + 0.05


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
