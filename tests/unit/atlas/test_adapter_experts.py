"""Adapters have an expert of their own, and are told apart from the models of their tree."""

import pytest

from probe_models import CLASSES, LAYER, SMALL, Population
from weightscape.atlas import Atlas
from weightscape.atlas.describing import describe
from weightscape.atlas.expert_groups import expert_groups
from weightscape.atlas.expert_job import Training
from weightscape.atlas.experts import train_experts
from weightscape.atlas.labelling import label_models
from weightscape.probing.encoders import open_encoder
from weightscape.probing.label_files import read_label_file


@pytest.fixture(scope="module")
def adapted(tmp_path_factory, one_torch_thread):
    home = tmp_path_factory.mktemp("adapted")
    population = Population(home / "models", seed=2)
    base = population.one("base", "first", [])
    del population.labels["base"]
    for place in range(28):
        population.adapter(f"lora-{place:02}", str(base), CLASSES[place % 4])
    encoder = open_encoder(f"vectors:{population.write_texts(home / 'texts.safetensors')}")
    with Atlas(home / "atlas") as atlas:
        atlas.add([population.folder])
        labels = population.write_labels(home / "labels.csv")
        label_models(atlas.store, read_label_file(labels), "file labels")
        yield population, base, atlas, train_experts(atlas.store, Training(how=SMALL), encoder)


def test_adapters_are_a_group_beside_their_base(adapted):
    _, _, atlas, trained = adapted
    groups = {it.name: len(it.models) for it in expert_groups(atlas.store)}
    assert groups == {"base": 1, "base+lora": 28}
    (done,) = trained.experts
    assert done.kept.name == "base+lora" and done.expert.low_rank
    assert done.expert.layer == LAYER and done.embedded == 28
    assert done.expert.metrics["label_auc"] > 0.9
    assert "none of its 1 models" in trained.left_out["base"]


def test_an_adapter_is_known_by_the_base_that_it_names(adapted, tmp_path):
    population, base, atlas, _ = adapted
    mine = population.adapter("mine", str(base), CLASSES[1], into=tmp_path)
    found = describe(atlas.store, mine)
    assert found.seen.kept is not None and found.seen.kept.name == "base+lora"
    assert found.labels[0].label == CLASSES[1]
    assert found.seen.bytes_read == 4 * 2 * (24 + 32)
    other = population.adapter("other", "somebody/else", CLASSES[1], into=tmp_path)
    assert "names no base" in describe(atlas.store, other).seen.why
