"""COBYQA: quadratic models within a trust region, by SciPy."""

import weakref
from collections.abc import Sequence
from queue import SimpleQueue
from threading import Lock, Thread
from typing import ClassVar

import numpy as np

from weightscape.errors import BadInput
from weightscape.tuning.records import Weights
from weightscape.tuning.samplers.sampler import SAMPLERS, FiniteLosses, begin_at
from weightscape.tuning.samplers.straight import bend, straighten
from weightscape.tuning.search_space import Point, SearchSpace

FIRST_RADIUS, LAST_RADIUS = 0.25, 1e-3  # of the trust region, in the unit box
_UNBOUNDED = 10**9  # evaluations: the study counts them

# SciPy holds a lock of its own while COBYQA runs: a second one would wait for ever
_running = Lock()


class _Closed(BaseException):
    """The search was ended from outside; no error, and not to be caught by SciPy."""


@SAMPLERS.register("cobyqa")
class Cobyqa:
    """Derivative-free trust-region SQP (Ragonneau 2022), local and without chance.

    SciPy calls the loss instead of being asked for points, so it runs in a thread that waits for
    each loss. It asks for one point at a time, and for no more once the trust region is small.
    A process can have one at a time; another one's first question raises BadInput.
    """

    batch: ClassVar[int] = 1
    wants_gradient: ClassVar[bool] = False
    from_history: ClassVar[bool] = False

    def __init__(
        self, space: SearchSpace, *, seed: int, start: Point | None = None, batch: int | None = None
    ) -> None:
        self._space, self._start = space, begin_at(space, start)
        self._losses = FiniteLosses()
        self._asked: SimpleQueue[Point | BaseException | None] = SimpleQueue()
        self._told: SimpleQueue[float | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._over = False

    def ask(self) -> list[Point]:
        """Propose a point, or none when the search has converged or was closed."""
        if self._over:
            return []
        if self._thread is None:
            self._begin()
        point = self._asked.get()
        if isinstance(point, BaseException):
            self.close()
            raise point
        if point is None:
            self.close()
            return []
        return [point]

    def tell(
        self,
        points: Sequence[Point],
        losses: Sequence[float],
        gradients: Sequence[Weights] | None = None,
    ) -> None:
        """Give the thread the loss that it waits for."""
        (loss,) = self._losses.of(losses)
        self._told.put(float(loss))

    def close(self) -> None:
        """End the thread."""
        self._over = True
        if self._thread is not None:
            self._told.put(None)
            self._thread.join()
            self._thread = None

    def _begin(self) -> None:
        if not _running.acquire(blocking=False):
            raise BadInput(
                "another search by COBYQA goes on in this process, and SciPy runs one at a time; "
                "close it first, or search in another process"
            )
        # the thread has no reference to this object, whose end then ends the thread
        arguments = (self._space, self._start, self._asked, self._told)
        self._thread = Thread(target=_minimise, args=arguments, name="cobyqa", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            _running.release()
            raise
        weakref.finalize(self, self._told.put, None)


def _minimise(
    space: SearchSpace,
    start: Point,
    asked: "SimpleQueue[Point | BaseException | None]",
    told: "SimpleQueue[float | None]",
) -> None:
    from scipy.optimize import minimize

    def loss(point: Point) -> float:
        asked.put(point)
        answer = told.get()
        if answer is None:
            raise _Closed
        return answer

    options = {
        "initial_tr_radius": FIRST_RADIUS,
        "final_tr_radius": LAST_RADIUS,
        "maxfev": _UNBOUNDED,
        "maxiter": _UNBOUNDED,
    }
    ending: BaseException | None = None
    try:
        first, origin = loss(start), straighten(space, start)

        def at(variables: Point) -> float:
            if np.array_equal(variables, origin):  # SciPy moves it where it is near a side
                return first
            return loss(bend(space, variables))

        minimize(at, origin, method="COBYQA", bounds=[(0.0, 1.0)] * len(origin), options=options)
    except _Closed:
        pass  # nobody wants more points; raising is the only way out of SciPy
    except BaseException as problem:
        ending = problem
    finally:
        _running.release()
        asked.put(ending)
