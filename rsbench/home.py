"""Where results lie unless a user says otherwise."""

import os
from pathlib import Path


def home() -> Path:
    """Return $RSBENCH_HOME, the folder of the database and the checkpoints; ./.rsbench if it is not set."""
    return Path(os.environ.get("RSBENCH_HOME") or ".rsbench")


def default_database() -> str:
    """Return the path or URL in $RSBENCH_DB; results.db in the home folder if it is not set."""
    return os.environ.get("RSBENCH_DB") or str(home() / "results.db")
