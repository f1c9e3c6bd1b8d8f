from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from weightscape.atlas import Atlas
from weightscape.errors import AtlasError, BadInput, NotFound, UnknownName


def test_an_empty_atlas_answers_everything(tmp_path: Path) -> None:
    with Atlas(tmp_path / "new") as atlas:
        assert atlas.models() == atlas.families() == atlas.maps() == atlas.findings() == []
        assert atlas.forest().edges == ()
        assert atlas.points() == atlas.norms() == {}
        assert atlas.skipped() == atlas.products() == []
        with pytest.raises(UnknownName, match="there is no model yet"):
            atlas.near("anything")


def test_no_atlas_is_made_unless_asked_for(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="weightscape chart"):
        Atlas(tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()


def test_a_file_is_no_atlas(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AtlasError, match="file"):
        Atlas(tmp_path / "file")


def test_a_model_is_found_by_how_its_name_begins_or_ends(tmp_path: Path) -> None:
    for name in ("runs/alpha/step-1", "runs/alpha/step-10", "runs/beta"):
        (tmp_path / name).mkdir(parents=True)
        save_file({"w": torch.randn(8, 8)}, tmp_path / name / "model.safetensors")
    with Atlas(tmp_path / "atlas") as atlas:
        atlas.add([tmp_path / "runs"])
        names = {model.name.split("/")[-1]: model.name for model in atlas.models()}
        assert atlas.find("beta").name == names["beta"]
        assert atlas.find("step-1").name == names["step-1"]
        assert atlas.find("p-10").name == names["step-10"]
        with pytest.raises(BadInput, match="step-1, .*step-10; type more"):
            atlas.find(names["step-1"][:-2])
        with pytest.raises(UnknownName, match="nearest: .*beta"):
            atlas.find(names["beta"].replace("e", "a"))
