"""One training of one expert: what it follows from, where it lies, and how it comes to be asked."""

import logging
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import xxhash

from weightscape.atlas.asking import load_kept
from weightscape.atlas.embedding import known_vectors
from weightscape.atlas.expert_groups import Group
from weightscape.atlas.expert_labels import Known, guessed
from weightscape.atlas.labelling import label_meanings
from weightscape.catalog import experts as expert_rows
from weightscape.catalog import vectors as vector_rows
from weightscape.catalog.records import KeptExpert, LabelKind
from weightscape.catalog.store import Store
from weightscape.errors import UnknownName, WeightscapeError
from weightscape.probing.encoders import Encoder
from weightscape.probing.expert import Expert
from weightscape.probing.preparing import LEAST_MODELS
from weightscape.probing.saving import save_expert
from weightscape.probing.settings import ProbeTraining

log = logging.getLogger(__name__)

FOLDER = "experts"
ALL_KINDS: tuple[LabelKind, ...] = ("class", "task", "tag")
DEFAULT_MEMORY = 4 << 30


@dataclass(frozen=True, slots=True)
class Training:
    """What experts are trained on, and how.

    models: names of those to learn from, None for all that have labels. layer: one, or several that
    are read together; None to have one chosen. kinds: of labels. least: labelled models that a
    tree needs. validation: share of them that is held out. memory: bytes that a layer of all models
    may take where it is chosen.
    """

    models: frozenset[str] | None = None
    layer: str | tuple[str, ...] | None = None
    kinds: tuple[LabelKind, ...] = ALL_KINDS
    least: int = LEAST_MODELS
    validation: float = 0.15
    memory: int = DEFAULT_MEMORY
    how: ProbeTraining = field(default_factory=ProbeTraining)


@dataclass(frozen=True, slots=True)
class Job:
    """What one expert is trained on. labels: of the models that it learns from, by name."""

    store: Store
    group: Group
    labels: Known
    asked: Training
    encoder: Encoder | None

    @property
    def identity(self) -> str:
        """Hash all that the expert follows from."""
        files = {it.name: it.fingerprint for it in self.group.models}
        words = label_meanings(self.store)
        asked = self.asked
        plain = [
            [(name, files[name], sorted(own)) for name, own in sorted(self.labels.items())],
            [(label, words.get(label)) for label in self.every_label],
            (asked.layer or asked.memory, asked.validation, asked.how),
            None if self.encoder is None else (self.encoder.identity, self.encoder.templates),
        ]
        return str(xxhash.xxh3_64(repr(plain).encode()).hexdigest())

    @property
    def every_label(self) -> list[str]:
        """List the labels that are learned, sorted."""
        return sorted(frozenset().union(*self.labels.values()))

    @property
    def home(self) -> Path:
        """Tell the folder of all experts of the group."""
        return self.store.folder / FOLDER / _folder_name(self.group.name)


def as_before(job: Job, identity: str) -> tuple[KeptExpert, Expert] | None:
    """Find the expert that this very training has made, if its files are still whole."""
    name = job.group.name
    try:
        with job.store.read() as connection:
            kept = expert_rows.get_expert(connection, name)
    except UnknownName:
        return None
    if kept.told.get("identity") != identity:
        return None
    try:
        return kept, load_kept(kept)
    except WeightscapeError as problem:
        log.warning("the expert %r is trained again: %s", name, problem)
        return None


def publish(job: Job, identity: str, expert: Expert) -> KeptExpert:
    """Write an expert, take it into the atlas with its models' vectors, and delete older ones.

    Each training has a folder of its own, which nobody asks before the catalog names it: one that
    is cut short leaves the expert of before.
    """
    folder = save_expert(expert, job.home / identity)
    told = {
        "identity": identity,
        "metrics": dict(expert.metrics),
        "guessed": guessed(expert, job.labels),
        "labels": job.every_label,
        "encoder": expert.encoder,
        "made_with": expert.made_with,
    }
    row = KeptExpert(
        name=job.group.name,
        folder=str(folder.resolve()),
        tree=job.group.name,
        layer=expert.layer,
        encoder="" if job.encoder is None else job.encoder.opened_by,
        told=told,
    )
    with job.store.write() as connection:
        replaced = [it for it in expert_rows.all_experts(connection) if it.name == row.name]
        kept = expert_rows.keep_expert(connection, row)
        vector_rows.put_vectors(connection, kept.id, known_vectors(expert, job.group.models))
    # a tree that was called otherwise had another home
    homes = {job.home, *(Path(it.folder).parent for it in replaced)}
    for home in (it for it in homes if it.parent == job.home.parent and it.is_dir()):
        for other in home.iterdir():
            if other.is_dir() and other != job.home / identity:
                shutil.rmtree(other, ignore_errors=True)
    # what a training would go on from
    (folder / "training.safetensors").unlink(missing_ok=True)
    return kept


def _folder_name(name: str) -> str:
    plain = re.sub(r"[^\w.+-]+", "_", name, flags=re.ASCII).strip(".")[:60]
    return plain if plain == name else f"{plain}-{xxhash.xxh3_64(name.encode()).hexdigest()[:8]}"
