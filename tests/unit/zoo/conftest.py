import pytest


@pytest.fixture(scope="session")
def star(tmp_path_factory):
    """A star of digits models with all special ones, and its truth."""
    from weightscape.zoo.digits import make_digits_zoo

    folder = tmp_path_factory.mktemp("zoos") / "star"
    return folder, make_digits_zoo(folder, models=8)
