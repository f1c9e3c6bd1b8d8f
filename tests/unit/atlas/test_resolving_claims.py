from pathlib import Path

import pytest

from weightscape.atlas.reading import MOST_METADATA, capped, resolve, resolved, stamp_of
from weightscape.catalog.records import Model, ModelFacts


def model(name: str, path: str) -> Model:
    return Model(name, path, "full", "safetensors", "fp", (), 0, 0, ModelFacts(name))


MODELS = [
    model("org/bert", "/hub/models--org--bert/snapshots/abc"),
    model("one/tuned", "/zoo/one/tuned"),
    model("other/tuned", "/zoo/other/tuned"),
    model("lone", "/zoo/lone.safetensors"),
    model("x/final", "/zoo/x/final"),
    model("y/out/checkpoint-500", "/zoo/y/out/checkpoint-500"),
    model("org2--gpt", "/zoo/org2--gpt"),
    model("last", "/zoo/last"),
]


@pytest.mark.parametrize(
    ("claim", "name"),
    [
        ("org/bert", "org/bert"),
        ("/zoo/one/tuned", "one/tuned"),
        ("/somebody/elses/machine/one/tuned/", "one/tuned"),
        ("C:\\models\\other\\tuned", "other/tuned"),
        ("bert", "org/bert"),
        (" lone ", "lone"),
        ("tuned", None),
        ("nobody/knows", None),
        ("org/lone", "lone"),
        ("org2/gpt", "org2--gpt"),
        ("/home/me/proj/out/final", None),
        ("/home/me/gone/lone", None),
        ("../other/place/bert", None),
        ("out/checkpoint-500", None),
        ("y/out/checkpoint-500", "y/out/checkpoint-500"),
        ("/elsewhere/y/out/checkpoint-500", "y/out/checkpoint-500"),
        ("org/final", None),
        ("../bert", "org/bert"),
        ("./lone/", "lone"),
        ("x/final", "x/final"),
        ("final", None),
        ("last", None),
        ("/zoo/last", "last"),
        ("", None),
        ("/", None),
        ("..", None),
    ],
)
def test_a_claim_finds_the_one_model_that_it_fits(claim: str, name: str | None) -> None:
    found = resolve(claim, MODELS)
    assert (found.name if found else None) == name


def test_claims_are_split_into_those_here_and_those_elsewhere() -> None:
    claims = ["far/away", "bert", "org/bert", "one/tuned"]
    assert resolved(claims, MODELS, "one/tuned") == (("org/bert",), ("far/away",))


def test_metadata_is_kept_up_to_a_limit() -> None:
    assert capped({"a": 1, "b": [2]}) == {"a": 1, "b": [2]}
    assert capped({"a": 1, "huge": "x" * MOST_METADATA, "c": 2}) == {"a": 1}


def test_metadata_is_kept_down_to_a_depth() -> None:
    deep: object = 1
    for _ in range(900):
        deep = {"in": deep}
    nested = {"a": [{"b": [1, (2, 3)]}]}
    assert capped({"deep": deep, **nested}) == nested


def test_a_stamp_changes_with_any_file_of_a_model(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"1")
    before = stamp_of(tmp_path)
    assert stamp_of(tmp_path) == before
    (tmp_path / "config.json").write_text("{}")
    assert stamp_of(tmp_path) != before
    assert stamp_of(file) == before
