from pathlib import Path

import numpy as np
import pytest

from weightscape.atlas import Atlas
from weightscape.catalog.records import RegionMap
from weightscape.report.collect import collect


def a_map(names: str, moved: str) -> RegionMap:
    still = [name not in moved for name in names]
    cosine = np.eye(len(names))
    cosine[still] = cosine[:, still] = np.nan
    return RegionMap(
        models=tuple(names),
        base="b",
        cosine=cosine,
        regions=(),
        outliers=(),
        points=dict.fromkeys(names, (0.0, 0.0)),
        order=tuple(reversed(names)),
        pooling="matrices",
        notes=(),
    )


@pytest.mark.parametrize(
    ("names", "moved", "rows"),
    [("bcxy", "xy", [("y", "x")]), ("bcx", "x", []), ("bcd", "", []), ("bx", "x", [])],
)
def test_models_without_a_delta_have_no_row_in_the_heat_map(
    tmp_path: Path, names: str, moved: str, rows: list[tuple[str, ...]]
) -> None:
    with Atlas(tmp_path) as atlas:
        heats = collect(atlas, maps=[a_map(names, moved)]).heats
    assert [heat.names for heat in heats] == rows
    assert all(np.isfinite(heat.cosines).all() for heat in heats)
