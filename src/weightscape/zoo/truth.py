"""The truth about a sample population: what `truth.json` says."""

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

import weightscape
from weightscape.catalog.records import EdgeKind
from weightscape.errors import BadInput, NotFound

TRUTH_FILE = "truth.json"

Knows = Literal["train", "validation", "test", "unseen"]
"""Splits of models. Those of "unseen" know classes that no model of the other three knows."""


class ZooModel(BaseModel):
    """A model of the zoo.

    path: its folder, relative to the zoo's; None when it was left out on purpose (a missing base).
    kind: how it was made from its parents; None for a root.
    seeds: what drew its head, data order and dropout. scores: on held-out rows of its task.
    classes: the fine classes that it was trained on; tree, split, recipe: see `zoo.probes`.
    """

    model_config = ConfigDict(extra="forbid")

    path: str | None
    parents: list[str] = []
    kind: EdgeKind | None = None
    task: str | None = None
    domain: str | None = None
    seeds: dict[str, int] = {}
    scores: dict[str, float] = {}
    classes: list[str] = []
    tree: str | None = None
    split: Knows | None = None
    recipe: dict[str, float] = {}


class ZooEdge(BaseModel):
    """A true edge. declared: whether the child's own files name this parent."""

    model_config = ConfigDict(extra="forbid")

    parent: str
    child: str
    kind: EdgeKind
    declared: bool = False


class Truth(BaseModel):
    """Who was made from whom, with what, and how well it works; the content of `truth.json`.

    classes: every fine class with its name in words. unseen: those that are held out.
    """

    model_config = ConfigDict(extra="forbid")

    zoo: Literal["text", "digits", "probes"]
    weightscape: str = weightscape.__version__
    options: dict[str, Any] = {}
    models: dict[str, ZooModel]
    edges: list[ZooEdge]
    classes: dict[str, str] = {}
    unseen: list[str] = []

    @property
    def roots(self) -> list[str]:
        """Name the models that were made from no other."""
        return [name for name, model in self.models.items() if not model.parents]


def write_truth(truth: Truth, folder: Path) -> Path:
    """Write `truth.json` into the zoo's folder, whole or not at all."""
    file = folder / TRUTH_FILE
    half = folder / f".{TRUTH_FILE}.{os.getpid()}"
    half.write_text(truth.model_dump_json(indent=2) + "\n", encoding="utf-8")
    half.replace(file)
    return file


def read_truth(folder: Path) -> Truth:
    """Read the truth of a zoo's folder; raises NotFound or BadInput."""
    file = folder / TRUTH_FILE
    if not file.is_file():
        raise NotFound(f"{folder} has no {TRUTH_FILE}; it is no finished zoo")
    try:
        return Truth.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadInput(f"{file}: {where or 'the file'}: {first['msg']}") from None
