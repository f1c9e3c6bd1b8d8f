import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from weightscape.blending.fisher_diagonals import fisher_diagonals
from weightscape.blending.input_grams import InputGrams, input_grams
from weightscape.blending.regmean import merge_layers, regmean
from weightscape.errors import BadInput, MismatchedModels
from weightscape.tasks.live import Encoded, LiveModel
from weightscape.tasks.task import Example, Task


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gram(x):
    return x.T @ x / len(x)


def test_what_goes_into_layers_is_multiplied_up(live, vector_task):
    module = nn.Sequential(nn.Linear(3, 5), nn.ReLU(inplace=True), nn.Linear(5, 2))
    x = drawn(9, 3).float()
    found = input_grams(live(module), vector_task(x.numpy()), batch=4)
    assert found.inputs == {"0.weight": 9, "2.weight": 9} and not found.transposed
    assert torch.allclose(found.grams["0.weight"], gram(x), atol=1e-6)
    hidden = module[0](x).relu().detach()
    assert torch.allclose(found.grams["2.weight"], gram(hidden), atol=1e-6)


def test_padding_does_not_count_and_one_input_is_multiplied_once(small_bert, reviews):
    model = small_bert()
    found = input_grams(model, reviews, batch=6)
    alone = input_grams(model, reviews, batch=1)
    names = {name.removesuffix(".weight"): gram for name, gram in found.grams.items()}
    attention = [names[f"bert.encoder.layer.0.attention.self.{it}"] for it in ("query", "key")]
    assert attention[0] is attention[1]
    tokens = sum(len(example.inputs.split()) + 2 for example in reviews.rows("train"))
    assert found.inputs["bert.encoder.layer.0.attention.self.key.weight"] == tokens
    assert found.inputs["classifier.weight"] == found.inputs["bert.pooler.dense.weight"] == 14
    for name, one in alone.grams.items():
        assert torch.allclose(found.grams[name], one, atol=1e-5), name


class Branching(nn.Module):
    """One input read by two layers, the first of which is run again on what they made."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)
        self.never = nn.Linear(3, 3)

    def forward(self, x):
        made = self.one(x) + self.two(x)
        made += 1.0  # in place: another input than before
        return self.one(made)[:, :2]


def test_a_layer_that_is_run_twice_has_both_inputs(live, vector_task):
    module, x = Branching(), drawn(6, 3).float()
    found = input_grams(live(module), vector_task(x.numpy()), batch=2)
    made = (module.one(x) + module.two(x) + 1.0).detach()
    assert found.inputs == {"one.weight": 12, "two.weight": 6}
    assert torch.allclose(found.grams["one.weight"], gram(torch.cat([x, made])), atol=1e-5)
    assert torch.allclose(found.grams["two.weight"], gram(x), atol=1e-6)


def test_a_module_without_linear_layers_is_refused(live, vector_task):
    with pytest.raises(BadInput, match="no linear layer was run"):
        input_grams(live(nn.Identity()), vector_task([[1.0, 2.0], [0.0, 1.0]]))
    with pytest.raises(BadInput, match="layer 'weight' is not finite"):
        input_grams(live(nn.Linear(2, 2)), vector_task([[1.0, float("nan")], [0.0, 1.0]]))


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 4), st.integers(0, 99))
def test_the_closed_form_is_that_of_least_squares(count, seed):
    inputs = [drawn(12 + i, 5, seed=seed + i) for i in range(count)]
    layers = [drawn(5, 3, seed=seed + 50 + i) for i in range(count)]
    grams = [x.T @ x for x in inputs]
    found = merge_layers(layers, grams, off_diagonal=1.0, ridge=0.0)
    stacked = torch.cat(inputs)
    answers = torch.cat([x @ w for x, w in zip(inputs, layers, strict=True)])
    assert torch.allclose(found, torch.linalg.lstsq(stacked, answers).solution, atol=1e-8)


def test_inputs_in_orthogonal_directions_keep_every_models_answers():
    basis = torch.linalg.qr(drawn(6, 6)).Q
    inputs = [drawn(20, 3, seed=i) @ basis[3 * i : 3 * i + 3] for i in range(2)]
    layers = [drawn(6, 4, seed=i + 2) for i in range(2)]
    found = merge_layers(layers, [gram(x) for x in inputs], off_diagonal=1.0, ridge=0.0)
    for x, layer in zip(inputs, layers, strict=True):
        assert torch.allclose(x @ found, x @ layer, atol=1e-9)


def test_equal_inputs_and_unseen_directions_give_the_mean():
    layers, seen = [drawn(4, 2, seed=i) for i in range(3)], gram(drawn(9, 4))
    mean = sum(layers) / 3
    assert torch.allclose(merge_layers(layers, [seen] * 3, off_diagonal=0.3), mean, atol=1e-12)
    assert torch.allclose(merge_layers(layers, [torch.zeros(4, 4)] * 3), mean, atol=1e-12)
    assert torch.equal(merge_layers([layers[0]] * 3, [seen, seen * 2, seen]), layers[0])


@pytest.mark.parametrize("ridge", [0.0, 1e-6])
@pytest.mark.parametrize("off_diagonal", [1.0, 0.5])
def test_fewer_inputs_than_their_length_are_no_trouble(ridge, off_diagonal):
    inputs = [drawn(3, 8, seed=i).float() for i in range(2)]
    layers = [drawn(8, 2, seed=i + 2) for i in range(2)]
    found = merge_layers(layers, [gram(x) for x in inputs], off_diagonal=off_diagonal, ridge=ridge)
    assert found.abs().max() < 20
    if off_diagonal == 1.0:  # six directions were seen of eight: both can be had
        for x, layer in zip(inputs, layers, strict=True):
            assert torch.allclose(x.double() @ found, x.double() @ layer, atol=1e-3)


def test_weights_say_how_much_a_model_counts():
    layers, grams = (
        [drawn(4, 2, seed=i) for i in range(2)],
        [gram(drawn(9, 4, seed=i)) for i in (3, 4)],
    )
    assert torch.allclose(merge_layers(layers, grams, weights=[1, 0]), layers[0], atol=1e-9)
    doubled = merge_layers([layers[0], *layers], [grams[0], *grams], ridge=0.0)
    assert torch.allclose(merge_layers(layers, grams, weights=[2, 1], ridge=0.0), doubled)


def test_whole_models_are_merged_tensor_by_tensor(small_bert, reviews):
    models = [small_bert(seed) for seed in range(2)]
    states = [model.module.state_dict() for model in models]
    grams = [input_grams(model, reviews) for model in models]
    merged = dict(regmean(states, grams))
    assert list(merged) == list(states[0])
    query = "bert.encoder.layer.0.attention.self.query"
    wanted = merge_layers(
        [state[f"{query}.weight"].T for state in states],
        [one.grams[f"{query}.weight"] for one in grams],
    )
    assert torch.allclose(merged[f"{query}.weight"], wanted.T.float(), atol=1e-6)
    for name in (f"{query}.bias", "bert.embeddings.word_embeddings.weight"):
        assert torch.allclose(merged[name], (states[0][name] + states[1][name]) / 2, atol=1e-6)
    alike = dict(regmean([states[0]] * 2, grams))
    assert all(torch.equal(alike[name], tensor) for name, tensor in states[0].items())


def test_weights_of_gpt2s_layers_stand_the_other_way_round(live, vector_task):
    from transformers.pytorch_utils import Conv1D

    x, made = drawn(9, 3).float(), []
    for seed in range(2):
        layer = Conv1D(2, 3)
        with torch.no_grad():
            layer.weight.copy_(drawn(3, 2, seed=seed))
        made.append(live(layer))
    grams = [input_grams(model, vector_task(x.numpy() * k)) for k, model in enumerate(made, 1)]
    assert grams[0].transposed == {"weight"}
    merged = dict(regmean([model.module.state_dict() for model in made], grams))
    layers = [model.module.weight for model in made]
    wanted = merge_layers(layers, [one.grams["weight"] for one in grams])
    assert torch.allclose(merged["weight"], wanted.float())


def test_what_does_not_fit_is_refused():
    layers = [{"w": drawn(2, 4, seed=i)} for i in range(2)]
    small = InputGrams({"w": torch.eye(3)}, {"w": 9})
    with pytest.raises(BadInput, match="'w': its layer takes 4 inputs, .* shape \\[3, 3\\]"):
        dict(regmean(layers, [small, small]))
    with pytest.raises(BadInput, match="Gram matrices of each model: 2, not 1"):
        dict(regmean(layers, [small]))
    for wrong in ({"off_diagonal": 1.5}, {"ridge": -1.0}, {"weights": [1]}, {"weights": [0, 0]}):
        with pytest.raises(BadInput, match="off_diagonal|ridge|weight"):
            dict(regmean(layers, [small, small], **wrong))
    with pytest.raises(MismatchedModels, match="'w' has shape"):
        dict(regmean([{"w": drawn(2, 4)}, {"w": drawn(2, 5)}], [small, small]))
    with pytest.raises(MismatchedModels, match="'w' is missing in model 1"):
        dict(regmean([{"w": drawn(2, 4)}, {}], [small, small]))


class Pairs:
    """Turns lists of numbers into what an encoder-decoder reads and writes, padded."""

    identity = "pairs"

    def __call__(self, examples, task):
        read = nn.utils.rnn.pad_sequence([torch.tensor(it.inputs) for it in examples], True)
        written = [torch.tensor(it.target) for it in examples]
        targets = nn.utils.rnn.pad_sequence(written, True, padding_value=-100)
        return Encoded({"input_ids": read, "attention_mask": (read > 0).long()}, targets)

    def lengths(self, examples, task):
        return [len(it.inputs) for it in examples]


def test_a_decoder_counts_what_it_writes_and_reads_what_was_read():
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=12, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2,
        decoder_start_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LiveModel("t5", T5ForConditionalGeneration(config).eval(), Pairs())
    # the longest read and the longest written are of one length: only a mask tells them apart
    rows = [([3, 4, 5, 6], [7]), ([3, 1], [7, 8, 9, 1]), ([9, 1, 2], [4, 1])]
    examples = tuple(Example(x, y, i) for i, (x, y) in enumerate(rows))
    task = Task("pairs", "made", (), {"train": examples}, kind="seq2seq", metrics=("loss",))
    together, alone = input_grams(model, task, batch=3), input_grams(model, task, batch=1)
    assert together.inputs == alone.inputs
    assert together.inputs["encoder.block.0.layer.0.SelfAttention.q.weight"] == 9
    assert together.inputs["decoder.block.0.layer.1.EncDecAttention.k.weight"] == 9
    assert together.inputs["decoder.block.0.layer.1.EncDecAttention.q.weight"] == 7
    for name, one in alone.grams.items():
        assert torch.allclose(together.grams[name], one, rtol=1e-3, atol=1e-5), name
    found = fisher_diagonals(model, task, batch=3)
    assert found.answers == "gold"
    lone = fisher_diagonals(model, task, batch=1).diagonals
    for name, one in found.diagonals.items():
        assert torch.allclose(one, lone[name], rtol=1e-3, atol=1e-9), name
    with pytest.raises(BadInput, match="take 'gold' for task 'pairs' of kind seq2seq"):
        fisher_diagonals(model, task, answers="sampled")
