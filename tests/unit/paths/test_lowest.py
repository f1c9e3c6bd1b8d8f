from hypothesis import given, settings
from hypothesis import strategies as st

from weightscape.paths.lowest import look_for_lowest


@given(st.integers(2, 200), st.floats(0, 1), st.floats(0.3, 3))
@settings(deadline=None, max_examples=60)
def test_the_lowest_point_of_a_valley_is_found_by_a_few_looks(points, at, power):
    bottom = at * (points - 1)
    looked = set()

    def loss(i):
        looked.add(i)
        return abs(i - bottom) ** power

    found = look_for_lowest(points, loss)
    assert loss(found) == min(abs(i - bottom) ** power for i in range(points))
    assert {0, points - 1} <= looked
    assert len(looked) <= 9 + 2 * max(0, points // 7).bit_length()
