"""What a hub's repository holds, by one question of it."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from weightscape.errors import BadCheckpoint, NotFound
from weightscape.io.hub_endpoint import endpoint
from weightscape.io.locations import HubPlace
from weightscape.io.trying import Broken, Tries

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo, RepoSibling

_MOST_FILES = 200_000
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository: its path there, its size and its SHA-256 where the hub tells them."""

    path: str
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Repository:
    """A hub's repository at one commit, which its files are read of."""

    name: str
    commit: str
    files: dict[str, HubFile]

    def url(self, path: str) -> str:
        """Give the address of a file."""
        from huggingface_hub import hf_hub_url

        return hf_hub_url(self.name, path, revision=self.commit, endpoint=endpoint())


def list_repository(place: HubPlace) -> Repository:
    """Ask the hub what a repository holds at a revision.

    Raises NotFound where there is none, where it is not given to us, and where the hub cannot be
    reached; BadCheckpoint where the answer makes no sense.
    """
    tries = Tries(place.shown)
    while True:
        try:
            return _read(place, _asked(place))
        except Broken as problem:
            tries.failed(problem)


def is_safe(path: str) -> bool:
    """Tell whether a path that a server names stays in the folder it is relative to.

    >>> is_safe("unet/model.safetensors"), is_safe("../.ssh/id"), is_safe("/etc/passwd")
    (True, False, False)
    """
    posix, windows = PurePosixPath(path), PureWindowsPath(path)
    outside = posix.is_absolute() or windows.drive or windows.root or ".." in windows.parts
    return bool(posix.name) and path.isprintable() and not outside and posix.as_posix() == path


def refusal(error: Exception) -> str | None:
    """Say in words why the hub does not give a model; None where it did not come to say.

    error: what huggingface_hub raised.
    """
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, HFValidationError):
        return "it is no id of a hub's model"
    if isinstance(error, GatedRepoError):  # before those that have no such model: it is one
        return "the hub gives it only to those who log in (HF_TOKEN)"
    if isinstance(error, RevisionNotFoundError):
        return "the hub's model has no such revision"
    if isinstance(error, RepositoryNotFoundError):
        return "no such model on the hub; a private one needs HF_TOKEN"
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE forbids asking the hub"
    return None


def _asked(place: HubPlace) -> "ModelInfo":
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return HfApi(endpoint=endpoint()).model_info(
            place.repository, revision=place.revision, files_metadata=True, timeout=15
        )
    except Exception as error:  # each version of the library has its transport's errors
        if (why := refusal(error)) is not None:
            raise NotFound(f"{place.shown}: no such file or folder, and {why}") from None
        if isinstance(error, HfHubHTTPError):
            status = error.response.status_code
            if status in (408, 425, 429) or status >= 500:
                raise Broken(f"the hub answers with status {status}", unheard=True) from None
            raise NotFound(f"{place.shown}: the hub answers with status {status}") from None
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if kinds & {"TransportError", "OSError"}:
            reason = f"the hub cannot be reached ({type(error).__name__})"
            raise Broken(reason, unheard=True, away=True) from None
        raise BadCheckpoint(
            f"the hub's answer makes no sense ({type(error).__name__})", file=place.shown
        ) from None


def _read(place: HubPlace, info: "ModelInfo") -> Repository:
    commit, listed = info.sha, info.siblings
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise BadCheckpoint("the hub names no commit of it", file=place.shown)
    if not listed or len(listed) > _MOST_FILES:
        raise BadCheckpoint(f"the hub lists {len(listed or ()):,} files of it", file=place.shown)
    files = [_file(one) for one in listed if isinstance(one.rfilename, str)]
    # a name that leads outside is none of a model's files, and is never asked for
    return Repository(place.repository, commit, {it.path: it for it in files if is_safe(it.path)})


def _file(one: "RepoSibling") -> HubFile:
    lfs = one.lfs
    sha256 = lfs.sha256 if lfs is not None else None
    told = isinstance(sha256, str) and _SHA256.fullmatch(sha256)
    size = one.size if isinstance(one.size, int) and 0 <= one.size < 2**63 else None
    return HubFile(one.rfilename, size, sha256 if told else None)
