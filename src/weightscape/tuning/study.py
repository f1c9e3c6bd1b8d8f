"""A search that is kept: stopped, taken up again, and shared by several processes.

What is to be evaluated and what came of it are rows of the catalog. The process that holds the
study's lock asks the sampler, all take waiting candidates under leases, and when a batch is whole
the sampler is told it in the order in which it asked. So the candidates are the same however many
processes there are, and whatever becomes of them.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from tempfile import TemporaryDirectory

import numpy as np

from weightscape import __version__
from weightscape.catalog import studies
from weightscape.catalog.records import KeptStudy, KeptTrial
from weightscape.catalog.store import Store
from weightscape.errors import BadInput
from weightscape.progress import Advance, Progress, silent
from weightscape.tuning.identity import StudyIdentity, differences
from weightscape.tuning.leases import Leases
from weightscape.tuning.proposer import Proposer, make_sampler
from weightscape.tuning.records import Outcome, Trial, Weights
from weightscape.tuning.samplers import Sampler

LEASE_SECONDS = 60.0
_IDLE = 0.01, 0.25  # seconds between looks at what others have finished, growing
_NOTED = 0.99  # of the best loss so far: a better one than that is worth a line
_PACKAGES = "numpy", "scipy", "cmaes", "optuna"  # that decide what samplers ask for

Evaluate = Callable[[Weights], Outcome]


@dataclass(frozen=True, slots=True)
class Study:
    """A search that the catalog keeps.

    lease_seconds: how long a candidate is lost to the others when the process at it dies.
    """

    store: Store
    kept: KeptStudy
    identity: StudyIdentity
    lease_seconds: float = LEASE_SECONDS

    @property
    def name(self) -> str:
        """Tell its name."""
        return self.kept.name

    def trials(self) -> list[Trial]:
        """Load the finished candidates by number."""
        with self.store.read() as connection:
            kept = studies.load_trials(connection, self.kept.id)
        return [_trial(it) for it in kept if it.state in studies.FINISHED]


def open_study(
    store: Store, name: str, identity: StudyIdentity, *, lease_seconds: float = LEASE_SECONDS
) -> Study:
    """Make a study, or open the one of that name to go on with it.

    Raises BadInput, listing the differences, where it is of other models, data or settings.
    """
    with store.write() as connection:
        kept = studies.ensure_study(connection, name, identity.plain(), _versions())
    found = differences(kept.identity, identity.plain())
    if found:
        raise BadInput(
            f"study {name!r} is of something else: {'; '.join(found)}. Give these as they were to "
            "go on with it, or choose another name"
        )
    return Study(store, kept, identity, lease_seconds)


@contextmanager
def temporary_study(identity: StudyIdentity) -> Iterator[Study]:
    """Make a study that is gone afterwards, for a search that nobody will take up again."""
    with TemporaryDirectory(prefix="weightscape-") as folder, Store.open(folder) as store:
        yield open_study(store, "search", identity)


def run_study(
    study: Study,
    evaluate: Evaluate,
    *,
    evaluations: int | None,
    minutes: float | None = None,
    progress: Progress = silent,
    sampler: Callable[[], Sampler] | None = None,
) -> list[Trial]:
    """Evaluate candidates until the budget is spent or the sampler has converged.

    evaluations: of the whole study, those of earlier runs and other processes too. minutes: of
    this run; the candidate at hand is finished, and the study's first one is evaluated however few
    they are. sampler: what makes the sampler, by default what the study's identity says. Returns
    the study's finished candidates by number.

    An exception of `evaluate` gives the candidate back and is raised; the second one for the same
    candidate, or the second process that dies of it, makes it a failed one for the next run.

    Raises BadInput without a budget, and where a study cannot be taken up again because its
    sampler asks for other candidates by now.
    """
    if evaluations is None and minutes is None:
        raise BadInput("a search needs a budget: a number of evaluations, or minutes")
    end = np.inf if minutes is None else time.monotonic() + 60 * minutes
    make = sampler or (lambda: make_sampler(study.identity))
    with (
        ExitStack() as held,
        Leases(study.store, study.kept.id, study.lease_seconds) as leases,
        progress.stage("searching", total=evaluations, unit="candidates") as advance,
    ):
        watch = _Watch(study, progress, advance, evaluations)
        proposer: Proposer | None = None
        idle = _IDLE[0]
        watch.look()
        begun = watch.finished > 0
        while time.monotonic() < end or not begun:
            free, busy = watch.look()
            if free:
                trial = leases.claim(evaluations)
                if trial is not None:
                    _evaluate(leases, trial, evaluate)
                    begun, idle = True, _IDLE[0]
                    continue
            elif not busy:
                if watch.spent:
                    break
                proposer = proposer or _propose(study, make, held)
                if proposer is not None:
                    if not proposer.advance():
                        progress.note(f"the search has converged after {watch.finished} candidates")
                        break
                    continue
            time.sleep(idle)
            idle = min(2 * idle, _IDLE[1])
        watch.look()
    return study.trials()


def _propose(study: Study, make: Callable[[], Sampler], held: ExitStack) -> Proposer | None:
    """Become the process that asks the sampler; None where another one is."""
    lock = ExitStack()
    if not lock.enter_context(study.store.lock_if_free(f"study-{study.kept.id}")):
        lock.close()
        return None
    held.push(lock)
    sampler = held.enter_context(closing(make()))
    return Proposer(study.store, study.kept, study.identity, sampler)


def _evaluate(leases: Leases, trial: KeptTrial, evaluate: Evaluate) -> None:
    began = time.perf_counter()
    try:
        outcome = evaluate(np.array(trial.weights, dtype=np.float64))
    except BaseException as problem:
        # to be interrupted says nothing of the candidate
        leases.give_back(trial, counts=isinstance(problem, Exception))
        raise
    finite = bool(np.isfinite(outcome.loss))
    found = KeptTrial(
        trial.number,
        trial.digest,
        trial.weights,
        state=outcome.state if finite else "failed",
        loss=float(outcome.loss) if finite and outcome.state != "failed" else None,
        rows=outcome.rows,
        seconds=time.perf_counter() - began,
        error=outcome.error or ("" if finite else "its loss is not finite"),
        gradient=None if outcome.gradient is None else np.asarray(outcome.gradient).tolist(),
    )
    leases.settle(found)


class _Watch:
    """Tells how a study gets on, by whichever process."""

    def __init__(
        self, study: Study, progress: Progress, advance: Advance, evaluations: int | None
    ) -> None:
        self._study, self._progress, self._advance = study, progress, advance
        self._evaluations = evaluations
        self._best = np.inf
        self.finished = 0

    @property
    def spent(self) -> bool:
        """Whether the budget of evaluations is spent."""
        return self._evaluations is not None and self.finished >= self._evaluations

    def look(self) -> tuple[int, int]:
        """Report what is new, and count the candidates that are free and those others are at."""
        with self._study.store.read() as connection:
            id = self._study.kept.id
            finished, free, busy = studies.count_trials(
                connection, id, time.time(), self._evaluations
            )
            best = studies.best_trial(connection, id) if finished > self.finished else None
        if finished > self.finished:
            self._advance(finished - self.finished)
            self.finished = finished
        if best is not None and best[1] < self._best - (1 - _NOTED) * abs(best[1]):
            self._best = best[1]
            self._progress.note(f"candidate {best[0] + 1}: loss {best[1]:.4f}, the best so far")
        return free, busy


def _trial(kept: KeptTrial) -> Trial:
    assert kept.state in ("complete", "raced", "failed")
    loss = np.inf if kept.loss is None else kept.loss
    weights = np.array(kept.weights, dtype=np.float64)
    return Trial(kept.number, weights, loss, kept.rows, kept.state, kept.seconds, kept.error)


def _versions() -> dict[str, str]:
    found = {"weightscape": __version__}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
