"""Commands in processes of their own, forked from one that has imported everything already."""

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Mapping
from importlib import import_module
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from harness import Outcome, run

_CONTEXT = multiprocessing.get_context("forkserver")
_PRELOAD = ("cli.main", "cli.charting", "cli.gather", "cli.summary", "atlas", "answers")
_CONTEXT.set_forkserver_preload([f"weightscape.{name}" for name in _PRELOAD])


class Child:
    """A command that runs by itself; it may be told to end at a certain call of a function."""

    def __init__(
        self,
        folder: Path,
        *argv: object,
        at: tuple[str, int, signal.Signals] | None = None,
        limits: Mapping[int, int] | None = None,
        gate: Any = None,
    ) -> None:
        self._answer = folder / f"outcome-{time.monotonic_ns()}"
        arguments = (Path.cwd(), self._answer, [str(it) for it in argv], at, limits or {}, gate)
        self.process: BaseProcess = _CONTEXT.Process(target=_work, args=arguments)
        self.process.start()

    def wait(self, seconds: float = 60) -> Outcome | None:
        """Wait for the end; None when the process was killed."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, "still running"
        if not self._answer.exists():
            return None
        return Outcome(**json.loads(self._answer.read_text()))


def barrier(count: int) -> Any:
    """Make a gate at which that many children start together."""
    return _CONTEXT.Barrier(count)


def _work(
    folder: Path,
    answer: Path,
    argv: list[str],
    at: tuple[str, int, signal.Signals] | None,
    limits: Mapping[int, int],
    gate: Any,
) -> None:
    import resource

    os.chdir(folder)
    # tests started in the background have Ctrl-C ignored, and hand that down
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if at is not None:
        _end_at(*at)
    before = {limit: resource.getrlimit(limit) for limit in limits}
    for limit, value in limits.items():
        hard = value if limit == resource.RLIMIT_NOFILE else before[limit][1]
        resource.setrlimit(limit, (value, hard))
    if gate is not None:
        gate.wait()
    outcome = run(*argv)
    if resource.RLIMIT_FSIZE in limits:
        resource.setrlimit(resource.RLIMIT_FSIZE, before[resource.RLIMIT_FSIZE])
    half = answer.with_suffix(".half")
    half.write_text(json.dumps({"code": outcome.code, "out": outcome.out, "err": outcome.err}))
    half.rename(answer)


def _end_at(function: str, call: int, how: signal.Signals) -> None:
    """Let the process be signalled as it enters a function for the n-th time."""
    module = import_module(function.rpartition(".")[0])
    name = function.rpartition(".")[2]
    original, calls = getattr(module, name), 0

    def counting(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), how)
        return original(*arguments, **options)

    setattr(module, name, counting)
