"""`Atlas(folder)`: add checkpoints, ask for their forest, their map, their neighbours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from weightscape.atlas import deriving, passing, placing, registering
from weightscape.atlas.bringing import places_of
from weightscape.atlas.deriving import TreeProducts, base_of
from weightscape.atlas.reading import Shelf
from weightscape.catalog import families, findings
from weightscape.catalog import models as model_rows
from weightscape.catalog import paths as path_rows
from weightscape.catalog import results as result_rows
from weightscape.catalog import skipped as skipped_rows
from weightscape.catalog.records import Forest, KeptPath, KeptResult, Model, RegionMap, Skipped
from weightscape.catalog.store import Store
from weightscape.errors import BadInput
from weightscape.geometry.gram import DEFAULT_MEMORY
from weightscape.progress import Progress, silent
from weightscape.regions.chart import chart_regions
from weightscape.regions.layout import DEFAULT_LAYOUT, arrange
from weightscape.regions.neighbours import Neighbour, neighbours
from weightscape.regions.poolings import DEFAULT_POOLING


@dataclass(frozen=True, slots=True)
class Added:
    """What one `add` did.

    given: all models found under the paths; new: those the atlas did not know. bytes: what the
    Gram pass, the samples and the second look read; on_disk: what the given models take there,
    those left out of which only some layers are here.
    """

    given: tuple[str, ...]
    new: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    bytes_read: int
    bytes_sampled: int
    bytes_looked: int
    bytes_on_disk: int


@dataclass(frozen=True, slots=True)
class FamilyMembers:
    """A family's name and its models, and the trees it falls into by name."""

    name: str
    members: tuple[str, ...]
    trees: dict[str, tuple[str, ...]]


class Atlas:
    """The models of one atlas folder and what is known of them.

    Raises NotFound where there is no atlas and `create` is false, AtlasError where the folder
    holds one that cannot be read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Atlas(folder) as atlas:
    ...     atlas.models()
    []
    """

    def __init__(self, folder: str | Path, *, create: bool = True) -> None:
        self.folder = Path(folder)
        self.store = Store.open(self.folder, create=create)

    def add(
        self,
        paths: Sequence[str | Path],
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        bases: Sequence[str | Path] = (),
        origins: Mapping[str, str] | None = None,
        verify: bool = False,
        memory: int = DEFAULT_MEMORY,
        threads: int | None = None,
        seed: int = 0,
        progress: Progress = silent,
    ) -> Added:
        """Read the checkpoints under `paths` once and find trees and regions anew.

        Incremental: models whose files are unchanged are not read; a new one is read once beside
        its own tree. `bases` names models outside `paths` that adapters build on, `origins` where
        what lies at a path was fetched from (see `atlas.bringing`). What a killed run left is gone
        on with. Bad models are skipped and told.
        """
        shelf = Shelf()
        try:
            given_bases: tuple[str, ...] = ()
            if bases:
                given_bases = registering.register(
                    self.store, bases, shelf, verify=verify, origins=origins, progress=progress
                ).given
            registered = registering.register(
                self.store,
                paths,
                shelf,
                include=include,
                exclude=exclude,
                verify=verify,
                origins=origins,
                progress=progress,
            )
            sampled = placing.place(self.store, shelf, given_bases, progress)
            report = passing.complete(
                self.store, shelf, memory=memory, threads=threads, progress=progress
            )
            looked = deriving.derive(self.store, shelf, report.trees, seed=seed, progress=progress)
            looked += deriving.derive(self.store, shelf, seed=seed, progress=progress)
        finally:
            shelf.close()
        size = {it.name: it.nbytes for it in self.models() if it.facts.part_of is None}
        return Added(
            given=registered.given,
            new=registered.new,
            skipped=registered.skipped,
            bytes_read=report.bytes_read,
            bytes_sampled=sampled,
            bytes_looked=looked,
            bytes_on_disk=sum(size.get(name, 0) for name in registered.given),
        )

    def models(self) -> list[Model]:
        """List the models, in the order they were added; removed ones are not among them."""
        with self.store.read() as connection:
            return model_rows.all_models(connection, statuses=("pending", "ready", "gone"))

    def model(self, name: str) -> Model:
        """Return one model; raises UnknownName with the nearest names."""
        with self.store.read() as connection:
            model = model_rows.get(connection, name)
            if model.status == "removed":
                raise BadInput(f"model {name!r} was removed; add its path again to bring it back")
            return model

    def find(self, given: str) -> Model:
        """Return the model of that name, or the only one whose name begins or ends like that.

        given: or the path or the address that it was added by.

        Raises UnknownName with the nearest names, BadInput with those that all fit.
        """
        models = {it.name: it for it in self.models()}
        if given in models or not given:
            return self.model(given)
        last = [name for name in models if name.split("/")[-1] == given]
        fits = last or [it for it in models if it.startswith(given) or it.endswith(given)]
        if len(fits) > 1:
            some = ", ".join(sorted(fits)[:8]) + (", ..." if len(fits) > 8 else "")
            raise BadInput(f"{given!r} may be {some}; type more of the name")
        if fits:
            return models[fits[0]]
        return self.at(given) or self.model(given)

    def at(self, given: str) -> Model | None:
        """Return the model that was added by a path or an address, if there is one."""
        paths = places_of(given)
        there = (it for it in self.models() if it.status != "gone" and it.path in paths)
        return next(there, None)

    def skipped(self) -> list[Skipped]:
        """List what was found and not charted, with the reasons."""
        with self.store.read() as connection:
            return skipped_rows.all_skipped(connection)

    def remove(self, names: Sequence[str], *, seed: int = 0) -> None:
        """Take models out of the atlas (never their files) and find their trees anew."""
        with self.store.write() as connection:
            model_rows.remove(connection, names)
        shelf = Shelf()
        try:
            deriving.derive(self.store, shelf, seed=seed)
        finally:
            shelf.close()

    def families(self) -> list[FamilyMembers]:
        """List the families with their members, largest first."""
        with self.store.read() as connection:
            models = model_rows.all_models(connection, statuses=("ready", "gone"))
            result = []
            for family in families.all_families(connection):
                trees = {
                    tree.name: tuple(it.name for it in models if it.tree_id == tree.id)
                    for tree in families.all_trees(connection, family.id)
                }
                trees = {name: members for name, members in trees.items() if members}
                members = tuple(it.name for it in models if it.family_id == family.id)
                if members:
                    result.append(FamilyMembers(family.name, members, trees))
        return sorted(result, key=lambda family: -len(family.members))

    def forest(self) -> Forest:
        """Return the forest of the whole atlas."""
        parts = [forest for _, forest, _ in self.findings()]
        return Forest(
            edges=tuple(edge for part in parts for edge in part.edges),
            roots=tuple(root for part in parts for root in part.roots),
            undecided=tuple(it for part in parts for it in part.undecided),
        )

    def findings(self) -> list[tuple[str, Forest, RegionMap]]:
        """Return name, forest and map of every tree, those of the most models first."""
        found = []
        with self.store.read() as connection:
            for tree in families.all_trees(connection):
                forest = findings.load_forest(connection, tree.id)
                region_map = findings.load_region_map(connection, tree.id)
                if forest is not None and region_map is not None:
                    found.append((tree.name, forest, region_map))
        return sorted(found, key=lambda it: -len(it[2].models))

    def maps(
        self,
        *,
        pooling: str | None = None,
        layout: str | None = None,
        regions: int | None = None,
        seed: int = 0,
    ) -> list[RegionMap]:
        """Return the map of every tree; other options than the kept ones are worked out anew."""
        if pooling is None and layout is None and regions is None:
            return [region_map for _, _, region_map in self.findings()]
        result = []
        for loaded in self._products():
            base = base_of(self._forest_of(loaded.tree.id))
            result.append(
                chart_regions(
                    loaded.products,
                    base=base,
                    pooling=pooling or DEFAULT_POOLING,
                    layout=layout or DEFAULT_LAYOUT,
                    regions=regions,
                    seed=seed,
                )
            )
        return sorted(result, key=lambda it: -len(it.models))

    def points(self, maps: Sequence[RegionMap] | None = None) -> dict[str, tuple[float, float]]:
        """Lay all trees side by side: a point for every model."""
        return arrange(self.maps() if maps is None else maps)

    def near(
        self, name: str, *, count: int = 10, pooling: str | None = None, by: str = "distance"
    ) -> list[Neighbour]:
        """List a model's neighbours in its tree: the nearest first, or by "cosine" the likest.

        Distance is that of the backbones. Raises UnknownName for another order.
        """
        model = self.model(name)
        if model.tree_id is None:
            return []
        with self.store.read() as connection:
            loaded = deriving.load_products(connection, model.tree_id)
        if name in loaded.apart:
            raise BadInput(f"the files of {name!r} are gone and it was compared with nobody left")
        base = base_of(self._forest_of(model.tree_id))
        return neighbours(loaded.products, base, name, pooling or DEFAULT_POOLING, by)[:count]

    def norms(self) -> dict[str, float]:
        """Return the Frobenius norm of each model's backbone, of those that are here whole."""
        parts = {it.name for it in self.models() if it.facts.part_of is not None}
        norms: dict[str, float] = {}
        for loaded in self._products():
            squared = np.nansum(loaded.products.moments.norm**2, axis=0)
            norms |= dict(zip(loaded.products.models, np.sqrt(squared).tolist(), strict=True))
        return {name: norm for name, norm in norms.items() if name not in parts}

    def nonfinite(self, name: str) -> tuple[str, ...]:
        """Name the backbone tensors of a model that hold NaN or infinite elements."""
        for loaded in self._products():
            if name in loaded.products.models:
                column = loaded.products.models.index(name)
                counts = loaded.products.moments.nonfinite[:, column]
                return tuple(
                    tensor
                    for tensor, count in zip(loaded.products.tensors, counts, strict=True)
                    if count
                )
        return ()

    def keep_path(self, found: KeptPath) -> KeptPath:
        """Keep what was measured between models, in place of an older result of the same key.

        Raises UnknownName where a model is not in this atlas.
        """
        with self.store.write() as connection:
            return path_rows.keep(connection, found)

    def paths(self) -> list[KeptPath]:
        """List the paths and planes that were kept, newest first."""
        with self.store.read() as connection:
            return path_rows.all_kept(connection)

    def keep_result(self, found: KeptResult) -> KeptResult:
        """Keep what was found of a group of models, in place of an older one of the same key.

        Raises UnknownName where a model is not in this atlas.
        """
        with self.store.write() as connection:
            return result_rows.keep(connection, found)

    def results(self) -> list[KeptResult]:
        """List the regions and starting points that were kept, newest first."""
        with self.store.read() as connection:
            return result_rows.all_kept(connection)

    def products(self) -> list[TreeProducts]:
        """Return the inner products of every tree: what methods of one's own start from."""
        return self._products()

    def _products(self) -> list[TreeProducts]:
        with self.store.read() as connection:
            trees = families.all_trees(connection)
            loaded = [deriving.load_products(connection, tree.id) for tree in trees]
        return [it for it in loaded if it.products.models]

    def _forest_of(self, tree_id: int) -> Forest:
        with self.store.read() as connection:
            return findings.load_forest(connection, tree_id) or Forest()

    def close(self) -> None:
        """Close the database."""
        self.store.close()

    def __enter__(self) -> "Atlas":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
