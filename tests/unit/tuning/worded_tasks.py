"""A tiny transformer, and tasks in its few words that its fine-tunings can learn."""

from itertools import product

from tiny_models import save_bert
from weightscape.tasks.fine_tuning import FineTuning
from weightscape.tasks.task import make_task

QUICK = FineTuning(lr=1e-2, steps=6, batch=8)


def sentences():
    return [
        f"{start} {thing} was {'not ' * no}{'very ' * very}{word}"
        for start, thing, no, very, word in product(
            ("a", "the"), ("film", "book"), range(2), range(2), ("good", "bad", "fine", "poor")
        )
    ]


def worded(name, label_of, *, shift=0, rows=48, test=16):
    """Make a task out of all sentences, which all such tasks cut in other places."""
    rotated = sentences()[shift:] + sentences()[:shift]
    labelled = [(text, label_of(text)) for text in rotated]
    return make_task(
        name,
        "words",
        {"train": labelled[:rows], "test": labelled[rows : rows + test]},
        max_tokens=9,
    )


def tone():
    return worded("tone", lambda it: "up" if it.endswith(("good", "fine")) else "down")


def topic():
    return worded("topic", lambda it: "film" if "film" in it else "book", shift=40)


def doubt():
    return worded("doubt", lambda it: "no" if "not" in it else "yes", shift=8)


def strength():
    """Make the target: its rows are few, and no split of its own is for development."""
    return worded("strength", lambda it: "much" if "very" in it else "some", shift=4)


def base_in(folder):
    return save_bert(folder / "base")
