"""Carry out a plan with worker processes that can be killed and started again at any time.

A model is finished when its record lies in `.zoo/`. Whoever makes a model holds the lock file of
its name, so that two processes on one folder share the work; the system drops the lock with the
process that held it, however that died.
"""

import json
import multiprocessing
import os
import queue
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from weightscape.errors import BadInput, WeightscapeError
from weightscape.progress import Advance, Progress, silent
from weightscape.zoo.plan import Planned

RECORDS = ".zoo"

Scores = dict[str, dict[str, float]]
"""Scores by model; a training that left checkpoints scores them too."""


class Maker(Protocol):
    """Makes one planned model in a folder and scores it; must be picklable."""

    def __call__(self, planned: Planned[Any], folder: Path, progress: Progress) -> Scores:
        """Make the model, whole or not at all; make nothing of it twice."""
        ...


def claim_folder(folder: Path, options: Mapping[str, Any]) -> None:
    """Note in a zoo's folder with which options it is made, or check that they are the same.

    Raises BadInput when the folder holds a zoo of other options, or something else.
    """
    note = folder / RECORDS / "options.json"
    wanted = json.dumps(dict(options), indent=2, sort_keys=True)
    if note.is_file():
        if note.read_text(encoding="utf-8") != wanted:
            raise BadInput(
                f"{folder} holds a zoo made with other options (see {note}); "
                "choose another folder, or remove this one"
            )
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise BadInput(f"{folder} is not empty and holds no zoo; choose another folder")
    note.parent.mkdir(parents=True, exist_ok=True)
    half = note.with_name(f".options.{os.getpid()}")
    half.write_text(wanted, encoding="utf-8")
    half.replace(note)


def carry_out(
    plan: Sequence[Planned[Any]],
    folder: Path,
    make: Maker,
    *,
    cost: Callable[[Planned[Any]], float],
    workers: int = 2,
    title: str = "",
    progress: Progress = silent,
) -> Scores:
    """Make every planned model that is not there yet, and give all scores.

    cost: training steps of a model, for the progress bar. title: what the models are, behind
    their number. Workers have one torch thread each.
    Raises BadInput when a worker failed for a reason of the user's.
    """
    costs = {planned.name: cost(planned) for planned in plan}
    there = sum(_finished(folder, name) for name in costs)
    label = f"making {len(plan)} models{title}" + (f", {there} are there" if there else "")
    with progress.stage(label, total=sum(costs.values()), unit="steps") as advance:
        done = _Meter(folder, costs, advance)
        done.look()
        if workers <= 1:
            _work(plan, folder, make, done.add, lambda: True)
        elif any(not _finished(folder, name) for name in costs):
            _with_workers(plan, folder, make, done, workers)
        done.look()
    return {name: scores for p in plan for name, scores in _read_record(folder, p.name).items()}


class _Meter:
    """Counts each model's steps once, whoever made them."""

    def __init__(self, folder: Path, costs: Mapping[str, float], advance: Advance) -> None:
        self.folder, self.costs, self.advance = folder, costs, advance
        self.counted = dict.fromkeys(costs, 0.0)

    def add(self, name: str, steps: float) -> None:
        steps = min(steps, self.costs[name] - self.counted[name])
        self.counted[name] += steps
        self.advance(steps)

    def look(self) -> None:
        for name, cost in self.costs.items():
            if self.counted[name] < cost and _finished(self.folder, name):
                self.add(name, cost)


def _with_workers(
    plan: Sequence[Planned[Any]], folder: Path, make: Maker, done: _Meter, count: int
) -> None:
    # spawn, because a fork of a process with torch's threads may hang
    context = multiprocessing.get_context("spawn")
    told: Any = context.Queue()
    workers = [
        context.Process(target=_worker, args=(plan, folder, make, told), daemon=True)
        for _ in range(count)
    ]
    try:
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers) or not told.empty():
            try:
                name, steps, failure = told.get(timeout=0.5)
            except queue.Empty:
                _all_well(workers)
                done.look()
                continue
            if failure is not None:
                expected, text = failure
                raise BadInput(f"{name}: {text}") if expected else RuntimeError(f"{name}:\n{text}")
            done.add(name, steps)
        _all_well(workers)
    finally:
        for worker in workers:
            if worker.pid is not None:
                worker.terminate()
                worker.join(5)
                if worker.is_alive():
                    worker.kill()


def _all_well(workers: Sequence[Any]) -> None:
    for worker in workers:
        if worker.exitcode:
            raise RuntimeError(
                f"a worker ended with exit code {worker.exitcode} (out of memory?); "
                "start again to go on where it was"
            )


def _worker(plan: Sequence[Planned[Any]], folder: Path, make: Maker, told: Any) -> None:
    # Ctrl-C reaches the whole group; the parent ends its workers by itself
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch

    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    assert parent is not None
    at = ""

    def tell(name: str, steps: float) -> None:
        nonlocal at
        at = name
        if not parent.is_alive():
            os._exit(1)  # nobody is left to tell; what was saved is enough to go on from
        told.put((name, steps, None))

    try:
        _work(plan, folder, make, tell, parent.is_alive)
    except WeightscapeError as error:
        told.put((at, 0, (True, str(error))))
    except Exception:
        told.put((at, 0, (False, traceback.format_exc())))


def _work(
    plan: Sequence[Planned[Any]],
    folder: Path,
    make: Maker,
    tell: Callable[[str, float], None],
    wanted: Callable[[], bool],
) -> None:
    """Make whatever is free and ready until all of the plan is finished, also by others."""
    while wanted():
        left = [planned for planned in plan if not _finished(folder, planned.name)]
        if not left:
            return
        ready = (p for p in left if all(_finished(folder, parent) for parent in p.parents))
        if not any(_make_if_free(planned, folder, make, tell) for planned in ready):
            time.sleep(0.3)


def _make_if_free(
    planned: Planned[Any], folder: Path, make: Maker, tell: Callable[[str, float], None]
) -> bool:
    with _claimed(folder, planned.name) as mine:
        if not mine or _finished(folder, planned.name):
            return False
        tell(planned.name, 0)
        scores = make(planned, folder, _Steps(planned.name, tell))
        _write_record(folder, planned.name, scores)
        return True


class _Steps:
    """A Progress that tells the training steps of one model."""

    def __init__(self, name: str, tell: Callable[[str, float], None]) -> None:
        self.name, self.tell = name, tell

    @contextmanager
    def stage(self, label: str, *, total: float | None = None, unit: str = "") -> Iterator[Advance]:
        counted = label == "training"
        yield lambda amount: self.tell(self.name, amount if counted else 0)

    def note(self, message: str) -> None:
        pass


@contextmanager
def _claimed(folder: Path, name: str) -> Iterator[bool]:
    import fcntl

    with (folder / RECORDS / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _record(folder: Path, name: str) -> Path:
    return folder / RECORDS / f"{name}.json"


def _finished(folder: Path, name: str) -> bool:
    return _record(folder, name).is_file()


def _read_record(folder: Path, name: str) -> Scores:
    scores: Scores = json.loads(_record(folder, name).read_text(encoding="utf-8"))
    return scores


def _write_record(folder: Path, name: str, scores: Scores) -> None:
    file = _record(folder, name)
    half = file.with_suffix(".half")
    half.write_text(json.dumps(scores), encoding="utf-8")
    half.replace(file)
