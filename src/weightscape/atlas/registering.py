"""From paths to rows: discover models, recognise those that are known, register the rest."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

from weightscape.atlas.reading import Shelf, as_kept, capped, main_dtype, stamp_of
from weightscape.catalog import models as model_rows
from weightscape.catalog import skipped as skipped_rows
from weightscape.catalog.records import Model, ModelFacts, Skipped, Stamp
from weightscape.catalog.store import Store
from weightscape.errors import BadInput, UnsupportedFormat, WeightscapeError
from weightscape.io import Adapter, Found, content_hash, discover, fingerprint
from weightscape.progress import Progress, silent

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Registered:
    """What a walk found: models by name in the order of discovery, and what was left out."""

    given: tuple[str, ...]
    new: tuple[str, ...]
    skipped: tuple[Skipped, ...]


def register(
    store: Store,
    paths: Sequence[str | Path],
    shelf: Shelf,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    verify: bool = False,
    origins: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> Registered:
    """Walk `paths` and give every model a row; unchanged ones are not even opened.

    A model is unchanged when its files have the sizes and times they had. With `verify` every
    byte is hashed, and content that changed behind an equal fingerprint is a new model. origins:
    by path, where what lies there was fetched from; a model that was known by some layers from
    there stays the same one.
    """
    found, left_out = discover(paths, include=include, exclude=exclude)
    skipped = [_skipped(it.path, it.reason, it.kind) for it in left_out if it.kind != "litter"]
    known: dict[str, list[Model]] = {}
    with store.read() as connection:
        for model in model_rows.all_models(connection, statuses=("pending", "ready", "gone")):
            known.setdefault(model.path, []).append(model)
    behind = {os.path.realpath(path): path for path in known}
    rows: list[Model] = []
    with progress.stage("opening", total=len(found), unit="models") as advance:
        for one in found:
            try:
                place = _place(one.path)
                # one file may be led to by several links
                place = Path(behind.get(os.path.realpath(place), place))
                there = known.get(str(place), [])
                row = _row(one, place, there, shelf, verify, progress)
                rows.append(_from(row, there, origins or {}))
            except (WeightscapeError, OSError) as problem:
                log.info("skipped %s: %s", one.path, problem)
                kind = "unsupported" if isinstance(problem, UnsupportedFormat) else "bad"
                skipped.append(_skipped(one.path, str(problem), kind))
            advance(1)
    moved = _moved(rows, known)
    grown = _grown(rows, known, origins or {}, shelf)
    with store.write() as connection:
        for model_id, path in moved.items():
            model_rows.set_path(connection, model_id, path)
        everyone = model_rows.all_models(connection)
        named = {model.name for model in everyone}
        kept = model_rows.register(connection, [_on_its_base(row, everyone) for row in rows], grown)
        skipped_rows.replace_skipped(connection, [Path(path).resolve() for path in paths], skipped)
    _mark_gone(store, shelf)
    return Registered(
        given=tuple(model.name for model in kept),
        new=tuple(model.name for model in kept if model.name not in named),
        skipped=tuple(skipped),
    )


def _place(path: Path) -> Path:
    """Resolve a model's path as far as it can be opened by: a cache's blobs have no suffix."""
    real = path.resolve()
    if path.is_dir() or real.suffix == path.suffix:
        return real
    return path.parent.resolve() / path.name


def _skipped(path: Path, reason: str, kind: str) -> Skipped:
    """Note what was left out; file names may be any bytes, a database's and JSON's texts not."""
    spelled, why = (
        text.encode("utf-8", "backslashreplace").decode() for text in (str(path), reason)
    )
    return Skipped(spelled, why, kind)


def _row(
    found: Found,
    path: Path,
    there: Sequence[Model],
    shelf: Shelf,
    verify: bool,
    progress: Progress,
) -> Model:
    """Make a model's row; `there` are the models that its path has led to, the gone included."""
    try:
        str(path).encode(), found.name.encode()
    except UnicodeEncodeError:
        raise BadInput(f"{str(path)!r} is not valid UTF-8; rename the file or folder") from None
    stamp = stamp_of(path)
    known = next((it for it in there if it.status != "gone"), None) or next(iter(there[-1:]), None)
    facts = ModelFacts(
        name=found.name,
        wants=found.declared,
        mixes=found.mixed,
        run=found.run,
        step=found.step,
    )
    if known is not None and known.stamp == stamp and not verify:
        # its name stays the one it was given first
        facts = replace(
            facts,
            dtype=known.dtype,
            adapter_ranks=known.facts.adapter_ranks,
            part_of=known.facts.part_of,
            layers=known.facts.layers,
        )
        return replace(known, facts=replace(facts, name=known.name))
    return _opened(found, path, stamp, facts, there, shelf, verify, progress)


def _opened(
    found: Found,
    path: Path,
    stamp: Stamp,
    facts: ModelFacts,
    there: Sequence[Model],
    shelf: Shelf,
    verify: bool,
    progress: Progress,
) -> Model:
    checkpoint = shelf.open(str(path))
    hashed = content_hash(checkpoint, progress) if verify else None
    ranks = dict(checkpoint.ranks) if isinstance(checkpoint, Adapter) else None
    if ranks is None and found.kind == "adapter":
        ranks = {}
    facts = replace(facts, dtype=main_dtype(checkpoint), adapter_ranks=ranks)
    outline = None if isinstance(checkpoint, Adapter) else checkpoint.outline
    if outline is not None:
        facts = replace(facts, part_of=outline.of, layers=tuple(checkpoint.tensors))
    whole = checkpoint if outline is None else outline
    return Model(
        name=found.name,
        path=str(path),
        kind=found.kind,
        format=checkpoint.format,
        fingerprint=_mark(fingerprint(checkpoint), hashed, there),
        stamp=stamp,
        nbytes=whole.nbytes,
        parameters=sum(
            prod(info.shape) for name, info in whole.tensors.items() if name not in whole.tied
        ),
        facts=facts,
        config=capped(checkpoint.config),
        metadata=capped(checkpoint.metadata),
        content_hash=hashed,
    )


def _from(row: Model, there: Sequence[Model], origins: Mapping[str, str]) -> Model:
    """Note where a model was fetched from: as told now, or before."""
    before = (it.facts.origin for it in there if it.facts.origin)
    origin = row.facts.part_of or origins.get(row.path) or next(before, None)
    return replace(row, facts=replace(row.facts, origin=origin))


def _on_its_base(row: Model, everyone: Sequence[Model]) -> Model:
    """Keep the base that an adapter was placed on, as long as its files claim what they did."""
    if row.kind != "adapter":
        return row
    for model in everyone:
        same = (model.path, model.fingerprint) == (row.path, row.fingerprint)
        if same and model.facts.wants == row.facts.wants:
            return replace(row, facts=replace(row.facts, declared=model.facts.declared))
    return row


def _moved(rows: Sequence[Model], known: Mapping[str, Sequence[Model]]) -> dict[int, str]:
    """Recognise models whose files were moved as they are: their ids, and where they are now.

    They have the content, the files and the times that they had, and nothing is at the old path.
    Of exact copies, the one whose folder kept its name is meant.
    """
    left: dict[tuple[str, Stamp], list[Model]] = {}
    for path, there in known.items():
        for model in there if not Path(path).exists() else ():
            left.setdefault((model.fingerprint, model.stamp), []).append(model)
    found: dict[int, str] = {}
    for row in rows:
        fits = left.get((row.fingerprint, row.stamp), []) if row.path not in known else []
        if fits:
            name = Path(row.path).name
            fits.sort(key=lambda it: Path(it.path).name != name)
            found[fits.pop(0).id] = row.path
    return found


def _grown(
    rows: Sequence[Model],
    known: Mapping[str, Sequence[Model]],
    origins: Mapping[str, str],
    shelf: Shelf,
) -> dict[str, int]:
    """Find models that were known by some layers and of which more is here now: ids by path.

    They lie where the layers lay, or come from the same place, and have these layers as they were.
    """
    parts = [it for there in known.values() for it in there if it.facts.part_of]
    found: dict[str, int] = {}
    for row in rows:
        if any(it.fingerprint == row.fingerprint for it in known.get(row.path, ())):
            continue
        for part in parts:
            same_place = part.path == row.path or part.facts.part_of == origins.get(row.path)
            if same_place and part.kind == row.kind and part.id not in found.values():
                try:
                    held = fingerprint(shelf.open(row.path), part.facts.layers)
                except (WeightscapeError, OSError) as problem:
                    log.info("%s is taken for another model: %s", row.path, problem)
                    continue
                if held == part.fingerprint:
                    found[row.path] = part.id
                    break
    return found


def _mark(sampled: str, whole: str | None, there: Sequence[Model]) -> str:
    """Tell contents apart that have one fingerprint, as far as `--verify` has seen them whole."""
    same = [it for it in there if it.fingerprint.partition("+")[0] == sampled]
    if whole is None:
        return next((it.fingerprint for it in same if it.status != "gone"), sampled)
    for model in same:
        if model.content_hash == whole:
            return model.fingerprint
    if any(it.fingerprint == sampled and it.content_hash for it in same):
        return f"{sampled}+{whole[:16]}"
    return sampled


def _mark_gone(store: Store, shelf: Shelf) -> None:
    """Mark models whose files are not there or hold something else; bring back those that are.

    Only those under the paths of this run were opened; a pass reads others of their trees too,
    and must not take what lies at a path by now for what lay there.
    """
    with store.read() as connection:
        everyone = model_rows.all_models(connection, statuses=("pending", "ready", "gone"))
    gone = [it.id for it in everyone if it.status == "ready" and not as_kept(it, shelf)]
    back = [
        it.id
        for it in everyone
        if it.status == "gone" and not _replaced(it, everyone) and as_kept(it, shelf)
    ]
    with store.write() as connection:
        model_rows.mark(connection, gone, "gone")
        # pending, not ready: models that came meanwhile could not be compared with it
        model_rows.mark(connection, back, "pending")


def _replaced(model: Model, everyone: Sequence[Model]) -> bool:
    """Tell whether the model's path has led to other content since."""
    return any(
        other.path == model.path
        and other.id != model.id
        and (other.status != "gone" or other.id > model.id)
        for other in everyone
    )
