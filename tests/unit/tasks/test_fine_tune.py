import json
import shutil
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from weightscape.errors import BadInput, NotFound
from weightscape.tasks.evaluate import evaluate
from weightscape.tasks.fine_tune import FineTuning, fine_tune
from weightscape.tasks.models import load_model

SHORT = FineTuning(steps=6, lr=1e-3, batch=8)


def weights(folder):
    return load_file(folder / "model.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class KilledAfter:
    """A progress that stands in for a kill in the middle of training."""

    def __init__(self, steps):
        self.left = steps

    @contextmanager
    def stage(self, label, *, total=None, unit=""):
        def advance(amount):
            if label == "training" and amount:
                self.left -= 1
                if self.left < 0:
                    raise KeyboardInterrupt

        yield advance

    def note(self, message):
        pass


def test_a_task_is_learned_and_the_folder_is_an_ordinary_model(tiny_base, sentiment, tmp_path):
    random_state = torch.get_rng_state()
    how = FineTuning(steps=80, lr=3e-3, init_seed=1, data_seed=2, dropout_seed=3)
    done = fine_tune(tiny_base, sentiment, tmp_path / "out", how)
    assert done.scores.metrics == {"accuracy": 1}
    assert torch.equal(torch.get_rng_state(), random_state)
    assert evaluate(load_model(done.folder, sentiment), sentiment).loss == done.scores.loss
    config = json.loads((done.folder / "config.json").read_text())
    assert config["id2label"] == {"0": "neg", "1": "pos"}
    assert "_name_or_path" not in config
    told = json.loads((done.folder / "provenance.json").read_text())
    assert (told["parent"], told["task"], told["method"]) == ("tiny", "sentiment", "full")
    assert told["arguments"]["data_seed"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_three_seeds_are_apart(tiny_base, sentiment, tmp_path):
    def trained(**seeds):
        out = tmp_path / "-".join(seeds) / "".join(map(str, seeds.values()))
        return weights(fine_tune(tiny_base, sentiment, out, replace(SHORT, **seeds)).folder)

    plain = weights(fine_tune(tiny_base, sentiment, tmp_path / "plain", SHORT).folder)
    for part in ("init_seed", "data_seed", "dropout_seed"):
        assert same(trained(**{part: 0}), plain)
        assert not same(trained(**{part: 1}), plain)


def test_a_killed_training_goes_on_with_the_same_bits(tiny_base, sentiment, tmp_path):
    how = replace(SHORT, steps=30, save_every=10)
    whole = fine_tune(tiny_base, sentiment, tmp_path / "whole", how)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(tiny_base, sentiment, tmp_path / "cut", how, progress=KilledAfter(27))
    assert not (tmp_path / "cut").exists()
    counted = KilledAfter(7)  # the first call tells the 25 steps that were kept, five are left
    cut = fine_tune(tiny_base, sentiment, tmp_path / "cut", how, progress=counted)
    assert counted.left >= 0
    for part in ("", "checkpoint-10", "checkpoint-20"):
        assert same(weights(whole.folder / part), weights(cut.folder / part))
    assert cut.scores == whole.scores


def test_a_finished_model_is_not_trained_again(tiny_base, sentiment, tmp_path):
    out = tmp_path / "out"
    first = fine_tune(tiny_base, sentiment, out, SHORT)
    again = fine_tune(tiny_base, sentiment, out, SHORT, progress=KilledAfter(0))
    assert again == first
    with pytest.raises(BadInput, match=r"with other arguments \(data_seed 0 against 9\)"):
        fine_tune(tiny_base, sentiment, out, replace(SHORT, data_seed=9))


def test_without_a_declaration_nothing_names_the_parent(tiny_base, sentiment, tmp_path):
    done = fine_tune(tiny_base, sentiment, tmp_path / "out", SHORT, declare=False)
    for file in done.folder.iterdir():
        assert b"tiny" not in file.read_bytes()
    assert fine_tune(tiny_base, sentiment, done.folder, SHORT, declare=False) == done


def test_what_is_frozen_keeps_its_bits(tiny_base, sentiment, tmp_path):
    how = replace(SHORT, freeze=("*embeddings*", "*layer.0.*"))
    after = weights(fine_tune(tiny_base, sentiment, tmp_path / "out", how).folder)
    before = weights(tiny_base)
    for name, tensor in before.items():
        frozen = "embeddings" in name or "layer.0." in name
        if frozen or tensor.ndim == 2:
            assert torch.equal(after[f"bert.{name}"], tensor) == frozen, name


@pytest.mark.parametrize(
    ("freeze", "said"),
    [(("*nothing*",), "matches no parameter"), (("*",), "leaves nothing of")],
)
def test_freezing_that_makes_no_sense(tiny_base, sentiment, tmp_path, freeze, said):
    with pytest.raises(BadInput, match=said):
        fine_tune(tiny_base, sentiment, tmp_path / "out", replace(SHORT, freeze=freeze))
    assert not (tmp_path / "out").exists()


def test_an_adapter_and_the_same_one_merged(tiny_base, sentiment, tmp_path):
    how = replace(SHORT, method="lora", rank=2, steps=10)
    adapter = fine_tune(tiny_base, sentiment, tmp_path / "adapter", how, parent="org/tiny")
    merged = fine_tune(tiny_base, sentiment, tmp_path / "merged", replace(how, merge=True))
    config = json.loads((adapter.folder / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["r"]) == ("org/tiny", 2)
    assert not (adapter.folder / "README.md").exists()
    factors = load_file(adapter.folder / "adapter_model.safetensors")
    base, whole = weights(tiny_base), weights(merged.folder)
    for name, tensor in base.items():
        stem = f"base_model.model.bert.{name.removesuffix('.weight')}"
        if f"{stem}.lora_A.weight" in factors:
            product = factors[f"{stem}.lora_B.weight"] @ factors[f"{stem}.lora_A.weight"]
            scale = config["lora_alpha"] / config["r"]
            assert torch.allclose(whole[f"bert.{name}"], tensor + scale * product, atol=1e-6)
            assert product.abs().max() > 0
        else:
            assert torch.equal(whole[f"bert.{name}"], tensor)
    assert merged.scores.loss == pytest.approx(adapter.scores.loss, abs=1e-5)
    (adapter.folder / "provenance.json").unlink()
    again = fine_tune(tiny_base, sentiment, adapter.folder, how, declare=False)
    assert again.scores.loss == pytest.approx(adapter.scores.loss, abs=1e-6)


def test_a_lora_is_merged_to_go_on_from_it(tiny_base, sentiment, tmp_path):
    base = shutil.copytree(tiny_base, tmp_path / "base")
    how = replace(SHORT, method="lora", rank=2, lr=1e-2, steps=20)
    adapter = fine_tune(base, sentiment, tmp_path / "adapter", how).folder
    still = FineTuning(steps=1, lr=1e-12, weight_decay=0, batch=8)
    child = fine_tune(adapter, sentiment, tmp_path / "child", still)
    # one step of no length: the child is what the adapter makes of its base, head and all
    loss = evaluate(load_model(adapter, sentiment), sentiment).loss
    assert child.scores.loss == pytest.approx(loss, abs=1e-5)
    assert load_model(child.folder, sentiment).tokenizer is not None
    with pytest.raises(BadInput, match="would put another one on it"):
        fine_tune(adapter, sentiment, tmp_path / "other", how)


@pytest.mark.parametrize("method", ["adapter", "prefix"])
def test_what_cannot_be_merged_is_no_start(tiny_base, sentiment, tmp_path, method):
    base = shutil.copytree(tiny_base, tmp_path / "base")
    how = replace(SHORT, method=method, prefix_tokens=2, steps=1)
    adapter = fine_tune(base, sentiment, tmp_path / "adapter", how).folder
    with pytest.raises(BadInput, match="cannot be merged into its base"):
        fine_tune(adapter, sentiment, tmp_path / "child", SHORT)


def test_what_is_there_and_not_of_this_command_is_left_alone(tiny_base, sentiment, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "file").write_text("")
    for name in ("out", "file"):
        with pytest.raises(BadInput, match=f"{name} exists and is not a result of this command"):
            fine_tune(tiny_base, sentiment, tmp_path / name, SHORT)


def test_a_folder_that_is_no_model_is_named(sentiment, tmp_path):
    with pytest.raises(NotFound, match=r"no config\.json"):
        fine_tune(tmp_path, sentiment, tmp_path / "out")
