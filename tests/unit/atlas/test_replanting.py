import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from weightscape.atlas.replanting import rebased

POINTS = arrays(np.float64, (5, 7), elements=st.floats(-10, 10, width=16))


@settings(deadline=None, max_examples=40)
@given(POINTS, st.integers(0, 4), st.integers(0, 4))
def test_products_relative_to_any_model_follow_from_those_to_another(
    points: np.ndarray, old: int, new: int
) -> None:
    before = (points - points[old]) @ (points - points[old]).T
    after = (points - points[new]) @ (points - points[new]).T

    np.testing.assert_allclose(rebased(before, new), after, atol=1e-8)
    np.testing.assert_allclose(rebased(rebased(before, new), old), before, atol=1e-8)


def test_what_is_not_known_stays_unknown() -> None:
    gram = np.array([[1.0, np.nan, 0.5], [np.nan, np.nan, np.nan], [0.5, np.nan, 2.0]])
    assert np.isfinite(rebased(gram, 0)).tolist() == np.isfinite(gram).tolist()
