"""A point of a pool as an ordinary model folder that says where it came from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import weightscape
from weightscape.geometry.span import Span
from weightscape.starts.candidates import Proposal
from weightscape.starts.heads import HeadStart, set_head
from weightscape.starts.pool import Pool, point_of, write_point
from weightscape.tasks.fingerprint import task_fingerprint
from weightscape.tasks.live import LiveModel
from weightscape.tasks.made_folder import PROVENANCE, in_place_of
from weightscape.tasks.models import companion_files, config_for
from weightscape.tasks.task import Task


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
        "places": dict(zip(spanned.names, spanned.places, strict=True)),
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
            point_of(proposal.weights), folder, config=config_for(live, task), extra_files=files
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


def _companions(live: LiveModel) -> dict[str, bytes]:
    return companion_files(live.folder) if live.folder is not None and live.folder.is_dir() else {}
