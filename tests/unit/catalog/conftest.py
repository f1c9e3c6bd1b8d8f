from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from weightscape.catalog import families, models
from weightscape.catalog.records import Model, ModelFacts, Tree
from weightscape.catalog.store import Store

SHAPES = [("encoder.weight", (4, 3)), ("encoder.bias", (4,)), ("pooler.weight", (2, 4))]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "atlas") as opened:
        yield opened


@pytest.fixture
def found() -> Callable[..., Model]:
    """Make a model as discovery would find it: by default of content of its own."""

    def make(name: str, *, path: str | None = None, fingerprint: str | None = None) -> Model:
        return Model(
            name=name,
            path=path or f"/models/{name}",
            kind="full",
            format="safetensors",
            fingerprint=fingerprint or f"print of {name}",
            stamp=(("model.safetensors", 1234, 1_700_000_000_000_000_001),),
            nbytes=1234,
            parameters=24,
            facts=ModelFacts(name, dtype="BF16", declared=("base",), run="r", step=7),
            config={"hidden_size": 4},
            metadata={"licence": "x"},
        )

    return make


@pytest.fixture
def plant(store: Store, found: Callable[..., Model]) -> Callable[..., Tree]:
    """Plant a tree of so many models, m0 its reference, in the one family of SHAPES."""

    def make(count: int) -> Tree:
        with store.write() as connection:
            rows = models.register(connection, [found(f"m{i}") for i in range(count)])
            family = families.ensure_family(connection, "bert", SHAPES, "full")
            families.append_tensors(connection, family.id, SHAPES)
            tree = families.ensure_tree(connection, family.id, "m0", rows[0].id)
            families.claim(connection, tree.id, [row.id for row in rows])
        return tree

    return make
