import numpy as np
import pytest
import torch

from tiny_models import WORDS, save_tokenizer
from weightscape.errors import BadInput
from weightscape.tasks.processors import ArrayProcessor, ImageProcessor, TextProcessor
from weightscape.tasks.task import Example, Task


def load(folder, **settings):
    from transformers import AutoTokenizer

    save_tokenizer(folder, **settings)
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture
def framed(tmp_path):
    return load(tmp_path / "framed")


@pytest.fixture
def bare(tmp_path):
    return load(tmp_path / "bare", pad=None, framed=False, end="[SEP]")


def words(tokens):
    return " ".join(WORDS[i] for i in tokens)


def task_of(kind, **more):
    labels = ("a", "b") if kind in ("classification", "pair") else ()
    return Task("t", "", labels, {}, kind=kind, **more)


def test_a_pair_is_two_texts_in_one(framed):
    inputs, targets = TextProcessor(framed)([Example(("good", "film"), 1, 0)], task_of("pair"))
    assert words(inputs["input_ids"][0]) == "[CLS] good [SEP] film [SEP]"
    assert targets.tolist() == [1]


def test_texts_are_cut_to_what_task_and_model_read(framed):
    long = [Example("good " * 50, 0, 0)]
    processor = TextProcessor(framed, longest=9)
    assert processor(long, task_of("classification"))[0]["input_ids"].shape == (1, 9)
    assert processor(long, task_of("classification", max_tokens=5))[0]["input_ids"].shape == (1, 5)
    assert processor.lengths([*long, Example("a film", 0, 1)], task_of("classification")) == [9, 4]


def test_numbers_stay_numbers(framed):
    task = Task("t", "", (), {}, kind="classification")
    targets = TextProcessor(framed)([Example("good", 2.5, 0)], task).targets
    assert targets.dtype == torch.float32
    assert targets.tolist() == [2.5]


def test_a_causal_target_follows_its_prompt_and_only_it_is_to_be_written(bare):
    processor = TextProcessor(bare, joined=True)
    examples = [Example("the film was", "very good", 0), Example("a", "bad", 1)]
    inputs, targets = processor(examples, task_of("causal"))
    assert words(inputs["input_ids"][0]) == "the film was very good [SEP]"
    assert inputs["attention_mask"].tolist() == [[1] * 6, [1] * 3 + [0] * 3]
    assert words(targets[0][3:]) == "very good [SEP]"
    assert targets[0][:3].tolist() == [-100] * 3
    assert targets[1].tolist()[0] == -100
    assert targets[1].tolist()[3:] == [-100] * 3


def test_a_prompt_loses_its_beginning_and_leaves_room_for_the_target(bare):
    processor = TextProcessor(bare, joined=True, longest=6)
    example = Example("a the a the a the film was", "very good", 0)
    inputs, _ = processor([example], task_of("causal", target_tokens=4))
    assert words(inputs["input_ids"][0]) == "the film was very good [SEP]"


def test_a_prompt_is_cut_for_its_own_target_and_not_for_a_neighbours(bare):
    processor = TextProcessor(bare, joined=True, longest=8)
    task = task_of("causal", target_tokens=6)
    example = Example("a the a the film was", "bad", 0)
    alone, _ = processor([example], task)
    beside, _ = processor([example, Example("a", "very very very good film", 1)], task)
    assert words(alone["input_ids"][0]) == "a the a the film was bad [SEP]"
    assert torch.equal(beside["input_ids"][:1], alone["input_ids"])


@pytest.mark.parametrize("framed", [True, False])
def test_a_target_to_be_written_ends_once_unless_it_was_cut(tmp_path, framed):
    from transformers import AutoTokenizer

    save_tokenizer(tmp_path, framed=framed, end="[SEP]")
    processor = TextProcessor(AutoTokenizer.from_pretrained(tmp_path))
    end = processor.tokenizer.eos_token_id
    task = Task("t", "", (), {}, 12, "seq2seq", ("loss",), 5)
    rows = [Example("a film", target, 0) for target in ("good book", "the film was not a bad one")]
    short, long = (row.target.tolist() for row in processor.encode(rows, task))
    assert short.count(end) == 1 and short[-1] == end
    assert len(long) == 5 and (long[-1] == end) == framed


def test_what_a_model_writes_after_is_padded_where_it_does_not_write(bare):
    processor = TextProcessor(bare, joined=True)
    examples = [Example("the film was", "", 0), Example("a", "", 1)]
    prompts = processor.prompts(examples, task_of("causal"))
    assert prompts["attention_mask"].tolist() == [[1, 1, 1], [0, 0, 1]]
    assert processor.texts(torch.tensor([[7, 4, 3], [5, 3, 3]])) == ["poor good", "bad"]


def test_padding_is_on_the_right_whatever_the_tokenizer_prefers(framed):
    framed.padding_side = "left"
    processor = TextProcessor(framed)
    mask = processor([Example("good", 0, 0), Example("good " * 3, 0, 1)], task_of("classification"))
    assert mask.inputs["attention_mask"][0].tolist() == [1, 1, 1, 0, 0]


def test_one_family_has_one_identity(framed, tmp_path):
    first = TextProcessor(framed).identity
    framed(["a", "good film"], padding=True, truncation=True, max_length=2)
    assert TextProcessor(framed).identity == first
    assert TextProcessor(load(tmp_path / "again")).identity == first
    assert TextProcessor(framed, longest=7).identity != first
    assert TextProcessor(load(tmp_path / "other", framed=False)).identity != first


def test_arrays_are_stacked_as_they_are():
    task = task_of("classification")
    rows = [Example(np.ones((2, 3), dtype=np.uint8) * i, i, i) for i in range(2)]
    inputs, targets = ArrayProcessor()(rows, task)
    assert inputs["0"].dtype == torch.float32
    assert inputs["0"].shape == (2, 2, 3)
    assert inputs["0"][1].eq(1).all()
    assert targets.tolist() == [0, 1]
    with pytest.raises(BadInput, match=r"row 9 has the shape \[3\] and row 0 \[2, 3\]"):
        ArrayProcessor()([rows[0], Example([1, 2, 3], 0, 9)], task)
    with pytest.raises(BadInput, match="row 4 is 'a text'; this model takes arrays"):
        ArrayProcessor()([Example("a text", 0, 4)], task)


def test_images_come_from_files_arrays_and_pil(tmp_path):
    from PIL import Image
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    processor = ImageProcessor(ViTImageProcessorPil(size={"height": 4, "width": 4}))
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    rows = [pixels, Image.fromarray(pixels), tmp_path / "image.png", str(tmp_path / "image.png")]
    task = task_of("classification")
    examples = [Example(one, 0, i) for i, one in enumerate(rows)]
    prepared = processor(examples, task).inputs["pixel_values"]
    assert prepared.shape == (4, 3, 4, 4)
    assert all(torch.equal(prepared[0], one) for one in prepared)
    (tmp_path / "image.png").write_bytes(b"no image")
    with pytest.raises(BadInput, match="row 2: no image"):
        processor(examples, task)
