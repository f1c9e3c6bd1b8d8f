"""Every error that weightscape raises on purpose.

WeightscapeError
├── BadCheckpoint (ValueError)         a model file that cannot be what it says
│   └── UnsafeCheckpoint               a pickle that wants to run code
├── UnsupportedFormat (ValueError)     recognised, but not read yet (GGUF, ONNX, ...)
│   └── NeedsDownload                  a remote file that cannot be read in part
├── MismatchedModels (ValueError)      models whose tensors do not correspond
├── BadInput (ValueError)              an argument, option or task file that makes no sense
├── UnknownName (KeyError)             no model, method or task of that name; says the nearest
├── NotFound (FileNotFoundError)       no such file or folder
├── MissingExtra (ImportError)         an optional part is not installed; prints the pip line
└── AtlasError (RuntimeError)          the catalog cannot be read or written

The command line turns each into one line on stderr and exit code 2; anything else is a bug
and keeps its traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class WeightscapeError(Exception):
    """The root of every error raised on purpose."""

    def __str__(self) -> str:
        # KeyError would print the repr of its message, quotes and all
        return str(self.args[0]) if self.args else ""


class BadCheckpoint(WeightscapeError, ValueError):
    """A model file that cannot be what it says it is."""

    def __init__(
        self,
        problem: str,
        *,
        file: str | Path,
        tensor: str | None = None,
        span: tuple[int, int] | None = None,
    ) -> None:
        where = f"{file}"
        if tensor is not None:
            where += f", tensor {tensor!r}"
        if span is not None:
            where += f", bytes {span[0]}-{span[1]}"
        super().__init__(f"{where}: {problem}")
        self.problem = problem
        self.file = str(file)
        self.tensor = tensor
        self.span = span


class UnsafeCheckpoint(BadCheckpoint):
    """A pickle that wants to run code; nothing of it was run."""


class UnsupportedFormat(WeightscapeError, ValueError):
    """A model format that is recognised but not read yet."""


class NeedsDownload(UnsupportedFormat):
    """A remote file that cannot be read in part, only fetched whole."""


class MismatchedModels(WeightscapeError, ValueError):
    """Models whose tensors do not correspond."""


class BadInput(WeightscapeError, ValueError):
    """An argument, option or file of the user's that makes no sense."""


class NotFound(WeightscapeError, FileNotFoundError):
    """No such file or folder."""


class AtlasError(WeightscapeError, RuntimeError):
    """The catalog cannot be read or written."""


class UnknownName(WeightscapeError, KeyError):
    """No thing of that kind has that name; the message suggests the nearest."""

    def __init__(self, kind: str, given: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = get_close_matches(given, names, n=3, cutoff=0.5)
        if near:
            hint = "nearest: " + ", ".join(near)
        elif names:
            hint = "known: " + ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        else:
            hint = f"there is no {kind} yet"
        super().__init__(f"no {kind} named {given!r}; {hint}")
        self.kind = kind
        self.given = given


class MissingExtra(WeightscapeError, ImportError):
    """An optional part of weightscape is not installed."""

    def __init__(self, extra: str, needs: str) -> None:
        super().__init__(f"this needs {needs}; install it with: pip install 'weightscape[{extra}]'")
        self.extra = extra
