"""What a worker needs to vote."""

from dataclasses import dataclass

from rsbench.models.checkpoint import Checkpoint
from rsbench.records import DatasetInfo
from rsbench.specs import CertificationSpec


@dataclass(frozen=True, eq=False)
class CertificationWork:
    """Everything that a worker needs of a run besides the images: it travels once to each worker."""

    spec: CertificationSpec
    info: DatasetInfo
    checkpoint: Checkpoint
