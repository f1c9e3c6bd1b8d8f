"""What a model is given by: a path of this machine, a URL, or the id of a hub's model."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from weightscape.errors import BadInput
from weightscape.io.hub_endpoint import endpoint
from weightscape.io.layout import is_index, is_weights

HUB = "hub:"

_PART = r"[A-Za-z0-9_](?:[\w.-]{0,94}[\w])?"
_HUB_ID = re.compile(
    rf"(?P<repository>(?:{_PART}/)?{_PART})(?:@(?P<revision>[\w][\w./-]{{0,199}}))?"
    r"(?::(?P<inside>[^\0\\]{1,1000}))?",
    re.ASCII,
)
_SCHEMES = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class WebPlace:
    """A URL of a weights file, of an index of shards, or of a folder with either."""

    url: str

    @property
    def shown(self) -> str:
        """Tell what errors and pages call it: without its query, which may be a signature."""
        return without_secrets(self.url)


@dataclass(frozen=True, slots=True)
class HubPlace:
    """A model of a hub; `inside`: a file or folder of its repository."""

    repository: str
    revision: str | None = None
    inside: str = ""

    @property
    def shown(self) -> str:
        """Tell what errors and pages call it, as it can be given again."""
        revision = f"@{self.revision}" if self.revision else ""
        return f"{HUB}{self.repository}{revision}" + (f":{self.inside}" if self.inside else "")


Location = Path | WebPlace | HubPlace


def locate(given: str | Path) -> Location:
    """Tell what is meant by a path, a URL (http, https) or ``org/name[@revision]`` of a hub.

    What is there on this machine is a path. `hub:` before an id says that nothing else is meant,
    and takes ``hub:org/name[@revision][:file or folder inside]``. Nothing is asked of any server.

    Raises BadInput for a URL or an id that cannot be one.

    >>> locate("hub:someone/model@v2")
    HubPlace(repository='someone/model', revision='v2', inside='')
    >>> locate("https://models.example/a/model.safetensors?key=1").shown
    'https://models.example/a/model.safetensors'
    """
    if isinstance(given, Path):
        return given
    if given.lower().startswith(_SCHEMES):
        return _web(given)
    if given.startswith(HUB):
        place = _hub(given.removeprefix(HUB))
        if place is None:
            raise BadInput(
                f"{given[:200]!r} is no id of a hub's model; write hub:org/name, "
                "hub:org/name@revision or hub:org/name:file"
            )
        return place
    if "://" in given and not os.path.lexists(given):
        raise BadInput(
            f"{given.partition('://')[0][:40]}://... cannot be read; give a path, "
            "an http(s) URL or the id of a hub's model"
        )
    if not os.path.lexists(given) and _is_bare_id(given):
        place = _hub(given)
        if place is not None and not place.inside:
            return place
    return Path(given)


def without_secrets(url: str) -> str:
    """Show a URL without the user, the password and the query that may be in it."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def origin(url: str) -> tuple[str, str, int]:
    """Tell scheme, host and port of a URL: what a token may be sent to."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or (443 if scheme == "https" else 80)


def beside(url: str, label: str) -> str:
    """Give the URL of a file by its path relative to a folder's URL."""
    parts = urlsplit(url)
    path = f"{parts.path.rstrip('/')}/{quote(label)}"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def split_file(url: str) -> tuple[str, str | None]:
    """Split a URL into that of a folder and the file's name, None where it names a folder.

    >>> split_file("https://models.example/a/model.safetensors")
    ('https://models.example/a', 'model.safetensors')
    >>> split_file("https://models.example/a/")
    ('https://models.example/a', None)
    """
    parts = urlsplit(url)
    folder, _, last = parts.path.rpartition("/")
    name = unquote(last)
    if is_weights(name) or is_index(name):
        return urlunsplit((parts.scheme, parts.netloc, folder, parts.query, "")), name
    path = parts.path.rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, "")), None


def _web(url: str) -> Location:
    try:
        parts = urlsplit(url)
        if not parts.hostname or (parts.port is not None and parts.port < 1):
            raise ValueError("it names no host")
        if not url.isprintable() or any(sign.isspace() for sign in url):
            raise ValueError("it holds blanks or signs that cannot be shown")
    except ValueError as error:
        # cut where a secret could begin: what cannot be parsed cannot be cleaned
        shown = url.partition("?")[0].rpartition("@")[2][:200]
        raise BadInput(f"{shown!r} is no URL: {error}") from None
    if parts.username is not None or parts.password is not None:
        raise BadInput(
            f"{without_secrets(url)}: a URL with a user or password in it is not used, since URLs "
            "are shown and kept; a hub's token is taken from HF_TOKEN"
        )
    return _page_of_hub(parts) or WebPlace(url)


def _page_of_hub(parts: SplitResult) -> HubPlace | None:
    """Recognise the address that a browser shows for a hub's model, as people copy it."""
    base = urlsplit(endpoint())
    prefix = base.path.rstrip("/") + "/"
    if origin(urlunsplit(parts)) != origin(endpoint()) or not parts.path.startswith(prefix):
        return None
    steps = [unquote(it) for it in parts.path.removeprefix(prefix).split("/") if it]
    if len(steps) != 2 and not (len(steps) > 3 and steps[2] in ("tree", "blob")):
        return None
    revision, inside = (f"@{steps[3]}", "/".join(steps[4:])) if len(steps) > 3 else ("", "")
    return _hub("/".join(steps[:2]) + revision + (f":{inside}" if inside else ""))


def _hub(text: str) -> HubPlace | None:
    match = _HUB_ID.fullmatch(text)
    if match is None or any(bad in match["repository"] for bad in ("--", "..")):
        return None
    revision, inside = match["revision"], (match["inside"] or "").strip("/")
    if ".." in (revision or "") or not all(
        part not in ("", ".", "..") for part in (inside.split("/") if inside else ())
    ):
        return None
    return HubPlace(match["repository"], revision, inside)


def _is_bare_id(given: str) -> bool:
    """Tell an id from a slip in a path: its first part is no folder here, and it has two."""
    name = given.partition("@")[0]
    if name.count("/") != 1 or name.startswith((".", "~", "/")):
        return False
    return not os.path.isdir(name.partition("/")[0])  # noqa: PTH112
