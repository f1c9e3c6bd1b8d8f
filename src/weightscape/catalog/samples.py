"""Samples: a few raw weights of each model, by which it is put into a tree."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32
from sqlalchemy import Connection, delete, insert, select

from weightscape.catalog.schema import samples

Sample = Float32[np.ndarray, "n"]


def put_samples(connection: Connection, layout: str, weights: Mapping[int, Sample]) -> None:
    """Keep samples by model id, in place of older ones; only equal layouts compare."""
    for model_id, sample in weights.items():
        connection.execute(delete(samples).where(samples.c.model_id == model_id))
        connection.execute(
            insert(samples).values(
                model_id=model_id, layout=layout, weights=sample.astype("<f4").tobytes()
            )
        )


def load_samples(connection: Connection, layout: str) -> dict[int, Sample]:
    """Load all samples of one layout by model id."""
    query = select(samples.c.model_id, samples.c.weights).where(samples.c.layout == layout)
    return {
        model_id: np.frombuffer(weights, dtype="<f4").astype(np.float32)
        for model_id, weights in connection.execute(query)
    }
