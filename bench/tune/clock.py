"""Time by the clock on the wall and by the processor, children's included.

Where other work shares the processors, the latter is what can be compared.
"""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds since some moment, or between two."""

    wall: float
    processor: float

    def since(self, before: "Taken") -> "Taken":
        """Give what has passed since then."""
        return Taken(self.wall - before.wall, self.processor - before.processor)


def now() -> Taken:
    """Read both clocks; of children those count that have ended."""
    used = [resource.getrusage(it) for it in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return Taken(time.perf_counter(), sum(it.ru_utime + it.ru_stime for it in used))


def taken(run: Callable[[], object]) -> Taken:
    """Time a function."""
    before = now()
    run()
    return now().since(before)
