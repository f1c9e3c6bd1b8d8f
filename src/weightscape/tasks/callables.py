"""A function named "module:function", in an installed module or beside a file."""

import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from weightscape.errors import BadInput, NotFound, WeightscapeError


def import_callable(name: str, near: Path | None = None) -> Callable[..., Any]:
    """Import a function by "module:function"; this runs the module's code.

    The module is looked for in the folder `near` first (`module.py`, or `package/module.py` for
    package.module), then among installed ones. Raises NotFound where there is no such module,
    BadInput where it has no such function or cannot be imported.

    >>> import_callable("math:hypot")(3, 4)
    5.0
    """
    module_name, colon, path = name.partition(":")
    parts = module_name.split(".")
    if not colon or not path or not all(part.isidentifier() for part in parts):
        raise BadInput(
            f"a function is named 'module:function', for example 'losses:f1'; got {name!r}"
        )
    found: Any = _module(module_name, near)
    for part in path.split("."):
        if not hasattr(found, part):
            close = get_close_matches(part, dir(found), n=1)
            hint = f"; nearest: {close[0]}" if close else ""
            raise BadInput(f"module {module_name!r} has no {path!r}{hint}")
        found = getattr(found, part)
    if not callable(found):
        raise BadInput(f"{name!r} is a {type(found).__name__}; give a function")
    function: Callable[..., Any] = found
    return function


@contextmanager
def telling_failure(function: object, what: str) -> Iterator[None]:
    """Turn what a caller's own function raises into one line that names it; raises BadInput.

    The error itself, with its traceback, stays the cause.
    """
    try:
        yield
    except (WeightscapeError, MemoryError):
        raise
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported here
            raise
        module = getattr(function, "__module__", None) or ""
        # modules beside a task file are imported under a name of their own
        module = re.sub(r"^weightscape_task_[0-9a-f]+_", "", module)
        name = getattr(function, "__qualname__", None) or type(function).__name__
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".rstrip(": ")
        raise BadInput(f"{what} {f'{module}:{name}'.lstrip(':')} failed: {reason}") from error


def _module(name: str, near: Path | None) -> ModuleType:
    file = near.joinpath(*name.split(".")).with_suffix(".py") if near is not None else None
    try:
        if file is not None and file.is_file():
            return _module_of_file(name, file)
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            beside = f" nor is there {file}" if file is not None else ""
            raise NotFound(f"no module {name!r} is installed{beside}") from None
        raise BadInput(f"module {name!r} cannot be imported: {error}") from error
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise BadInput(f"module {name!r} cannot be imported: {said}") from error


def _module_of_file(name: str, file: Path) -> ModuleType:
    """Import a file under a name of its own, so that it hides no installed module."""
    place = hashlib.blake2b(str(file.resolve()).encode(), digest_size=6).hexdigest()
    own_name = f"weightscape_task_{place}_{name.replace('.', '_')}"
    spec = importlib.util.spec_from_file_location(own_name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[own_name] = module  # dataclasses and pickles look their module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[own_name]
        raise
    return module
