"""What `region`, `start` and `tune` share: finding groups of models, keeping what was found."""

import hashlib
import json
import os
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from weightscape.cli.path_work import End, find_models, typed_command, write_answer
from weightscape.errors import BadInput, NotFound, UnknownName

if TYPE_CHECKING:
    from weightscape.atlas import Atlas
    from weightscape.catalog.records import Forest, RegionMap

REGION = "region:"
LONGEST = 40  # signs of a word in a folder's name
MOST_OUTSIDE = 10  # models of the tree that are drawn for the group outside

ResultKind = Literal["region", "start", "tune"]


@dataclass(frozen=True, slots=True)
class Group:
    """Models as they were given, each once; label: of the region that they were asked for by."""

    ends: tuple[End, ...]
    label: str | None

    @property
    def title(self) -> str:
        """Name the group for a folder's name."""
        if self.label is not None:
            return self.label.removeprefix(REGION)
        return f"{self.ends[0].label}-and-{len(self.ends) - 1}-more"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question: its key, the folder of its answer, and `kept`, which all questions share."""

    kind: ResultKind
    key: str
    folder: Path
    kept: Path


def find_group(given: Sequence[str], atlas: "Atlas | None") -> Group:
    """Find models by folder, by a folder that holds several, by name, or by a region's label.

    Raises as `find_models` does.
    """
    ends: dict[str, End] = {}
    for text in given:
        if text.startswith(REGION):
            found = find_models(region_members(text, atlas), atlas)
        else:
            found = find_models(_inside(text), atlas)
        for end in found:
            ends.setdefault(os.path.realpath(end.source), end)
    label = given[0] if len(given) == 1 and given[0].startswith(REGION) else None
    return Group(tuple(sorted(ends.values(), key=_order)), label)


def _order(end: End) -> tuple[str, str]:
    # the order that a region's models are put in, so that names can be told from places
    return Path(end.source).name, end.source


def _inside(text: str) -> list[str]:
    """Name the models in a folder of several; anything else stands for itself."""
    from weightscape.io import discover

    if not Path(text).is_dir():
        return [text]
    found = [str(it.path) for it in discover([text])[0]]
    if not found:
        raise NotFound(f"{text}: there is no model in this folder")
    own = os.path.realpath(text)
    several = found and not any(os.path.realpath(it) == own for it in found)
    return found if several else [text]


def names_of(ends: Iterable[End]) -> dict[str, str]:
    """Tell what models are to be called, by their sources: as the atlas calls them, if it does."""
    return {it.source: it.name for it in ends if it.name is not None}


def region_members(label: str, atlas: "Atlas | None") -> list[str]:
    """Name the members of a region of the atlas; raises UnknownName with the nearest labels."""
    if atlas is None:
        raise BadInput(f"{label}: there is no atlas to look the region up in; chart first")
    regions = {it.label: it.members for found in atlas.maps() for it in found.regions}
    if label not in regions:
        raise UnknownName("region", label, regions)
    return list(regions[label])


def tree_of(ends: Iterable[End], atlas: "Atlas | None") -> "tuple[Forest, RegionMap] | None":
    """Find the tree of the atlas that all these models lie in, if there is one."""
    names = [it.name for it in ends]
    for _, forest, region_map in [] if atlas is None else atlas.findings():
        if all(name in region_map.models for name in names):
            return forest, region_map
    return None


def find_base(given: str | None, ends: Sequence[End], atlas: "Atlas | None") -> End | None:
    """Find the base: as given, else the root of the models' tree in the atlas, if it is there."""
    if given is not None:
        return find_models([given], atlas)[0]
    found = tree_of(ends, atlas)
    if found is None or atlas is None or found[1].base is None:
        return None
    model = atlas.model(found[1].base)
    return None if model.status == "gone" else End(model.name, model.path, model.name)


def draw_outside(group: Group, atlas: "Atlas | None", seed: int) -> list[End]:
    """Draw models of the same tree that belong to other regions and are no kin of the group's.

    At most `MOST_OUTSIDE` of them; none where the atlas does not know all of the group.
    """
    found = tree_of(group.ends, atlas)
    if found is None or atlas is None:
        return []
    forest, region_map = found
    own = {it.name for it in group.ends}
    taken = own | {region_map.base}
    for region in region_map.regions:
        if own & set(region.members):
            taken |= set(region.members)
    for edge in forest.edges:
        if edge.child in own or edge.parent in own:
            taken |= {edge.child, edge.parent}
    models = {it.name: it for it in atlas.models()}
    kinds = {models[name].kind for name in own if name is not None}
    free = sorted(
        name
        for name in region_map.models
        if name not in taken and models[name].status == "ready" and models[name].kind in kinds
    )
    chosen = random.Random(seed).sample(free, min(MOST_OUTSIDE, len(free)))
    return [End(name, models[name].path, name) for name in sorted(chosen)]


def ask(
    kind: ResultKind,
    title: str,
    ends: Sequence[End],
    tasks: Sequence[str],
    *,
    out: Path | None,
    atlas: Path,
    **options: object,
) -> Asked:
    """Settle where the answer to a question goes; the same question again replaces its answer.

    Raises BadInput where a folder that was given holds the answer to another question.
    """
    key = _key(kind, title, ends, tasks, options)
    if out is None:
        home = atlas / f"{kind}s"
        return Asked(kind, key, home / key, home / "kept")
    asked = out / f"{kind}.question"
    known = asked.read_text("utf-8").strip() if asked.is_file() else None
    if (out / f"{kind}.json").exists() and known != key:
        raise BadInput(
            f"{out / f'{kind}.json'} answers another question; choose another --out, or remove it"
        )
    return Asked(kind, key, out, out)


def _key(
    kind: str, title: str, ends: Sequence[End], tasks: Sequence[str], options: Mapping[str, object]
) -> str:
    """Name a question: readable, safe as a folder's name, and another for other options."""
    sources = [
        os.path.realpath(it.source) if Path(it.source).exists() else it.source for it in ends
    ]
    told = json.dumps([sources, list(tasks), kind, options], sort_keys=True, default=str)
    short = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    words = [title, *(Path(it).stem for it in tasks[:3])]
    safe = [re.sub(r"[^A-Za-z0-9._-]+", "-", it).strip("-.")[-LONGEST:] or "x" for it in words]
    return "--".join([*safe, short])


def keep_result(
    asked: Asked,
    told: Mapping[str, Any],
    names: Sequence[str | None],
    task: str,
    atlas: "Atlas | None",
) -> Path | None:
    """Write an answer; keep it in the atlas if that knows all models, and draw its page anew.

    Returns where the page is, or None.
    """
    from weightscape.catalog.records import KeptResult
    from weightscape.report.collect import collect
    from weightscape.report.page import write_page

    write_answer(told, asked.folder / f"{asked.kind}.json")
    (asked.folder / f"{asked.kind}.question").write_text(f"{asked.key}\n", "utf-8")
    known = tuple(it for it in names if it is not None)
    if atlas is None or len(known) < len(names):
        return None
    folder = str(asked.folder.absolute())
    atlas.keep_result(KeptResult(asked.key, asked.kind, known, task, folder, dict(told)))
    return write_page(collect(atlas, command=typed_command()), atlas.folder / "index.html")


def write_lone_result(
    kind: ResultKind,
    names: Sequence[str],
    title: str,
    task: str,
    told: Mapping[str, Any],
    file: Path,
) -> None:
    """Write a page that shows one result and nothing else."""
    from weightscape import __version__
    from weightscape.report.data import PageData, PageResult
    from weightscape.report.page import write_page

    made = datetime.now(UTC).isoformat(timespec="seconds")
    shown = PageResult(kind, tuple(names), task, made, str(told.get("folder") or ""), dict(told))
    write_page(PageData(title, made, __version__, typed_command(), (), results=(shown,)), file)
