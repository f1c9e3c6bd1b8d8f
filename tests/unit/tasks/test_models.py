import json
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tiny_models import change_config, save_bert, save_gpt2, save_t5, save_tokenizer, save_vit
from weightscape.errors import BadCheckpoint, BadInput, MismatchedModels, NotFound
from weightscape.tasks import auto_models, low_rank
from weightscape.tasks.adapters import load_adapter
from weightscape.tasks.arrays import task_from_arrays
from weightscape.tasks.evaluate import evaluate
from weightscape.tasks.models import load_model
from weightscape.tasks.result_folder import write_model
from weightscape.tasks.task import Example, Task


def task_of(kind="classification", labels=("neg", "pos")):
    target = 0 if labels else "good"
    rows = tuple(Example(text, target, i) for i, text in enumerate(("good film", "a bad book")))
    return Task("t", "", labels, {"test": rows}, kind=kind, metrics=("loss",), max_tokens=12)


def change_tensors(folder, change):
    tensors = load_file(folder / "model.safetensors")
    save_file(change(tensors), folder / "model.safetensors", metadata={"format": "pt"})


def head_of(model):
    return model.module.classifier.weight


def test_a_head_is_kept_for_its_own_labels_and_drawn_for_others(tmp_path):
    state = torch.get_rng_state()
    folder = save_bert(tmp_path / "a", labels=("neg", "pos"))
    kept = load_model(folder, task_of(), init_seed=5)
    stored = load_file(folder / "model.safetensors")
    assert torch.equal(head_of(kept), stored["classifier.weight"])
    assert (kept.labels, kept.drawn, kept.head) == (("neg", "pos"), False, ("classifier.",))
    drawn = load_model(folder, task_of(labels=("ham", "spam")), init_seed=5)
    assert (drawn.labels, drawn.drawn) == (None, True)
    assert not torch.equal(head_of(drawn), head_of(kept))
    bare = save_bert(tmp_path / "bare")
    again = load_model(bare, task_of(), init_seed=5)
    assert again.drawn
    assert torch.equal(head_of(again), head_of(drawn))
    assert not torch.equal(head_of(load_model(bare, task_of(), init_seed=6)), head_of(again))
    assert torch.equal(torch.get_rng_state(), state)
    assert not kept.module.training
    assert (kept.name, kept.folder) == ("a", folder)


def test_a_head_of_other_width_is_drawn(tmp_path):
    folder = save_bert(tmp_path / "a", labels=("x", "y", "z"))
    model = load_model(folder, task_of())
    assert model.drawn
    assert head_of(model).shape == (2, 16)


def test_a_head_for_numbers_is_kept(tmp_path):
    folder = save_bert(tmp_path / "a", labels=("number",))
    task = task_of(labels=())
    model = load_model(folder, Task("t", "", (), {"test": task.splits["test"]}))
    assert (model.labels, model.drawn) == ((), False)


def test_each_kind_has_its_class(tmp_path):
    gpt2, t5 = save_gpt2(tmp_path / "gpt2"), save_t5(tmp_path / "t5")
    assert type(load_model(gpt2, task_of("causal", ())).module).__name__ == "GPT2LMHeadModel"
    assert load_model(t5, task_of("seq2seq", ())).module.config.is_encoder_decoder
    classifier = load_model(gpt2, task_of())
    assert type(classifier.module).__name__ == "GPT2ForSequenceClassification"
    assert classifier.module.config.pad_token_id is not None


def test_images_are_taken_by_vision_models(tmp_path):
    images = np.random.default_rng(0).random((4, 3, 8, 8), dtype=np.float32)
    task = task_from_arrays("t", {"test": (images, [0, 1, 0, 1])}, ("neg", "pos"))
    for settings in (True, False):
        folder = save_vit(tmp_path / f"{settings}", labels=("neg", "pos"), settings=settings)
        model = load_model(folder, task)
        assert model.labels == ("neg", "pos")
        assert len(evaluate(model, task).losses) == 4


def test_models_that_cannot_do_a_task(tmp_path):
    bert = save_bert(tmp_path / "bert")
    with pytest.raises(BadInput, match="a bert model cannot do a seq2seq task"):
        load_model(bert, task_of("seq2seq", ()))
    with pytest.raises(BadInput, match="no head to write with"):
        load_model(bert, task_of("causal", ()))


def test_a_masked_model_is_no_causal_one(tmp_path):
    from transformers import BertConfig, BertForMaskedLM

    save_bert(tmp_path / "mlm")
    config = BertConfig.from_pretrained(tmp_path / "mlm")
    BertForMaskedLM(config).save_pretrained(tmp_path / "mlm")
    with pytest.raises(BadInput, match="reads the words that it is to write"):
        load_model(tmp_path / "mlm", task_of("causal", ()))


def test_files_that_do_not_fit_are_named(tmp_path):
    folder = save_bert(tmp_path / "a", labels=("neg", "pos"))
    key = "bert.encoder.layer.1.output.dense.weight"
    change_tensors(folder, lambda t: {name: it for name, it in t.items() if name != key})
    with pytest.raises(BadCheckpoint, match=f"tensor '{key}': is missing"):
        load_model(folder, task_of())
    folder = save_bert(tmp_path / "b", labels=("neg", "pos"))
    change_tensors(folder, lambda t: t | {key: torch.zeros(3, 3)})
    with pytest.raises(MismatchedModels, match=rf"tensor '{key}' has shape \[3, 3\]"):
        load_model(folder, task_of())
    folder = save_bert(tmp_path / "c")
    change_config(folder, hidden_size="many")
    with pytest.raises(BadCheckpoint, match="does not load"):
        load_model(folder, task_of())
    folder = save_bert(tmp_path / "d")
    (folder / "model.safetensors").write_bytes(b"\xff" * 20)
    with pytest.raises(BadCheckpoint):
        load_model(folder, task_of())


def test_tokenizers_that_are_missing_or_another_models(tmp_path):
    with pytest.raises(BadInput, match="no tokenizer in it"):
        load_model(save_bert(tmp_path / "a", tokenizer=False), task_of())
    folder = save_bert(tmp_path / "b")
    key = "embeddings.word_embeddings.weight"
    change_tensors(folder, lambda t: t | {key: t[key][:9].clone()})
    change_config(folder, vocab_size=9)
    with pytest.raises(BadInput, match="has 15 tokens, but the model embeds 9"):
        load_model(folder, task_of())


def test_code_that_a_model_brings_is_not_run(tmp_path):
    folder = save_bert(tmp_path / "a")
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    change_config(folder, model_type="evil", auto_map={"AutoConfig": "evil.Config"})
    with pytest.raises(BadInput, match="wants to run code of its own"):
        load_model(folder, task_of())
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("source", ["./nowhere", "a/b/c", "/not/there", "no model", "x\\y"])
def test_what_can_be_no_hub_id_is_not_asked_for(source):
    with pytest.raises(NotFound, match="no such folder"):
        load_model(source, task_of())


def test_folders_without_a_model(tmp_path):
    with pytest.raises(NotFound, match=r"is not a model folder: it has no config\.json"):
        load_model(tmp_path, task_of())
    file = save_bert(tmp_path / "a") / "model.safetensors"
    with pytest.raises(BadInput, match="is a file; name its model folder"):
        load_model(file, task_of())


@pytest.fixture
def lora(tmp_path):
    base = save_bert(tmp_path / "base", labels=("neg", "pos"))
    module = low_rank.add_factors(load_model(base, task_of()).module, rank=2, seed=0)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "lora_B" in name:  # zero at the beginning, when an adapter changes nothing yet
                parameter.copy_(torch.linspace(-1, 1, parameter.numel()).view_as(parameter))
    low_rank.write_peft_adapter(module, tmp_path / "adapter", parent="base")
    return tmp_path


def name_base(folder, name):
    file = folder / "adapter" / "adapter_config.json"
    told = json.loads(file.read_text())
    file.write_text(json.dumps(told | {"base_model_name_or_path": name}))
    return folder / "adapter"


@pytest.mark.parametrize("named", ["base", "somebody/base", "{}/base"])
def test_an_adapter_finds_its_base(lora, named):
    folder = name_base(lora, named.format(lora))
    model = load_model(folder, task_of())
    assert model.folder == folder
    assert model.head == ("base_model.model.classifier.",)
    assert any("lora_A" in name for name in model.adapted)
    assert any("classifier" in name for name in model.adapted)
    merged = load_model(folder, task_of(), merge_adapter=True)
    assert merged.adapted is None
    assert merged.head == ("classifier.",)
    first, second = evaluate(model, task_of()), evaluate(merged, task_of())
    assert np.allclose(first.losses, second.losses, atol=1e-5)
    plain = evaluate(load_model(lora / "base", task_of()), task_of())
    assert not np.allclose(first.losses, plain.losses, atol=1e-4)


def test_an_adapters_labels_are_those_it_tells(lora):
    folder = name_base(lora, "base")
    assert load_model(folder, task_of()).labels is None
    (folder / "provenance.json").write_text(json.dumps({"labels": ["neg", "pos"]}))
    assert load_model(folder, task_of()).labels == ("neg", "pos")


def test_adapters_without_a_base(lora):
    folder = name_base(lora, "./lost/base-model")
    with pytest.raises(NotFound, match="its base './lost/base-model' is not there"):
        load_model(folder, task_of())
    with pytest.raises(BadCheckpoint, match="names no base"):
        load_model(name_base(lora, None), task_of())


class Plain(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.body = nn.Linear(3, 4)
        self.head = nn.Linear(4, classes)

    def forward(self, x):
        return self.head(self.body(x).relu())


def make_plain():
    return Plain(2)


def arrays(labels=("a", "b")):
    return task_from_arrays("arrays", {"test": (np.eye(3), [0, 1, 0])}, labels)


@pytest.fixture
def stored(tmp_path):
    torch.manual_seed(3)
    module = Plain(2)
    tensors = {f"module.{name}": tensor for name, tensor in module.state_dict().items()}
    save_file(tensors, tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors", module


@pytest.mark.parametrize(
    "factory", [make_plain, lambda task: Plain(len(task.labels)), "test_models:make_plain"]
)
def test_a_plain_module_comes_up_through_its_factory(stored, factory):
    file, module = stored
    model = load_model(file, arrays(), factory=factory)
    assert all(map(torch.equal, model.module.state_dict().values(), module.state_dict().values()))
    assert (model.labels, model.head, model.drawn) == (None, ("head.",), False)
    wanted = nn.functional.cross_entropy(module(torch.eye(3)), torch.tensor([0, 1, 0])).item()
    assert evaluate(model, arrays()).loss == pytest.approx(wanted)


def test_a_plain_modules_head_is_drawn_for_other_labels(stored):
    file, module = stored
    three = arrays(("a", "b", "c"))
    model = load_model(file, three, factory=lambda: Plain(3))
    assert model.drawn
    assert torch.equal(model.module.body.weight, module.body.weight)
    again = load_model(file, three, factory=lambda: Plain(3))
    assert torch.equal(model.module.head.weight, again.module.head.weight)
    (file.parent / "config.json").write_text('{"id2label": {"0": "x", "1": "y"}}')
    assert load_model(file, arrays(), factory=make_plain).drawn
    (file.parent / "config.json").write_text('{"id2label": {"0": "a", "1": "b"}}')
    assert load_model(file, arrays(), factory=make_plain).labels == ("a", "b")


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        (lambda: None, "gave NoneType; it should give an nn.Module"),
        (lambda: (Plain(2), "words"), "gave str as processor"),
        (lambda a, b: Plain(2), "needs 2 arguments"),
        ("test_models", "a function is named 'module:function'"),
        ("test_models:nothing", "has no 'nothing'"),
        ("no_such_module:f", "no module 'no_such_module'"),
        ("json:decoder", "is a module; give a function"),
        (lambda: nn.Linear(3, 2), "tensor 'weight' is missing"),
        (lambda: nn.Sequential(nn.Linear(5, 2)), "tensor '0.weight' is missing"),
    ],
)
def test_factories_that_make_no_sense(stored, factory, said):
    with pytest.raises((BadInput, NotFound, MismatchedModels), match=said):
        load_model(stored[0], arrays(("a", "b", "c")), factory=factory)


def test_no_pickle_is_run_for_a_plain_module(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"body.weight": Evil()}, tmp_path / "w.pt")
    with pytest.raises(BadCheckpoint):
        load_model(tmp_path / "w.pt", arrays(), factory=make_plain)
    assert not (tmp_path / "ran").exists()


def test_the_one_place_where_adapters_are_put_on(lora):
    """What load_model calls gives the module and the names, whatever the kind of adapter."""
    base = load_model(lora / "base", task_of())
    _, names = load_adapter(base.module, name_base(lora, "base"))
    assert names == load_model(lora / "adapter", task_of()).adapted


@pytest.mark.parametrize(
    "claim",
    [
        {"vocab_size": 10**12},
        {"vocab_size": 10**8},
        {"hidden_size": 10**9, "num_attention_heads": 1},
        {"intermediate_size": 10**10},
        {"max_position_embeddings": 10**12},
        {"num_hidden_layers": 10**7},
        {"num_hidden_layers": 10**12},
        {"num_labels": 10**9},
        {"num_hidden_layers": 2000},
    ],
)
def test_a_configuration_that_asks_for_far_more_than_is_stored(tmp_path, claim):
    folder = save_bert(tmp_path / "a", labels=("neg", "pos"))
    config = json.loads((folder / "config.json").read_text())
    if "num_labels" in claim:
        del config["id2label"], config["label2id"]
    (folder / "config.json").write_text(json.dumps(config | claim))
    with pytest.raises(BadCheckpoint, match=r"config\.json: .*(far more|no tensors for that many)"):
        load_model(folder, task_of())
    nn.Linear(3, 3)  # nothing is left behind that counts the tensors of others


@pytest.mark.parametrize("device", ["cdua", "meta:x", "cpu:x"])
def test_a_device_that_there_is_not(tmp_path, device):
    with pytest.raises(BadInput, match=f"device '{device}' cannot be used"):
        load_model(tmp_path / "nothing was looked for yet", task_of(), device=device)


@pytest.mark.parametrize("name", ["./no", "/no/model", "~/no", "a/b/c", "a\\b", "no model"])
def test_what_looks_like_a_path_is_not_asked_of_the_hub(monkeypatch, name):
    monkeypatch.setattr(auto_models, "needs_cache", lambda where: pytest.fail("asked the hub"))
    with pytest.raises(NotFound, match="no such folder"):
        load_model(name, task_of())


def test_a_hub_that_cannot_be_reached_is_asked_once(monkeypatch):
    import huggingface_hub

    asked = []

    def refuse(url, **_):
        asked.append(url)
        raise ConnectionError("no network")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", refuse)
    with pytest.raises(NotFound, match=r"^some/model: no such folder, and the hub cannot be reach"):
        load_model("some/model", task_of())
    assert len(asked) == 1


CUSTOM = {
    "configuration_bag.py": """
from transformers import PretrainedConfig

class BagConfig(PretrainedConfig):
    model_type = "bag"

    def __init__(self, words=15, **more):
        super().__init__(**more)
        self.words = words
""",
    "modeling_bag.py": """
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from .configuration_bag import BagConfig

class Bag(PreTrainedModel):
    config_class = BagConfig
    base_model_prefix = "bag"

    def __init__(self, config):
        super().__init__(config)
        self.embeddings = nn.Embedding(config.words, 8)
        self.post_init()

    def _init_weights(self, module):
        pass

    def get_input_embeddings(self):
        return self.embeddings

    def forward(self, input_ids, **_):
        return (self.embeddings(input_ids),)

class BagForSequenceClassification(Bag):
    def __init__(self, config):
        PreTrainedModel.__init__(self, config)
        self.bag = Bag(config)
        self.classifier = nn.Linear(8, config.num_labels)
        self.post_init()

    def get_input_embeddings(self):
        return self.bag.embeddings

    def forward(self, input_ids, attention_mask=None, **_):
        mask = attention_mask.unsqueeze(-1)
        mean = (self.bag(input_ids)[0] * mask).sum(1) / mask.sum(1)
        return SequenceClassifierOutput(logits=self.classifier(mean))
""",
}


def test_a_model_that_brings_its_code_needs_trust_and_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder = tmp_path / "bag"
    save_tokenizer(folder)
    for name, text in CUSTOM.items():
        (folder / name).write_text(text)
    auto = {
        "AutoConfig": "configuration_bag.BagConfig",
        "AutoModelForSequenceClassification": "modeling_bag.BagForSequenceClassification",
    }
    (folder / "config.json").write_text(json.dumps({"model_type": "bag", "auto_map": auto}))
    weights = torch.randn(15, 8, generator=torch.Generator().manual_seed(0))
    save_file({"bag.embeddings.weight": weights}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(BadInput, match=r"run code of its own.*--trust-remote-code"):
        load_model(folder, task_of())
    model = load_model(folder, task_of(), trust_remote_code=True)
    assert model.drawn
    write_model(model, tmp_path / "made", parent="bag")
    again = load_model(tmp_path / "made", task_of(), trust_remote_code=True)
    assert (again.labels, again.drawn) == (("neg", "pos"), False)
    assert evaluate(again, task_of()).loss == evaluate(model, task_of()).loss
