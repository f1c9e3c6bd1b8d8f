"""The tables of the catalog, as SQLAlchemy Core sees them."""

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

atlas_schema = Table("atlas_schema", metadata, Column("version", Integer, nullable=False))

families = Table(
    "families",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("signature", JSON, nullable=False),
    # what makes a family found again: JSON cannot be compared alike on every database
    Column("digest", Text, nullable=False),
    UniqueConstraint("role", "digest"),
)

family_tensors = Table(
    "family_tensors",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("family_id", ForeignKey("families.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("shape", JSON, nullable=False),
    UniqueConstraint("family_id", "name"),
)

models = Table(
    "models",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("path", Text, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("stamp", JSON, nullable=False),
    Column("content_hash", Text),
    Column("nbytes", BigInteger, nullable=False),
    Column("parameters", BigInteger, nullable=False),
    Column("dtype", Text, nullable=False),
    Column("facts", JSON, nullable=False),
    Column("config", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("status", Text, nullable=False),
    Column("added", Text, nullable=False),
    Column("family_id", ForeignKey("families.id")),
    # (tree_id, position): the model's present place among those it holds in `places`
    Column("tree_id", Integer),
    Column("position", Integer),
    ForeignKeyConstraint(["tree_id", "position"], ["places.tree_id", "places.position"]),
    CheckConstraint("status in ('pending', 'ready', 'gone', 'removed')", name="known_status"),
    CheckConstraint("(tree_id is null) = (position is null)", name="whole_place"),
)

trees = Table(
    "trees",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("family_id", ForeignKey("families.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("reference_id", Integer),
    UniqueConstraint("family_id", "name"),
    UniqueConstraint("family_id", "reference_id"),
)

# the model axis of a tree's Grams: appended only, so that rows once written keep their meaning
# when a model is removed, or moves, or comes back and starts at a new place
places = Table(
    "places",
    metadata,
    Column("tree_id", ForeignKey("trees.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("model_id", Integer, nullable=False, index=True),
)

# row `position` of the lower triangle of one tensor's Gram, with that tensor's statistics; the
# BLOB comes last, so that SQLite reads the columns before it without touching its pages
gram_rows = Table(
    "gram_rows",
    metadata,
    Column("tree_id", Integer, primary_key=True),
    Column("tensor_id", ForeignKey("family_tensors.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("content_hash", Text, nullable=False),
    Column("norm", Float),
    Column("kurtosis", Float),
    Column("peak", Float),
    Column("unchanged", Float),
    Column("nonfinite", BigInteger, nullable=False),
    Column("products", LargeBinary, nullable=False),
    ForeignKeyConstraint(["tree_id", "position"], ["places.tree_id", "places.position"]),
)

samples = Table(
    "samples",
    metadata,
    Column("model_id", ForeignKey("models.id"), primary_key=True),
    Column("layout", Text, nullable=False),
    Column("weights", LargeBinary, nullable=False),
)

edges = Table(
    "edges",
    metadata,
    Column("tree_id", ForeignKey("trees.id"), primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    Column("parent_id", ForeignKey("models.id"), nullable=False),
    Column("child_id", ForeignKey("models.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("evidence", JSON, nullable=False),
)

roots = Table(
    "roots",
    metadata,
    Column("tree_id", ForeignKey("trees.id"), primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    Column("model_id", ForeignKey("models.id"), nullable=False),
)

undecided = Table(
    "undecided",
    metadata,
    Column("tree_id", ForeignKey("trees.id"), primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    Column("models", JSON, nullable=False),
    Column("reason", Text, nullable=False),
)

regions = Table(
    "regions",
    metadata,
    Column("tree_id", ForeignKey("trees.id"), primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    Column("label", Text, nullable=False),
    Column("medoid_id", ForeignKey("models.id"), nullable=False),
    Column("members", JSON, nullable=False),
)

points = Table(
    "points",
    metadata,
    Column("tree_id", ForeignKey("trees.id"), primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    Column("model_id", ForeignKey("models.id"), nullable=False),
    Column("x", Float, nullable=False),
    Column("y", Float, nullable=False),
)

maps = Table(
    "maps",
    metadata,
    Column("tree_id", ForeignKey("trees.id"), primary_key=True),
    Column("base_id", ForeignKey("models.id")),
    Column("pooling", Text, nullable=False),
    Column("models", JSON, nullable=False),
    Column("ordered", JSON, nullable=False),
    Column("outliers", JSON, nullable=False),
    Column("notes", JSON, nullable=False),
    Column("cosine", LargeBinary, nullable=False),
)

# what was measured between models, as the JSON that the verb answered with; `key` names the same
# question asked again, whose new answer takes the older one's place
paths = Table(
    "paths",
    metadata,
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

# what was found of groups of models (regions, starting points, blends), kept as `paths` are;
# `models` are the ids of all that the question was about, in the order given
results = Table(
    "results",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("models", JSON, nullable=False),
    Column("task", Text, nullable=False),
    Column("folder", Text, nullable=False),
    Column("made", Text, nullable=False),
    Column("result", JSON, nullable=False),
    CheckConstraint("kind in ('region', 'start', 'tune')", name="known_result_kind"),
)

# searches of weights, taken up again by name; `identity` is what must be the same then, `versions`
# the packages that made it, for a person to look at
studies = Table(
    "studies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("identity", JSON, nullable=False),
    Column("versions", JSON, nullable=False),
    Column("made", Text, nullable=False),
)

# what a study's sampler asked for, in its order: points, and the digests of the trials that answer
study_batches = Table(
    "study_batches",
    metadata,
    Column("study_id", ForeignKey("studies.id"), primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    Column("points", JSON, nullable=False),
    Column("digests", JSON, nullable=False),
)

# one candidate of a study; equal weights are one trial. A process that evaluates it holds it by a
# lease, which runs out at `lease_until` (seconds since 1970) unless it is renewed
trials = Table(
    "trials",
    metadata,
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
        "state in ('waiting', 'running', 'complete', 'raced', 'failed')", name="known_trial_state"
    ),
    CheckConstraint(
        "(state = 'running') = (holder is not null and lease_until is not null)",
        name="whole_lease",
    ),
)

# what a model is said to know; `source` says by whom ("config", "card", a file of labels, ...), so
# that what one of them says is replaced whole
labels = Table(
    "labels",
    metadata,
    Column("model_id", ForeignKey("models.id"), primary_key=True),
    Column("source", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("label", Text, primary_key=True),
    CheckConstraint("kind in ('class', 'task', 'tag')", name="known_label_kind"),
)

# what a label means where its name does not tell it (an id, an abbreviation)
label_words = Table(
    "label_words",
    metadata,
    Column("label", Text, primary_key=True),
    Column("words", Text, nullable=False),
)

# what full-text search reads of each model; `stamp` is the model's when its files were read for it
model_texts = Table(
    "model_texts",
    metadata,
    Column("model_id", ForeignKey("models.id"), primary_key=True),
    Column("stamp", JSON, nullable=False),
    Column("name", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("card", Text, nullable=False),
)

# a trained expert's files lie in `folder`; `encoder` is what its text encoder is opened by. An id
# is never given again: who reads models by an expert that is replaced meanwhile must not write what
# it read under the new one
probe_experts = Table(
    "probe_experts",
    metadata,
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

# what an expert reads from a model's layer; `fingerprint` is the model's when it was read
probe_vectors = Table(
    "probe_vectors",
    metadata,
    Column("expert_id", ForeignKey("probe_experts.id"), primary_key=True),
    Column("model_id", ForeignKey("models.id"), primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("vector", LargeBinary, nullable=False),
)

# why an expert could not read a model, as of that fingerprint: its files are not opened again
probe_unreadable = Table(
    "probe_unreadable",
    metadata,
    Column("expert_id", ForeignKey("probe_experts.id"), primary_key=True),
    Column("model_id", ForeignKey("models.id"), primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("reason", Text, nullable=False),
)

skipped = Table(
    "skipped",
    metadata,
    Column("path", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("seen", Text, nullable=False),
)
