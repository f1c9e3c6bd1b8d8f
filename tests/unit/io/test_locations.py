from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weightscape.errors import BadInput
from weightscape.io.hub import is_safe
from weightscape.io.locations import (
    HubPlace,
    WebPlace,
    beside,
    locate,
    origin,
    split_file,
    without_secrets,
)

HUB_URL = "https://hub.example/sub"


@pytest.fixture(autouse=True)
def hub(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_ENDPOINT", HUB_URL)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("org/name", HubPlace("org/name")),
        ("org/name@v1.0", HubPlace("org/name", "v1.0")),
        ("org/name@refs/pr/3", HubPlace("org/name", "refs/pr/3")),
        ("hub:name", HubPlace("name")),
        ("hub:org/name:unet/", HubPlace("org/name", None, "unet")),
        (
            "hub:org/name@main:a/b.safetensors",
            HubPlace("org/name", "main", "a/b.safetensors"),
        ),
        (f"{HUB_URL}/org/name", HubPlace("org/name")),
        (f"{HUB_URL}/org/name/tree/v2", HubPlace("org/name", "v2")),
        (f"{HUB_URL}/org/name/tree/v2/unet", HubPlace("org/name", "v2", "unet")),
        (
            f"{HUB_URL}/org/name/blob/main/x.safetensors",
            HubPlace("org/name", "main", "x.safetensors"),
        ),
        (
            f"{HUB_URL}/org/name/resolve/main/x.safetensors",
            WebPlace(f"{HUB_URL}/org/name/resolve/main/x.safetensors"),
        ),
        ("https://other.example/org/name", WebPlace("https://other.example/org/name")),
        ("HTTP://h:81/a", WebPlace("HTTP://h:81/a")),
        ("name", Path("name")),
        ("./org/name", Path("org/name")),
        ("../org/name", Path("../org/name")),
        ("~/org/name", Path("~/org/name")),
        ("/org/name", Path("/org/name")),
        ("a/b/c", Path("a/b/c")),
        ("org/na..me", Path("org/na..me")),
        ("org/name:file", Path("org/name:file")),
    ],
)
def test_what_is_meant(text, means):
    assert locate(text) == means


def test_what_is_there_is_meant_before_any_hub(tmp_path):
    (tmp_path / "org").mkdir()
    assert locate("org/slip") == Path("org/slip")
    (tmp_path / "org" / "name").touch()
    assert locate("org/name") == Path("org/name")
    assert locate("hub:org/name") == HubPlace("org/name")


@pytest.mark.parametrize(
    "text",
    [
        "hub:",
        "hub:a/b/c",
        "hub:org/name@../x",
        "hub:org/name:../x",
        "hub:org/name:/etc//passwd",
        "hub:or--g/name",
        "hub:org/.name",
        "https://",
        "https://host:port/x",
        "https://host:0/x",
        "https://[::1/x",
        "https://host/a b",
        "https://host/\n",
        "https://user@host/x",
        "s3://bucket/model",
        "file:///etc/passwd",
    ],
)
def test_what_can_be_no_place_is_refused(text):
    with pytest.raises(BadInput):
        locate(text)


def test_no_secret_of_a_url_is_shown():
    for text in (
        "https://me:hidden@h/x",
        "https://me:hidden@h:port/x?key=hidden",
        "https://h:port/x?key=hidden",
    ):
        with pytest.raises(BadInput) as raised:
            locate(text)
        assert "hidden" not in str(raised.value)
    place = WebPlace("https://h/x?key=hidden#hidden")
    assert "hidden" not in place.shown
    assert without_secrets("http://u:hidden@h:8/x") == "http://h:8/x"


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=40), st.sampled_from(["", "hub:", "https://", "http://h/", "org/"]))
def test_any_text_is_a_place_or_refused(text, start):
    try:
        place = locate(start + text)
    except BadInput:
        return
    if isinstance(place, HubPlace):
        assert locate(place.shown) == place
    if isinstance(place, WebPlace):
        assert urlsplit(split_file(place.url)[0]).netloc == urlsplit(place.url).netloc


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=30))
def test_labels_that_are_safe_stay_in_their_folder(label):
    if is_safe(label):
        assert Path("/cache", label).resolve().is_relative_to("/cache")
        url = beside("https://h/a/b?key=1", label)
        assert unquote(urlsplit(url).path) == f"/a/b/{label}"
        assert urlsplit(url).query == "key=1"


@pytest.mark.parametrize(
    "label",
    ["", ".", "..", "a/../b", "/a", "a//b", "a/", "./a", "C:\\x", "a\\..\\b", "a\0", "a\nb"],
)
def test_labels_that_are_not(label):
    assert not is_safe(label)


def test_origins_are_scheme_host_and_port():
    assert origin("https://H.example/a") == origin("https://h.example:443/b")
    assert origin("http://h") != origin("https://h")
    assert origin("http://h:81") != origin("http://h")
