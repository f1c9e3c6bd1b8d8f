import pytest
import torch

from tiny_models import save_tokenizer
from weightscape.errors import BadInput, UnknownName
from weightscape.tasks.batches import _Kept, collate, prepare, sample_rows
from weightscape.tasks.processors import ArrayProcessor, TextProcessor
from weightscape.tasks.task import Example, Task
from weightscape.tasks.training import batch_order


def task_of(rows, **more):
    examples = tuple(Example([float(i), 1.0], i % 2, 100 + i) for i in range(rows))
    return Task("t", "", ("a", "b"), {"test": examples}, **more)


class Counting(ArrayProcessor):
    """Takes the first number of an example for its length, and counts how often it is called."""

    calls = 0

    def __call__(self, examples, task):
        type(self).calls += 1
        return super().__call__(examples, task)

    def lengths(self, examples, task):
        return [int(example.inputs[0]) for example in examples]


def test_a_sample_is_the_same_each_time_and_smaller_ones_are_part_of_it():
    task = task_of(50)
    small, large = sample_rows(task, "test", 10), sample_rows(task, "test", 20)
    assert small == sample_rows(task, "test", 10)
    assert {e.row for e in small} < {e.row for e in large}
    assert [e.row for e in large] == sorted(e.row for e in large)
    assert sample_rows(task, "test", 50) == sample_rows(task, "test") == task.rows("test")


def test_a_file_that_is_sorted_by_label_is_no_trap():
    rows = tuple(Example("x", int(i >= 500), i) for i in range(1000))
    task = Task("sorted", "", ("a", "b"), {"test": rows})
    assert 30 < sum(e.target for e in sample_rows(task, "test", 100)) < 70


def test_batches_hold_examples_of_like_length_and_know_their_places():
    batches = prepare(ArrayProcessor(), task := task_of(7), "test", batch=3)
    assert [len(batch) for batch in batches] == [3, 3, 1]
    batches = prepare(Counting("by length"), task, "test", batch=3)
    lengths = [[e.inputs[0] for e in batch.examples] for batch in batches]
    assert lengths == [[6, 5, 4], [3, 2, 1], [0]]
    for batch in batches:
        assert [task.rows("test")[i] for i in batch.order.tolist()] == list(batch.examples)
        assert batch.targets.tolist() == [e.target for e in batch.examples]


def test_batches_are_made_once_for_all_models_of_one_family():
    task, before = task_of(8), Counting.calls
    first = prepare(Counting(), task, "test", batch=4)
    assert prepare(Counting(), task, "test", batch=4) is first
    assert Counting.calls == before + 2
    assert prepare(Counting("other"), task, "test", batch=4) is not first
    assert prepare(Counting(), task, "test", batch=4, limit=3) is not first
    assert prepare(Counting(), task_of(8), "test", batch=4) is not first


def test_texts_are_tokenised_once_to_be_sorted_and_padded(tmp_path):
    from transformers import AutoTokenizer

    save_tokenizer(tmp_path)
    processor = TextProcessor(AutoTokenizer.from_pretrained(tmp_path))
    rows = tuple(Example("good " * (1 + i % 3), i % 2, i) for i in range(8))
    task = Task("t", "", ("a", "b"), {"test": rows})
    encoded = []
    encode, processor.encode = processor.encode, lambda *given: encoded.append(1) or encode(*given)
    batches = prepare(processor, task, "test", batch=3)
    assert len(encoded) == 1
    assert [part.inputs["input_ids"].shape[1] for part in batches] == [5, 4, 3]
    for part in batches:
        whole = collate(processor, part.examples, task)
        assert all(torch.equal(it, whole.inputs[name]) for name, it in part.inputs.items())
        assert torch.equal(part.targets, whole.targets)


def test_no_more_is_kept_than_there_is_room_for():
    task = task_of(4)
    batches = prepare(ArrayProcessor(), task, "test")
    size = sum(batch.nbytes for batch in batches)
    kept = _Kept(most=2 * size)
    for key in "abc":
        kept.put(key, None, batches)
        kept.get("a")
    assert kept.get("a") is batches  # it was used last
    assert kept.get("b") is None
    assert kept.get("c") is batches


def test_a_batch_moves_with_all_its_tensors():
    batch = collate(ArrayProcessor(), task_of(2).rows("test"), task_of(2))
    moved = batch.to("meta")
    assert moved.inputs["0"].device == moved.targets.device == torch.device("meta")
    assert moved.examples == batch.examples


def test_limits_and_batches_that_make_no_sense():
    with pytest.raises(BadInput, match="a limit of 0"):
        prepare(ArrayProcessor(), task_of(2), "test", limit=0)
    with pytest.raises(BadInput, match="one row or more, got 0"):
        prepare(ArrayProcessor(), task_of(2), "test", batch=0)
    with pytest.raises(UnknownName, match="no split of task 't' named 'tset'"):
        prepare(ArrayProcessor(), task_of(2), "tset")


@pytest.mark.parametrize("seed", range(3))
def test_training_rows_that_are_scored_are_not_those_that_a_run_saw_first(seed):
    """The same generator for both would score a model of that seed on what it has just learned."""
    rows = tuple(Example([float(i), 1.0], i % 2, i) for i in range(400))
    task = Task("t", "", ("a", "b"), {"train": rows})
    scored = {example.row for example in sample_rows(task, "train", 100)}
    seen = {row for step in batch_order(400, 10, 10, seed) for row in step}
    assert len(scored & seen) < 60  # 25 by chance
