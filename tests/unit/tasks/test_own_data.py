import json

import pytest

from weightscape.errors import BadInput, NotFound
from weightscape.tasks.own_data import read_rows, task_from_file


def test_reads_csv_tsv_and_json_lines_alike(tmp_path):
    rows = [("it is, good", "pos"), ('it is "bad"', "neg"), ("zwei\nZeilen", "pos")]
    (tmp_path / "a.csv").write_text(
        'label,text\npos,"it is, good"\nneg,"it is ""bad"""\npos,"zwei\nZeilen"\n'
    )
    (tmp_path / "a.tsv").write_text(
        'text\tlabel\nit is, good\tpos\n"it is ""bad"""\tneg\n"zwei\nZeilen"\tpos\n'
    )
    lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
    (tmp_path / "a.jsonl").write_text("\n\n".join(lines))
    for name in ("a.csv", "a.tsv", "a.jsonl"):
        assert read_rows(tmp_path / name) == rows


def test_columns_can_be_named_and_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    file = tmp_path / "a.csv"
    file.write_bytes("\ufeffreview,stars\nfine,5\n".encode())
    assert read_rows(file, text="review", label="stars") == [("fine", "5")]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "text,mark\nx,1\n", "line 2: no column 'label'; its columns are 'text', 'mark'"),
        ("a.csv", "text,label\nx\n", "line 2: no column 'label'"),
        ("a.jsonl", '{"text": "x", "label": 1}\n{"text"', "line 2: not JSON"),
        ("a.jsonl", "[1]\n", "line 1: expected an object"),
        ("a.txt", "x", "cannot read rows of a .txt file"),
    ],
)
def test_bad_files_are_told_by_line(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(BadInput, match=said.replace("(", r"\(")):
        read_rows(tmp_path / name)


def test_a_missing_file_and_bytes_that_are_no_text(tmp_path):
    with pytest.raises(NotFound, match="no such file"):
        read_rows(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_bytes(b"text,label\n\xff\xfe,1\n")
    with pytest.raises(BadInput, match="not UTF-8 text at byte 11"):
        read_rows(tmp_path / "a.csv")


def test_a_task_of_a_file_holds_out_some_of_each_label(tmp_path):
    lines = [f"text number {i},{'odd' if i % 2 else 'even'}" for i in range(100)]
    (tmp_path / "numbers.csv").write_text("text,label\n" + "\n".join(lines))
    task = task_from_file(tmp_path / "numbers.csv")
    assert (task.name, task.labels) == ("numbers", ("even", "odd"))
    held_out = [example.target for example in task.rows("test")]
    assert (held_out.count(0), held_out.count(1)) == (10, 10)


def test_a_file_without_usable_rows_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\nsame,1\nsame,2\n")
    with pytest.raises(BadInput, match="no row has a text and one label"):
        task_from_file(tmp_path / "a.csv")
