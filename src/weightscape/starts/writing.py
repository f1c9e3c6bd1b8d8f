"""A point of a pool as an ordinary model folder that says where it came from."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import weightscape
from weightscape.errors import BadInput
from weightscape.geometry.span import Span
from weightscape.starts.candidates import Proposal
from weightscape.starts.heads import HeadStart, set_head
from weightscape.starts.pool import Pool, point_of, write_point
from weightscape.tasks.fingerprint import task_fingerprint
from weightscape.tasks.live import LiveModel
from weightscape.tasks.models import companion_files, config_dict
from weightscape.tasks.task import Task

PROVENANCE = "provenance.json"
MADE_FOR = "recommended_because"
"""What only a start says of itself."""


def check_free(out: Path, task: Task | None = None) -> None:
    """Raise BadInput, before anything is computed, where a start could not be written.

    A start for the same task and rows may be replaced, if nobody has put anything in its folder or
    trained in it since.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    told = _told(out)
    if task is None or MADE_FOR not in told:
        raise BadInput(f"{out} is there already; choose another folder to write the start to")
    if told.get("task_fingerprint") != task_fingerprint(task):
        raise BadInput(
            f"{out} is a start for another task or other rows ({told.get('task')}); choose another "
            f"folder for that for {task.name}"
        )
    changed = _changed(out, told.get("files"))
    if changed:
        raise BadInput(
            f"{out} is a start that was worked on since ({', '.join(changed[:3])}); choose another "
            "folder, so that nothing is lost"
        )


@contextmanager
def in_place_of(out: Path, task: Task | None = None) -> Iterator[Path]:
    """Give a folder to write a start to; once it is whole it takes the place of `out`.

    What was there is removed after that. Raises as `check_free` does.
    """
    check_free(out, task)
    whole = Path(os.path.realpath(out))
    half, old = (whole.with_name(f".{whole.name}.{it}") for it in ("half", "old"))
    for left in (half, old):  # by a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    half.mkdir(parents=True)
    try:
        yield half
        _seal(half)
        if whole.is_dir() and not any(whole.iterdir()):
            for file in half.iterdir():  # perhaps somebody stands in it, so it stays
                file.rename(whole / file.name)
            return
        if whole.exists():
            whole.rename(old)
        try:
            half.rename(whole)
        except BaseException:
            if old.exists():
                old.rename(whole)
            raise
    finally:
        shutil.rmtree(half, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _told(folder: Path) -> Mapping[str, Any]:
    try:
        told = json.loads((folder / PROVENANCE).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, Mapping) else {}


def _seal(folder: Path) -> None:
    """Add to the provenance what files there are, so that a change of them will be seen."""
    told = {**_told(folder), "files": _hashes(folder)}
    (folder / PROVENANCE).write_text(json.dumps(told, indent=2) + "\n", "utf-8")


def _changed(folder: Path, sealed: Any) -> list[str]:
    """Name what is not as it was written, or was not there then."""
    known = sealed if isinstance(sealed, Mapping) else {}
    found = _hashes(folder)
    return sorted(name for name in {*known, *found} if known.get(name) != found.get(name))


def _hashes(folder: Path) -> dict[str, str]:
    return {
        entry.name: _hash(entry) for entry in sorted(folder.iterdir()) if entry.name != PROVENANCE
    }


def _hash(entry: Path) -> str:
    if not entry.is_file() or entry.is_symlink():
        return "no file"  # never written here
    with entry.open("rb") as opened:
        return hashlib.file_digest(opened, "blake2b").hexdigest()[:32]


def write_start(
    pool: Pool, proposal: Proposal, task: Task, out: Path, head: HeadStart, told: Mapping[str, Any]
) -> Path:
    """Write a proposal's weights exactly, with the head that runs began with; return the folder.

    A start for the same task that is there is replaced (see `in_place_of`).

    Every tensor is the float64 sum rounded once. The head is that for the task's labels, begun on
    all training rows as `head` says, so that a fine-tuning from this folder is what was ranked.
    Configuration and tokenizer are the base's (the first model's without one); `provenance.json`
    has the models' weights, the task and what `told` adds.
    """
    spanned = pool.spanned
    live = spanned.model
    write_point(spanned, proposal.weights)
    set_head(live, task, head, 0)
    with_head = _with_head(spanned.span, live)
    provenance = {
        "kind": proposal.candidate.kind,
        "parents": dict(proposal.candidate.weights),
        "why": proposal.candidate.why,
        "task": task.name,
        "task_fingerprint": task_fingerprint(task),
        "labels": list(task.labels),
        "weightscape": weightscape.__version__,
        **told,
    }
    files = {PROVENANCE: (json.dumps(provenance, indent=2) + "\n").encode(), **_companions(live)}
    with in_place_of(out, task) as folder:
        with_head.export(
            point_of(proposal.weights), folder, config=_config(live, task), extra_files=files
        )
    return out


def _with_head(span: Span, live: LiveModel) -> Span:
    """Put the module's own head beside the span, the same at every point."""
    whole = span.tensors(span.vertex(0))
    still = {name: whole[name] for name in span.constants}
    del whole
    state = live.module.state_dict()
    known = {*span.names, *still}
    still |= {name: it.clone() for name, it in state.items() if name not in known}
    terms = [{**span.held(i), **still} for i in range(span.size + 1)]
    return Span.through(terms, layers={name: i for i, name in enumerate(span.names)})


def _config(live: LiveModel, task: Task) -> dict[str, Any] | None:
    if not hasattr(getattr(live.module, "config", None), "to_dict"):
        return None
    told = config_dict(live.module)
    if task.labels:
        told["id2label"] = {str(i): label for i, label in enumerate(task.labels)}
        told["label2id"] = {label: i for i, label in enumerate(task.labels)}
    return told


def _companions(live: LiveModel) -> dict[str, bytes]:
    return companion_files(live.folder) if live.folder is not None and live.folder.is_dir() else {}
