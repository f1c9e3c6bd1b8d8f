import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from weightscape.errors import BadInput, MismatchedModels, WeightscapeError
from weightscape.io import discover, open_checkpoint
from weightscape.tasks.bottleneck import (
    Bottleneck,
    add_bottlenecks,
    bottleneck_modules,
    load_bottlenecks,
    write_bottlenecks,
)


def bert():
    from transformers import BertConfig, BertModel

    return BertModel(BertConfig(vocab_size=9, **SMALL)).eval()


def roberta():
    from transformers import RobertaConfig, RobertaForSequenceClassification

    config = RobertaConfig(vocab_size=9, max_position_embeddings=20, **SMALL)
    return RobertaForSequenceClassification(config).eval()


def distilbert():
    from transformers import DistilBertConfig, DistilBertModel

    config = DistilBertConfig(vocab_size=9, dim=8, hidden_dim=12, n_layers=2, n_heads=2)
    return DistilBertModel(config).eval()


def vit():
    from transformers import ViTConfig, ViTModel

    return ViTModel(ViTConfig(image_size=8, patch_size=4, num_channels=1, **SMALL)).eval()


def torch_encoder():
    layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()


def digits():
    from weightscape.zoo.digits_model import DigitsViT

    return DigitsViT(3).eval()


SMALL = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
}
TOKENS = torch.tensor([[1, 2, 3, 4]])
MODELS = {
    bert: lambda model: model(TOKENS).last_hidden_state,
    roberta: lambda model: model(TOKENS).logits,
    distilbert: lambda model: model(TOKENS).last_hidden_state,
    vit: lambda model: model(torch.linspace(0, 1, 64).view(1, 1, 8, 8)).last_hidden_state,
    torch_encoder: lambda model: model(torch.linspace(0, 1, 32).view(1, 4, 8)),
    digits: lambda model: model(torch.linspace(0, 1, 64).view(1, 8, 8)),
}


@pytest.fixture
def made(request):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return request.param(), MODELS[request.param]


def test_the_formula():
    part = Bottleneck(3, 2).to_empty(device="cpu")
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.copy_(torch.linspace(-1, 1, parameter.numel()).view_as(parameter))
    hidden = torch.tensor([[0.5, -1.0, 2.0]])
    inner = nn.functional.gelu(hidden @ part.down.weight.T + part.down.bias)
    expected = hidden + inner @ part.up.weight.T + part.up.bias
    assert torch.allclose(part(hidden), expected)


@pytest.mark.parametrize("made", MODELS, indirect=True, ids=lambda it: it.__name__)
def test_two_a_layer_that_begin_near_the_identity_and_all_count(made):
    model, run = made
    names = set(model.state_dict())
    with torch.no_grad():
        before = run(model)
        add_bottlenecks(model, inner=2, seed=1, std=1e-3)
        parts = dict(bottleneck_modules(model))
        assert len(parts) == 4, list(parts)
        assert names < set(model.state_dict()), "no name of the base may change"
        near = run(model)
        assert torch.allclose(near, before, atol=1e-4) and not torch.equal(near, before)
        for name, part in parts.items():
            kept = part.up.bias.clone()
            part.up.bias += torch.linspace(0, 1, len(kept))
            assert not torch.allclose(run(model), near, atol=1e-3), name
            part.up.bias.copy_(kept)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == set(model.state_dict()) - names


def test_exactly_the_identity_without_spread_and_nothing_drawn_from_the_callers_stream():
    model = bert()
    state = torch.get_rng_state()
    before = model(TOKENS).last_hidden_state
    add_bottlenecks(model, inner=2, seed=1, std=0.0)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(model(TOKENS).last_hidden_state, before)
    with pytest.raises(BadInput, match="an adapter on this model already"):
        add_bottlenecks(model, inner=2, seed=1)


@pytest.fixture
def stored(tmp_path):
    model = bert()
    base = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    add_bottlenecks(model, inner=2, seed=1, std=0.3)
    names = [name for name in model.state_dict() if name not in base]
    folder = tmp_path / "adapter"
    folder.mkdir()
    write_bottlenecks(model, folder, parent="org/base", names=names)
    return folder, base, model(TOKENS).last_hidden_state


def fresh(base):
    model = bert()
    model.load_state_dict(base)
    return model


def test_a_folder_gives_back_what_was_written_and_tells_its_base(stored):
    folder, base, expected = stored
    model = fresh(base)
    names = load_bottlenecks(model, folder)
    assert torch.equal(model(TOKENS).last_hidden_state, expected)
    assert names == set(model.state_dict()) - set(base)
    opened = open_checkpoint(folder)
    assert (opened.format, set(opened.tensors)) == ("bottleneck", names)
    assert opened.config["base_model_name_or_path"] == "org/base"
    assert json.loads((folder / "adapter_config.json").read_text())["bottleneck"] == 2


def test_it_is_found_as_an_adapter_of_its_base(stored):
    (found,), skipped = discover([stored[0].parent])
    assert (found.kind, found.declared, skipped) == ("adapter", ("org/base",), [])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop(next(n for n in t if "up.bias" in n)), "is missing"),
        (lambda t: t.update({"no.bottleneck.down.weight": torch.zeros(2, 8)}), "fits nothing"),
        (lambda t: t.update({"encoder.layer.0.output.dense.weight": torch.zeros(3)}), "has shape"),
        (lambda t: t.update({"head.weight": torch.zeros(3)}), "has no such tensor"),
        (
            lambda t: t.update({n: torch.zeros(2, 9) for n in t if "down.weight" in n}),
            "fits nothing there",
        ),
        (lambda t: t.update({n: torch.zeros(9) for n in t if "up.bias" in n}), "has shape"),
    ],
)
def test_an_adapter_that_does_not_fit_is_told_by_tensor(stored, change, said):
    folder, base, _ = stored
    tensors = load_file(folder / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, folder / "adapter_model.safetensors")
    with pytest.raises(MismatchedModels, match=said):
        load_bottlenecks(fresh(base), folder)


def test_a_folder_that_was_tampered_with_is_refused_in_one_line(stored):
    folder = stored[0]
    for content in ("[]", "{", '{"peft_type": ["BOTTLENECK"]}', '{"peft_type": "OFT"}'):
        (folder / "adapter_config.json").write_text(content)
        with pytest.raises(WeightscapeError):
            open_checkpoint(folder)
