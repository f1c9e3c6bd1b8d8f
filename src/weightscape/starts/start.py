"""Which point between models to start a fine-tuning from, chosen on the user's own few rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from weightscape.errors import BadInput
from weightscape.progress import Progress, silent
from weightscape.starts.candidates import Proposal
from weightscape.starts.choice import choose
from weightscape.starts.folds import check_labels, cut, whole
from weightscape.starts.halving import Budget, Search, halve
from weightscape.starts.heads import HeadStart, head_features
from weightscape.starts.pool import Pool, open_pool
from weightscape.starts.ranking import (
    Judging,
    Score,
    metric_name,
    order,
    runs_of,
    score,
)
from weightscape.starts.records import RankedStart, StartResult
from weightscape.starts.scoring import ProbeScores
from weightscape.starts.short_runs import ShortRuns
from weightscape.starts.short_settings import short_fine_tuning
from weightscape.starts.shortlist import (
    ALWAYS,
    CAUTIOUS,
    SHARE,
    Shortlist,
    finalists,
    shortlist,
)
from weightscape.starts.words import explain
from weightscape.starts.writing import write_start
from weightscape.tasks.fine_tuning import FineTuning
from weightscape.tasks.label_order import Source
from weightscape.tasks.made_folder import MADE_FOR, check_free
from weightscape.tasks.objective import Scoring
from weightscape.tasks.task import Task


@dataclass(frozen=True, slots=True)
class Searching:
    """How a start is sought.

    finalists: candidates that get short runs, by their probes; the base, the plain centroid and
    the middle of base and bagged soup come on top. folds: into how many parts the rows are cut.
    rounds: each with rows cut and heads drawn anew. probe_folds, probe_repeats: of the linear
    probes, which are cheaper.
    head: where the head of a run begins. pooling: the features that probes read; None for those
    that the head of a run reads.
    held_out_seeds: runs on all training rows, scored on the test split, of the base, the centroid
    and the recommended one, after the choice; 0 for none.
    """

    finalists: int = 3
    folds: int = 3
    rounds: int = 3
    probe_folds: int = 5
    probe_repeats: int = 2
    head: HeadStart = "probe"
    pooling: str | None = None
    held_out_seeds: int = 1

    def __post_init__(self) -> None:
        for name, least in (
            ("finalists", 1), ("folds", 2), ("rounds", 1), ("probe_folds", 2),
            ("probe_repeats", 1), ("held_out_seeds", 0),
        ):  # fmt: skip
            if getattr(self, name) < least:
                raise BadInput(f"{name} must be {least} or more, got {getattr(self, name)}")


def start(
    models: Sequence[Source],
    task: Task,
    *,
    base: Source | None = None,
    regions: Mapping[str, Sequence[str]] | None = None,
    kinds: Sequence[str] | None = None,
    how: FineTuning = short_fine_tuning("bitfit"),
    searching: Searching = Searching(),
    max_runs: int | None = None,
    minutes: float | None = None,
    out: str | Path | None = None,
    scoring: Scoring = Scoring(),
    judging: Judging = Judging(),
    seed: int = 0,
    folder: str | Path | None = None,
    progress: Progress = silent,
    **loading: Any,
) -> StartResult:
    """Rank points between models as starts of a fine-tuning on a task's training rows.

    Linear probes rate all candidates; short runs of the method in `how` then choose among the best
    of them, the base and the centroid, by successive halving. Recommended is not the least loss
    but, of those within one standard error of it, the one nearest to the base. Every score is on
    rows that were not fitted on: folds of the training rows, or the task's validation split if it
    has 50 rows. The test split is looked at after the choice, for the report alone.

    regions: label to models' names; found from the models' own Grams if not given. kinds: of
    candidates, all that are registered if not given. max_runs, minutes: end the search sooner;
    probes take at most two fifths of the minutes, and fewer finalists are run where time is short.
    out: a folder for the recommended start. folder: where probes and runs are kept, so that a
    search that was killed, or is given more runs, goes on. loading: `names`, by source, that models
    are to be called, and the options of `load_model`.

    Raises BadInput for fewer than two models, too few rows, a label without training rows, or a
    task that no linear probe answers; MismatchedModels for models of different families.
    """
    began = perf_counter()
    _check_task(task)
    out = None if out is None else Path(out)
    if out is not None:
        check_free(out, task)
    where = None if folder is None else Path(folder)
    budget = Budget(max_runs, minutes, began=began)
    rounds = [cut(task, searching.folds, repeat, seed) for repeat in range(searching.rounds)]
    pool = open_pool(
        models, task, base=base, regions=regions, seed=seed, progress=progress, **loading
    )
    probes, pool = _probed(pool, task, searching, scoring, seed, where)
    rated = shortlist(pool, kinds, probes, _share_of(budget), progress)
    proposals = rated.proposals
    runs = ShortRuns(
        pool.spanned,
        replace(how, init_seed=how.init_seed + seed, data_seed=how.data_seed + seed),
        head=searching.head,
        scoring=scoring,
        folder=None if where is None else where / "runs",
    )
    reported = searching.held_out_seeds if task.splits.get("test") else 0
    budget.kept_back = 3 * reported
    keep = [it.candidate.name for it in proposals if it.candidate.kind in CAUTIOUS]
    tried = finalists(rated, searching.finalists)
    least = 1 + sum(it.candidate.kind in {*ALWAYS, *CAUTIOUS} for it in tried)
    search = halve(tried, rounds, runs, budget, keep=keep, least=least, progress=progress)
    tried = [it for it in tried if it.candidate.name in search.runs]
    chosen = choose(pool, tried, search, probes)
    held_out = _held_out(chosen, tried, task, runs, budget, reported, progress)
    # those that only probes rated are rivals too: they were rated on the rows that runs score
    rivals = len(proposals) - 1
    scores = {
        it.candidate.name: score(search, it.candidate.name, pool.base, task, judging, rivals)
        for it in tried
    }
    ranked = order(
        [_ranked(it, probes, search, scores, held_out, task, runs.how) for it in proposals],
        search,
        {it.candidate.name: probes.at(it.weights) for it in proposals},
        first=chosen.candidate.name,
    )
    name = chosen.candidate.name
    best = scores.get(name)
    probe = probes.at(chosen.weights)
    why = explain(chosen.candidate, best, task, pool.base, search, probe, rivals)
    beats = best is not None and best.beats
    told = {"method": how.method, MADE_FOR: why, "beats_base": beats}
    if out is not None:
        write_start(pool, chosen, task, out, searching.head, told)
    return StartResult(
        task=task.name,
        metric=metric_name(task),
        method=how.method,
        train_rows=len(task.rows("train")),
        ranked=tuple(ranked),
        recommended=name,
        beats_base=beats,
        why=why,
        output=out,
        rounds=search.rounds,
        runs=budget.spent,
        seconds=perf_counter() - began,
        notes=_notes(pool, rated, search, searching),
        precision="bfloat16" if how.autocast else "float32",
    )


def _share_of(budget: Budget) -> Callable[[], bool]:
    """Tell whether there is time for one more probe."""
    until = (1 - SHARE) * budget.seconds_left
    return lambda: budget.minutes is None or budget.seconds_left > until


def _check_task(task: Task) -> None:
    if task.kind not in ("classification", "pair"):
        raise BadInput(
            f"task {task.name!r} is of kind {task.kind}; starts are chosen for tasks whose "
            "answers are labels or numbers (classification, pair)"
        )
    check_labels(task)


def _probed(
    pool: Pool, task: Task, searching: Searching, scoring: Scoring, seed: int, where: Path | None
) -> tuple[ProbeScores, Pool]:
    folds = min(searching.probe_folds, len(task.rows("train")) // 2)
    cells = [
        cell
        for repeat in range(searching.probe_repeats)
        for cell in cut(task, folds, repeat, seed + 1000)
    ]
    probes = ProbeScores(
        pool.spanned,
        task,
        cells,
        scoring,
        pooling=searching.pooling or head_features(pool.spanned.model),
        folder=None if where is None else where / "probes",
    )
    return probes, replace(
        pool, probe_loss=probes.loss, probe_losses=lambda weights: probes.at(weights).losses
    )


def _held_out(
    chosen: Proposal,
    tried: Sequence[Proposal],
    task: Task,
    runs: ShortRuns,
    budget: Budget,
    seeds: int,
    progress: Progress,
) -> dict[str, dict[str, float]]:
    """Train the chosen one, the base and the centroid on all rows; score them on the test split."""
    told = [it for it in tried if it.candidate.kind in ALWAYS]
    told = [chosen, *(it for it in told if it is not chosen)]
    found: dict[str, list[Mapping[str, float]]] = {it.candidate.name: [] for it in told}
    with progress.stage("scoring on the test split", total=seeds * len(told), unit="runs") as on:
        for repeat in range(seeds):
            cell = whole(task, repeat)
            for it in told:
                seconds = 0.0 if runs.knows(it.weights, cell) else runs.seconds
                if not budget.allows(seconds, last=True):
                    break
                answered = runs.at(it.weights, cell)
                budget.spent += 1
                found[it.candidate.name].append({**answered.metrics(task), "loss": answered.loss})
                on(1)
    return {
        name: {key: float(np.mean([one[key] for one in many])) for key in many[0]}
        for name, many in found.items()
        if many
    }


def _ranked(
    proposal: Proposal,
    probes: ProbeScores,
    search: Search,
    scores: Mapping[str, Score | None],
    held_out: Mapping[str, Mapping[str, float]],
    task: Task,
    how: FineTuning,
) -> RankedStart:
    name = proposal.candidate.name
    probe, found = probes.at(proposal.weights), scores.get(name)
    return RankedStart(
        candidate=proposal.candidate,
        probe_loss=probe.loss,
        probe_interval=probe.interval,
        runs=runs_of(search, name, task, how.steps),
        score=None if found is None else found.value,
        score_interval=None if found is None else found.interval,
        gain=None if found is None else found.gain,
        gain_interval=None if found is None else found.gain_interval,
        dropped_in=search.dropped.get(name),
        held_out=dict(held_out.get(name, {})),
    )


def _notes(pool: Pool, rated: Shortlist, search: Search, searching: Searching) -> tuple[str, ...]:
    notes = []
    if pool.base is None:
        notes.append("no base was given: candidates are compared with one another alone")
    if rated.broken:
        notes.append(
            "what a head reads is not finite here, so that nothing was trained from them (a model "
            f"that is broken breaks every mean that it is in): {', '.join(rated.broken)}"
        )
    if rated.unprobed:
        notes.append(
            f"there was no time to probe {rated.unprobed} more candidates, nor for those that "
            "are made by probes; run it again with more minutes to go on"
        )
    if search.left_out:
        notes.append(
            f"there was no time to fine-tune from {search.left_out} more of the finalists; run it "
            "again with more minutes to go on"
        )
    if search.cut_short:
        notes.append(
            f"the budget ended the search in round {search.rounds + 1} of {searching.rounds}; "
            "run it again with more to go on"
        )
    return tuple(notes)
