"""What every processor must keep to, whatever it reads."""

import numpy as np
import pytest
import torch

from tiny_models import save_tokenizer
from weightscape.tasks.live import RowEncoder
from weightscape.tasks.processors import (
    ArrayProcessor,
    ImageProcessor,
    RecordProcessor,
    TextProcessor,
)
from weightscape.tasks.task import Example, Task


def _texts(folder, **settings):
    from transformers import AutoTokenizer

    save_tokenizer(
        folder, framed=not settings, **({"pad": None, "end": "[SEP]"} if settings else {})
    )
    return TextProcessor(AutoTokenizer.from_pretrained(folder), **settings)


def _images(folder):
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    return ImageProcessor(ViTImageProcessorPil(size={"height": 4, "width": 4}))


TEXTS = ("good film", "a very very bad book", "poor", "the book was not fine")
IMAGES = tuple(np.random.default_rng(0).integers(0, 255, (4, 8, 8, 3), dtype=np.uint8))
CASES = {
    "texts": (_texts, "classification", TEXTS),
    "pairs": (_texts, "pair", tuple(zip(TEXTS, TEXTS[::-1], strict=True))),
    "seq2seq": (_texts, "seq2seq", TEXTS),
    "causal": (lambda folder: _texts(folder, joined=True), "causal", TEXTS),
    "arrays": (lambda folder: ArrayProcessor(), "classification", tuple(np.eye(4))),
    "images": (_images, "classification", IMAGES),
    "records": (lambda folder: RecordProcessor(), "custom", tuple({"x": i} for i in range(4))),
}


@pytest.fixture(params=CASES)
def case(request, tmp_path):
    make, kind, inputs = CASES[request.param]
    writes = kind in ("seq2seq", "causal")
    examples = [Example(one, TEXTS[-i] if writes else i % 2, i) for i, one in enumerate(inputs)]
    task = Task("t", "", () if writes else ("a", "b"), {"test": tuple(examples)}, kind=kind)
    return make(tmp_path / "one"), make(tmp_path / "two"), examples, task


def test_every_tensor_has_a_row_for_every_example(case):
    processor, _, examples, task = case
    for some in (examples, examples[:1]):
        inputs, targets = processor(some, task)
        assert all(len(part) == len(some) for part in inputs.values())
        assert targets is None or len(targets) == len(some)
        assert len(processor.lengths(some, task)) == len(some)


def test_one_identity_means_one_batch(case):
    one, two, examples, task = case
    assert one.identity == two.identity
    assert isinstance(one.identity, str)
    first, second = one(examples, task), two(examples, task)
    assert list(first.inputs) == list(second.inputs)
    assert all(torch.equal(part, second.inputs[name]) for name, part in first.inputs.items())


def test_rows_that_are_encoded_once_can_be_put_in_any_batch(case):
    processor, _, examples, task = case
    if not isinstance(processor, RowEncoder):
        return
    encoded = processor.encode(examples, task)
    assert list(map(len, encoded)) == processor.lengths(examples, task)
    for some in ([3, 0], [1], [2, 1, 0, 3]):
        inputs, targets = processor.pad([encoded[i] for i in some])
        called = processor([examples[i] for i in some], task)
        assert torch.equal(targets, called.targets)
        assert targets.dtype == called.targets.dtype
        assert list(inputs) == list(called.inputs)
        assert all(torch.equal(part, called.inputs[name]) for name, part in inputs.items())


def test_calls_leave_no_trace(case):
    processor, _, examples, task = case
    identity, before = processor.identity, processor(examples, task)
    processor(examples[:1], task)
    processor.lengths(examples, task)
    again = processor(examples, task)
    assert processor.identity == identity
    assert all(torch.equal(part, again.inputs[name]) for name, part in before.inputs.items())


def test_an_example_does_not_depend_on_its_neighbours(case):
    processor, _, examples, task = case
    together = processor(examples, task)
    for i, example in enumerate(examples):
        alone = processor([example], task)
        for name, part in alone.inputs.items():
            width = (slice(None),) * (part.ndim == 1) or (0, slice(part.shape[1]))
            mine = together.inputs[name][i : i + 1]
            assert torch.equal(mine[width], part[width]), name
