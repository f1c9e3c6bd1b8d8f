import pytest

from weightscape.tasks.live import Encoded, LiveModel
from weightscape.tasks.task import Example, Task, make_task

WORDS = "[PAD] [UNK] [CLS] [SEP] good bad fine poor film book a the was very not".split()


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Let tiny models run on one thread: two that wait for each other are many times slower."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class WordNumbers:
    """Turns short texts into numbers of words, padded; pairs of inputs and masks."""

    identity = "words"

    def __call__(self, examples, task):
        import torch

        rows = [self._numbers(example.inputs) for example in examples]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        targets = torch.tensor([example.target for example in examples])
        return Encoded({"input_ids": ids, "attention_mask": mask}, targets)

    def lengths(self, examples, task):
        return [len(self._numbers(example.inputs)) for example in examples]

    def _numbers(self, text):
        return [2, *(WORDS.index(word) for word in text.split()), 3]


class Vectors:
    """Gives a plain module its inputs by position."""

    identity = "vectors"

    def __call__(self, examples, task):
        import torch

        inputs = torch.stack([torch.as_tensor(example.inputs).float() for example in examples])
        return Encoded({"0": inputs}, torch.tensor([example.target for example in examples]))

    def lengths(self, examples, task):
        return [1] * len(examples)


@pytest.fixture(scope="session")
def reviews():
    rows = [
        (f"{start} {thing} was {'very ' * very}{word}", "pos" if word == "good" else "neg")
        for start, thing in (("a", "film"), ("the", "book"))
        for very in range(3)
        for word in ("good", "bad", "poor")
    ]
    return make_task("reviews", "sentiment", {"train": rows[:14], "test": rows[14:]})


@pytest.fixture
def live():
    """Give any module as a live model that reads vectors."""

    def make(module, name="model"):
        return LiveModel(name, module.eval(), Vectors())

    return make


@pytest.fixture
def vector_task():
    """Make a task of vectors [n, d] and label numbers, or of numbers to be predicted."""

    def make(inputs, targets=None, labels=("no", "yes")):
        targets = [i % 2 for i in range(len(inputs))] if targets is None else targets
        rows = [
            Example(x, y, i) for i, (x, y) in enumerate(zip(list(inputs), targets, strict=True))
        ]
        return Task("vectors", "made", labels, {"train": tuple(rows), "test": tuple(rows[:2])})

    return make


@pytest.fixture
def small_bert():
    """Make a BERT of one layer whose weights are not those of initialisation."""

    def make(seed=0, labels=2):
        import torch
        from transformers import BertConfig, BertForSequenceClassification

        config = BertConfig(
            vocab_size=len(WORDS),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=24,
            max_position_embeddings=16,
            num_labels=labels,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = BertForSequenceClassification(config)
            with torch.no_grad():
                for parameter in module.parameters():
                    parameter.add_(torch.randn_like(parameter), alpha=0.2)
        return LiveModel(
            f"bert-{seed}", module.eval(), WordNumbers(), ("neg", "pos"), ("classifier.",)
        )

    return make
