"""The whole of derivative-free weight-space ensembling: experts, adaptation, search, rivals.

Ninalga, "Derivative Free Weight-space Ensembling" (2023, arXiv:2307.03506).
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from weightscape.catalog.store import Store
from weightscape.errors import BadInput
from weightscape.progress import Progress, silent
from weightscape.tasks.fine_tuning import FineTuning
from weightscape.tasks.label_order import Source
from weightscape.tasks.task import Task
from weightscape.tuning.adapting import adapt
from weightscape.tuning.experts import NEAR, make_experts
from weightscape.tuning.finding import check_question, find_blend, parts_of
from weightscape.tuning.part_folders import folder_names
from weightscape.tuning.records import TuneResult
from weightscape.tuning.searching import Searching
from weightscape.tuning.seen_rows import seen_words
from weightscape.tuning.shared_head import HeadChoice
from weightscape.tuning.space_choice import SpaceChoice


def tune(
    base: str | Path,
    sources: Sequence[Task],
    target: Task,
    out: str | Path,
    how: Searching = Searching(),
    *,
    space: SpaceChoice = SpaceChoice(),
    expert: FineTuning = FineTuning(),
    adapting: FineTuning | None = None,
    head: HeadChoice = "drawn",
    with_base: bool = False,
    near: float = NEAR,
    refit: bool = False,
    baselines: Sequence[str] | None = None,
    work: str | Path | None = None,
    study: tuple[Store, str] | None = None,
    progress: Progress = silent,
    **loading: Any,
) -> TuneResult:
    """Find the best blend of a base's experts for a target task of few rows, and write it.

    An expert is fine-tuned on each source task (`make_experts`), each of them on the target
    (`adapt`), and the weights of the blend are searched on target rows that were kept apart
    (`find_blend`). Run again, it goes on where it was stopped.

    out: the folder of the blend, an ordinary model. work: the folder of everything else, by
    default `out` with ".parts" behind its name; what is in its `experts` serves other targets too.
    how.seed is that of all parts. with_base: blend the base, fine-tuned on the target like the
    experts, too. refit: as for `find_blend`. loading: options of `load_model`.

    Raises as those three do.
    """
    began = perf_counter()
    place = parts_of(out) if work is None else Path(work)
    check_question(target, out, how, space, base, baselines)
    if len(sources) + with_base < 2:
        raise BadInput(
            f"a blend needs two experts or more, got {len(sources)} source tasks; give more, or "
            "blend the base, too"
        )
    seen = seen_words(target, sources)
    for note in seen:
        progress.note(note)
    made = make_experts(
        base,
        sources,
        place / "experts",
        expert,
        near=near,
        seed=how.seed,
        progress=progress,
        **loading,
    )
    own = place / folder_names([target.name])[0]
    starts: list[Source] = [it.folder for it in made.experts]
    adapted = adapt(
        [*starts, base] if with_base else starts,
        target,
        own / "adapted",
        adapting,
        base=base,
        head=head,
        seed=how.seed,
        progress=progress,
        **loading,
    )
    found = find_blend(
        [it.folder for it in adapted.models],
        target,
        out,
        how,
        space=space,
        base=base,
        sources=sources,
        baselines=baselines,
        expert=expert,
        adapting=adapting,
        head=head,
        refit=refit,
        work=own,
        study=study,
        progress=progress,
        **loading,
    )
    return replace(
        found,
        experts=made,
        adaptation=adapted,
        notes=tuple(dict.fromkeys((*seen, *made.notes, *adapted.notes, *found.notes))),
        seconds=perf_counter() - began,
    )
