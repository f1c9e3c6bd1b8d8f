import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from weightscape.blending.fisher import average_by, fisher_average, typical_size
from weightscape.blending.fisher_diagonals import FisherDiagonals
from weightscape.errors import BadInput

numbers = st.lists(st.floats(-9, 9, width=32), min_size=3, max_size=3)
sizes = st.lists(st.floats(0, 9, width=32), min_size=3, max_size=3)


def told(**diagonals):
    return FisherDiagonals({name: torch.tensor(it) for name, it in diagonals.items()}, "gold", 4)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(numbers, sizes), min_size=1, max_size=4))
def test_an_average_lies_between_and_is_that_of_the_formula(models):
    tensors = [torch.tensor(one) for one, _ in models]
    fishers = [torch.tensor(other) for _, other in models]
    found = average_by(tensors, fishers, floor=1e-3)
    stacked, weights = torch.stack(tensors).double(), torch.stack(fishers).double().clamp(min=1e-3)
    assert torch.allclose(found, (stacked * weights).sum(0) / weights.sum(0), atol=1e-9)
    assert (found <= stacked.max(0).values + 1e-9).all()
    assert (found >= stacked.min(0).values - 1e-9).all()


def test_equal_or_no_information_gives_the_mean():
    tensors = [torch.tensor([1.0, 2.0]), torch.tensor([3.0, 8.0])]
    for diagonal in ([0.3, 7.0], [0.0, 0.0]):
        for floor in (0.0, 1e-6):
            merged = average_by(tensors, [torch.tensor(diagonal)] * 2, floor=floor)
            assert merged.tolist() == [2.0, 5.0]
    weighed = average_by(tensors, [torch.zeros(2)] * 2, weights=[3, 1], floor=0.0)
    assert weighed.tolist() == [1.5, 3.5]


def test_models_count_alike_however_large_their_gradients():
    models = [{"a": torch.tensor([0.0, 0.0])}, {"a": torch.tensor([4.0, 4.0])}]
    fishers = [told(a=[3.0, 1.0]), told(a=[100.0, 300.0])]
    assert dict(fisher_average(models, fishers))["a"].tolist() == [1.0, 3.0]
    raw = dict(fisher_average(models, fishers, normalise=False))["a"]
    assert raw.min() > 3.8
    assert typical_size(fishers[0]) == pytest.approx((1 + 3**0.5) ** 2 / 4)


def test_tensors_without_information_are_the_mean_and_numbers_the_firsts():
    models = [
        {"a": torch.tensor([0.0]), "b": torch.tensor([0.0]), "n": torch.tensor([1, 2])},
        {"a": torch.tensor([4.0]), "b": torch.tensor([4.0]), "n": torch.tensor([5, 6])},
    ]
    fishers = [told(a=[3.0], b=[1.0]), told(a=[1.0])]
    merged = dict(fisher_average(models, fishers, normalise=False))
    assert {name: it.tolist() for name, it in merged.items()} == {
        "a": [1.0],
        "b": [2.0],
        "n": [1, 2],
    }


def test_what_does_not_fit_is_refused():
    models = [{"a": torch.zeros(2)}, {"a": torch.ones(2)}]
    with pytest.raises(BadInput, match="'a' has shape \\[2\\], but Fisher information of"):
        dict(fisher_average(models, [told(a=[1.0]), told(a=[1.0])]))
    with pytest.raises(BadInput, match="each model: 2, not 1"):
        dict(fisher_average(models, [told(a=[1.0, 1.0])]))
    with pytest.raises(BadInput, match="floor must be 0 or more"):
        dict(fisher_average(models, [told(a=[1.0, 1.0])] * 2, floor=-1.0))
