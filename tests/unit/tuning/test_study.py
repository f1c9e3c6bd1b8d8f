"""Studies: stopped, taken up again, shared between processes, and robbed of their workers."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from weightscape.catalog import studies
from weightscape.catalog.store import Store
from weightscape.errors import BadInput
from weightscape.tuning.identity import StudyIdentity
from weightscape.tuning.proposer import digest
from weightscape.tuning.records import Outcome, Trial, Weights
from weightscape.tuning.samplers import SAMPLERS
from weightscape.tuning.search_space import SearchSpace
from weightscape.tuning.study import open_study, run_study, temporary_study

IDENTITY = StudyIdentity(
    models=(("base", "aa"), ("sst2", "bb"), ("trec", "cc")),
    task="mine",
    task_fingerprint="t1",
    rows="r1",
    space=SearchSpace("box", 3, base=0),
    sampler="cma-es",
    seed=4,
    settings={"racing": 0.05},
)
TARGET = np.array([0.7, 0.9, -0.6])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "atlas") as opened:
        yield opened


class Bowl:
    """A loss that counts how often it was asked for what."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, weights: Weights) -> Outcome:
        self.asked.append(digest(weights))
        difference = weights - TARGET
        return Outcome(float((difference**2).sum()), 10, gradient=2 * difference)


def same(found: list[Trial], expected: list[Trial]) -> bool:
    return [(it.number, it.loss, it.weights.tolist()) for it in found] == [
        (it.number, it.loss, it.weights.tolist()) for it in expected
    ]


def whole(evaluations: int, identity: StudyIdentity = IDENTITY) -> list[Trial]:
    with temporary_study(identity) as study:
        return run_study(study, Bowl(), evaluations=evaluations)


@pytest.mark.parametrize("sampler", SAMPLERS.names())
def test_a_study_stopped_twice_is_the_study_run_at_once(sampler: str, store: Store) -> None:
    identity = replace(IDENTITY, sampler=sampler)
    bowl = Bowl()
    for evaluations in (5, 9, 14):
        study = open_study(store, "s", identity)
        found = run_study(study, bowl, evaluations=evaluations)
        assert len(found) == evaluations
    assert same(found, whole(14, identity))
    assert len(bowl.asked) == len(set(bowl.asked)) == 14
    assert min(it.loss for it in found) < found[0].loss


def test_its_trials_tell_what_was_found(store: Store) -> None:
    def evaluate(weights: Weights) -> Outcome:
        if weights[1] > 0.3:
            return Outcome(np.inf, 3, "failed", error="model 'trec' is not finite")
        return Outcome(1.5, 32, "raced") if weights[1] < -0.3 else Outcome(float("nan"), 10)

    found = run_study(open_study(store, "s", IDENTITY), evaluate, evaluations=20)
    by_error = {it.error: it for it in found}
    assert by_error["model 'trec' is not finite"].rows == 3
    assert by_error["its loss is not finite"].state == "failed"
    assert by_error[""].state == "raced" and by_error[""].loss == 1.5
    assert {it.loss for it in found if it.state == "failed"} == {np.inf}
    assert [it.number for it in found] == list(range(20))


def test_equal_weights_are_evaluated_once(store: Store) -> None:
    class Stubborn:
        """Asks for the same three points again and again."""

        batch, wants_gradient, from_history = 4, False, False
        told = 0

        def ask(self) -> list[np.ndarray]:
            return [np.full(2, at) for at in (0.5, 0.5, 0.7, 0.9)]

        def tell(self, points: object, losses: list[float], gradients: object = None) -> None:
            assert losses[0] == losses[1] < losses[2] < losses[3]
            self.told += 1

        def close(self) -> None: ...

    bowl, sampler = Bowl(), Stubborn()
    study = open_study(store, "s", IDENTITY)

    def evaluate(weights: Weights) -> Outcome:
        return replace(bowl(weights), loss=float(weights[1]))

    found = run_study(study, evaluate, evaluations=50, sampler=lambda: sampler)
    assert len(found) == len(bowl.asked) == 3, "and it ends, as nothing new is asked for"
    assert sampler.told > 1


def test_minutes_end_a_search_and_some_budget_is_needed(store: Store) -> None:
    study = open_study(store, "s", replace(IDENTITY, sampler="random"))
    assert len(run_study(study, Bowl(), evaluations=None, minutes=0)) == 1, "one at the least"
    assert len(run_study(study, Bowl(), evaluations=None, minutes=0)) == 1
    assert len(run_study(study, Bowl(), evaluations=None, minutes=0.01)) > 1
    with pytest.raises(BadInput, match="needs a budget"):
        run_study(study, Bowl(), evaluations=None)


def test_a_search_that_has_converged_ends_before_its_budget(store: Store) -> None:
    study = open_study(store, "s", replace(IDENTITY, sampler="cobyqa"))
    found = run_study(study, Bowl(), evaluations=1000)
    assert len(found) < 200 and min(it.loss for it in found) < 1e-4
    assert same(run_study(study, Bowl(), evaluations=1000), found)
    assert not [it for it in threading.enumerate() if it.name in ("cobyqa", "leases")]


class Told:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.done, self.notes = 0.0, list[str]()

    def stage(self, label: str, *, total: float | None = None, unit: str = "") -> "Told":
        return self

    def note(self, message: str) -> None:
        self.notes.append(message)

    def __enter__(self) -> Callable[[float], None]:
        return self.advance

    def __exit__(self, *problem: object) -> None: ...

    def advance(self, amount: float) -> None:
        self.done += amount


def test_it_tells_how_far_it_is_and_the_best_so_far(store: Store) -> None:
    study = open_study(store, "s", IDENTITY)
    run_study(study, Bowl(), evaluations=8)
    progress = Told()
    found = run_study(study, Bowl(), evaluations=30, progress=progress)
    assert progress.done == 30, "what was done before counts"
    best = min(found, key=lambda it: it.loss)
    losses = [float(note.split("loss ")[1].split(",")[0]) for note in progress.notes]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] <= best.loss * 1.02


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"models": (("base", "aa"), ("sst2", "bb"))}, "model 'trec' is missing"),
        (
            {"models": (*IDENTITY.models[:2], ("trec", "dd"), ("more", "ee"))},
            "model 'trec' has other weights; model 'more' is new",
        ),
        ({"models": IDENTITY.models[::-1]}, "another order; then it was base, sst2, trec"),
        ({"task": "other", "task_fingerprint": "t2"}, "task: 'mine' then, 'other' now"),
        ({"task_fingerprint": "t2"}, "the data or settings of task 'mine' have changed"),
        ({"rows": "r2"}, "judged on are others"),
        ({"seed": 5, "sampler": "tpe"}, "sampler: cma-es then, tpe now; seed: 4 then, 5 now"),
        ({"space": SearchSpace("box", 3, base=0, high=1.0)}, "high: 1.5 then, 1.0 now"),
        ({"space": SearchSpace("simplex", 3)}, "kind: box then, simplex now; base: 0 then, none"),
        ({"settings": {"racing": 0.05, "dtype": "bf16"}}, "dtype: none then, bf16 now"),
        ({"start": (0.1, 0.2)}, r"start: none then, \[0.1, 0.2\] now"),
    ],
)
def test_a_study_of_something_else_is_refused_and_left_alone(
    change: dict[str, object], says: str, store: Store
) -> None:
    found = run_study(open_study(store, "s", IDENTITY), Bowl(), evaluations=3)
    with pytest.raises(BadInput, match=f"study 's' is of something else: .*{says}"):
        open_study(store, "s", replace(IDENTITY, **change))  # type: ignore[arg-type]
    assert same(run_study(open_study(store, "s", IDENTITY), Bowl(), evaluations=3), found)


def test_models_and_tasks_go_by_what_they_are_not_by_their_names(store: Store) -> None:
    begun = open_study(store, "s", IDENTITY)
    renamed = tuple((f"my-{name}", mark) for name, mark in IDENTITY.models)
    again = open_study(store, "s", replace(IDENTITY, models=renamed, task="my-task"))
    assert again.kept.id == begun.kept.id


def test_a_sampler_that_changed_its_mind_is_refused(store: Store) -> None:
    study = open_study(store, "s", IDENTITY)
    run_study(study, Bowl(), evaluations=10)
    other = replace(IDENTITY, seed=5)
    with pytest.raises(BadInput, match=r"asks for other candidates .* in batch 1\. .*cmaes \d"):
        run_study(
            study,
            Bowl(),
            evaluations=20,
            sampler=lambda: SAMPLERS["cma-es"](other.space, seed=other.seed),
        )


def test_an_error_gives_the_candidate_back_and_a_second_one_fails_it(store: Store) -> None:
    study = open_study(store, "s", IDENTITY)
    bowl = Bowl()

    def broken(weights: Weights) -> Outcome:
        if len(bowl.asked) == 3:
            raise RuntimeError("no memory")
        return bowl(weights)

    for _ in range(2):
        with pytest.raises(RuntimeError, match="no memory"):
            run_study(study, broken, evaluations=8)
        assert [it.number for it in study.trials()] == [0, 1, 2]
    found = run_study(study, bowl, evaluations=8)
    assert [it.number for it in found if it.state == "failed"] == [3]
    assert "2 workers ended" in found[3].error and len(bowl.asked) == 7


def test_an_interruption_is_no_attempt(store: Store) -> None:
    study = open_study(store, "s", IDENTITY)

    def interrupted(weights: Weights) -> Outcome:
        raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            run_study(study, interrupted, evaluations=6)
    assert same(run_study(study, Bowl(), evaluations=6), whole(6))


def test_a_lease_is_renewed_while_the_evaluation_takes(store: Store) -> None:
    study = open_study(store, "s", IDENTITY, lease_seconds=0.9)
    stolen: list[object] = []

    def slow(weights: Weights) -> Outcome:
        time.sleep(1.4)
        with store.write() as connection:
            now = time.time()
            stolen.append(studies.claim(connection, study.kept.id, "thief", now, now + 9, 1))
        return Bowl()(weights)

    run_study(study, slow, evaluations=1)
    assert stolen == [None]


def test_what_a_worker_finds_after_its_lease_ran_out_is_left(store: Store) -> None:
    study = open_study(store, "s", IDENTITY)

    def robbed(weights: Weights) -> Outcome:
        with store.write() as connection:
            later = time.time() + 1000
            taken = studies.claim(connection, study.kept.id, "other", later, later, 1)
            assert taken is not None
            gave = replace(taken, state="complete", loss=0.25)
            assert studies.settle(connection, study.kept.id, "other", gave)
        return Outcome(99.0, 10)

    (found,) = run_study(study, robbed, evaluations=1)
    assert found.loss == 0.25


WORKER = """
import json, os, signal, sys, time
from pathlib import Path
import numpy as np
from weightscape.catalog.store import Store
from weightscape.tuning.identity import StudyIdentity
from weightscape.tuning.records import Outcome
from weightscape.tuning.search_space import SearchSpace
from weightscape.tuning.study import open_study, run_study

folder, log, deadly, together = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
identity = StudyIdentity(
    models=(("base", "aa"), ("sst2", "bb"), ("trec", "cc")), task="mine", task_fingerprint="t1",
    rows="r1", space=SearchSpace("box", 3, base=0), sampler="cma-es", seed=4,
    settings={"racing": 0.05},
)
target, count = np.array([0.7, 0.9, -0.6]), 0

def evaluate(weights):
    global count
    with open(log, "a") as lines:
        lines.write(json.dumps([os.getpid(), weights.tolist()]) + "\\n")
    count += 1
    if count == deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if len({json.loads(line)[0] for line in Path(log).read_text().splitlines()}) >= together:
            break
        time.sleep(0.01)
    return Outcome(float(((weights - target) ** 2).sum()), 10)

with Store.open(folder) as store:
    lease = 60 if together > 1 else 0.5
    run_study(open_study(store, "s", identity, lease_seconds=lease), evaluate, evaluations=24)
"""


def work(folder: Path, log: Path, deadly: int = 0, together: int = 1) -> "subprocess.Popen[bytes]":
    """Start a worker that dies in its evaluation number `deadly`, or waits for so many others."""
    given = [str(it) for it in (folder, log, deadly, together)]
    command = [sys.executable, "-W", "error", "-c", WORKER, *given]
    return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})


def evaluated(log: Path) -> list[tuple[int, str]]:
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    return [(pid, digest(np.array(weights))) for pid, weights in rows]


def test_two_processes_share_a_study_and_do_nothing_twice(tmp_path: Path) -> None:
    atlas, log = tmp_path / "atlas", tmp_path / "log"
    workers = [work(atlas, log, together=2) for _ in range(2)]
    assert [it.wait(60) for it in workers] == [0, 0]
    rows = evaluated(log)
    assert len(rows) == len({mark for _, mark in rows}) == 24
    assert len({pid for pid, _ in rows}) == 2, "both had a share"
    with Store.open(atlas) as store:
        found = run_study(open_study(store, "s", IDENTITY), Bowl(), evaluations=24)
    assert same(found, whole(24))


def test_a_killed_worker_costs_its_own_candidate_a_second_try_at_most(tmp_path: Path) -> None:
    atlas, log = tmp_path / "atlas", tmp_path / "log"
    # it asks the sampler, and dies in its sixth evaluation
    first = work(atlas, log, deadly=6)
    assert first.wait(60) == -signal.SIGKILL
    second = work(atlas, log)
    assert second.wait(60) == 0
    marks = [mark for _, mark in evaluated(log)]
    assert len(marks) == 25 and len(set(marks)) == 24, "one was begun twice"
    with Store.open(atlas) as store:
        found = open_study(store, "s", IDENTITY).trials()
    assert same(found, whole(24))


def test_a_candidate_that_kills_its_workers_fails(tmp_path: Path) -> None:
    atlas, log = tmp_path / "atlas", tmp_path / "log"
    for deadly in (3, 1):
        assert work(atlas, log, deadly).wait(60) == -signal.SIGKILL
        time.sleep(0.6)  # until the lease of the one that died has run out
    assert work(atlas, log).wait(60) == 0
    with Store.open(atlas) as store:
        found = open_study(store, "s", IDENTITY).trials()
    assert [it.number for it in found if it.state == "failed"] == [2]
    assert len(found) == 24 and len(evaluated(log)) == 25
