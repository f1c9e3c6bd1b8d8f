"""What a page says in words."""

from collections import Counter

from weightscape.report.data import PageData, ResultKind
from weightscape.report.kinship import Kinship


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Say a number of things.

    >>> count(1, "family", "families"), count(1200, "model")
    ('1 family', '1,200 models')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def summary(data: PageData, kinship: Kinship) -> str:
    """Say what was found: models, families, trees and their depth, regions, what was skipped."""
    if not data.models and (data.paths or data.results):
        return ", ".join(filter(None, (path_counts(data), result_counts(data))))
    families = {model.family for model in data.models}
    trees = Counter(model.tree for model in data.models)
    real = [tree for tree, members in trees.items() if members > 1]
    alone = len(trees) - len(real)
    parts = [count(len(data.models), "model"), count(len(families), "family", "families")]
    deepest = max(kinship.depth.values(), default=0)
    if len(real) == 1:
        parts.append(f"1 tree of depth {deepest}")
    elif real:
        parts.append(f"{count(len(real), 'tree')} up to depth {deepest}")
    if alone and data.models:
        parts.append(f"{alone:,} without kin")
    parts.append(count(len(data.regions), "region"))
    parts += filter(None, (path_counts(data), result_counts(data)))
    if data.skipped:
        parts.append(f"{len(data.skipped):,} skipped")
    return ", ".join(parts)


def path_counts(data: PageData) -> str:
    """Say how many paths and planes there are."""
    planes = sum(path.kind == "plane" for path in data.paths)
    parts = [count(len(data.paths) - planes, "path")] if len(data.paths) > planes else []
    return ", ".join([*parts, *([count(planes, "plane")] if planes else [])])


def result_counts(data: PageData) -> str:
    """Say of how many groups of models something was found."""
    kinds: dict[ResultKind, tuple[str, str]] = {
        "region": ("region measured", "regions measured"),
        "start": ("search for a start", "searches for a start"),
        "tune": ("blend", "blends"),
    }
    found = Counter(it.kind for it in data.results)
    return ", ".join(count(found[kind], *nouns) for kind, nouns in kinds.items() if found[kind])


def shorten(text: str, room: int) -> str:
    """Cut a long name in its middle: its end tells as much as its beginning.

    >>> shorten("abcdefghij", 7)
    'abc…hij'
    """
    if len(text) <= room:
        return text
    head = room // 2
    return f"{text[:head]}…{text[len(text) - (room - head - 1) :]}"


def region_title(label: str) -> str:
    """Say a region's label without its prefix."""
    return label.removeprefix("region:")
