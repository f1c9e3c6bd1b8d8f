"""`tune` from the command line on tiny models: what its parts make, print, keep and refuse."""

import json
import shutil
from pathlib import Path

import pytest
from harness import Outcome, ask, run

from weightscape.answers_tasks import AdaptAnswer, ExpertsAnswer, StudiesAnswer, TuneAnswer
from weightscape.atlas import Atlas

WORDS = "[PAD] [UNK] [CLS] [SEP] good bad fine poor film book a the was very not".split()
QUICK = ("--device", "cpu", "--no-bf16")
TRAINED = ("--steps", 6, "--lr", 0.001)
SAMPLED = ("--no-surrogate", "--sampler", "random", "--baselines", "uniform soup")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a tiny BERT and three tasks of its few words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tune")
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
        BertModel(config).save_pretrained(folder / "base")
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]"
    ).save_pretrained(folder / "base")
    texts = [
        f"{start} {thing} was {'very ' * very}{word}"
        for start in ("a", "the", "a very", "the very")
        for thing in ("film", "book")
        for very in range(4)
        for word in ("good", "bad", "fine", "poor")
    ]
    for task, yes in (("mood", {"good"}), ("thing", {"film"}), ("mine", {"good", "fine"})):
        lines = [f"{text},{'yes' if set(text.split()) & yes else 'no'}" for text in texts]
        (folder / f"{task}.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    stars = [f"{text},{1 + len(text) % 3} stars" for text in texts]
    (folder / "stars.csv").write_text("\n".join(["text,label", *stars]) + "\n")
    (folder / "empty.csv").write_text("text,label\n")
    return folder


def whole(place: Path) -> tuple[object, ...]:
    return (
        *("tune", "run", "--base", place / "base", "--sources", place / "mood.csv"),
        *("--sources", place / "thing.csv", "--target", place / "mine.csv", "-o", place / "blend"),
        *("--expert-steps", 6, "--expert-lr", 0.01, "--baselines", "uniform soup,fine-tuned base"),
        *("--atlas", place / "atlas", *TRAINED, *QUICK),
    )


@pytest.fixture(scope="module")
def blended(place: Path) -> TuneAnswer:
    """Give the answer of the whole method, drawn in every way."""
    plots = ("--plot", place / "blend.svg", "--plot", place / "blend.html")
    return ask(TuneAnswer, *whole(place), *plots)


@pytest.fixture(scope="module")
def adapted(place: Path, blended: TuneAnswer) -> Path:
    """Give the folder of the adapted models, which an atlas knows."""
    folder = place / "blend.parts" / "mine" / "adapted"
    outcome = run("chart", folder, "--atlas", place / "charted")
    assert outcome.code == 0, outcome
    return folder


def search(place: Path, *more: object) -> tuple[object, ...]:
    given = ("--target", place / "mine.csv", "--atlas", place / "charted")
    return ("tune", "search", *more, *given, *QUICK)


def test_the_whole_method_makes_a_model_that_says_what_it_is_made_of(
    place: Path, blended: TuneAnswer
) -> None:
    assert blended.output == str(place / "blend") and blended.models == ["mood", "thing"]
    assert sum(blended.best.coefficients.values()) == pytest.approx(1, abs=1e-5)
    assert blended.metric in blended.best.dev and blended.metric in blended.best.held_out
    assert {it.name for it in blended.baselines} == {"uniform soup", "fine-tuned base"}
    assert all(blended.metric in it.held_out_intervals for it in blended.baselines)
    assert blended.experts is not None and len(blended.experts.cosines) == 2
    assert blended.adaptation is not None and blended.adaptation.dev_rows >= 20
    assert blended.summary[0].startswith("the best blend of 2 models for mine: accuracy")
    told = json.loads((place / "blend" / "provenance.json").read_text())
    assert told["parents"] == pytest.approx(blended.best.coefficients, abs=1e-5)
    scored = json.loads(
        run("evaluate", place / "blend", "--task", place / "mine.csv", "--json").out
    )
    (model,) = scored["models"]
    assert model["metrics"][blended.metric] == pytest.approx(blended.best.held_out["accuracy"])
    assert "weight in the blend" in (place / "blend.svg").read_text()
    assert 'id="blends-card"' in (place / "blend.html").read_text("utf-8")


def test_the_same_command_goes_on_with_what_is_there(place: Path, blended: TuneAnswer) -> None:
    again = ask(TuneAnswer, *whole(place))
    assert again.experts is not None and again.adaptation is not None
    assert not any(it.made for it in (*again.experts.experts, *again.adaptation.models))
    assert again.best.coefficients == pytest.approx(blended.best.coefficients, abs=1e-4)


def test_a_search_is_kept_in_the_atlas_and_gone_on_with(place: Path, adapted: Path) -> None:
    question = search(place, "--models", adapted, *SAMPLED, "--per-layer", "-o", place / "second")
    answer = ask(TuneAnswer, *question, "--evaluations", 5)
    assert answer.sampler == "random" and len(answer.groups) > 2
    assert len([it for it in answer.trials if it.state != "failed"]) >= 5
    with Atlas(place / "charted") as atlas:
        (kept,) = [it for it in atlas.results() if it.kind == "tune"]
    assert kept.result == answer.model_dump(mode="json")
    assert 'id="blends-card"' in (place / "charted" / "index.html").read_text("utf-8")
    more = ask(TuneAnswer, *question, "--evaluations", 7, "--workers", 2)
    first = {it.number: it.weights for it in answer.trials if it.number < 5}
    assert {it.number: it.weights for it in more.trials if it.number < 5} == first
    assert len({json.dumps(it.weights) for it in more.trials}) == len(more.trials)
    listed = ask(StudiesAnswer, "tune", "studies", "--atlas", place / "charted")
    (study,) = listed.studies
    assert study.name == more.study and study.trials["complete"] == 7
    other = search(place, "--models", adapted, *SAMPLED, "--study", study.name, "--seed", 1)
    refused = run(*other, "--quiet").error()
    assert "is of something else" in refused and "seed: 0 then, 1 now" in refused
    named = ("tune", "studies", "--atlas", place / "charted", "--forget", study.name)
    assert f"forgotten: {study.name}" in run(*named).out
    assert ask(StudiesAnswer, "tune", "studies", "--atlas", place / "charted").studies == []


def test_each_part_is_a_verb_of_its_own(place: Path, blended: TuneAnswer) -> None:
    parts = place / "blend.parts"
    made = ("tune", "experts", "--base", place / "base", place / "mood.csv", place / "thing.csv")
    assert blended.experts is not None
    experts = ask(ExpertsAnswer, *made, "-o", parts / "experts", "--steps", 6, "--lr", 0.01, *QUICK)
    assert [it.made for it in experts.experts] == [False, False]
    assert experts.cosines == blended.experts.cosines
    asked = (
        *("tune", "adapt", "--models", parts / "experts", "--target", place / "mine.csv"),
        *("-o", parts / "mine" / "adapted", "--base", place / "base", *TRAINED, *QUICK),
    )
    models = ask(AdaptAnswer, *asked)
    assert [it.made for it in models.models] == [False, False] and models.head_spread is not None
    shown: Outcome = run(*asked)
    assert "kept to search weights on" in shown.out and "all heads began as" in shown.out


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--models", "{adapted}/mood"), "there is only mood"),
        (
            ("--models", "{experts}", "--target", "{place}/stars.csv"),
            "fine-tune them on the task first",
        ),
        (("--models", "{adapted}", "--space", "box"), "--base MODEL"),
        (("--models", "{adapted}", "--target", "{place}/empty.csv"), "empty.csv"),
        (("--models", "{adapted}", "--sampler", "cma"), "cma-es"),
        (("--models", "{adapted}", "-o", "{adapted}"), "is there already"),
        (("--models", "{adapted}", "--l1", "0.05"), "--space box"),
        (("--models", "{place}/blend.parts/nothing"), "no such"),
    ],
    ids=[
        *("one model", "other heads", "no base", "no rows", "a slip", "not free", "no box"),
        "no folder",
    ],
)
def test_what_cannot_be_blended_is_refused_in_a_line(
    place: Path, adapted: Path, given: tuple[str, ...], told: str
) -> None:
    places = {"place": place, "adapted": adapted, "experts": place / "blend.parts" / "experts"}
    asked = [it.format(**places) for it in given]
    target = () if "--target" in asked else ("--target", place / "mine.csv")
    atlas = ("--atlas", place / "none")
    assert told in run("tune", "search", *asked, *target, *atlas, *QUICK, "--quiet").error()


def test_a_blend_of_one_expert_is_refused_before_that_is_trained(place: Path) -> None:
    asked = ("--base", place / "base", "--sources", place / "mood.csv", "--target")
    out = ("-o", place / "lone", *QUICK, "--quiet")
    assert "--with-base" in run("tune", "run", *asked, place / "mine.csv", *out).error()
    assert not (place / "lone.parts").exists()


def test_minutes_alone_are_the_only_limit(place: Path, adapted: Path, tmp_path: Path) -> None:
    question = ("tune", "search", "--models", adapted, "--target", place / "mine.csv", *SAMPLED)
    question = (*question, "--out", tmp_path, "--atlas", tmp_path / "none", *QUICK)
    answer = ask(TuneAnswer, *question, "--minutes", 0.005)
    assert answer.trials and answer.evaluations == len(answer.trials)
    more = ask(TuneAnswer, *question, "--evaluations", len(answer.trials) + 2)
    assert len(more.trials) == len(answer.trials) + 2


def test_what_is_made_is_in_the_atlas_and_its_tree_straight_after(
    place: Path, tmp_path: Path
) -> None:
    atlas = ("--atlas", tmp_path / "atlas")
    assert run("chart", place / "base", *atlas).code == 0
    sources = [it for name in ("mood", "thing", "stars") for it in ("--sources", f"{name}.csv")]
    given = [place / it if it.endswith(".csv") else it for it in sources]
    asked = (
        *("tune", "run", "--base", place / "base", *given, "--target", place / "mine.csv"),
        *("-o", tmp_path / "blend", "--expert-steps", 20, "--expert-lr", 0.01, "--steps", 12),
        *("--lr", 0.003, "--baselines", "none", "--evaluations", 1, *atlas, *QUICK),
    )
    answer = ask(TuneAnswer, *asked)
    assert [answer.best.coefficients[it] for it in answer.models] == pytest.approx([1 / 3] * 3)
    assert 'id="blends-card"' in (tmp_path / "atlas" / "index.html").read_text("utf-8")
    parents = {(f"adapted/{it}", "blend", "merge") for it in answer.models}
    assert edges(atlas) >= parents
    for name in answer.models:
        shown = json.loads(run("show", f"adapted/{name}", *atlas, "--json").out)
        assert shown["declared"] == [f"experts/{name}"]
    # its weights alone tell what it was made of: here nothing else does
    for folder in ("blend.parts/experts", "blend.parts/mine/adapted", "blend"):
        shutil.copytree(tmp_path / folder, tmp_path / "bare" / Path(folder).name)
    shutil.copytree(place / "base", tmp_path / "bare" / "base")
    for file in (tmp_path / "bare").rglob("provenance.json"):
        file.unlink()
    bare = ("--atlas", tmp_path / "other")
    assert run("chart", tmp_path / "bare", *bare).code == 0
    assert edges(bare) >= parents


def edges(atlas: tuple[object, ...]) -> set[tuple[str, str, str]]:
    answer = json.loads(run("tree", *atlas, "--json").out)
    return {(it["parent"], it["child"], it["kind"]) for it in answer["edges"]}


def test_an_atlas_can_be_left_as_it_is(place: Path, blended: TuneAnswer, tmp_path: Path) -> None:
    atlas = ("--atlas", tmp_path / "atlas")
    assert run("chart", place / "base", *atlas).code == 0
    again = [it for it in whole(place) if it not in ("--atlas", place / "atlas")]

    def names() -> set[str]:
        return {it["name"] for it in json.loads(run("list", *atlas, "--json").out)["models"]}

    ask(TuneAnswer, *again, *atlas, "--no-add")
    assert names() == {"base"}
    layered = ("-o", tmp_path / "layered", "--per-layer", "--refit", "--expert-steps", 6)
    answer = ask(TuneAnswer, *again, *layered, *atlas)
    assert {"base", "experts/mood", "adapted/mood", "layered"} <= names()
    assert {(f"adapted/{it}", "layered", "merge") for it in answer.models} <= edges(atlas)
