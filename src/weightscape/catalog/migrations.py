"""The schema's version, and the steps that bring an older atlas up to date."""

from collections.abc import Callable

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Column,
    Connection,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    delete,
    insert,
    inspect,
    select,
)

from weightscape.catalog import dialect
from weightscape.catalog.schema import atlas_schema, metadata
from weightscape.errors import AtlasError

Step = Callable[[Connection], None]


def _keep_paths(connection: Connection) -> None:
    """1 -> 2: a table of what was measured between models.

    Written out instead of taken from the schema, which will go on changing.
    """
    frozen = MetaData()
    Table("models", frozen, Column("id", Integer, primary_key=True))
    added = Table(
        "paths",
        frozen,
        Column("id", Integer, primary_key=True),
        Column("key", Text, nullable=False, unique=True),
        Column("kind", Text, nullable=False),
        Column("a_id", ForeignKey("models.id"), nullable=False),
        Column("b_id", ForeignKey("models.id"), nullable=False),
        Column("c_id", ForeignKey("models.id")),
        Column("task", Text, nullable=False),
        Column("folder", Text, nullable=False),
        Column("made", Text, nullable=False),
        Column("result", JSON, nullable=False),
        CheckConstraint("kind in ('path', 'plane')", name="known_path_kind"),
        CheckConstraint("(kind = 'plane') = (c_id is not null)", name="whole_plane"),
    )
    added.create(connection)


def _keep_results(connection: Connection) -> None:
    """2 -> 3: a table of what was found of groups of models."""
    _results("kind in ('region', 'start')").create(connection)


def _results(kinds: str) -> Table:
    return Table(
        "results",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("key", Text, nullable=False, unique=True),
        Column("kind", Text, nullable=False),
        Column("models", JSON, nullable=False),
        Column("task", Text, nullable=False),
        Column("folder", Text, nullable=False),
        Column("made", Text, nullable=False),
        Column("result", JSON, nullable=False),
        CheckConstraint(kinds, name="known_result_kind"),
    )


def _keep_studies(connection: Connection) -> None:
    """3 -> 4: tables of searches of weights and their trials, and blends among the results."""
    _keep_blends(connection)
    frozen = MetaData()
    Table(
        "studies",
        frozen,
        Column("id", Integer, primary_key=True),
        Column("name", Text, nullable=False, unique=True),
        Column("identity", JSON, nullable=False),
        Column("versions", JSON, nullable=False),
        Column("made", Text, nullable=False),
    )
    Table(
        "study_batches",
        frozen,
        Column("study_id", ForeignKey("studies.id"), primary_key=True),
        Column("ordinal", Integer, primary_key=True),
        Column("points", JSON, nullable=False),
        Column("digests", JSON, nullable=False),
    )
    Table(
        "trials",
        frozen,
        Column("study_id", ForeignKey("studies.id"), primary_key=True),
        Column("number", Integer, primary_key=True),
        Column("digest", Text, nullable=False),
        Column("weights", JSON, nullable=False),
        Column("state", Text, nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("holder", Text),
        Column("lease_until", Float),
        Column("loss", Float),
        Column("rows", Integer, nullable=False),
        Column("seconds", Float, nullable=False),
        Column("error", Text, nullable=False),
        Column("gradient", JSON(none_as_null=True)),
        UniqueConstraint("study_id", "digest"),
        CheckConstraint(
            "state in ('waiting', 'running', 'complete', 'raced', 'failed')",
            name="known_trial_state",
        ),
        CheckConstraint(
            "(state = 'running') = (holder is not null and lease_until is not null)",
            name="whole_lease",
        ),
    )
    frozen.create_all(connection)


def _keep_blends(connection: Connection) -> None:
    """Let results be of one more kind; SQLite changes no constraint, so the table is made anew."""
    results = _results("kind in ('region', 'start', 'tune')")
    rows = connection.execute(select(results).order_by(results.c.id)).mappings().all()
    results.drop(connection)
    results.create(connection)
    if rows:  # numbered anew, in the same order; nothing refers to these numbers
        plain = [{name: row[name] for name in row if name != "id"} for row in rows]
        connection.execute(insert(results), plain)


def _keep_probes(connection: Connection) -> None:
    """4 -> 5: tables of labels, of texts to search, of experts and of what they read of models."""
    frozen = MetaData()
    Table("models", frozen, Column("id", Integer, primary_key=True))
    added = [
        Table(
            "labels",
            frozen,
            Column("model_id", ForeignKey("models.id"), primary_key=True),
            Column("source", Text, primary_key=True),
            Column("kind", Text, primary_key=True),
            Column("label", Text, primary_key=True),
            CheckConstraint("kind in ('class', 'task', 'tag')", name="known_label_kind"),
        ),
        Table(
            "label_words",
            frozen,
            Column("label", Text, primary_key=True),
            Column("words", Text, nullable=False),
        ),
        Table(
            "model_texts",
            frozen,
            Column("model_id", ForeignKey("models.id"), primary_key=True),
            Column("stamp", JSON, nullable=False),
            Column("name", Text, nullable=False),
            Column("labels", Text, nullable=False),
            Column("card", Text, nullable=False),
        ),
        Table(
            "probe_experts",
            frozen,
            Column("id", Integer, primary_key=True),
            Column("name", Text, nullable=False, unique=True),
            Column("folder", Text, nullable=False),
            Column("tree", Text, nullable=False),
            Column("layer", Text, nullable=False),
            Column("encoder", Text, nullable=False),
            Column("made", Text, nullable=False),
            Column("told", JSON, nullable=False),
        ),
        Table(
            "probe_vectors",
            frozen,
            Column("expert_id", ForeignKey("probe_experts.id"), primary_key=True),
            Column("model_id", ForeignKey("models.id"), primary_key=True),
            Column("fingerprint", Text, nullable=False),
            Column("vector", LargeBinary, nullable=False),
        ),
    ]
    frozen.create_all(connection, tables=added)
    dialect.add_full_text(connection)


def _keep_why_unread(connection: Connection) -> None:
    """5 -> 6: why experts could not read models; an expert's id is never given again.

    SQLite numbers the rows of a table as it was made, so the table of experts is made anew; the
    vectors stay where they are and find their experts again before the step is kept.
    """
    frozen = MetaData()
    Table("models", frozen, Column("id", Integer, primary_key=True))
    experts = Table(
        "probe_experts",
        frozen,
        Column("id", Integer, primary_key=True),
        Column("name", Text, nullable=False, unique=True),
        Column("folder", Text, nullable=False),
        Column("tree", Text, nullable=False),
        Column("layer", Text, nullable=False),
        Column("encoder", Text, nullable=False),
        Column("made", Text, nullable=False),
        Column("told", JSON, nullable=False),
        sqlite_autoincrement=True,
    )
    unreadable = Table(
        "probe_unreadable",
        frozen,
        Column("expert_id", ForeignKey("probe_experts.id"), primary_key=True),
        Column("model_id", ForeignKey("models.id"), primary_key=True),
        Column("fingerprint", Text, nullable=False),
        Column("reason", Text, nullable=False),
    )
    if connection.dialect.name == "sqlite":
        rows = connection.execute(select(experts).order_by(experts.c.id)).mappings().all()
        dialect.check_references_at_the_end(connection)
        experts.drop(connection)
        experts.create(connection)
        if rows:
            connection.execute(insert(experts), [dict(row) for row in rows])
    unreadable.create(connection)


STEPS: tuple[Step, ...] = (
    _keep_paths,
    _keep_results,
    _keep_studies,
    _keep_probes,
    _keep_why_unread,
)
"""STEPS[i] changes the tables of version i + 1 into those of version i + 2, keeping the rows."""


def current_version() -> int:
    """Tell the version that this code writes."""
    return 1 + len(STEPS)


def stored_version(connection: Connection) -> int:
    """Tell the version of the database's schema; 0 while it is empty."""
    tables = inspect(connection).get_table_names()
    if not tables:
        return 0
    if atlas_schema.name not in tables:
        raise AtlasError(
            f"{connection.engine.url.database} is a database but no atlas (it has tables "
            f"{', '.join(sorted(tables)[:3])}); choose another folder with --atlas"
        )
    version: int | None = connection.execute(select(atlas_schema.c.version)).scalar()
    if version is None:
        raise AtlasError(
            f"{connection.engine.url.database} does not say its schema version: it is damaged; "
            "move it away and chart again (models are only read)"
        )
    if version > current_version():
        raise AtlasError(
            f"{connection.engine.url.database} has schema version {version}, this weightscape "
            f"knows up to {current_version()}; upgrade weightscape or chart into another folder"
        )
    return version


def migrate(connection: Connection) -> None:
    """Create the tables, or bring older ones up to date; call inside a write transaction."""
    version = stored_version(connection)  # another process may have been here first
    if version == 0:
        metadata.create_all(connection)
        dialect.add_full_text(connection)
    else:
        for step in STEPS[version - 1 :]:
            step(connection)
    connection.execute(delete(atlas_schema))
    connection.execute(insert(atlas_schema).values(version=current_version()))
