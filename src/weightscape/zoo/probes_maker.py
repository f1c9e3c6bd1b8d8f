"""Making one planned model of a probes zoo: trained, written whole, scored."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from weightscape.progress import Progress
from weightscape.zoo.derive import appearing_whole
from weightscape.zoo.probes_digits import train_digits_model, write_digits_model
from weightscape.zoo.probes_features import FEATURES_FILE, load_features
from weightscape.zoo.probes_layer import build_layer, fill_layer, renumber
from weightscape.zoo.probes_plan import DIGITS, ProbeModel, ProbesZoo, ProbeTraining
from weightscape.zoo.probes_text import (
    Base,
    train_text_model,
    train_text_root,
    write_adapter,
    write_lone_layer,
    write_text_model,
)
from weightscape.zoo.work import RECORDS, Scores

OTHERS = "other"
"""What an adapter's second label means: any class but its own."""


@dataclass(frozen=True, slots=True)
class ProbesMaker:
    """Makes one planned model of a probes zoo; see `weightscape.zoo.work.Maker`."""

    zoo: ProbesZoo
    base: Base
    classes: tuple[str, ...]
    unseen: frozenset[str]

    def __call__(self, planned: ProbeModel, folder: Path, progress: Progress) -> Scores:
        """Make the model anew, whole or not at all, and score it on held-out rows."""
        out = folder / planned.name
        start = folder / planned.parents[0] if planned.parents else None
        training = planned.training
        if out.is_dir():
            shutil.rmtree(out)  # written by a process that was killed before it noted the scores
        if training is None:
            layer = build_layer(self.base.config, 1)
            fill_layer(layer, self.base.folder, self.base.layers)
            with appearing_whole(out) as whole:
                write_text_model(self.base, layer, whole, labels=None)
            return {planned.name: {}}
        if training.tree == DIGITS:
            model, scores = train_digits_model(training, start, progress)
            with appearing_whole(out) as whole:
                labels = self._labels(training.classes)
                metadata = self._metadata(training)
                write_digits_model(model, whole, labels=labels, metadata=metadata)
                self._declare(planned, whole, scores)
            return {planned.name: scores}
        return {planned.name: self._text(planned, training, folder, start, progress)}

    def _text(
        self,
        planned: ProbeModel,
        training: ProbeTraining,
        folder: Path,
        start: Path | None,
        progress: Progress,
    ) -> dict[str, float]:
        features = load_features(folder / RECORDS / FEATURES_FILE)
        out = folder / planned.name
        if not training.classes:
            layer = train_text_root(self.base, features, training, progress)
            with appearing_whole(out) as whole:
                write_text_model(self.base, layer, whole, labels=None)
            return {}
        number = {name: place for place, name in enumerate(self.classes)}
        known = [number[name] for name in training.classes]
        seen = [number[name] for name in self.classes if name not in self.unseen]
        others = [place for place in seen if place not in known] if training.rank else []
        layer, scores = train_text_model(
            self.base, start, features, training, known, others, progress
        )
        metadata = self._metadata(training)
        labels = self._labels(training.classes)
        with appearing_whole(out) as whole:
            if training.rank:
                parent = planned.parents[0]
                write_adapter(
                    self.base,
                    layer,
                    whole,
                    parent=parent,
                    rank=training.rank,
                    metadata=metadata,
                )
            elif start is None:
                renumber(layer, training.init_seed)
                write_lone_layer(self.base, layer, whole, labels=labels, metadata=metadata)
            else:
                write_text_model(self.base, layer, whole, labels=labels, metadata=metadata)
            self._declare(planned, whole, scores)
        return scores

    def _labels(self, classes: Sequence[str]) -> list[str]:
        """Name the labels of a head; by numbers unless the models may tell what they know."""
        if self.zoo.declare:
            return list(classes)
        return [f"LABEL_{place}" for place in range(len(classes))]

    def _metadata(self, training: ProbeTraining) -> dict[str, str]:
        return {"classes": json.dumps(training.classes)} if self.zoo.declare else {}

    def _declare(self, planned: ProbeModel, folder: Path, scores: Mapping[str, float]) -> None:
        if not self.zoo.declare:
            return
        assert planned.training is not None
        classes = list(planned.training.classes)
        claim = {
            "parent": planned.parents[0] if planned.parents else None,
            "labels": [*classes, OTHERS] if planned.training.rank else classes,
            "classes": classes,
            "scores": dict(scores),
        }
        (folder / "provenance.json").write_text(json.dumps(claim, indent=2) + "\n")
