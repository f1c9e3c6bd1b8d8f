"""Folders of models that are made one after the other, and what all of them rest on."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from weightscape.errors import BadInput
from weightscape.io.json_files import read_json
from weightscape.progress import Advance, Progress
from weightscape.tasks.arguments import differing

_FILE = "tuning.json"


def check_begun(folder: Path, told: Mapping[str, str]) -> None:
    """Note what the models of a folder rest on, or compare it with what was noted before.

    Raises BadInput where something that was noted is another by now; what is new is added.
    """
    file = folder / _FILE
    kept = read_json(file) if file.is_file() else {}
    apart = differing(
        {it: kept[it] for it in told if it in kept},
        {it: value for it, value in told.items() if it in kept},
    )
    if apart:
        raise BadInput(
            f"{folder} was begun with something else ({apart}); choose another folder, or remove it"
        )
    if all(it in kept for it in told):
        return
    folder.mkdir(parents=True, exist_ok=True)
    half = folder / f".{_FILE}.{os.getpid()}"
    half.write_text(json.dumps({**kept, **told}, indent=2) + "\n", "utf-8")
    half.replace(file)


def folder_names(names: Sequence[str]) -> list[str]:
    """Make names of folders, all different, out of names of tasks or models.

    >>> folder_names(["mnli", "owner/model", "owner model"])
    ['mnli', 'owner-model', 'owner-model-2']
    """
    found: list[str] = []
    for name in names:
        plain = re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "model"
        free, number = plain, 2
        while free in found:
            free, number = f"{plain}-{number}", number + 1
        found.append(free)
    return found


def seed_of(name: str, seed: int) -> int:
    """Give a part a seed of its own, which does not depend on what other parts there are."""
    return (seed + crc32(name.encode())) % 2**31


@dataclass(frozen=True, slots=True)
class PartProgress:
    """The progress of one part of many: its stages bear the part's name."""

    progress: Progress
    part: str

    def stage(
        self, label: str, *, total: float | None = None, unit: str = ""
    ) -> AbstractContextManager[Advance]:
        """Open a stage of this part."""
        return self.progress.stage(f"{self.part}: {label}", total=total, unit=unit)

    def note(self, message: str) -> None:
        """Tell the person something in one line."""
        self.progress.note(message)
