import json
from pathlib import Path

import pytest

from tiny_models import save_bert
from weightscape.errors import BadCheckpoint
from weightscape.tasks.models import load_model
from weightscape.tasks.token_numbers import check_token_numbers


def written(folder: Path, told: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(told))
    return folder


@pytest.mark.parametrize(
    "told",
    [
        {"model": {"vocab": {"a": 0, "b": 10**9}}},
        {"model": {"vocab": {"a": 0}}, "added_tokens": [{"id": 10**9, "content": "b"}]},
        {"model": {"vocab": {"a": -1}}},
    ],
)
def test_tokens_numbered_far_beyond_their_count_are_refused_by_name(tmp_path, told):
    with pytest.raises(BadCheckpoint, match=r"tokenizer\.json.*numbers a token"):
        check_token_numbers(written(tmp_path, told))


@pytest.mark.parametrize(
    "told",
    [
        {"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": [{"id": 2, "content": "c"}]},
        {"model": {"vocab": [["a", -1.0], ["b", -2.0]]}},
        {"model": None, "added_tokens": None},
        [],
    ],
)
def test_other_tokenizers_are_left_to_whoever_reads_them(tmp_path, told):
    check_token_numbers(written(tmp_path, told))
    check_token_numbers(tmp_path / "there-is-none")


def test_broken_json_is_named(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(BadCheckpoint, match=r"tokenizer\.json"):
        check_token_numbers(tmp_path)


def test_a_model_with_such_a_tokenizer_is_not_loaded(tmp_path, sentiment):
    save_bert(tmp_path)
    file = tmp_path / "tokenizer.json"
    told = json.loads(file.read_text())
    told["added_tokens"].append({**told["added_tokens"][0], "id": 10**9, "content": "[FAR]"})
    file.write_text(json.dumps(told))
    with pytest.raises(BadCheckpoint, match="numbers a token 1,000,000,000"):
        load_model(tmp_path, sentiment)
