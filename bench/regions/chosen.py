"""The start that `weightscape start` chooses for somebody who has a few rows and nothing else."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.regions.fresh import centre_of, others_of
from bench.regions.models import Member, base_folder

from weightscape.starts.short_settings import short_fine_tuning
from weightscape.starts.start import start
from weightscape.tasks.precision import multiplies_bfloat16
from weightscape.tasks.task import Task


def chosen_start(
    target: str,
    task: Task,
    seed: int,
    models: Sequence[Member],
    work: Path,
) -> tuple[Path, dict[str, Any]]:
    """Search with the training rows alone; give the folder of the recommended start, and why.

    The search is the one that somebody gets who sets nothing.
    The task comes without its test rows: the search could not look at them if it would.
    """
    out = work / "chosen" / f"{target}-{len(task.rows('train'))}-{seed}"
    blind = replace(task, splits={"train": task.rows("train")})
    found = start(
        [centre_of(it, models, work) for it in others_of(target, models)],
        blind,
        base=base_folder(),
        how=short_fine_tuning("bitfit", autocast=multiplies_bfloat16()),
        out=out,
        seed=seed,
        folder=work / "searches",
    )
    best = next(it for it in found.ranked if it.candidate.name == found.recommended)
    return out, {
        "recommended": found.recommended,
        "kind": best.candidate.kind,
        "weights": dict(best.candidate.weights),
        "beats_base": found.beats_base,
        "why": found.why,
        "runs": found.runs,
        "seconds": round(found.seconds, 1),
        "probe_losses": {it.candidate.name: round(it.probe_loss, 5) for it in found.ranked},
    }
