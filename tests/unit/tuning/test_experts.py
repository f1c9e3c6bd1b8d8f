import json
from dataclasses import replace

import pytest
import torch
from worded_tasks import QUICK, base_in, doubt, tone, topic

from tiny_models import save_bert
from weightscape.errors import BadInput
from weightscape.io import open_checkpoint
from weightscape.tuning.experts import make_experts, near_duplicates


def test_each_source_gives_an_expert_of_its_own(tmp_path):
    found = make_experts(base_in(tmp_path), [tone(), topic()], tmp_path / "out", QUICK)
    assert [it.name for it in found.experts] == ["tone", "topic"]
    assert all(
        it.made and it.folder.is_dir() and 0 <= it.metrics["accuracy"] <= 1 for it in found.experts
    )
    assert found.cosines[0][0] == pytest.approx(1.0)
    assert found.cosines[0][1] == found.cosines[1][0] < 0.9
    told = [json.loads((it.folder / "provenance.json").read_text()) for it in found.experts]
    assert {it["parent"] for it in told} == {"base"} == {found.base}
    seeds = [it["arguments"]["data_seed"] for it in told]
    assert seeds[0] != seeds[1]


def test_what_is_there_is_left_and_more_sources_can_be_added(tmp_path):
    base, out = base_in(tmp_path), tmp_path / "out"
    make_experts(base, [tone()], out, QUICK)
    before = (out / "tone" / "model.safetensors").stat().st_mtime_ns
    more = make_experts(base, [topic(), tone()], out, QUICK)
    assert [it.made for it in more.experts] == [True, False]
    assert (out / "tone" / "model.safetensors").stat().st_mtime_ns == before
    alone = make_experts(base, [topic()], tmp_path / "other", QUICK)
    for folder in (out / "topic", alone.experts[0].folder):
        with open_checkpoint(folder) as stored:
            first = stored.tensor("classifier.weight").clone() if folder.parent == out else first
            assert torch.equal(first, stored.tensor("classifier.weight"))


def test_a_folder_of_other_experts_is_refused(tmp_path):
    base, out = base_in(tmp_path), tmp_path / "out"
    make_experts(base, [tone()], out, QUICK)
    other = save_bert(tmp_path / "other", seed=3)
    with pytest.raises(BadInput, match="begun with something else"):
        make_experts(other, [tone()], out, QUICK)
    with pytest.raises(BadInput, match="steps 6 against 7"):
        make_experts(base, [tone()], out, replace(QUICK, steps=7))
    with pytest.raises(BadInput, match="task's rows"):
        make_experts(base, [replace(doubt(), name="tone")], out, QUICK)


def test_near_duplicates_are_told(tmp_path):
    again = replace(tone(), name="tone again")
    short = replace(QUICK, steps=1, batch=48)
    found = make_experts(base_in(tmp_path), [tone(), again], tmp_path / "out", short, near=-1.0)
    assert found.near_duplicates == (("tone", "tone-again"),)
    assert "near-duplicates" in found.notes[0]
    assert near_duplicates(["a", "b"], ((1.0, 0.3), (0.3, 1.0)), 0.8) == ()


def test_sources_and_recipes_that_make_no_sense_are_refused(tmp_path):
    base = base_in(tmp_path)
    with pytest.raises(BadInput, match="one or more"):
        make_experts(base, [], tmp_path / "out", QUICK)
    with pytest.raises(BadInput, match="two source tasks are named 'tone'"):
        make_experts(base, [tone(), tone()], tmp_path / "out", QUICK)
    with pytest.raises(BadInput, match="cannot be merged"):
        make_experts(base, [tone()], tmp_path / "out", replace(QUICK, method="prefix"))
    assert not (tmp_path / "out").exists()


def test_lora_experts_are_whole_models(tmp_path):
    how = replace(QUICK, method="lora", rank=2)
    found = make_experts(base_in(tmp_path), [tone()], tmp_path / "out", how)
    assert (found.experts[0].folder / "config.json").is_file()
    assert not (found.experts[0].folder / "adapter_config.json").exists()
