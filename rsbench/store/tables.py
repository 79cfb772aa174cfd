"""The tables as the code uses them. The migrations are the truth of the schema; a test compares the two."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_HEX = String(64)
# Seeds go up to 2³² − 1; SQLite's integers have 64 bits whatever they are called.
_SEED = BigInteger().with_variant(Integer, "sqlite")

dataset = Table(
    "dataset",
    metadata,
    Column("fingerprint", _HEX, primary_key=True),
    Column("name", Text, nullable=False),
    Column("images", Integer, nullable=False),
    Column("classes", Integer, nullable=False),
    Column("channels", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("width", Integer, nullable=False),
    Column("q", Integer),
)

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("sha256", _HEX, primary_key=True),
    Column("path", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("dataset_fingerprint", _HEX, ForeignKey("dataset.fingerprint"), nullable=False),
    Column("sigma", Float, nullable=False),
    Column("seed", _SEED),
    Column("header", Text, nullable=False),
    Column("created_at", Text, nullable=False),
)

sweep = Table(
    "sweep",
    metadata,
    Column("fingerprint", _HEX, primary_key=True),
    Column("spec", Text, nullable=False),
    Column("created_at", Text, nullable=False),
)

training_run = Table(
    "training_run",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("fingerprint", _HEX, nullable=False),
    Column("sweep_fingerprint", _HEX, ForeignKey("sweep.fingerprint")),
    Column("checkpoint_sha256", _HEX, ForeignKey("checkpoint.sha256"), nullable=False),
    Column("spec", Text, nullable=False),
    Column("provenance", Text, nullable=False),
    Column("finished_at", Text, nullable=False),
    UniqueConstraint("fingerprint", "checkpoint_sha256"),
)

training_epoch = Table(
    "training_epoch",
    metadata,
    Column("training_run_id", Integer, ForeignKey("training_run.id"), primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("loss", Float, nullable=False),
    Column("accuracy", Float, nullable=False),
    Column("seconds", Float, nullable=False),
)

certification_run = Table(
    "certification_run",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("fingerprint", _HEX, nullable=False, unique=True),
    # measured, imported-votes or imported-radii.
    Column("tier", Text, nullable=False),
    # open or sealed.
    Column("state", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("family", Text, nullable=False),
    Column("dataset_fingerprint", _HEX, ForeignKey("dataset.fingerprint"), nullable=False),
    # Of an imported run neither the checkpoint nor the seed is known.
    Column("checkpoint_sha256", _HEX, ForeignKey("checkpoint.sha256")),
    Column("sigma", Float, nullable=False),
    Column("seed", _SEED),
    # What was declared before the first vote.
    Column("certificate", Text, nullable=False),
    Column("procedure", Text, nullable=False),
    Column("n_select", Integer),
    Column("n_estimate", Integer),
    Column("failure_probability", Float),
    Column("images", Text, nullable=False),
    Column("image_count", Integer, nullable=False),
    Column("spec", Text, nullable=False),
    Column("source", Text),
    Column("content_sha256", _HEX),
    Column("notes", Text),
    Column("created_at", Text, nullable=False),
    Column("worker_seconds", Float, nullable=False),
    Column("sealed_at", Text),
    Column("seal", _HEX),
)

# One row where a run was computed in one go; more where other code or another device resumed it.
run_provenance = Table(
    "run_provenance",
    metadata,
    Column("run_id", Integer, ForeignKey("certification_run.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("provenance", Text, nullable=False),
    Column("since", Text, nullable=False),
)

# Which process is at work on an open run: no row once it has ended. Seconds since 1970, UTC.
run_claim = Table(
    "run_claim",
    metadata,
    # No number of its own: a run has one claim or none.
    Column("run_id", Integer, ForeignKey("certification_run.id"), primary_key=True, autoincrement=False),
    # host:process:token, see `rsbench.store.claims`.
    Column("holder", Text, nullable=False),
    Column("since", Float, nullable=False),
    # Unless it is renewed before.
    Column("expires_at", Float, nullable=False),
)

# The table that grows: clustered on its key, without any other index, at most eight columns, widest first. With more,
# PostgreSQL spends eight bytes a row on telling which are null.
image_result = Table(
    "image_result",
    metadata,
    Column("run_id", Integer, ForeignKey("certification_run.id"), primary_key=True),
    Column("image_index", Integer, primary_key=True),
    Column("radius", Float, nullable=False),
    Column("label", Integer, nullable=False),
    # Null: the smoothed classifier abstained.
    Column("predicted", Integer),
    # Null but where σ was chosen for the image.
    Column("sigma", Float),
    # Null where only radii were imported.
    Column("votes", LargeBinary),
    sqlite_with_rowid=False,
)

# What one certificate says of a run at one n and α; a run's own, and others computed from its votes later.
certified_curve = Table(
    "certified_curve",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", Integer, ForeignKey("certification_run.id"), nullable=False),
    Column("certificate", Text, nullable=False),
    Column("procedure", Text, nullable=False),
    Column("n", Integer, nullable=False),
    # 0 for a certificate without sampling, which cannot fail.
    Column("failure_probability", Float, nullable=False),
    # declared or exploratory.
    Column("standing", Text, nullable=False),
    # Who says that it was declared, where that does not follow from the run.
    Column("statement", Text),
    Column("is_primary", Boolean, nullable=False),
    Column("correct", Integer, nullable=False),
    Column("abstained", Integer, nullable=False),
    Column("average_certified_radius", Float, nullable=False),
    Column("created_at", Text, nullable=False),
    UniqueConstraint("run_id", "certificate", "procedure", "n", "failure_probability"),
)

# Stretches of a curve's distinct radii, so that its value at any radius is one short row away.
curve_block = Table(
    "curve_block",
    metadata,
    Column("curve_id", Integer, ForeignKey("certified_curve.id"), primary_key=True),
    # The block's first radius; 0 for the first block.
    Column("first_radius", Float, primary_key=True),
    # How many images have a radius beyond the block's.
    Column("above", Integer, nullable=False),
    # Little-endian float64, ascending: radii of the images classified correctly.
    Column("radii", LargeBinary, nullable=False),
    # Little-endian uint32: how many images have each.
    Column("counts", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

annotation = Table(
    "annotation",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", Integer, ForeignKey("certification_run.id"), nullable=False),
    # invalid, superseded or reproduced; the last two by another run.
    Column("kind", Text, nullable=False),
    Column("other_run_id", Integer, ForeignKey("certification_run.id")),
    Column("reason", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("created_at", Text, nullable=False),
)

reported_figure = Table(
    "reported_figure",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("paper", Text, nullable=False),
    # `where` is a word of SQL.
    Column("printed_in", Text, key="where", nullable=False),
    Column("dataset", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("quantity", Text, nullable=False),
    Column("value", Float, nullable=False),
    Column("norm", Text),
    Column("radius", Float),
    Column("sigma", Float),
    Column("n_select", Integer),
    Column("n_estimate", Integer),
    Column("failure_probability", Float),
    Column("objective", Text),
    Column("seed", _SEED),
    Column("images", Text),
    Column("selected", Text),
    Column("doubt", Text),
    Column("hardware", Text),
)
