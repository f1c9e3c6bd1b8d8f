"""What `chart` and `add` are given: paths of this machine, and models that are elsewhere."""

import re
from collections.abc import Sequence
from pathlib import Path

from weightscape.atlas.bringing import Brought, bring_layers, bring_whole, layers_of_experts
from weightscape.errors import NotFound
from weightscape.io import HubPlace, Location, locate
from weightscape.io.locations import HUB, without_secrets
from weightscape.progress import Progress

_ADDRESS = re.compile(r"(https?:|[\w.-]+:\d+)/", re.ASCII)
"""What looks like a URL that lost its beginning."""


def locate_all(given: Sequence[str]) -> list[Location]:
    """Tell what is meant by each, before anything is read or fetched.

    Raises NotFound for paths that are not there.
    """
    places = [locate(text) for text in given]
    for text, place in zip(given, places, strict=True):
        if isinstance(place, Path) and not place.exists():
            address = _ADDRESS.match(text) is not None
            hint = "; an address begins with http:// or https://" if address else ""
            raise NotFound(f"{text}: no such file or folder{hint}")
    return places


def bring_here(
    places: Sequence[Location], *, atlas: Path, whole: bool, progress: Progress
) -> Brought:
    """Fetch what is not on this machine into the cache: whole, or the layers that are compared."""
    for place in places:
        if isinstance(place, HubPlace):
            # often a slip in a path
            progress.note(f"{place.shown.removeprefix(HUB)} is not here: asking the hub for it")
    if whole or all(isinstance(it, Path) for it in places):
        return bring_whole(places, progress=progress)
    return bring_layers(places, layers=layers_of_experts(atlas), progress=progress)


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
