"""The tables as the code uses them. The migrations are the truth of the schema; a test compares the two."""

from sqlalchemy import (
    BigInteger,
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
    Column("state", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("dataset_fingerprint", _HEX, ForeignKey("dataset.fingerprint"), nullable=False),
    Column("checkpoint_sha256", _HEX, ForeignKey("checkpoint.sha256"), nullable=False),
    Column("certificate", Text, nullable=False),
    Column("sigma", Float, nullable=False),
    Column("seed", _SEED, nullable=False),
    Column("n_select", Integer),
    Column("n_estimate", Integer),
    Column("failure_probability", Float),
    Column("images", Text, nullable=False),
    Column("image_count", Integer, nullable=False),
    Column("spec", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("worker_seconds", Float, nullable=False),
    Column("sealed_at", Text),
    Column("correct", Integer),
    Column("abstained", Integer),
    Column("average_certified_radius", Float),
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

# The two tables that grow: clustered on their key, and without any other index.
image_result = Table(
    "image_result",
    metadata,
    Column("run_id", Integer, ForeignKey("certification_run.id"), primary_key=True),
    Column("image_index", Integer, primary_key=True),
    Column("label", Integer, nullable=False),
    Column("predicted", Integer),
    Column("radius", Float, nullable=False),
    Column("top_votes", Integer, nullable=False),
    Column("runner_up_votes", Integer, nullable=False),
    sqlite_with_rowid=False,
)

image_votes = Table(
    "image_votes",
    metadata,
    Column("run_id", Integer, ForeignKey("certification_run.id"), primary_key=True),
    Column("image_index", Integer, primary_key=True),
    Column("votes", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

certified_curve = Table(
    "certified_curve",
    metadata,
    Column("run_id", Integer, ForeignKey("certification_run.id"), primary_key=True),
    Column("certificate", Text, primary_key=True),
    Column("n", Integer, primary_key=True),
    # 0 for a certificate without sampling, which cannot fail.
    Column("failure_probability", Float, primary_key=True),
    # Little-endian float64, ascending: the radii of the images classified correctly.
    Column("radii", LargeBinary, nullable=False),
)
