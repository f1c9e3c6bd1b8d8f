"""What `chart` and `add` are given: paths of this machine, and models that are fetched to it."""

from collections.abc import Sequence
from pathlib import Path

from weightscape.errors import BadInput, NotFound
from weightscape.io import HubPlace, Location, WebPlace, locate
from weightscape.io.download import download
from weightscape.io.locations import without_secrets
from weightscape.io.remote_folder import open_folder
from weightscape.progress import Progress


def locate_all(given: Sequence[str], *, fetched: bool) -> list[Location]:
    """Tell what is meant by each, before anything is read or fetched.

    Raises NotFound for paths that are not there, BadInput for models elsewhere that are not to be
    fetched.
    """
    places = [locate(text) for text in given]
    for text, place in zip(given, places, strict=True):
        if isinstance(place, Path):
            if not place.exists():
                raise NotFound(f"{text}: no such file or folder")
        elif not fetched:
            _refuse(text, place)
    return places


def bring_here(places: Sequence[Location], *, progress: Progress) -> list[Path]:
    """Fetch what is not on this machine into the cache, and give all as paths."""
    return [
        place if isinstance(place, Path) else download(open_folder(place), progress=progress)
        for place in places
    ]


def as_typed(arguments: Sequence[str]) -> str:
    """Write a command line as it may be kept: without the secrets of its URLs.

    >>> as_typed(["chart", "https://models.example/a?key=1"])
    'weightscape chart https://models.example/a'
    """
    shown = [
        without_secrets(it) if it.lower().startswith(("http://", "https://")) else it
        for it in arguments
    ]
    return " ".join(["weightscape", *shown]).encode("utf-8", "backslashreplace").decode()


def _refuse(text: str, place: WebPlace | HubPlace) -> None:
    if isinstance(place, HubPlace) and not text.startswith("hub:"):
        # more often a slip in a path than a model of the hub
        raise NotFound(
            f"{text}: no such file or folder; if it is a hub's model, --download fetches it"
        )
    raise BadInput(
        f"{place.shown}: is not on this machine; give --download to fetch it into the cache, since "
        "comparing models reads all of their weights"
    )
