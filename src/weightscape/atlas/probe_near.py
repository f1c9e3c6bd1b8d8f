"""The models that know what another one knows: nearest by the vectors of its tree's expert."""

from pathlib import Path

from weightscape.atlas.describing import Seen, see
from weightscape.atlas.embedding import embed_new
from weightscape.catalog import vectors as vector_rows
from weightscape.catalog.records import Model
from weightscape.catalog.store import Store
from weightscape.errors import BadInput
from weightscape.probing.retrieval import Retrieved, VectorIndex
from weightscape.progress import Progress, silent


def near_by_probe(
    store: Store,
    given: Model | str | Path,
    *,
    count: int = 10,
    allow_download: bool = False,
    progress: Progress = silent,
) -> tuple[Seen, list[Retrieved]]:
    """List the models of the same expert by the cosine of their vectors, the likest first.

    given: a model of the atlas, or a path, a URL or a hub's id of another. allow_download: of a
    server that sends no ranges, or a format that has no layers to ask for. Vectors are taken from
    the mean of those that the expert learned from: what all of a tree share tells nobody apart.
    Raises BadInput for a model of no tree that an expert knows.
    """
    seen = see(store, given, allow_download=allow_download, progress=progress)
    if seen.kept is None or seen.expert is None or seen.vector is None:
        charted = "; --by distance needs no expert" if seen.name is not None else ""
        raise BadInput(f"{seen.name or given}: {seen.why}{charted}")
    embed_new(store, expert=seen.kept.name, progress=progress)
    with store.read() as connection:
        kept = vector_rows.load_vectors(connection, seen.kept.id)
    known = seen.expert.known
    centre = known.vectors[~known.held_out].mean(0)
    index = VectorIndex(kept.models, kept.vectors - centre)
    found = index.nearest(seen.vector - centre, count + 1)
    return seen, [it for it in found if it.name != seen.name][:count]
