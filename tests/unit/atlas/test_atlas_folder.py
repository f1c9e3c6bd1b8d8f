from pathlib import Path

import pytest

from weightscape.atlas import Atlas
from weightscape.errors import AtlasError, NotFound, UnknownName


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
