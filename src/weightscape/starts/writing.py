"""A point of a pool as an ordinary model folder that says where it came from."""

import json
from collections.abc import Mapping
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


def check_free(out: Path) -> None:
    """Raise BadInput, before anything is computed, where a start could not be written."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out} is there already; choose another folder to write the start to")


def write_start(
    pool: Pool, proposal: Proposal, task: Task, out: Path, head: HeadStart, told: Mapping[str, Any]
) -> Path:
    """Write a proposal's weights exactly, with the head that runs began with; return the folder.

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
    return with_head.export(
        point_of(proposal.weights), out, config=_config(live, task), extra_files=files
    )


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
