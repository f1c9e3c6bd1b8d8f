"""From an atlas to answers: what the verbs print, as the schemas of `answers` have it."""

import math
from collections.abc import Sequence

from weightscape import answers
from weightscape.atlas import Added, Atlas
from weightscape.atlas.bringing import Brought
from weightscape.catalog.records import Edge, Model, RegionMap
from weightscape.regions.neighbours import Neighbour


def edge(found: Edge) -> answers.EdgeAnswer:
    """Turn an edge into its answer."""
    return answers.EdgeAnswer(
        parent=found.parent,
        child=found.child,
        kind=found.kind,
        confidence=round(found.confidence, 3),
        evidence=list(found.evidence),
    )


def tree(atlas: Atlas) -> answers.TreeAnswer:
    """Gather the forest of an atlas."""
    forest = atlas.forest()
    return answers.TreeAnswer(
        edges=[edge(it) for it in forest.edges],
        roots=list(forest.roots),
        undecided=[
            answers.UndecidedAnswer(models=list(it.models), reason=it.reason)
            for it in forest.undecided
        ],
        families=[
            answers.FamilyAnswer(name=it.name, members=list(it.members)) for it in atlas.families()
        ],
    )


def region_map(atlas: Atlas, maps: list[RegionMap]) -> answers.MapAnswer:
    """Gather the maps of an atlas's trees into one."""
    return answers.MapAnswer(
        regions=[
            answers.RegionAnswer(label=it.label, members=list(it.members), medoid=it.medoid)
            for found in maps
            for it in found.regions
        ],
        points=atlas.points(maps),
        outliers=[name for found in maps for name in found.outliers],
        with_base=[name for found in maps for name in _with_base(found)],
        notes=list(dict.fromkeys(note for found in maps for note in found.notes)),
        pooling=", ".join(dict.fromkeys(found.pooling for found in maps)),
    )


def _with_base(found: RegionMap) -> list[str]:
    """List the models of a tree that lie with its base, in no region."""
    elsewhere = {name for it in found.regions for name in it.members}
    elsewhere |= {*found.outliers, found.base or ""}
    return [name for name in found.order if name not in elsewhere]


def neighbour(found: Neighbour) -> answers.NeighbourAnswer:
    """Turn a neighbour into its answer; a cosine that does not exist becomes null."""
    cosine = None if math.isnan(found.cosine) else round(found.cosine, 4)
    return answers.NeighbourAnswer(
        model=found.model, distance=found.distance, resolution=found.resolution, cosine=cosine
    )


def added(atlas: Atlas, report: Added, brought: Sequence[Brought] = ()) -> answers.AddAnswer:
    """Turn the report of an `add` into its answer; brought: what was fetched for it."""
    models = {it.name: it for it in atlas.models()}
    parts = [name for name in report.given if name in models and models[name].facts.part_of]
    return answers.AddAnswer(
        given=list(report.given),
        new=list(report.new),
        by_layers=parts,
        skipped=[
            answers.SkippedAnswer(path=it.path, reason=it.reason, kind=it.kind)
            for it in (*(skipped for one in brought for skipped in one.skipped), *report.skipped)
        ],
        bytes_fetched=sum(it.bytes_fetched for it in brought),
        bytes_elsewhere=sum(models[name].nbytes for name in parts),
        bytes_read=report.bytes_read,
        bytes_sampled=report.bytes_sampled,
        bytes_looked=report.bytes_looked,
        bytes_on_disk=report.bytes_on_disk,
    )


def model_list(atlas: Atlas) -> list[answers.ModelAnswer]:
    """Gather all models, in the order they were added."""
    edges = {it.child: it for it in reversed(atlas.forest().edges)}
    region = {
        name: it.label for found in atlas.maps() for it in found.regions for name in it.members
    }
    family: dict[str, tuple[str, str]] = {}
    for group in atlas.families():
        for tree_name, members in group.trees.items():
            family |= dict.fromkeys(members, (group.name, tree_name))
    return [_model(it, family, region, edges) for it in atlas.models()]


def _model(
    model: Model,
    family: dict[str, tuple[str, str]],
    region: dict[str, str],
    edges: dict[str, Edge],
) -> answers.ModelAnswer:
    place = family.get(model.name, (None, None))
    above = edges.get(model.name)
    return answers.ModelAnswer(
        name=model.name,
        path=model.path,
        kind=model.kind,
        family=place[0],
        tree=place[1],
        region=region.get(model.name),
        parent=above.parent if above else None,
        edge=above.kind if above else None,
        status=model.status,
        dtype=model.dtype,
        parameters=model.parameters,
        bytes=model.nbytes,
        origin=model.facts.origin,
        part_of=model.facts.part_of,
        layers=list(model.facts.layers),
    )


def show(atlas: Atlas, name: str) -> answers.ShowAnswer:
    """Gather all that is known of one model."""
    model = atlas.model(name)
    brief = next(it for it in model_list(atlas) if it.name == name)
    edges = atlas.forest().edges
    ready = model.status in ("ready", "gone")
    return answers.ShowAnswer(
        **brief.model_dump(),
        fingerprint=model.fingerprint,
        content_hash=model.content_hash,
        format=model.format,
        added=model.added,
        run=model.facts.run,
        step=model.facts.step,
        declared=list(model.facts.wants),
        edges_in=[edge(it) for it in edges if it.child == name],
        children=[it.child for it in edges if it.parent == name],
        neighbours=[neighbour(it) for it in atlas.near(name, count=5)] if ready else [],
        norm=atlas.norms().get(name),
        nonfinite=list(atlas.nonfinite(name)),
        config=dict(model.config),
    )
