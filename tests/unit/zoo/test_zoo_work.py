import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import pytest

from weightscape.errors import BadInput
from weightscape.zoo.plan import Planned
from weightscape.zoo.work import carry_out, claim_folder

PLAN = [
    Planned("base", "base"),
    Planned("a", "train", ("base",), "full"),
    Planned("b", "train", ("a",), "full"),
    Planned("c", "train", ("base",), "full"),
    Planned("d", "merge", ("b", "c"), "merge"),
]


class FileMaker:
    """Makes models that are one line in a common log, each after its parents."""

    def __init__(self, slow=0.0, failing=None, error=BadInput):
        self.slow, self.failing, self.error = slow, failing, error

    def __call__(self, planned, folder, progress):
        if planned.name == self.failing:
            raise self.error("this one cannot be made")
        (folder / f"{planned.name}.pid").write_text(str(os.getpid()))
        with progress.stage("training", total=2) as advance:
            for _ in range(2):
                time.sleep(self.slow)
                advance(1)
        with (folder / "made.log").open("a") as log:
            log.write(f"{planned.name}\n")
        return {planned.name: {"accuracy": 0.5}}


def make(folder, maker, **options):
    claim_folder(folder, {"seed": 0})
    return carry_out(PLAN, folder, maker, cost=lambda planned: 2, **options)


def made(folder):
    return (folder / "made.log").read_text().split()


class Counting:
    def __init__(self):
        self.total, self.done, self.labels = 0, 0, []

    def stage(self, label, *, total=None, unit=""):
        from contextlib import nullcontext

        self.total += total
        self.labels.append(label)

        def advance(amount):
            self.done += amount

        return nullcontext(advance)

    def note(self, message):
        pass


@pytest.mark.parametrize("workers", [1, 2])
def test_everything_is_made_once_after_its_parents(tmp_path, workers):
    progress = Counting()
    scores = make(tmp_path / "zoo", FileMaker(), workers=workers, progress=progress)
    order = made(tmp_path / "zoo")
    assert sorted(order) == ["a", "b", "base", "c", "d"]
    assert all(order.index(p) < order.index(m.name) for m in PLAN for p in m.parents)
    assert scores == {planned.name: {"accuracy": 0.5} for planned in PLAN}
    assert progress.done == progress.total == 10
    assert progress.labels == ["making 5 models"]
    again = Counting()
    make(tmp_path / "zoo", FileMaker(failing="a"), workers=workers, title=" of it", progress=again)
    assert again.labels == ["making 5 models of it, 5 are there"]
    assert made(tmp_path / "zoo") == order


def test_it_goes_on_where_it_was_stopped(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "zoo", FileMaker(failing="b", error=KeyboardInterrupt), workers=1)
    assert made(tmp_path / "zoo") == ["base", "a"]
    make(tmp_path / "zoo", FileMaker(failing="a"), workers=1)
    assert sorted(made(tmp_path / "zoo")) == ["a", "b", "base", "c", "d"]


def test_two_on_one_folder_share_the_work(tmp_path):
    folder = tmp_path / "zoo"
    claim_folder(folder, {"seed": 0})
    options = {"workers": 1}
    both = [
        Thread(target=make, args=(folder, FileMaker(slow=0.02)), kwargs=options) for _ in range(2)
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(60)
    assert sorted(made(folder)) == ["a", "b", "base", "c", "d"]


def test_a_failing_worker_says_which_model_and_why(tmp_path):
    with pytest.raises(BadInput, match="c: this one cannot be made"):
        make(tmp_path / "user", FileMaker(failing="c"), workers=2)
    with pytest.raises(RuntimeError, match=r"(?s)c:.*Traceback.*ZeroDivisionError"):
        make(tmp_path / "bug", FileMaker(failing="c", error=ZeroDivisionError), workers=2)


def test_a_folder_is_claimed_for_one_set_of_options(tmp_path):
    claim_folder(tmp_path / "zoo", {"seed": 0, "tasks": ("a",)})
    claim_folder(tmp_path / "zoo", {"tasks": ["a"], "seed": 0})
    with pytest.raises(BadInput, match="other options"):
        claim_folder(tmp_path / "zoo", {"seed": 1, "tasks": ["a"]})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(BadInput, match="holds no zoo"):
        claim_folder(tmp_path / "mine", {"seed": 0})


def alive(pid):
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.parametrize("signal_sent", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_its_parent(tmp_path, signal_sent):
    script = (
        "from pathlib import Path\n"
        "from test_zoo_work import FileMaker, make\n"
        "if __name__ == '__main__':\n"
        f"    make(Path({str(tmp_path / 'zoo')!r}), FileMaker(slow=0.5), workers=2)\n"
    )
    (tmp_path / "run.py").write_text(script)
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "run.py")],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: (tmp_path / "zoo" / "c.pid").exists())
    workers = {int(file.read_text()) for file in (tmp_path / "zoo").glob("*.pid")}
    assert workers and parent.pid not in workers
    parent.send_signal(signal_sent)
    parent.wait(30)
    wait_until(lambda: not any(alive(pid) for pid in workers))
    before = set(made(tmp_path / "zoo"))
    make(tmp_path / "zoo", FileMaker(), workers=1)  # no lock was left behind
    assert before <= set(made(tmp_path / "zoo")) == {"a", "b", "base", "c", "d"}


def wait_until(happened, seconds=60):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_records_are_plain_json(tmp_path):
    make(tmp_path / "zoo", FileMaker(), workers=1)
    record = tmp_path / "zoo" / ".zoo" / "a.json"
    assert json.loads(record.read_text()) == {"a": {"accuracy": 0.5}}
