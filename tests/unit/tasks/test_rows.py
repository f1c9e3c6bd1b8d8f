import json
import os

import numpy as np
import pytest

from weightscape.errors import BadInput, NotFound
from weightscape.tasks.data_files import read_data_file
from weightscape.tasks.task_file import load_task


def rows_of(file):
    return [(row["text"], row["label"]) for row in read_data_file(file).rows]


def test_reads_csv_tsv_json_lines_and_parquet_alike(tmp_path):
    from pyarrow import Table, parquet

    rows = [("it is, good", "pos"), ('it is "bad"', "neg"), ("zwei\nZeilen\u2028drei", "pos")]
    (tmp_path / "a.csv").write_text(
        'label,text\npos,"it is, good"\nneg,"it is ""bad"""\n\npos,"zwei\nZeilen\u2028drei"\n'
    )
    (tmp_path / "a.tsv").write_text(
        'text\tlabel\nit is, good\tpos\n"it is ""bad"""\tneg\n"zwei\nZeilen\u2028drei"\tpos\n'
    )
    records = [{"text": text, "label": label} for text, label in rows]
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    (tmp_path / "a.jsonl").write_text("\n\n".join(lines))
    parquet.write_table(Table.from_pylist(records), tmp_path / "a.parquet")
    for name in ("a.csv", "a.tsv", "a.jsonl", "a.parquet"):
        assert rows_of(tmp_path / name) == rows


def test_a_byte_order_mark_is_no_part_of_a_name_and_lines_are_those_an_editor_shows(tmp_path):
    file = tmp_path / "a.csv"
    file.write_bytes('\ufefftext,label\r\n"one\r\ntwo",1\r\n\r\nthree,2\r\n'.encode())
    records = read_data_file(file)
    assert records.columns == ("text", "label")
    assert records.lines == (2, 5)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"text,label\nx\n", "line 2: 1 fields, but the header names 2"),
        ("a.csv", b"text,label\nwell, well,1\n", "line 2: 3 fields.*put quotes around"),
        ("a.csv", b"text,text\nx,1\n", "names column 'text' twice"),
        ("a.csv", b'text,label\n"x,1\n', "line 2: unexpected end of data"),
        ("a.csv", b"text,label\n", "holds no rows"),
        ("a.csv", b"", "holds no rows"),
        ("a.csv", b"text,label\nx\0,1\n", "line 2: holds a NUL character"),
        ("a.csv", b"text,label\n\xff\xfe,1\n", "not UTF-8 text at byte 11"),
        ("a.jsonl", b'{"text": "x", "label": 1}\n{"text"', "line 2: not JSON"),
        ("a.jsonl", b"[" * 100_000, "line 1: not JSON"),
        ("a.jsonl", b"[1]\n", "line 1: expected an object"),
        ("a.parquet", b"PAR1 no", "cannot be read as Parquet"),
        ("a.txt", b"x", "cannot read rows of a .txt file"),
    ],
)
def test_bad_files_are_told_by_line(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=said) as error:
        read_data_file(tmp_path / name)
    assert name in str(error.value) and "\n" not in str(error.value)


def test_what_is_no_file(tmp_path):
    with pytest.raises(NotFound, match="no such file"):
        read_data_file(tmp_path / "a.csv")
    (tmp_path / "b.csv").mkdir()
    with pytest.raises(BadInput, match="is a folder"):
        read_data_file(tmp_path / "b.csv")
    os.mkfifo(tmp_path / "c.csv")
    with pytest.raises(BadInput, match="no regular file"):
        read_data_file(tmp_path / "c.csv")
    for name in ("x" * 5000, "a\0b"):
        with pytest.raises((BadInput, NotFound)) as error:
            read_data_file(tmp_path / f"{name}.csv")
        assert len(str(error.value)) < 400


def write_lines(file, records):
    file.write_text("\n".join(json.dumps(record) for record in records))
    return file


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"text": "x"}, "line 11: no column 'label'; its columns are 'text'"),
        ({"text": "x", "label": None}, "line 11: column 'label' is empty"),
        ({"text": "x", "label": " "}, "line 11: column 'label' is empty"),
        ({"text": "x", "label": ["a"]}, "should hold a label, but holds a list"),
        ({"text": {"a": 1}, "label": "a"}, "should hold a text, but holds a dict"),
        ({"text": "x \ud800", "label": "a"}, "half a character"),
    ],
)
def test_a_bad_row_is_told_by_its_line(tmp_path, record, said):
    good = [{"text": f"text {i}", "label": "ab"[i % 2]} for i in range(10)]
    with pytest.raises(BadInput, match=said):
        load_task(write_lines(tmp_path / "a.jsonl", [*good, record]))


@pytest.mark.parametrize(
    ("cells", "labels"),
    [((10, 9), ("9", "10")), ((True, False), ("False", "True")), ((1.0, 0.0), ("0", "1"))],
)
def test_label_columns_of_numbers_and_booleans(tmp_path, cells, labels):
    records = [{"text": f"text {i}", "label": cells[i % 2]} for i in range(40)]
    task = load_task(write_lines(tmp_path / "a.jsonl", records))
    assert task.labels == labels
    for example in task.rows("train"):
        assert task.labels[example.target] == labels[1 - example.row % 2]


def test_a_row_keeps_its_number_through_cleaning_and_splitting(tmp_path):
    texts = [f"text {i}" if i % 5 else "the same" for i in range(60)]
    records = [{"text": text, "label": "ab"[i % 2]} for i, text in enumerate(texts)]
    notes = []

    class Told:
        def note(self, message):
            notes.append(message)

    task = load_task(write_lines(tmp_path / "a.jsonl", records), progress=Told())
    rows = [example for split in task.splits.values() for example in split]
    assert {e.row: e.inputs for e in rows} == {i: t for i, t in enumerate(texts) if i % 5}
    assert ["12 with contradicting targets" in note for note in notes] == [True]


@pytest.fixture
def quiet_cache(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return datasets


def test_folders_of_the_datasets_library(tmp_path, quiet_cache):
    datasets = quiet_cache
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
    )

    def rows(start, stop):
        columns = {
            "text": [f"text {i}" for i in range(start, stop)],
            "label": [i % 2 for i in range(start, stop)],
        }
        return datasets.Dataset.from_dict(columns, features=features)

    both = datasets.DatasetDict({"train": rows(0, 40), "dev": rows(40, 50), "test": rows(50, 60)})
    both.save_to_disk(tmp_path / "both")
    task = load_task(tmp_path / "both")
    assert task.labels == ("neg", "pos")
    assert {split: len(rows) for split, rows in task.splits.items()} == {
        "train": 40,
        "validation": 10,
        "test": 10,
    }
    assert {(e.inputs, e.row) for e in task.rows("test")} == {
        (f"text {50 + i}", i) for i in range(10)
    }

    rows(0, 60).save_to_disk(tmp_path / "alone")
    assert len(load_task(tmp_path / "alone").rows("test")) == 12

    hidden = datasets.DatasetDict({"train": rows(0, 40), "test": rows(40, 50)})
    hidden["test"] = hidden["test"].map(lambda row: {"label": -1})
    hidden.save_to_disk(tmp_path / "hidden")
    with pytest.raises(
        BadInput, match="split 'test', row . *: unknown label '-1'|unknown label '-1'"
    ):
        load_task(tmp_path / "hidden")

    (tmp_path / "plain").mkdir()
    both["train"].to_parquet(tmp_path / "plain" / "train.parquet")
    both["test"].to_parquet(tmp_path / "plain" / "test.parquet")
    assert len(load_task(tmp_path / "plain").rows("test")) == 10

    (tmp_path / "nothing").mkdir()
    with pytest.raises(BadInput, match="nothing: cannot be read as a data set") as error:
        load_task(tmp_path / "nothing")
    assert "\n" not in str(error.value)


def test_a_hub_data_set_is_asked_for_with_its_configuration_and_revision(tmp_path, monkeypatch):
    import datasets

    asked = []

    def load_dataset(path, **options):
        asked.append((path, options))
        columns = {"text": [f"t{i}" for i in range(20)], "label": ["a", "b"] * 10}
        return datasets.DatasetDict({"train": datasets.Dataset.from_dict(columns)})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    (tmp_path / "t.yml").write_text("data: owner/reviews\nconfig: small\nrevision: abc")
    assert len(load_task(tmp_path / "t.yml").rows("train")) == 14
    load_task("hub:imdb")
    # its one split may be named, and is split as it would be unnamed
    (tmp_path / "n.yml").write_text("data: hub:imdb\nsplit: {names: {train: train}}")
    assert len(load_task(tmp_path / "n.yml").rows("test")) == 4
    assert asked == [
        ("owner/reviews", {"name": "small", "revision": "abc"}),
        ("imdb", {"name": None, "revision": None}),
        ("imdb", {"name": None, "revision": None}),
    ]


def test_images_by_path_and_in_a_data_set(tmp_path, quiet_cache):
    from PIL import Image

    datasets = quiet_cache
    (tmp_path / "pictures").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (40, 4, 4, 3), dtype=np.uint8)
    lines = ["image,label"]
    for i, picture in enumerate(pixels):
        Image.fromarray(picture).save(tmp_path / "pictures" / f"{i}.png")
        lines.append(f"pictures/{i}.png,{'ab'[i % 2]}")
    (tmp_path / "a.csv").write_text("\n".join(lines))
    task = load_task(tmp_path / "a.csv")
    first = task.rows("train")[0]
    assert first.inputs == (tmp_path / "pictures" / f"{first.row}.png").resolve()

    for cell, said in [
        ("../a.csv", "lies outside the data's folder"),
        ("x.png", "no image 'x.png'"),
    ]:
        (tmp_path / "pictures" / "b.csv").write_text(f"image,label\n{cell},a\n{cell},b\n")
        with pytest.raises(BadInput, match=f"b.csv, line 2: .*{said}"):
            load_task(tmp_path / "pictures" / "b.csv")

    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    columns = {
        "image": [Image.fromarray(picture) for picture in pixels],
        "label": ["ab"[i % 2] for i in range(40)],
    }
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(tmp_path / "saved")
    stored = load_task(tmp_path / "saved")
    assert {split: len(rows) for split, rows in stored.splits.items()} == {
        split: len(rows) for split, rows in task.splits.items()
    }
    for example in stored.rows("test"):
        np.testing.assert_array_equal(example.inputs, pixels[example.row])
