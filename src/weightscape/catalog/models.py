"""Models: registered once, found again by path and fingerprint, never renamed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from weightscape.catalog import findings
from weightscape.catalog.names import free_name
from weightscape.catalog.parting import parted
from weightscape.catalog.places import leave, leave_outgrown
from weightscape.catalog.records import Model, ModelFacts, Stamp, Status
from weightscape.catalog.schema import models, places, trees
from weightscape.errors import AtlasError, BadInput, UnknownName


def register(
    connection: Connection, found: Sequence[Model], grown: Mapping[str, int] | None = None
) -> list[Model]:
    """Give each found model its row and return it as the atlas has it, in the same order.

    A model whose path and fingerprint are known keeps its row (one that was gone or removed is
    pending again). Other content at a known path is another model, and the one that was there is
    gone. A name that another model has, or ever had, gets `~2`, `~3`, ... behind it.

    grown: by path, the model (id) that was known by some layers and is the one found there: more
    is known of it now, and it needs a new place.
    """
    known: dict[str, list[Model]] = {}
    names: set[str] = set()
    for model in all_models(connection):
        known.setdefault(model.path, []).append(model)
        names.add(model.name)
    registered = []
    for model in found:
        same_path = known.setdefault(model.path, [])
        row = next((it for it in same_path if it.fingerprint == model.fingerprint), None)
        if row is None and grown is not None and model.path in grown:
            row = _grow(connection, grown[model.path], model)
            same_path[:] = [*(it for it in same_path if it.id != row.id), row]
        elif row is None:
            row = _insert(connection, replace(model, name=free_name(model.name, names)))
            names.add(row.name)
            same_path.append(row)
        else:
            row = _refresh(connection, row, model)
            same_path[:] = [row if it.id == row.id else it for it in same_path]
        replaced = [it.id for it in same_path if it.id != row.id and it.status != "removed"]
        mark(connection, replaced, "gone")
        registered.append(row)
    return registered


def all_models(connection: Connection, *, statuses: Iterable[Status] | None = None) -> list[Model]:
    """Load the models (of these statuses), by order of registration."""
    query = select(models).order_by(models.c.id)
    if statuses is not None:
        query = query.where(models.c.status.in_(tuple(statuses)))
    return [_model(row) for row in connection.execute(query)]


def by_ids(connection: Connection, model_ids: Iterable[int]) -> list[Model]:
    """Load these models, by order of registration."""
    found = []
    for some in parted(sorted(model_ids)):
        query = select(models).where(models.c.id.in_(some)).order_by(models.c.id)
        found += [_model(row) for row in connection.execute(query)]
    return found


def get(connection: Connection, name: str) -> Model:
    """Load one model by name, whatever its status; raises UnknownName with the nearest names."""
    row = connection.execute(select(models).where(models.c.name == name)).one_or_none()
    if row is None:
        known = connection.execute(select(models.c.name).where(models.c.status != "removed"))
        raise UnknownName("model", name, known.scalars())
    return _model(row)


def of_tree(connection: Connection, tree_id: int) -> list[Model]:
    """Load the models of one tree's Gram axis by position, one for each, the removed included.

    At a place that its model has left since, the model's `tree_id` is not that of the tree.
    """
    query = (
        select(models, places.c.position.label("place"))
        .join(places, places.c.model_id == models.c.id)
        .where(places.c.tree_id == tree_id)
        .order_by(places.c.position)
    )
    return [
        model if model.tree_id != tree_id or model.position == place else _elsewhere(model)
        for model, place in ((_model(row), row.place) for row in connection.execute(query))
    ]


def mark(connection: Connection, model_ids: Iterable[int], status: Status) -> None:
    """Set the status of some models: "ready" when their rows are whole, "gone", ...

    One that is "pending" again and that later models could not be compared with, because its
    files were away, leaves its tree: it needs a new place.
    """
    chosen = list(model_ids)
    _change(connection, chosen, status=status)
    if status == "pending":
        leave_outgrown(connection, chosen)


def mark_ready(connection: Connection, model_ids: Iterable[int]) -> None:
    """Say that all rows of these models are in the atlas."""
    mark(connection, model_ids, "ready")


def set_stamp(connection: Connection, model_id: int, stamp: Stamp) -> None:
    """Keep a new stamp: the files were touched, the content is the same."""
    _change(connection, [model_id], stamp=stamp)


def set_path(connection: Connection, model_id: int, path: str) -> None:
    """Keep a new path: the files were moved as they are."""
    _change(connection, [model_id], path=path)


def set_content_hash(connection: Connection, model_id: int, content_hash: str) -> None:
    """Keep the full content hash of a model."""
    _change(connection, [model_id], content_hash=content_hash)


def set_facts(connection: Connection, model_id: int, facts: ModelFacts) -> None:
    """Keep new facts, as when a declared base has arrived; the name in them is ignored."""
    _change(connection, [model_id], dtype=facts.dtype, facts=_packed_facts(facts))


def remove(connection: Connection, names: Iterable[str]) -> list[int]:
    """Mark models as removed and return the trees that lost one, whose findings are deleted.

    The findings of a tree follow from all its models, so they are to be made anew, from the Grams
    and without reading a tensor. Raises UnknownName before anything is changed.
    """
    gone = [get(connection, name) for name in names]
    mark(connection, [model.id for model in gone], "removed")
    trees = sorted({model.tree_id for model in gone if model.tree_id is not None})
    for tree_id in trees:
        findings.delete_findings(connection, tree_id)
    return trees


def _elsewhere(model: Model) -> Model:
    return replace(model, tree_id=None, position=None)


def _change(connection: Connection, model_ids: Iterable[int], **columns: Any) -> None:
    rows = [{"which": model_id} for model_id in model_ids]
    if rows:
        change = update(models).where(models.c.id == bindparam("which")).values(**columns)
        connection.execute(change, rows)


def _insert(connection: Connection, model: Model) -> Model:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    result = connection.execute(
        insert(models).values(
            name=model.name,
            kind=model.kind,
            fingerprint=model.fingerprint,
            status="pending",
            added=now,
            **_refreshed(model),
        )
    )
    assert result.inserted_primary_key is not None
    facts = replace(model.facts, name=model.name)
    return replace(model, id=result.inserted_primary_key[0], facts=facts, added=now)


def _refresh(connection: Connection, row: Model, found: Model) -> Model:
    columns = _refreshed(found)
    if found.content_hash is None:
        del columns["content_hash"]
    _change(connection, [row.id], **columns)
    if row.status in ("gone", "removed"):
        mark(connection, [row.id], "pending")
    return get(connection, row.name)


def _grow(connection: Connection, part: int, found: Model) -> Model:
    """Know more of a model than some layers: what was found by these alone is outdated."""
    (row,) = by_ids(connection, [part])
    if row.tree_id is not None:
        findings.delete_findings(connection, row.tree_id)
    _change(connection, [part], fingerprint=found.fingerprint)
    _refresh(connection, row, found)
    again = [part, *_standing_on(connection, row)]
    mark(connection, again, "pending")
    for model_id in again:
        leave(connection, model_id)
    return get(connection, row.name)


def _standing_on(connection: Connection, part: Model) -> list[int]:
    """Find the models whose deltas in other layers than a tree's reference had were none."""
    standing = select(trees.c.id).where(trees.c.reference_id == part.id)
    rows = connection.execute(
        select(models).where(
            models.c.tree_id.in_(standing),
            models.c.status.in_(("pending", "ready")),
            models.c.id != part.id,
        )
    )
    known = set(part.facts.layers)
    found = [_model(row) for row in rows]
    return [it.id for it in found if it.kind != "full" or not known.issuperset(it.facts.layers)]


def _refreshed(model: Model) -> dict[str, Any]:
    """Build the columns that a second look at the same content may change."""
    try:
        model.path.encode(), model.name.encode()
    except UnicodeEncodeError:
        raise BadInput(f"{model.path!r} is not valid UTF-8; rename the file or folder") from None
    return {
        "path": model.path,
        "format": model.format,
        "stamp": model.stamp,
        "content_hash": model.content_hash,
        "nbytes": model.nbytes,
        "parameters": model.parameters,
        "dtype": model.facts.dtype,
        "facts": _packed_facts(model.facts),
        "config": model.config,
        "metadata": model.metadata,
    }


def _packed_facts(facts: ModelFacts) -> dict[str, Any]:
    return {
        "declared": facts.declared,
        "wants": facts.wants,
        "sources": facts.sources,
        "mixes": facts.mixes,
        "run": facts.run,
        "step": facts.step,
        "ranks": facts.adapter_ranks,
        "origin": facts.origin,
        "part_of": facts.part_of,
        "layers": facts.layers,
    }


def _model(row: Row[Any]) -> Model:
    columns = {column.name: row._mapping[column] for column in models.c}
    packed, dtype, stamp = columns.pop("facts"), columns.pop("dtype"), columns.pop("stamp")
    try:
        facts = ModelFacts(
            name=row.name,
            dtype=dtype,
            declared=tuple(packed["declared"]),
            wants=tuple(packed["wants"]),
            # rows of before know of none
            sources=tuple(packed.get("sources", ())),
            mixes=tuple(packed.get("mixes", ())),
            run=packed["run"],
            step=packed["step"],
            adapter_ranks=packed["ranks"],
            origin=packed.get("origin"),
            part_of=packed.get("part_of"),
            layers=tuple(packed.get("layers", ())),
        )
        files = tuple((file, size, changed) for file, size, changed in stamp)
    except (KeyError, TypeError, ValueError) as problem:
        raise AtlasError(
            f"the atlas's row of model {row.name!r} cannot be read ({problem!r}): it is damaged; "
            "move its folder away and chart again (models are only read)"
        ) from problem
    return Model(facts=facts, stamp=files, **columns)
