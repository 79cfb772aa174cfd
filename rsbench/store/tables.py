"""The tables, as SQLAlchemy needs them to build statements.

The migrations define the schema; a test compares it with these tables. Specifications are stored as the canonical JSON
that their fingerprint hashes. Other columns of such a row repeat some of its values, so that queries can use them in
conditions. Timestamps are ISO 8601 texts in UTC, see `utc_now`.
"""

from datetime import UTC, datetime

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

_SHA256 = String(64)
# Seeds go up to 2³² − 1, which needs BIGINT on PostgreSQL. On SQLite, INTEGER has 64 bits.
_SEED = BigInteger().with_variant(Integer, "sqlite")


def utc_now() -> str:
    """Return the current time as timestamps are stored, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


# A dataset that runs are on.
dataset = Table(
    "dataset",
    metadata,
    # Hash of the images and labels.
    Column("fingerprint", _SHA256, primary_key=True),
    Column("name", Text, nullable=False),
    Column("images", Integer, nullable=False),
    Column("classes", Integer, nullable=False),
    Column("channels", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("width", Integer, nullable=False),
    # Pixels are k/q with k in 0..q; null if they lie on no grid.
    Column("q", Integer),
)

# A file of network weights.
checkpoint = Table(
    "checkpoint",
    metadata,
    Column("sha256", _SHA256, primary_key=True),
    # Where the file was last seen. It is the only column that changes.
    Column("path", Text, nullable=False),
    # Name of the training, σ of the training and training seed, as in the header. External checkpoints have no seed.
    Column("method", Text, nullable=False),
    Column("dataset_fingerprint", _SHA256, ForeignKey("dataset.fingerprint"), nullable=False),
    Column("sigma", Float, nullable=False),
    Column("seed", _SEED),
    # JSON of `CheckpointHeader`.
    Column("header", Text, nullable=False),
    Column("created_at", Text, nullable=False),
)

# A grid of trials that was started by one command.
sweep = Table(
    "sweep",
    metadata,
    # Hash of `spec`, which is the JSON of `SweepSpec`.
    Column("fingerprint", _SHA256, primary_key=True),
    Column("spec", Text, nullable=False),
    Column("created_at", Text, nullable=False),
)

# A trial that has finished. Training the same specification again may give other weights, and then another row.
training_run = Table(
    "training_run",
    metadata,
    Column("id", Integer, primary_key=True),
    # Hash of `spec`, which is the JSON of `TrainingSpec`.
    Column("fingerprint", _SHA256, nullable=False),
    # Null if the trial was not part of a sweep.
    Column("sweep_fingerprint", _SHA256, ForeignKey("sweep.fingerprint")),
    Column("checkpoint_sha256", _SHA256, ForeignKey("checkpoint.sha256"), nullable=False),
    Column("spec", Text, nullable=False),
    # JSON of `Provenance`: code and machine.
    Column("provenance", Text, nullable=False),
    Column("finished_at", Text, nullable=False),
    UniqueConstraint("fingerprint", "checkpoint_sha256"),
)

# An epoch of a trial, counted from 1.
training_epoch = Table(
    "training_epoch",
    metadata,
    Column("training_run_id", Integer, ForeignKey("training_run.id"), primary_key=True),
    Column("epoch", Integer, primary_key=True),
    # Mean over the training images.
    Column("loss", Float, nullable=False),
    # Share of the noisy training copies that were classified correctly.
    Column("accuracy", Float, nullable=False),
    Column("seconds", Float, nullable=False),
)

# A certification run that was computed here, or one that was computed elsewhere and imported.
certification_run = Table(
    "certification_run",
    metadata,
    Column("id", Integer, primary_key=True),
    # Hash of `spec`. It identifies the run.
    Column("fingerprint", _SHA256, nullable=False, unique=True),
    # measured, imported-votes or imported-radii.
    Column("tier", Text, nullable=False),
    # open or sealed. Only `worker_seconds` and the columns of the seal change, and only until the run is sealed.
    Column("state", Text, nullable=False),
    Column("method", Text, nullable=False),
    # Name of the family of the smoothing measure.
    Column("family", Text, nullable=False),
    Column("dataset_fingerprint", _SHA256, ForeignKey("dataset.fingerprint"), nullable=False),
    # Null for imported runs, as is `seed`, the seed of the noise.
    Column("checkpoint_sha256", _SHA256, ForeignKey("checkpoint.sha256")),
    Column("sigma", Float, nullable=False),
    Column("seed", _SEED),
    # Certificate, procedure, n0, n and α that the specification declares. If every split is evaluated, n0, n and α are
    # null; n0 is also null if an import does not say it.
    Column("certificate", Text, nullable=False),
    Column("procedure", Text, nullable=False),
    Column("n_select", Integer),
    Column("n_estimate", Integer),
    Column("failure_probability", Float),
    # Indices of the certified images as text, see `rsbench.data.subset`, and their number.
    Column("images", Text, nullable=False),
    Column("image_count", Integer, nullable=False),
    # JSON of `CertificationSpec` or `ImportSpec`.
    Column("spec", Text, nullable=False),
    # Name and hash of the file that an imported run came from; null for measured runs.
    Column("source", Text),
    Column("content_sha256", _SHA256),
    # What a reader of the numbers must know, one note per line.
    Column("notes", Text),
    Column("created_at", Text, nullable=False),
    # Computing time, added up over workers.
    Column("worker_seconds", Float, nullable=False),
    # Null until the run is sealed. See `rsbench.store.seal` for what the seal covers.
    Column("sealed_at", Text),
    Column("seal", _SHA256),
)

# Where a run was computed: several rows if it was resumed with other code or on another machine.
run_provenance = Table(
    "run_provenance",
    metadata,
    Column("run_id", Integer, ForeignKey("certification_run.id"), primary_key=True),
    # Counts from 0 within a run.
    Column("number", Integer, primary_key=True),
    # JSON of `Provenance`.
    Column("provenance", Text, nullable=False),
    Column("since", Text, nullable=False),
)

# The process that works on an open run. There is no row once it has stopped.
run_claim = Table(
    "run_claim",
    metadata,
    Column("run_id", Integer, ForeignKey("certification_run.id"), primary_key=True, autoincrement=False),
    # host:process:token, see `rsbench.store.claims`.
    Column("holder", Text, nullable=False),
    # Seconds since 1970 in UTC, unlike other timestamps, because they are compared with a clock.
    Column("since", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
)

# An image of a run. This is the table that grows. It is clustered by its key and has no other index. It has at most
# eight columns, the widest first: with more, PostgreSQL needs eight more bytes in every row to mark the null columns.
image_result = Table(
    "image_result",
    metadata,
    Column("run_id", Integer, ForeignKey("certification_run.id"), primary_key=True),
    Column("image_index", Integer, primary_key=True),
    # Certified radius; 0 for an abstention.
    Column("radius", Float, nullable=False),
    Column("label", Integer, nullable=False),
    # Predicted class; null for an abstention.
    Column("predicted", Integer),
    # σ if it was chosen for this image, else null.
    Column("sigma", Float),
    # Encoded votes, see `rsbench.votes_format`; null if only radii were imported.
    Column("votes", LargeBinary),
    sqlite_with_rowid=False,
)

# What one certificate gives for a run at one n and α: the curve that the specification declares, or one computed later
# from the votes.
certified_curve = Table(
    "certified_curve",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", Integer, ForeignKey("certification_run.id"), nullable=False),
    Column("certificate", Text, nullable=False),
    Column("procedure", Text, nullable=False),
    # If every split is evaluated, n is L and α is 0, because a column of a key cannot be null.
    Column("n", Integer, nullable=False),
    Column("failure_probability", Float, nullable=False),
    # declared, stated-afterwards or exploratory, see `rsbench.records.Standing`. Earlier releases stored "declared" for
    # curves that were stated afterwards; these have a statement.
    Column("standing", Text, nullable=False),
    # Where certificate, n and α had been fixed, in the words of whoever stated it afterwards; else null.
    Column("statement", Text),
    # Whether the run's specification declares this curve. Every sealed run has exactly one such curve.
    Column("is_primary", Boolean, nullable=False),
    # Numbers of images that are classified correctly, and on which the smoothed classifier abstained.
    Column("correct", Integer, nullable=False),
    Column("abstained", Integer, nullable=False),
    Column("average_certified_radius", Float, nullable=False),
    Column("created_at", Text, nullable=False),
    UniqueConstraint("run_id", "certificate", "procedure", "n", "failure_probability"),
)

# Up to 64 consecutive distinct radii of a curve, so that its value at any radius needs one short row.
curve_block = Table(
    "curve_block",
    metadata,
    Column("curve_id", Integer, ForeignKey("certified_curve.id"), primary_key=True),
    # The smallest radius of the block, but 0 for the first block of a curve.
    Column("first_radius", Float, primary_key=True),
    # How many correctly classified images have a radius in later blocks.
    Column("above", Integer, nullable=False),
    # Distinct radii of correctly classified images, ascending, as little-endian float64.
    Column("radii", LargeBinary, nullable=False),
    # How many images have each of these radii, as little-endian uint32.
    Column("counts", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# A remark about a sealed run.
annotation = Table(
    "annotation",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", Integer, ForeignKey("certification_run.id"), nullable=False),
    # invalid, superseded or reproduced.
    Column("kind", Text, nullable=False),
    # The run that supersedes or reproduces this one; null for invalid.
    Column("other_run_id", Integer, ForeignKey("certification_run.id")),
    Column("reason", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("created_at", Text, nullable=False),
)

# A number as a paper prints it; `rsbench.records.ReportedFigure` explains the columns. Null stands for what the paper
# does not say.
reported_figure = Table(
    "reported_figure",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("paper", Text, nullable=False),
    # Table or figure. The record's field is `where`, which is a keyword of SQL.
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
