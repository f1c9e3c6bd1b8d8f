import pytest

from weightscape.errors import BadInput, NotFound
from weightscape.zoo.truth import read_truth


def test_a_folder_without_truth(tmp_path):
    with pytest.raises(NotFound, match="no finished zoo"):
        read_truth(tmp_path)


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("{", "the file"),
        ('{"zoo": "text", "models": {"a": {}}, "edges": []}', r"models\.a\.path"),
        (
            '{"zoo": "text", "models": {}, '
            '"edges": [{"parent": "a", "child": "b", "kind": "odd"}]}',
            r"edges\.0\.kind",
        ),
    ],
)
def test_a_broken_truth_is_told_by_its_place(tmp_path, content, where):
    (tmp_path / "truth.json").write_text(content)
    with pytest.raises(BadInput, match=where):
        read_truth(tmp_path)
