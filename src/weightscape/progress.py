"""How long functions report that they are getting on; only the command line draws it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable

Advance = Callable[[float], None]
"""Call with the amount done since the last call, in the stage's unit."""


@runtime_checkable
class Progress(Protocol):
    """What a long function tells about itself.

    >>> def copy(items: list[int], progress: Progress) -> None:
    ...     with progress.stage("copying", total=len(items), unit="models") as advance:
    ...         for _ in items:
    ...             advance(1)
    >>> copy([1, 2], silent)
    """

    def stage(
        self, label: str, *, total: float | None = None, unit: str = ""
    ) -> AbstractContextManager[Advance]:
        """Open a stage of work of a known or unknown total; unit "B" is shown as bytes."""
        ...

    def note(self, message: str) -> None:
        """Tell the person something in one line."""
        ...


class Silent:
    """A Progress that shows nothing."""

    def stage(
        self, label: str, *, total: float | None = None, unit: str = ""
    ) -> AbstractContextManager[Advance]:
        """Open a stage that nobody sees."""
        return nullcontext(lambda amount: None)

    def note(self, message: str) -> None:
        """Say nothing."""


silent: Progress = Silent()
