"""Placing models by an atlas's inner products alone."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from weightscape.cli import region_work
from weightscape.cli.path_work import End
from weightscape.cli.result_work import Group
from weightscape.geometry.products import Moments, TreeGram

NAMES = ("a", "b", "c", "between")


def knowing(*tensors: np.ndarray) -> Any:
    """Make an atlas that knows some models by their products, tensor by tensor."""
    blank = np.full((len(tensors), len(NAMES)), np.nan)
    moments = Moments(
        *(blank,) * 4, np.zeros(blank.shape, dtype=np.int64), (("",) * 4,) * len(tensors)
    )
    names = tuple(f"layer.{i}" for i in range(len(tensors)))
    gram = np.stack([at @ at.T for at in tensors])
    tree = TreeGram(NAMES, names, ((2,),) * len(tensors), gram, moments, "a")
    return cast(Any, SimpleNamespace(products=lambda: [SimpleNamespace(products=tree)]))


def placed(atlas: Any) -> Any:
    ends = {name: End(name, name, name) for name in NAMES}
    group = Group(tuple(ends[name] for name in "abc"), None)
    return region_work._known_places(group, [ends["between"]], atlas)


def test_a_tensor_that_one_model_lacks_has_no_say_in_where_it_lies() -> None:
    shared = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [1.0, 2.0]])
    (plain,) = placed(knowing(shared))
    assert plain.place == "in the hull" and round(plain.weights["c"], 9) == 0.5
    lacking = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0], [np.nan, np.nan]])
    (found,) = placed(knowing(shared, lacking))
    assert found == plain
    assert placed(knowing(lacking)) is None  # then weights are read
