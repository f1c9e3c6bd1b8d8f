"""Findings: a tree's forest and its map of regions, replaced together and as a whole."""

from typing import Any

import numpy as np
from sqlalchemy import Connection, Table, delete, insert, select

from weightscape.catalog import schema
from weightscape.catalog.records import Edge, Forest, Region, RegionMap, Undecided
from weightscape.errors import UnknownName

_TABLES = (
    schema.edges,
    schema.roots,
    schema.undecided,
    schema.regions,
    schema.points,
    schema.maps,
)


def replace_findings(
    connection: Connection, tree_id: int, forest: Forest, region_map: RegionMap
) -> None:
    """Put the findings of one tree in place of its older ones.

    Raises UnknownName where they speak of a model that has no place in the tree.
    """
    delete_findings(connection, tree_id)
    ids = _ids_by_name(connection, tree_id)
    _check_names(ids, forest, region_map)
    _keep_forest(connection, tree_id, ids, forest)
    _keep_map(connection, tree_id, ids, region_map)


def delete_findings(connection: Connection, tree_id: int) -> None:
    """Forget the forest and the map of one tree."""
    for table in _TABLES:
        connection.execute(delete(table).where(table.c.tree_id == tree_id))


def load_forest(connection: Connection, tree_id: int) -> Forest | None:
    """Load a tree's forest; None where none was found yet, or a model was removed since."""
    if not _are_there(connection, tree_id):
        return None
    names = _names_by_id(connection, tree_id)
    edges = tuple(
        Edge(
            names[row.parent_id],
            names[row.child_id],
            row.kind,
            row.confidence,
            tuple(row.evidence),
        )
        for row in _rows(connection, schema.edges, tree_id)
    )
    roots = tuple(names[row.model_id] for row in _rows(connection, schema.roots, tree_id))
    undecided = tuple(
        Undecided(tuple(row.models), row.reason)
        for row in _rows(connection, schema.undecided, tree_id)
    )
    return Forest(edges, roots, undecided)


def load_region_map(connection: Connection, tree_id: int) -> RegionMap | None:
    """Load a tree's map of regions; None where none was found yet, or a model was removed since."""
    maps = schema.maps
    row = connection.execute(select(maps).where(maps.c.tree_id == tree_id)).one_or_none()
    if row is None:
        return None
    names = _names_by_id(connection, tree_id)
    regions = tuple(
        Region(region.label, tuple(region.members), names[region.medoid_id])
        for region in _rows(connection, schema.regions, tree_id)
    )
    points = {
        names[point.model_id]: (point.x, point.y)
        for point in _rows(connection, schema.points, tree_id)
    }
    cosine = np.frombuffer(row.cosine, dtype="<f8").astype(np.float64)
    return RegionMap(
        models=tuple(row.models),
        base=None if row.base_id is None else names[row.base_id],
        cosine=cosine.reshape(len(row.models), len(row.models)),
        regions=regions,
        outliers=tuple(row.outliers),
        points=points,
        order=tuple(row.ordered),
        pooling=row.pooling,
        notes=tuple(row.notes),
    )


def _keep_forest(connection: Connection, tree_id: int, ids: dict[str, int], forest: Forest) -> None:
    edges: list[dict[str, Any]] = [
        {
            "parent_id": ids[edge.parent],
            "child_id": ids[edge.child],
            "kind": edge.kind,
            "confidence": float(edge.confidence),
            "evidence": edge.evidence,
        }
        for edge in forest.edges
    ]
    undecided = [{"models": it.models, "reason": it.reason} for it in forest.undecided]
    _insert(connection, schema.edges, tree_id, edges)
    _insert(connection, schema.roots, tree_id, [{"model_id": ids[it]} for it in forest.roots])
    _insert(connection, schema.undecided, tree_id, undecided)


def _keep_map(
    connection: Connection, tree_id: int, ids: dict[str, int], region_map: RegionMap
) -> None:
    regions = [
        {"label": it.label, "medoid_id": ids[it.medoid], "members": it.members}
        for it in region_map.regions
    ]
    points = [
        {"model_id": ids[name], "x": float(x), "y": float(y)}
        for name, (x, y) in region_map.points.items()
    ]
    _insert(connection, schema.regions, tree_id, regions)
    _insert(connection, schema.points, tree_id, points)
    connection.execute(
        insert(schema.maps).values(
            tree_id=tree_id,
            base_id=None if region_map.base is None else ids[region_map.base],
            pooling=region_map.pooling,
            models=region_map.models,
            ordered=region_map.order,
            outliers=region_map.outliers,
            notes=region_map.notes,
            cosine=np.asarray(region_map.cosine, dtype="<f8").tobytes(),
        )
    )


def _insert(connection: Connection, table: Table, tree_id: int, rows: list[dict[str, Any]]) -> None:
    if rows:
        numbered = [{"tree_id": tree_id, "ordinal": n, **row} for n, row in enumerate(rows)]
        connection.execute(insert(table), numbered)


def _rows(connection: Connection, table: Table, tree_id: int) -> Any:
    return connection.execute(
        select(table).where(table.c.tree_id == tree_id).order_by(table.c.ordinal)
    )


def _are_there(connection: Connection, tree_id: int) -> bool:
    query = select(schema.maps.c.tree_id).where(schema.maps.c.tree_id == tree_id)
    return connection.execute(query).one_or_none() is not None


def _ids_by_name(connection: Connection, tree_id: int) -> dict[str, int]:
    query = (
        select(schema.models.c.name, schema.models.c.id)
        .join(schema.places, schema.places.c.model_id == schema.models.c.id)
        .where(schema.places.c.tree_id == tree_id)
    )
    return dict(connection.execute(query).all())


def _names_by_id(connection: Connection, tree_id: int) -> dict[int, str]:
    return {number: name for name, number in _ids_by_name(connection, tree_id).items()}


def _check_names(ids: dict[str, int], forest: Forest, region_map: RegionMap) -> None:
    named = [name for edge in forest.edges for name in (edge.parent, edge.child)]
    named += forest.roots
    named += [name for it in forest.undecided for name in it.models]
    named += [name for region in region_map.regions for name in (*region.members, region.medoid)]
    named += [*region_map.models, *region_map.outliers, *region_map.order, *region_map.points]
    named += [] if region_map.base is None else [region_map.base]
    for name in named:
        if name not in ids:
            raise UnknownName("model of this tree", name, ids)
