"""What the page's search by knowledge reads: labels, the models that know them, each in percent."""

from typing import Any

from weightscape.report.data import PageData
from weightscape.report.payload import clean


def search_payload(data: PageData) -> dict[str, Any] | None:
    """Turn scores into the page's script's form: models and labels by index; None without any."""
    known = data.known
    if known is None:
        return None
    index = {model.name: place for place, model in enumerate(data.models)}
    labels = {label.label: place for place, label in enumerate(known.labels)}
    return {
        "experts": [
            [
                clean(it.name),
                clean(it.layer),
                it.models,
                _percent(it.metrics.get("label_accuracy")),
                _percent(it.metrics.get("label_auc")),
            ]
            for it in known.experts
        ],
        "labels": [
            [
                clean(label.label),
                clean(label.words),
                label.likely,
                [
                    [index[name], _percent(score), int(said)]
                    for name, score, said in label.hits
                    if name in index
                ],
            ]
            for label in known.labels
        ],
        "models": {
            index[name]: [
                # a label that the page has no room for is told by its name alone
                [labels.get(label, clean(label)), _percent(score)]
                for label, score in own
            ]
            for name, own in known.models.items()
            if name in index
        },
    }


def _percent(score: float | None) -> float | None:
    return None if score is None else round(100 * float(score), 1)
