import json

import pytest
from typer.testing import CliRunner

from tiny_models import save_bert, save_gpt2
from weightscape.cli.main import app, main
from weightscape.errors import WeightscapeError


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with two classifiers, a bare backbone, a language model and two tasks."""
    monkeypatch.chdir(tmp_path)
    save_bert(tmp_path / "one", labels=("neg", "pos"))
    save_bert(tmp_path / "two", labels=("neg", "pos"), seed=1)
    save_bert(tmp_path / "bare")
    save_gpt2(tmp_path / "writer")
    rows = [
        f"{start} {thing} was {'very ' * very}{word},{'pos' if word == 'good' else 'neg'}"
        for start in ("a", "the")
        for thing in ("film", "book")
        for very in range(4)
        for word in ("good", "bad")
    ]
    (tmp_path / "reviews.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *arguments], env={"COLUMNS": "160"})


def test_a_table_of_models(here):
    done = run("one", "two", "--task", "reviews.csv", "--device", "cpu")
    assert done.exit_code == 0
    head, first, second, *_ = done.stdout.splitlines()
    assert head.split() == ["model", "loss", "accuracy", "macro_f1", "rows"]
    assert (first.split()[0], second.split()[0]) == ("one", "two")
    assert "95 % intervals" in done.stderr


def test_the_loss_stands_once_where_it_is_among_the_metrics(here):
    (here / "t.yml").write_text("data: reviews.csv\nmetrics: [loss, accuracy]\n")
    done = run("one", "--task", "t.yml")
    assert done.stdout.splitlines()[0].split() == ["model", "loss", "accuracy", "rows"]


def test_json_says_the_same_and_more(here):
    done = run("one", "--task", "reviews.csv", "--split", "train", "--rows", "9", "--json")
    (model,) = json.loads(done.stdout)["models"]
    assert model["rows"] == 9
    low, high = model["intervals"]["loss"]
    assert low <= model["loss"] <= high
    batched = run(
        "one", "--task", "reviews.csv", "--split", "train", "--rows", "9", "--batch", "2", "--json"
    )
    (again,) = json.loads(batched.stdout)["models"]
    assert again["loss"] == pytest.approx(model["loss"], abs=1e-5)


def test_a_probe_needs_no_head(here):
    done = run("bare", "--task", "reviews.csv", "--head", "probe", "--json")
    answer = json.loads(done.stdout)
    assert answer["head"] == "probe"
    assert answer["models"][0]["metrics"]["accuracy"] > 0.6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bare"], "has no head for them; fine-tune it, or take --head probe"),
        (["nowhere/at/all"], "nowhere/at/all: no such file or folder"),
        (["one", "--rows", "many"], "--rows is a number of rows, 1 or more, or all, not 'many'"),
        (["one", "--rows", "0"], "--rows is a number"),
        (["one", "--head", "its"], "--head is own or probe, not 'its'"),
        (["one", "--split", "tset"], "--split is train, validation or test, not 'tset'"),
        (["one", "--factory", "nothing"], "module:function"),
    ],
)
def test_mistakes_are_told_in_one_line(here, arguments, said):
    done = run(*arguments, "--task", "reviews.csv")
    assert isinstance(done.exception, WeightscapeError)
    assert said in str(done.exception)
    assert "\n" not in str(done.exception)


def test_texts_that_are_written_are_scored(here):
    (here / "task.yml").write_text(
        "name: writing\ndata: writing.csv\nkind: causal\nmetrics: [exact_match, loss]\n"
        "columns: {text: text, target: answer}\n"
    )
    rows = [
        f"{start} {word} {thing} was {'very ' * very},{word}"
        for start in ("a", "the")
        for word in ("good", "bad")
        for thing in ("film", "book")
        for very in range(4)
    ]
    (here / "writing.csv").write_text("\n".join(["text,answer", *rows]) + "\n")
    done = run("writer", "--task", "task.yml", "--json")
    assert done.exception is None, done.exception
    (model,) = json.loads(done.stdout)["models"]
    assert set(model["metrics"]) == {"exact_match", "loss"}


def test_ctrl_c_promises_to_go_on_only_where_something_was_kept(here, monkeypatch, capsys):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("weightscape.cli.path_work.load_tasks", interrupt)
    asked = ["--task", "reviews.csv", "--quiet"]
    for verb, said in ((["evaluate", "one"], "begins anew"), (["path", "one", "two"], "to go on")):
        monkeypatch.setattr("sys.argv", ["weightscape", *verb, *asked])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 130
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.startswith("stopped; ") and line.endswith(said)
