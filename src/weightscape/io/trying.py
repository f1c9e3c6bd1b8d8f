"""Trying again what a server or a connection did not do, with growing pauses."""

import logging
import time
from collections.abc import Callable
from typing import NoReturn

from weightscape.errors import BadCheckpoint, NotFound

log = logging.getLogger(__name__)

pause: Callable[[float], None] = time.sleep
"""How to wait; tests do not."""

_TRIES = 6
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
WORTH_IT = 64 << 10
"""Bytes by which a connection that broke had been worth opening."""


class Broken(Exception):
    """A connection that broke or a server that is busy: worth another try.

    wait: the seconds that the server asks for. free: it is not counted among the tries. unheard:
    nothing of the file was seen yet. away: nor of its server. stale: what was fetched of the file
    is of no use any more.
    """

    def __init__(
        self,
        reason: str,
        *,
        wait: float = 0.0,
        free: bool = False,
        unheard: bool = False,
        away: bool = False,
        stale: bool = False,
    ) -> None:
        super().__init__(reason)
        self.wait = wait
        self.free = free
        self.unheard = unheard
        self.away = away
        self.stale = stale


class Unreachable(NotFound):
    """A server that cannot be reached: what is asked of it next will not be heard either."""


class Tries:
    """Counts tries in a row that brought nothing, and pauses longer after each."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._failed = 0
        self._freed = False

    def failed(self, problem: Broken, gained: int = 0) -> None:
        """Pause before the next try; raise BadCheckpoint or NotFound when there were enough."""
        if problem.free and not self._freed:
            self._freed = True
            return
        self._failed = 1 if gained >= WORTH_IT else self._failed + 1
        if self._failed >= _TRIES:
            self._give_up(problem)
        wait = min(_LONGEST_PAUSE, max(problem.wait, _FIRST_PAUSE * 2 ** (self._failed - 1)))
        log.info("%s: %s; trying again in %.1f s", self._name, problem, wait)
        pause(wait)

    def _give_up(self, problem: Broken) -> NoReturn:
        what = f"cannot be read: {problem} ({_TRIES} times); try again later"
        if problem.away:
            raise Unreachable(f"{self._name}: {what}") from None
        if problem.unheard:
            raise NotFound(f"{self._name}: {what}") from None
        raise BadCheckpoint(what, file=self._name) from None
