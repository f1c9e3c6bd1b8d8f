"""More processes on one study: each evaluates candidates of it, and has nothing else to say."""

import multiprocessing
import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weightscape.errors import BadInput

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from weightscape.tasks.task import Task
    from weightscape.tuning.searching import Searching


@contextmanager
def helping(
    count: int,
    models: Sequence[str],
    target: "Task",
    how: "Searching",
    study: tuple[Path, str],
    given: Mapping[str, Any],
) -> Iterator[None]:
    """Start processes that share the search of the block, and end them with it."""
    context = multiprocessing.get_context("spawn")
    helpers = [
        context.Process(target=_help, args=(models, target, how, study, given), daemon=True)
        for _ in range(count)
    ]
    try:
        for helper in helpers:
            _start(helper)
        yield
    finally:
        started = [helper for helper in helpers if helper.pid is not None]
        for helper in started:  # what one was at is only its own candidate
            helper.terminate()
        for helper in started:
            helper.join()


def _start(helper: "SpawnProcess") -> None:
    try:
        helper.start()
    except (pickle.PicklingError, AttributeError, TypeError) as problem:
        raise BadInput(
            "--workers: this task has code of its own, which cannot be handed to another process "
            f"({problem}); use one worker"
        ) from problem


def _help(
    models: Sequence[str],
    target: "Task",
    how: "Searching",
    study: tuple[Path, str],
    given: Mapping[str, Any],
) -> None:
    import sys

    from weightscape.catalog.store import Store
    from weightscape.tuning.finding import find_blend

    folder, name = study
    # the process that was asked tells what goes wrong; this one would only tell it again
    sys.stderr = sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
    with Store.open(folder) as store:
        find_blend(
            models, target, None, how, baselines=(), held_out_rows=1, study=(store, name), **given
        )
