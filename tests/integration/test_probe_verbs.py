"""train-probes, describe and near --by probe, run as a person runs them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from harness import ask, run
from range_server import serving

from probe_models import INPUTS, LAYER, OUT, Population
from weightscape.answers import NearAnswer
from weightscape.answers_probes import DescribeAnswer, SearchAnswer, TrainProbesAnswer
from weightscape.atlas import Atlas
from weightscape.cli import console

Place = tuple[Population, Path, Path]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, TrainProbesAnswer]]:
    """Give a population, its atlas and a file of text vectors, with an expert of one tree."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    home = tmp_path_factory.mktemp("probes")
    population = Population(home / "models")
    population.make("first", 32)
    population.make("second", 3)
    labels = population.write_labels(home / "labels.csv")
    texts = population.write_texts(home / "texts.safetensors")
    with Atlas(home / "atlas") as atlas:
        atlas.add([population.folder])
    answer = ask(
        TrainProbesAnswer,
        "train-probes",
        *("--atlas", home / "atlas"),
        *("--labels", labels),
        *("--encoder", f"vectors:{texts}"),
        *("--steps", 12),
    )
    yield (population, home / "atlas", texts), answer
    torch.set_num_threads(threads)


def test_an_expert_is_trained_and_the_page_shows_what_models_know(
    trained: tuple[Place, TrainProbesAnswer],
) -> None:
    (_, atlas, _), answer = trained
    (expert,) = answer.experts
    assert expert.layer == LAYER and expert.models + expert.validation == 32 == expert.embedded
    assert expert.metrics["label_auc"] > 0.9
    assert Path(answer.page) == atlas / "index.html"
    assert "What models know" in Path(answer.page).read_text()
    (left,) = answer.left_out
    assert left.tree.startswith("second") and "3 of its 3 models" in left.reason


def test_models_of_a_file_of_labels_that_are_not_in_the_atlas_are_told(
    trained: tuple[Place, TrainProbesAnswer], tmp_path: Path
) -> None:
    (population, atlas, texts), _ = trained
    labels = population.write_labels(tmp_path / "labels.csv")
    labels.write_text(labels.read_text() + "nobody,apple\n")
    given = ("--labels", labels, "--encoder", f"vectors:{texts}", "--steps", 12)
    told = ask(TrainProbesAnswer, "train-probes", "--atlas", atlas, *given, code=3)
    assert told.unknown == ["nobody"] and told.experts[0].as_before
    outcome = run("train-probes", "--atlas", atlas, *given)
    assert outcome.code == 3 and "are not in the atlas: nobody" in outcome.err


def test_a_model_is_described_over_the_web_from_one_layer(
    trained: tuple[Place, TrainProbesAnswer], tmp_path: Path
) -> None:
    (population, atlas, _), _ = trained
    place = population.one("far", "first", ["apple", "eagle"], into=tmp_path / "served")
    layer, header = 4 * OUT * INPUTS, 600
    with serving(tmp_path / "served") as server:
        url = f"{server.url}/far/model.safetensors"
        far = ask(DescribeAnswer, "describe", url, "--atlas", atlas)
        assert far.bytes_read == server.sent <= 1.1 * (layer + header)
    assert far.known and far.layer == LAYER
    near = ask(DescribeAnswer, "describe", place, "--atlas", atlas)
    assert near.bytes_read == layer
    assert [it.score for it in far.labels] == [it.score for it in near.labels]
    assert {it.label for it in near.labels[:2]} == {"apple", "eagle"}


def test_a_model_that_was_fetched_whole_is_told_to_be(
    trained: tuple[Place, TrainProbesAnswer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIGHTSCAPE_CACHE", str(tmp_path / "cache"))
    (population, atlas, _), _ = trained
    place = population.one("far", "first", ["apple", "eagle"], into=tmp_path / "served")
    with serving(tmp_path / "served") as server:
        server.ranges = False
        asking = ("describe", f"{server.url}/far", "--atlas", atlas, "--allow-download")
        far = ask(DescribeAnswer, *asking)
        assert far.known and far.bytes_read == far.bytes_on_disk <= server.sent
        size = console.size(far.bytes_read)
        assert f"read {size} of {size}" in run(*asking).err
    assert ask(DescribeAnswer, "describe", place, "--atlas", atlas).bytes_read < far.bytes_read


def test_labels_to_choose_from_come_from_a_list_or_a_file(
    trained: tuple[Place, TrainProbesAnswer], tmp_path: Path
) -> None:
    (_, atlas, _), _ = trained
    listed = ("describe", "first-001", "--atlas", atlas, "--labels")
    (tmp_path / "asked.txt").write_text("honey\n\napple\nhoney\n")
    from_file = ask(DescribeAnswer, *listed, "asked.txt")
    assert from_file == ask(DescribeAnswer, *listed, "honey, apple")
    assert {it.label for it in from_file.labels} == {"honey", "apple"}
    assert {it.by for it in from_file.labels} == {"texts"}
    assert "apple" in run(*listed, "honey,apple", "-n", 2).out
    assert "no vector of" in run(*listed, ",".join(f"label {it}" for it in range(99))).error()
    assert "between commas" in run(*listed, " , ").error()


def test_a_stranger_is_told_to_be_one(
    trained: tuple[Place, TrainProbesAnswer], tmp_path: Path
) -> None:
    (population, atlas, _), _ = trained
    place = population.one("odd", "second", ["apple"], into=tmp_path)
    answer = ask(DescribeAnswer, "describe", place, "--atlas", atlas)
    assert not answer.known and not answer.labels and answer.tree is None
    assert "no expert knows it" in run("describe", place, "--atlas", atlas).out
    error = run("near", place, "--by", "probe", "--atlas", atlas).error()
    assert "times as far" in error


def test_neighbours_by_probe_stand_beside_their_distances(
    trained: tuple[Place, TrainProbesAnswer],
) -> None:
    (_, atlas, _), training = trained
    answer = ask(NearAnswer, "near", "first-002", "--by", "probe", "-n", 5, "--atlas", atlas)
    assert len(answer.hits) == 5 and answer.expert == training.experts[0].expert
    assert [it.model for it in answer.hits] == [it.model for it in answer.neighbours]
    scores = [it.score for it in answer.hits]
    assert scores == sorted(scores, reverse=True)
    assert {tuple(it.found_by) for it in answer.hits} == {("probe",)}
    plain = ask(NearAnswer, "near", "first-002", "--atlas", atlas)
    assert [it.model for it in plain.hits] == [it.model for it in plain.neighbours]
    assert plain.hits[0].score == -plain.neighbours[0].distance
    assert "likeness" in run("near", "first-002", "--by", "probe", "--atlas", atlas).out


def test_a_model_that_came_later_is_found_by_its_weights(
    trained: tuple[Place, TrainProbesAnswer],
) -> None:
    (population, atlas, _), _ = trained
    population.one("later", "first", ["cloud"])
    assert run("add", population.folder / "later", "--atlas", atlas, "-q").code == 0
    found = ask(SearchAnswer, "search", "cloud", "--weights-only", "-n", 40, "--atlas", atlas)
    assert "later" in {it.model for it in found.hits}


def test_what_makes_no_sense_is_told_in_one_line(
    trained: tuple[Place, TrainProbesAnswer], tmp_path: Path
) -> None:
    (population, atlas, texts), _ = trained
    verb = ("train-probes", "--atlas", atlas)
    assert "class, task or tag" in run(*verb, "--kind", "colour").error()
    assert "between 0 and 1" in run(*verb, "--validation", 2).error()
    assert "no model" in run(*verb, "nobody-*").error()
    assert "nearest" in run(*verb, "--encoder", "packed:x").error()
    vectors = ("--encoder", f"vectors:{texts}")
    assert "no model has layer" not in run(*verb, *vectors, "--least", 99).error()
    assert "none of" in run(*verb, *vectors, "--layer", "no.such.weight").error()
    assert "labels" in run(*verb, *vectors, "--kind", "task").error()
    with Atlas(tmp_path / "bare") as bare:
        bare.add([population.folder / "first-000"])
    assert "label FILE.csv" in run("train-probes", "--atlas", tmp_path / "bare", *vectors).error()
    assert "train-probes" in run("describe", "first-000", "--atlas", tmp_path / "bare").error()
