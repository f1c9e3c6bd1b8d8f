"""`region` and `start` from the command line on tiny models: what they print, keep and refuse."""

import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from harness import Outcome, ask, run

from weightscape.answers_tasks import RegionResultAnswer, SmallerStartAnswer, StartAnswer
from weightscape.atlas import Atlas
from weightscape.tasks import objective

WORDS = "[PAD] [UNK] [CLS] [SEP] good bad fine poor film book a the was very not".split()
QUICK = ("--samples", 3, "--rays", 2, "--reach", 4, "--pairs", 1, "--device", "cpu")
SHORT = "--steps 4 --finalists 1 --folds 2 --rounds 2 --device cpu --no-bf16".split()


@pytest.fixture(scope="module", autouse=True)
def probes_of_one_strength() -> Iterator[None]:
    """Fit one head at a point, not the 25 of a cross-validation, which is the probe's to test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objective, "fit_probe", partial(objective.fit_probe, regularisation=10.0))
        yield


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a tiny BERT, three models of each of two tasks, and their atlas."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("zoo")
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder / "models" / "base")
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]"
    ).save_pretrained(folder / "models" / "base")
    texts = [
        f"{start} {thing} was {'very ' * very}{word}"
        for start in ("a", "the")
        for thing in ("film", "book")
        for very in range(4)
        for word in ("good", "bad", "fine", "poor")
    ]
    for task, yes in (("mood", ("good", "fine")), ("thing", ("film",))):
        lines = [f"{text},{'yes' if set(text.split()) & set(yes) else 'no'}" for text in texts]
        (folder / f"{task}.csv").write_text("\n".join(["text,label", *lines]) + "\n")
        for seed in range(3):
            outcome = run(
                *("fine-tune", folder / "models" / "base", folder / "models" / f"{task}-{seed}"),
                *("--task", folder / f"{task}.csv", "--steps", 25, "--lr", 0.01, "--seed", seed),
            )
            assert outcome.code == 0, outcome
    lone = [line.rsplit(",", 1)[0] + ",yes" for line in lines]
    (folder / "lone.csv").write_text("\n".join(["text,label", *lone]) + "\n")
    outcome = run("chart", folder / "models", "--atlas", folder / "atlas")
    assert outcome.code == 0, outcome
    return folder


def region(zoo: Path, *more: object) -> tuple[object, ...]:
    return ("region", *more, "--task", zoo / "mood.csv", "--atlas", zoo / "atlas", *QUICK)


def start(zoo: Path, *more: object) -> tuple[object, ...]:
    return ("start", *more, "--task", zoo / "mood.csv", "--atlas", zoo / "atlas", *SHORT)


def results(zoo: Path) -> list[Any]:
    with Atlas(zoo / "atlas") as atlas:
        return atlas.results()


@pytest.fixture(scope="module")
def measured(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    """Give what a region of three models of one task printed, and its pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    outcome = run(
        *region(zoo, "mood-0", "mood-1", "mood-2", "--place", "thing-0", "--place", "mood-0"),
        *("--outside", "thing-0", "--outside", "thing-1"),
        *("--plot", folder / "region.png", "--plot", folder / "region.html"),
    )
    assert outcome.code == 0, outcome
    return outcome, folder


def test_a_region_is_measured_printed_kept_and_drawn(
    zoo: Path, measured: tuple[Outcome, Path]
) -> None:
    outcome, folder = measured
    first = outcome.out.splitlines()[0]
    assert "region of good models" in first and "P_B" in first
    assert "points between them over outside models" in outcome.out
    assert "3 models are too few to tell kin from strangers" in outcome.err
    assert "thing-0 lies" in outcome.err  # said before anything was evaluated
    assert outcome.err.index("thing-0 lies") < outcome.err.index("loading")
    assert (folder / "region.png").stat().st_size > 20_000
    assert "Regions measured" in (folder / "region.html").read_text("utf-8")
    (kept,) = [it for it in results(zoo) if it.kind == "region" and it.task == "mood"][-1:]
    assert kept.models == ("mood-0", "mood-1", "mood-2")
    assert json.loads((Path(kept.folder) / "region.json").read_text()) == kept.result
    assert 'id="regions-card"' in (zoo / "atlas" / "index.html").read_text("utf-8")


def test_the_same_question_evaluates_nothing_anew(
    zoo: Path, measured: tuple[Outcome, Path]
) -> None:
    before = len(results(zoo))
    answer = ask(
        RegionResultAnswer,
        *region(zoo, "mood-0", "mood-1", "mood-2", "--place", "thing-0", "--place", "mood-0"),
        *("--outside", "thing-0", "--outside", "thing-1"),
    )
    assert answer.evaluated == 0 and len(results(zoo)) == before
    assert [it.name for it in answer.groups] == ["in", "hull", "ex"]
    inside, hull, outside = (it.points for it in answer.groups)
    assert [it.name for it in inside] == ["mood-0", "mood-1", "mood-2"]
    assert {it.name for it in outside} == {"thing-0", "thing-1"} and len(hull) == 3
    assert all(sum(it.weights.values()) == pytest.approx(1) for it in hull)
    losses = [[it.scores["mood"].loss for it in group] for group in (inside, outside)]
    pairs = [(a, b) for a in losses[0] for b in losses[1] if a is not None and b is not None]
    (over,) = [it for it in answer.p_b if (it.better, it.worse, it.task) == ("in", "ex", "mood")]
    assert over.value == pytest.approx(sum((a < b) + (a == b) / 2 for a, b in pairs) / len(pairs))
    (radius,) = answer.radii
    assert len(radius.rays) == 2 and radius.unit > 0
    assert {it.relation for it in answer.pairs} == {"in", "across"}
    assert [it.name for it in answer.places] == ["thing-0", "mood-0"]
    assert answer.places[0].distance > 0
    assert answer.places[1].weights.keys() <= {"mood-1", "mood-2"}  # the hull of the others


def test_a_region_is_found_by_its_label_and_is_apart_from_other_regions(zoo: Path) -> None:
    maps = json.loads(run("map", "--atlas", zoo / "atlas", "--json").out)
    label = next(it["label"] for it in maps["regions"] if "mood-0" in it["members"])
    answer = ask(RegionResultAnswer, *region(zoo, label))
    assert answer.label == label and len(answer.models) >= 2
    outside = {it.name for it in answer.groups[2].points}
    assert not outside & {"base", *answer.models}
    assert answer.outside in ("models", "noise around the base")


def test_without_an_atlas_directions_are_outside(zoo: Path, tmp_path: Path) -> None:
    models = [zoo / "models" / f"mood-{i}" for i in range(3)]
    asked = (
        *("region", *models, "--task", zoo / "mood.csv", *QUICK, "--out", tmp_path / "out"),
        *("--place", zoo / "models" / "thing-0", "--rows", 8, "--train-rows", 16),
    )
    told = run(*asked).err
    assert 0 < told.index("thing-0 lies") < told.index("evaluating")
    answer = ask(RegionResultAnswer, *asked)
    assert answer.outside == "directions from the centroid"
    assert (answer.rows, answer.train_rows, answer.places[0].name) == (8, 16, "thing-0")
    assert json.loads((tmp_path / "out" / "region.json").read_text())["label"] is None
    assert not (tmp_path / "atlas").exists()  # no atlas is made where there is none
    other = ("--task", zoo / "thing.csv", "--out", tmp_path / "out", *QUICK)
    assert "another question" in run("region", *models, *other).error()


@pytest.fixture(scope="module")
def found(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[StartAnswer, Path]:
    """Give the answer of a search for a start among all models, written and drawn."""
    folder = tmp_path_factory.mktemp("start")
    answer = ask(
        StartAnswer,
        *start(zoo, "--models", zoo / "models", "-o", folder / "best"),
        *("--plot", folder / "start.svg", "--plot", folder / "start.html"),
    )
    return answer, folder


def test_a_start_is_found_written_kept_and_drawn(
    zoo: Path, found: tuple[StartAnswer, Path]
) -> None:
    answer, folder = found
    assert answer.base == "base" and len(answer.models) == 6
    names = [it.name for it in answer.ranked]
    assert answer.recommended in names and answer.why in answer.summary[0]
    kinds = {it.kind for it in answer.ranked}
    assert {"base", "model", "centroid"} <= kinds
    maps = json.loads(run("map", "--atlas", zoo / "atlas", "--json").out)
    labels = {f"centroid of {it['label']}" for it in maps["regions"]}
    assert {it.name for it in answer.ranked if it.kind == "region"} <= labels
    assert len(labels) < 2 or "regions are those of the atlas" in answer.notes
    tried = [it for it in answer.ranked if it.runs]
    assert {"base", "centroid"} <= {it.kind for it in tried}
    assert all(it.score is not None for it in tried)
    assert answer.output == str(folder / "best")
    assert (folder / "best" / "config.json").is_file()
    assert "centroid" in (folder / "start.svg").read_text()
    assert "Starting points" in (folder / "start.html").read_text("utf-8")
    (kept,) = [it for it in results(zoo) if it.kind == "start"]
    assert kept.result == answer.model_dump(mode="json")
    assert 'id="starts-card"' in (zoo / "atlas" / "index.html").read_text("utf-8")


def test_a_start_goes_on_with_what_is_known(
    zoo: Path, found: tuple[StartAnswer, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    outcome = run(*start(zoo, zoo / "models"))
    assert outcome.code == 0, outcome
    assert outcome.out.splitlines()[0].startswith("start from ")
    assert "recommended" in outcome.out and "base" in outcome.out
    assert len([it for it in results(zoo) if it.kind == "start"]) == 1


def test_rows_of_one_s_own_are_all_trained_on(zoo: Path, tmp_path: Path) -> None:
    lines = (zoo / "mood.csv").read_text().splitlines()
    (tmp_path / "mine.csv").write_text("\n".join(["words,verdict", *lines[1:41]]) + "\n")
    answer = ask(
        StartAnswer,
        *("start", "--models", zoo / "models/mood-0", zoo / "models/thing-0", *SHORT),
        *("--data", tmp_path / "mine.csv", "--text", "words", "--label", "verdict"),
        *("--kinds", "models", "--max-runs", 4, "--out", tmp_path / "found", "--bf16"),
    )
    assert answer.precision == "bfloat16"
    assert answer.task == "mine" and answer.train_rows == 40
    assert {it.kind for it in answer.ranked} <= {"model", "centroid"}
    assert answer.base is None and answer.output is None


def test_a_smaller_model_starts_from_a_larger_one_s_weights(zoo: Path, tmp_path: Path) -> None:
    config = json.loads((zoo / "models" / "base" / "config.json").read_text())
    config |= {"num_hidden_layers": 1, "intermediate_size": 16}
    (tmp_path / "small.json").write_text(json.dumps(config))
    answer = ask(
        SmallerStartAnswer,
        *("start", "--models", zoo / "models" / "base", "--smaller", tmp_path / "small.json"),
        *("-o", tmp_path / "small", "--layers", "uniform"),
    )
    assert answer.layers == "uniform"
    written = json.loads((Path(answer.output) / "config.json").read_text())
    assert written["num_hidden_layers"] == 1
    again = ("start", "--models", zoo / "models" / "base", "--smaller", tmp_path / "small.json")
    assert "there already" in run(*again, "-o", tmp_path / "small").error()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("region", "mood-0", "--task", "t.yml"), "a region is one of several models"),
        (("region", "mood-0", "mood-9", "--task", "t.yml"), "no model named 'mood-9'; nearest"),
        (("region", "mood", "base", "--task", "t.yml"), "'mood' may be mood-0, mood-1, mood-2"),
        (("region", "ood-0", "mood-0", "--task", "t.yml"), "a region is one of several models"),
        (("region", "mood-0", "mood-1", "--task", "t", "--out", __file__), "is no folder"),
        (("start", "mood-0", "mood-1", "--task", "t", "-o", __file__), "is no folder"),
        (("region", "region:mood-9", "--task", "t.yml"), "no region named 'region:mood-9'"),
        (("region", "mood-0", "mood-1"), "--task T.yml"),
        (("region", "mood-0", "mood-1", "--task", "t", "--samples", "0"), "--samples is 1 or more"),
        (("region", "mood-0", "mood-1", "--task", "t", "--outside", "mood-1"), "as inside and as"),
        (("region", "mood-0", "mood-1", "--task", "t", "--plot", "x.gif"), "must end in"),
        (("region", "mood-0", "mood-1", "--task", "t.yml"), "t.yml"),
        (("start", "--task", "t.yml"), "which models?"),
        (("start", "--models", "mood-0", "mood-1"), "--task MY.yml or --data MY.csv"),
        (("start", "--models", "mood-0", "base", "--task", "t.yml"), "beside the base base"),
        (("start", "mood-0", "mood-1", "--task", "t", "--data", "u.csv"), "not both"),
        (("start", "mood-0", "mood-1", "--task", "t", "--kinds", "soup"), "no start named 'soup'"),
        (("start", "mood-0", "mood-1", "--task", "t", "--method", "half"), "--method is bitfit"),
        (("start", "mood-0", "mood-1", "--task", "t", "--minutes", "0"), "--minutes is more than"),
        (("start", "mood-0", "--smaller", "c.json"), "-o OUT"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(
    zoo: Path, more: tuple[str, ...], said: str
) -> None:
    assert said in run(*more, "--atlas", zoo / "atlas").error()


def test_noise_without_a_base_and_tasks_of_one_class_are_refused(zoo: Path, tmp_path: Path) -> None:
    models = [zoo / "models" / f"mood-{i}" for i in range(2)]
    asked = ("region", *models, "--task", zoo / "mood.csv", "--outside", "noise")
    assert "give --base" in run(*asked).error()
    lone = ("--task", zoo / "lone.csv", *QUICK, "--out", tmp_path / "out")
    assert "one" in run("region", *models, *lone).error()
    assert not (tmp_path / "out").exists()
    lone = ("--task", zoo / "lone.csv", *SHORT, "--out", tmp_path / "out", "-o", tmp_path / "best")
    assert "one" in run("start", *models, *lone).error()
    assert not (tmp_path / "out").exists() and not (tmp_path / "best").exists()


def test_rows_and_folders_that_are_none_are_told_by_their_option(zoo: Path, tmp_path: Path) -> None:
    models = [zoo / "models" / f"mood-{i}" for i in range(2)]
    assert "--data no.csv: no such file" in run("start", *models, "--data", "no.csv").error()
    (tmp_path / "mine.csv").write_text("words,verdict\na film,yes\na book,no\n")
    assert "--text COL" in run("start", *models, "--data", tmp_path / "mine.csv").error()
    (tmp_path / "empty").mkdir()
    asked = ("--task", zoo / "mood.csv")
    assert "no model in this folder" in run("region", tmp_path / "empty", *asked).error()
    assert "nearest: noise" in run("region", *models, *asked, "--outside", "nois").error()


def test_models_of_another_family_are_refused(zoo: Path, tmp_path: Path) -> None:
    shutil.copytree(zoo / "models" / "mood-0", tmp_path / "other")
    config = json.loads((tmp_path / "other" / "config.json").read_text())
    (tmp_path / "other" / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
    asked = ("region", zoo / "models" / "mood-1", tmp_path / "other")
    said = run(*asked, "--task", zoo / "mood.csv", *QUICK, "--out", tmp_path / "out").error()
    assert "other" in said
    assert not (tmp_path / "out" / "region.json").exists()


def test_results_and_written_starts_are_charted_as_they_should(
    zoo: Path, found: tuple[StartAnswer, Path], measured: tuple[Outcome, Path]
) -> None:
    before = run("list", "--atlas", zoo / "atlas").out
    assert run("chart", zoo, "--atlas", zoo / "atlas").code == 0
    assert run("list", "--atlas", zoo / "atlas").out == before
