"""Models that an expert cannot read, and why, so that nobody opens them again to be told so."""

from collections.abc import Mapping

from sqlalchemy import Connection, delete, insert, select

from weightscape.catalog.experts import is_kept
from weightscape.catalog.parting import parted
from weightscape.catalog.schema import models, probe_unreadable


def put_unreadable(
    connection: Connection, expert_id: int, why: Mapping[int, tuple[str, str]]
) -> None:
    """Keep a reason for each model id, with the model's fingerprint; none for a replaced expert."""
    if not is_kept(connection, expert_id):
        return
    columns = probe_unreadable.c
    for some in parted(why):
        mine = (columns.expert_id == expert_id) & columns.model_id.in_(some)
        connection.execute(delete(probe_unreadable).where(mine))
    rows = [
        {"expert_id": expert_id, "model_id": model_id, "fingerprint": fingerprint, "reason": reason}
        for model_id, (fingerprint, reason) in why.items()
    ]
    if rows:
        connection.execute(insert(probe_unreadable), rows)


def unreadable_models(connection: Connection, expert_id: int) -> dict[str, str]:
    """Load the reasons by the models' names, in the order of registration.

    Not of removed models, nor of those whose files are others since.
    """
    query = (
        select(models.c.name, probe_unreadable.c.reason)
        .join(models, models.c.id == probe_unreadable.c.model_id)
        .where(probe_unreadable.c.expert_id == expert_id)
        .where(probe_unreadable.c.fingerprint == models.c.fingerprint)
        .where(models.c.status != "removed")
        .order_by(models.c.id)
    )
    return {row.name: row.reason for row in connection.execute(query)}
