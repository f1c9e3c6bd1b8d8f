"""Which candidate this process is at: a lease that runs out by itself when the process dies."""

import logging
import os
import socket
import time
from threading import Event, Lock, Thread
from types import TracebackType
from uuid import uuid4

from weightscape.catalog import studies
from weightscape.catalog.records import KeptTrial
from weightscape.catalog.store import Store
from weightscape.errors import AtlasError

log = logging.getLogger(__name__)


class Leases:
    """One process's hold on the trials of a study, one trial at a time.

    A thread renews the lease while the trial is evaluated. Where the process ends or hangs, the
    lease runs out after `seconds`, and another process takes the trial. Machines that share a
    study must agree about the time to within that.
    """

    def __init__(self, store: Store, study_id: int, seconds: float) -> None:
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._store, self._study, self._seconds = store, study_id, seconds
        self._number: int | None = None
        self._changing = Lock()  # no renewal of what is being let go of
        self._over = Event()
        self._heart = Thread(target=self._beat, name="leases", daemon=True)

    def __enter__(self) -> "Leases":
        self._heart.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._heart.join()

    def claim(self, limit: int | None) -> KeptTrial | None:
        """Take the first free trial with a number below `limit`; None if there is none."""
        now = time.time()
        with self._changing, self._store.write() as connection:
            trial = studies.claim(
                connection, self._study, self.holder, now, now + self._seconds, limit
            )
            self._number = None if trial is None else trial.number
        return trial

    def settle(self, found: KeptTrial) -> bool:
        """Write what the trial gave; false where another process has taken it meanwhile."""
        with self._changing, self._store.write() as connection:
            self._number = None
            return studies.settle(connection, self._study, self.holder, found)

    def give_back(self, trial: KeptTrial, *, counts: bool) -> None:
        """Let the trial wait for another; `counts` tells whether this was an attempt at it."""
        with self._changing, self._store.write() as connection:
            self._number = None
            studies.give_back(connection, self._study, trial.number, self.holder, counts=counts)

    def _beat(self) -> None:
        while not self._over.wait(self._seconds / 3):
            try:
                self._renew()
            except AtlasError as problem:  # perhaps only for the moment; the evaluation goes on
                log.warning("a lease was not renewed: %s", problem)

    def _renew(self) -> None:
        with self._changing:
            if self._number is None:
                return
            with self._store.write() as connection:
                until = time.time() + self._seconds
                if not studies.renew(connection, self._study, self._number, self.holder, until):
                    log.info("candidate %d was taken by another process", self._number)
                    self._number = None
