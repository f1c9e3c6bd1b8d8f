import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from weightscape.answers import MapAnswer, NeighbourAnswer
from weightscape.atlas import Atlas
from weightscape.catalog.records import Region, RegionMap
from weightscape.cli import gather
from weightscape.cli.show import neighbour_table
from weightscape.cli.summary import print_regions


def printed(draw: Callable[[Console], None]) -> str:
    out = io.StringIO()
    draw(Console(file=out, width=120))
    return out.getvalue()


def a_map() -> RegionMap:
    order = ("a", "b", "odd", "base", "lora")
    return RegionMap(
        models=order,
        base="base",
        cosine=np.eye(5),
        regions=(Region("region:a", ("a", "b"), "a"),),
        outliers=("odd",),
        points=dict.fromkeys(order, (0.0, 0.0)),
        order=order,
        pooling="matrices",
        notes=("nothing separates these models: one region", "with the base, hardly moved: lora"),
    )


def test_every_model_has_its_place_in_the_answer_and_in_the_words(tmp_path: Path) -> None:
    with Atlas(tmp_path) as atlas:
        answer = gather.region_map(atlas, [a_map()])
    assert isinstance(answer, MapAnswer)
    assert answer.with_base == ["lora"]
    words = printed(lambda console: print_regions(console, answer))
    for line in ("in no region: odd", *answer.notes):
        assert line in words


@pytest.mark.parametrize(
    ("distance", "resolution", "words"),
    [(0.0, 0.0, "0"), (2e-4, 1e-3, "< 0.001"), (0.0, 1e-3, "< 0.001"), (0.08343, 1e-3, "0.08343")],
)
def test_what_the_products_do_not_resolve_is_said_so(
    distance: float, resolution: float, words: str
) -> None:
    other = NeighbourAnswer(model="x", distance=distance, resolution=resolution, cosine=None)
    row = printed(lambda console: console.print(neighbour_table([other]))).splitlines()[1]
    assert row.split(maxsplit=1)[1].strip() == words
