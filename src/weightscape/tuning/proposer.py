"""The process that asks a study's sampler, and brings it to where the study is."""

from collections.abc import Sequence

import numpy as np
import xxhash

from weightscape.catalog import studies
from weightscape.catalog.records import KeptBatch, KeptStudy, KeptTrial
from weightscape.catalog.store import Store
from weightscape.errors import BadInput
from weightscape.tuning.identity import StudyIdentity
from weightscape.tuning.records import Weights
from weightscape.tuning.samplers import SAMPLERS, Sampler
from weightscape.tuning.search_space import Point

SAME = 1e-6  # points that differ by less are the same one, computed by another machine
_FRUITLESS = 100  # batches without a new candidate, after which there is none to be expected


def make_sampler(identity: StudyIdentity) -> Sampler:
    """Make a study's sampler; raises UnknownName and MissingExtra."""
    start = None if identity.start is None else np.array(identity.start)
    return SAMPLERS[identity.sampler](
        identity.space, seed=identity.seed, start=start, batch=identity.batch
    )


class Proposer:
    """A sampler that is asked for batches, which the study keeps, and told them when whole.

    What the study has already is told first, after asking for it once more where the sampler needs
    that. Raises BadInput where it then asks for something else than it did.
    """

    def __init__(
        self, store: Store, study: KeptStudy, identity: StudyIdentity, sampler: Sampler
    ) -> None:
        self._store, self._study, self._sampler = store, study, sampler
        self._space = identity.space
        self._ordinal = self._fruitless = 0
        self._waiting: KeptBatch | None = None
        self._take_up()

    def advance(self) -> bool:
        """Ask for a batch if the last one is whole; false when the search has converged."""
        if self._waiting is not None and not self._tell(self._waiting):
            return True
        points = self._sampler.ask()
        if not points or self._fruitless >= _FRUITLESS:
            return False
        weights = [self._space.weights_of(point) for point in points]
        asked = KeptBatch(
            tuple(tuple(point.tolist()) for point in points), tuple(digest(it) for it in weights)
        )
        with self._store.write() as connection:
            new = studies.add_batch(
                connection, self._study.id, self._ordinal, asked, [it.tolist() for it in weights]
            )
        self._fruitless = 0 if new else self._fruitless + 1
        self._waiting = asked
        return True

    def _take_up(self) -> None:
        with self._store.read() as connection:
            batches = studies.load_batches(connection, self._study.id)
        for batch in batches:
            if not self._sampler.from_history:
                self._check(batch, self._sampler.ask())
            if not self._tell(batch):  # the last one
                self._waiting = batch

    def _check(self, kept: KeptBatch, asked: list[Point]) -> None:
        if len(asked) == len(kept.points) and np.allclose(asked, kept.points, rtol=0, atol=SAME):
            return
        made = ", ".join(f"{name} {version}" for name, version in self._study.versions.items())
        raise BadInput(
            f"study {self._study.name!r} cannot be taken up again: its sampler asks for other "
            f"candidates than it did in batch {self._ordinal + 1}. It was made with {made}: go on "
            "with these, or begin another study"
        )

    def _tell(self, batch: KeptBatch) -> bool:
        """Tell the sampler what came of a batch; false where a candidate is not finished."""
        with self._store.read() as connection:
            trials = studies.load_trials(connection, self._study.id, batch.digests)
        found = {trial.digest: trial for trial in trials}
        whole = [found[it] for it in batch.digests]
        if any(trial.state not in studies.FINISHED for trial in whole):
            return False
        points = [np.array(point) for point in batch.points]
        losses = [np.inf if trial.loss is None else trial.loss for trial in whole]
        self._sampler.tell(points, losses, _gradients(whole))
        self._waiting = None
        self._ordinal += 1
        return True


def digest(weights: Weights) -> str:
    """Give the same text for weights that are the same to six digits."""
    rounded = np.round(np.asarray(weights, dtype=np.float64), 6) + 0.0  # no negative zeros
    return xxhash.xxh3_128_hexdigest(rounded.astype("<f8").tobytes())


def _gradients(trials: Sequence[KeptTrial]) -> list[Weights] | None:
    if all(trial.gradient is None for trial in trials):
        return None
    # one that failed has none
    none = np.full_like(np.array(trials[0].weights, dtype=np.float64), np.nan)
    return [none if it.gradient is None else np.array(it.gradient) for it in trials]
