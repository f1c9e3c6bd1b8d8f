"""Bringing models of servers here: whole, or the few layers by which they can be compared."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from weightscape.catalog import experts as expert_rows
from weightscape.catalog.records import Skipped
from weightscape.catalog.store import Store
from weightscape.errors import (
    BadInput,
    NeedsDownload,
    NotFound,
    UnsupportedFormat,
    WeightscapeError,
)
from weightscape.geometry.align import backbone
from weightscape.geometry.telling_layer import LARGEST, telling_layer
from weightscape.io import HubPlace, Location, WebPlace, locate
from weightscape.io.asking import Traffic
from weightscape.io.download import download, target_of
from weightscape.io.layout import LAYERS_FILE, stands_for_folder
from weightscape.io.locations import HUB, origin
from weightscape.io.outline import Outlined
from weightscape.io.part import fetch_layers, layers_at
from weightscape.io.remote_folder import HubFolder, WebFolder, open_folder
from weightscape.io.trying import Unreachable
from weightscape.io.walk import ATLAS_FILE
from weightscape.probing.layers import names_for
from weightscape.probing.saving import load_expert
from weightscape.progress import Progress, silent

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Models that are asked for at the same time: of a few layers, waiting is what takes time."""


@dataclass(frozen=True, slots=True)
class Brought:
    """Where models lie now, in the order given; what could not be had; bytes that came for it.

    origins: by path, where what lies there comes from.
    """

    paths: tuple[Path, ...]
    skipped: tuple[Skipped, ...] = ()
    bytes_fetched: int = 0
    origins: Mapping[str, str] = field(default_factory=dict)


def bring_whole(places: Sequence[Location], *, progress: Progress = silent) -> Brought:
    """Fetch what is not on this machine into the cache, all of it.

    Raises what fetching the first one that cannot be had does.
    """
    folders = [it if isinstance(it, Path) else open_folder(it) for it in places]
    paths = [it if isinstance(it, Path) else download(it, progress=progress) for it in folders]
    came = sum(it.traffic.bytes_read for it in folders if not isinstance(it, Path))
    return Brought(tuple(paths), (), came, _origins(zip(places, paths, strict=True)))


def bring_layers(
    places: Sequence[Location], *, layers: Sequence[str] = (), progress: Progress = silent
) -> Brought:
    """Fetch of each model elsewhere its headers, the layer that tells its descent, and `layers`.

    layers: names in the backbone, of those that experts read; a model without them goes without.
    Several models are asked for at once. One that cannot be had is skipped; where none can, what
    the first one raised is raised.
    """
    elsewhere = list(dict.fromkeys(it for it in places if not isinstance(it, Path)))
    found: dict[Location, Path] = {it: it for it in places if isinstance(it, Path)}
    problems: dict[Location, WeightscapeError] = {}
    came = 0
    with _asking(elsewhere, layers, progress) as answers:
        for place, answer in answers:
            try:
                found[place], read = answer.result()
                came += read
            except WeightscapeError as problem:
                log.info("%s cannot be had: %s", place.shown, problem)
                problems[place] = problem
            except OSError as problem:
                problems[place] = BadInput(f"{place.shown}: {problem.strerror or problem}")
    if problems and not found:
        first = next(it for it in elsewhere if it in problems)
        if isinstance(problems[first], NeedsDownload):
            raise NeedsDownload(_reason(first, problems[first])) from None
        if isinstance(first, HubPlace) and isinstance(problems[first], NotFound):
            raise NotFound(_reason(first, problems[first])) from None
        raise problems[first]
    skipped = (_skipped(it, problems[it]) for it in elsewhere if it in problems)
    paths = tuple(found[it] for it in places if it in found)
    return Brought(paths, tuple(skipped), came, _origins(found.items()))


def _origins(found: Iterable[tuple[Location, Path]]) -> dict[str, str]:
    """Tell by the path of each model where it comes from, as a part of it says."""
    return {
        os.path.realpath(path.parent if stands_for_folder(path.name) else path): place.shown
        for place, path in found
        if not isinstance(place, Path)
    }


def layers_of_experts(folder: Path) -> tuple[str, ...]:
    """Name the layers that the experts of an atlas read; none where there is no atlas."""
    if not (folder / ATLAS_FILE).exists():
        return ()
    named: list[str] = []
    store = Store.open(folder, create=False)
    try:
        with store.read() as connection:
            experts = expert_rows.all_experts(connection)
    finally:
        store.close()
    for kept in experts:
        try:
            named += load_expert(kept.folder).layers
        except WeightscapeError as problem:
            log.info("the expert %s cannot be asked for its layers: %s", kept.name, problem)
    return tuple(dict.fromkeys(named))


def places_of(given: str) -> tuple[str, ...]:
    """Tell at which paths a model may lie that was given by a path or an address."""
    try:
        place = locate(given)
        if isinstance(place, Path):
            return (os.path.realpath(place),)
    except (BadInput, ValueError):
        return ()
    if isinstance(place, HubPlace):
        return ()  # it has its name
    folder = WebFolder(place)
    whole = target_of(folder)
    lone = () if folder.named is None else (str(whole / folder.named),)
    return tuple(os.path.realpath(it) for it in (whole, layers_at(folder), *lone))


@contextmanager
def _asking(
    places: Sequence[WebPlace | HubPlace], layers: Sequence[str], progress: Progress
) -> Iterator[Iterator[tuple[WebPlace | HubPlace, Future[tuple[Path, int]]]]]:
    """Ask for models side by side, and give the answers as they come."""
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fetching")
    try:
        away: set[str] = set()
        asked = {pool.submit(_layers_of, it, layers, away): it for it in places}

        def answers() -> Iterator[tuple[WebPlace | HubPlace, Future[tuple[Path, int]]]]:
            for answer in as_completed(asked):
                yield asked[answer], answer
                advance(1)

        if not places:
            yield iter(())
            return
        with progress.stage("fetching layers", total=len(places), unit="models") as advance:
            yield answers()
    finally:
        # who stops here does not wait for models that were not begun
        pool.shutdown(cancel_futures=True)


def _layers_of(
    place: WebPlace | HubPlace, layers: Sequence[str], away: set[str]
) -> tuple[Path, int]:
    """Fetch the layers of one model, or take those that are here where its server is away."""
    server = "/".join(map(str, origin(place.url))) if isinstance(place, WebPlace) else HUB
    try:
        if server in away:
            # each would wait as long to find the same
            raise Unreachable(f"{place.shown}: its server cannot be reached")
        return _fetched(open_folder(place), layers)
    except Unreachable:
        away.add(server)
        here = layers_at(WebFolder(place)) if isinstance(place, WebPlace) else None
        if here is None or not (here / LAYERS_FILE).exists():
            raise
        log.info("%s cannot be reached: what was fetched before is taken", place.shown)
        return here, 0


def _fetched(folder: WebFolder | HubFolder, layers: Sequence[str]) -> tuple[Path, int]:
    def choose(tensors: Mapping[str, Outlined], tied: Mapping[str, str]) -> list[str]:
        found = backbone(tensors, tied)
        named = [names for it in layers if len(names := names_for(found, it)) == 1]
        stored = [found.stored[name] for (name,) in named]
        asked = [name for name in stored if prod(tensors[name].shape) <= LARGEST]
        return list(dict.fromkeys([*telling_layer(found), *asked]))

    traffic: Traffic = folder.traffic
    return fetch_layers(folder, choose), traffic.bytes_read


def _skipped(place: WebPlace | HubPlace, problem: WeightscapeError) -> Skipped:
    kind = "unsupported" if isinstance(problem, UnsupportedFormat) else "bad"
    return Skipped(place.shown, _reason(place, problem), kind)


def _reason(place: WebPlace | HubPlace, problem: WeightscapeError) -> str:
    """Say why a model cannot be had, and what would help."""
    reason = str(problem)
    if isinstance(problem, NeedsDownload):
        # what reads one model names its own option
        return reason.partition("; fetch the model with")[0] + "; --download fetches it"
    if isinstance(place, HubPlace) and isinstance(problem, NotFound):
        said = reason.removeprefix(f"{place.shown}: ").removeprefix("no such file or folder, and ")
        name = place.shown.removeprefix(HUB)
        return f"{name}: no such file or folder here, and as a hub's model: {said}"
    return reason
