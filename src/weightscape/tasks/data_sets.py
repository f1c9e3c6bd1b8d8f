"""Data sets through the `datasets` library: folders that it saved or knows, and the hub."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from weightscape.errors import BadInput, MissingExtra
from weightscape.tasks.records import Records

SAVED = ("dataset_dict.json", "dataset_info.json")


def read_folder(folder: Path, *, config: str | None = None) -> dict[str, Records]:
    """Read a folder that `save_to_disk` wrote, or one of data files or images, by split.

    A data set that was saved alone is split "train". Raises BadInput.
    """
    with _datasets(str(folder)) as datasets:
        if any((folder / name).is_file() for name in SAVED):
            found = datasets.load_from_disk(str(folder))
        else:
            found = datasets.load_dataset(str(folder), name=config)
        return _by_split(str(folder), found)


def read_hub(
    name: str, *, config: str | None = None, revision: str | None = None
) -> dict[str, Records]:
    """Read a hub data set, by split; it is kept in the datasets library's cache.

    Its code is never run. Raises BadInput, which says what the library said.
    """
    with _datasets(f"data set {name}") as datasets:
        return _by_split(name, datasets.load_dataset(name, name=config, revision=revision))


@contextmanager
def _datasets(what: str) -> Iterator[Any]:
    """Give the library with its bars turned off; say in one line what it could not read."""
    try:
        import datasets
    except ImportError:
        raise MissingExtra("tasks", "the package datasets") from None
    quiet = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield datasets
    except (BadInput, MissingExtra, MemoryError):
        raise
    except Exception as error:  # whatever a hundred formats, a cache and a network can raise
        said = " ".join(str(error).split())[:300] or type(error).__name__
        raise BadInput(f"{what}: cannot be read as a data set: {said}") from None
    finally:
        if not quiet:
            datasets.enable_progress_bars()


def _by_split(source: str, found: Any) -> dict[str, Records]:
    splits = found if isinstance(found, Mapping) else {"train": found}
    records = {
        str(split): _records(f"{source}, split {str(split)!r}", data)
        for split, data in splits.items()
    }
    if not records:
        raise BadInput(f"{source}: holds no splits")
    return records


def _records(source: str, data: Any) -> Records:
    named = {
        column: feature.names
        for column, feature in data.features.items()
        if type(feature).__name__ == "ClassLabel"
    }
    rows = [
        {column: _cell(value, named.get(column)) for column, value in row.items()} for row in data
    ]
    return Records(source, tuple(data.column_names), rows)


def _cell(value: Any, names: list[str] | None) -> Any:
    if names is not None and isinstance(value, int):
        # hidden labels of a test split are -1
        return names[value] if 0 <= value < len(names) else value
    if hasattr(value, "__array_interface__"):  # an image
        import numpy as np

        return np.asarray(value)
    return value
