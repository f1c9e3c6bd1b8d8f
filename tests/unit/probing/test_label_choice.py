import pytest

from weightscape.errors import BadInput, NotFound
from weightscape.probing.label_choice import read_choice


def test_labels_stand_between_commas_or_a_line_each(tmp_path):
    file = tmp_path / "labels.txt"
    file.write_text("court decisions\n\n news, sports \nnews, sports\n")
    assert read_choice(str(file)) == ["court decisions", "news, sports"]
    assert read_choice("court  decisions,news,, news") == ["court decisions", "news"]
    assert read_choice("TCP/IP,") == ["TCP/IP"] and read_choice("and/or, x.txt") == [
        "and/or",
        "x.txt",
    ]


@pytest.mark.parametrize("given", ["nolabels.txt", "Classes.CSV", "./none", "lists/none", "x.json"])
def test_what_looks_like_a_file_has_to_be_one(given):
    with pytest.raises(NotFound, match=f"^{given}: no such file; .* '{given},'"):
        read_choice(given)


def test_a_folder_is_no_list_of_labels(tmp_path):
    with pytest.raises(NotFound, match="is a folder"):
        read_choice(str(tmp_path))


@pytest.mark.parametrize(
    "name, text, labels",
    [
        (
            "a.csv",
            "model,label,task\nrun-1,weather; sports,news\nrun-2,sports,\n",
            "weather sports news",
        ),
        ("a.tsv", "model\tlabel\nrun-1\tlaw\n", "law"),
        ("a.json", '{"run-1": ["law", "news"]}', "law news"),
        ("a.json", '["law", "news"]', "law news"),
    ],
)
def test_files_of_models_and_labels_give_their_labels(tmp_path, name, text, labels):
    (tmp_path / name).write_text(text)
    assert read_choice(str(tmp_path / name)) == labels.split()


@pytest.mark.parametrize(
    "name, text, said",
    [
        ("a.csv", "checkpoint,score\nx,0.5\n", "has no column model"),
        ("a.csv", "weather\nsports\n", "no column of labels"),
        ("a.json", '["law", 3]', "list of labels"),
        ("a.txt", " \n", "has no labels"),
        ("a.txt", "x" * 400, "is no label"),
        ("a.txt", "a\x1b[2Jb", "is no label"),
        ("a.txt", "\n".join(map(str, range(1001))), "1,001 labels are too many; give 1,000"),
    ],
)
def test_files_that_are_no_labels_are_refused(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=said):
        read_choice(str(tmp_path / name))


def test_a_long_list_is_no_file():
    assert len(read_choice(",".join(f"label {number}" for number in range(1000)))) == 1000
