"""Results: frozen records that cross the layers. Shapes: N images, K classes, R rows of votes, M distinct radii."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from rsbench.specs import CertificationSpec, CheckpointHeader, ImportSpec, RunSpec, TrainingSpec

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

# Where a run's numbers come from. Reproduced: measured here, and another run gave the same votes.
Tier = Literal["measured", "reproduced", "imported-votes", "imported-radii"]
# When certificate, procedure, n and α of a curve were fixed. Declared: in the run's specification, before the first
# vote. Stated afterwards: somebody states, after the votes were there, that they had been fixed before. Exploratory:
# after a result was seen.
Standing = Literal["declared", "stated-afterwards", "exploratory"]
AnnotationKind = Literal["invalid", "superseded", "reproduced"]


@dataclass(frozen=True, eq=False)
class Votes:
    """How many noisy copies of each image were assigned to each class."""

    counts_NRK: IntArray
    """Row 0: the selection votes, all zero where the measure is enumerated. The rows after it: the estimation votes at
    the declared `prefixes`, cumulative, so that the last row is the full count."""

    prefixes: tuple[int, ...]
    """The values of n at which estimation votes are kept, ascending."""

    @property
    def selection_NK(self) -> IntArray:
        """The votes that select the class."""
        return self.counts_NRK[:, 0, :]

    @property
    def estimation_NK(self) -> IntArray:
        """All n votes that certify it."""
        return self.counts_NRK[:, -1, :]

    def first_NK(self, n: int) -> IntArray:
        """Return the first n estimation votes, which are those that a run with that n would have drawn.

        Raises ValueError when n is not a declared prefix: any other n would be chosen by its result.
        """
        if n not in self.prefixes:
            raise ValueError(f"n = {n} was not declared: choose from {', '.join(map(str, self.prefixes))}")
        return self.counts_NRK[:, 1 + self.prefixes.index(n), :]


@dataclass(frozen=True)
class Chunk:
    """A fixed, consecutive part of a run's images: what a worker computes, and what is stored, at once."""

    number: int
    indices: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class ChunkVotes:
    """The votes of a chunk, or of some of its batches: the votes of all parts add up to those of the chunk."""

    chunk: Chunk
    votes: Votes
    """Images in the chunk's order."""

    seconds: float
    """Computing time, added up over workers."""

    devices: frozenset[str]
    """The kinds of device that voted."""

    batches: int
    """How many of the chunk's batches these are."""


@dataclass(frozen=True, eq=False)
class ImageColumns:
    """Images of a run as columns, in ascending order of their index."""

    index_N: IntArray
    label_N: IntArray
    predicted_N: IntArray
    """The class, or −1 where the smoothed classifier abstained."""

    radius_N: FloatArray
    """Certified radius, 0 on abstention."""

    sigma_N: FloatArray | None = None
    """σ of each image where it was chosen for the image, else None."""

    votes: tuple[bytes, ...] | None = None
    """Encoded votes of each image (see `rsbench.votes_format`). None where the run has none, or they were not read."""

    @property
    def correct_N(self) -> BoolArray:
        """Where the smoothed classifier returned the label. An abstention is not correct."""
        return np.asarray(self.predicted_N == self.label_N)

    def __len__(self) -> int:
        return len(self.index_N)


@dataclass(frozen=True)
class Provenance:
    """Code and machine that computed a result."""

    rsbench_version: str
    git_revision: str | None
    """None outside a git checkout."""

    git_dirty: bool | None
    """Whether the checkout had uncommitted changes; None outside a git checkout."""

    versions: dict[str, str]
    """Version by package."""

    device: str
    """Kind of device, or several joined by "and"."""

    platform: str


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of training."""

    epoch: int
    """Counted from 1."""

    loss: float
    """Mean over the training images."""

    accuracy: float
    """Share of the noisy training copies that were classified correctly."""

    seconds: float


@dataclass(frozen=True)
class DatasetInfo:
    """What identifies a dataset."""

    name: str
    fingerprint: str
    """SHA-256 of the content."""

    images: int
    classes: int
    shape: tuple[int, int, int]
    """C, H, W of an image."""

    q: int | None
    """Pixels are k/q with k in 0..q; None where they lie on no grid."""


@dataclass(frozen=True)
class CheckpointRecord:
    """A checkpoint as the store has it."""

    sha256: str
    path: str
    """Where its file was last seen."""

    method: str
    """Name of the training, as in the header."""

    sigma: float
    """σ that it was trained with."""

    seed: int | None
    """Training seed; None for an external checkpoint."""

    header_json: str

    @property
    def header(self) -> CheckpointHeader:
        """What the checkpoint is. Raises ValueError for a header that was damaged."""
        return CheckpointHeader.from_json(self.header_json)


@dataclass(frozen=True)
class CurveRecord:
    """Certified accuracy of a run under one certificate, n and α."""

    id: int
    certificate: str
    procedure: str
    n: int
    """Votes that the certificate reads; L where the measure is enumerated."""

    failure_probability: float | None
    """α, None where the measure is enumerated."""

    standing: Standing
    statement: str | None
    """Where certificate, n and α had been fixed, in the words of whoever stated it afterwards; else None."""

    is_primary: bool
    """Whether this is what the run's specification declared."""

    correct: int
    """Images classified correctly. An abstention is not correct."""

    abstained: int
    average_certified_radius: float
    """Mean over all images of the radius, 0 where the image is not classified correctly."""

    certified: Mapping[float, tuple[int, int]] = field(default_factory=dict)
    """By radius: how many correct images have a larger radius, and how many one at least as large."""


@dataclass(frozen=True, eq=False)
class NewCurve:
    """A curve that is not stored yet; fields as in `CurveRecord`."""

    certificate: str
    procedure: str
    n: int
    failure_probability: float | None
    standing: Standing
    correct: int
    abstained: int
    average_certified_radius: float
    radii: FloatArray
    """Radii of the images classified correctly, in no order."""


@dataclass(frozen=True, eq=False)
class StepCurve:
    """Certified accuracy as a step function: it falls at each distinct radius of a correctly classified image."""

    radius_M: FloatArray
    """The distinct radii, ascending."""

    count_M: IntArray
    """How many correctly classified images have each radius."""


@dataclass(frozen=True)
class Annotation:
    """A remark about a sealed run."""

    kind: AnnotationKind
    other: str | None
    """Fingerprint of the run that replaces or confirms it, None where there is none."""

    reason: str
    author: str
    created_at: str


@dataclass(frozen=True, eq=False)
class RunRecord:
    """A certification run as the store has it, with one of its curves."""

    id: int
    fingerprint: str
    tier: Tier
    spec: RunSpec
    """What the run was asked to do."""

    dataset: DatasetInfo
    training: TrainingSpec | None
    """The trial that made the checkpoint; None for an external checkpoint and for an imported run."""

    training_seed: int | None
    """Training seed of the checkpoint; None for an external checkpoint and for an imported run."""

    training_sigma: float | None
    """σ that the checkpoint was trained with; None for an imported run."""

    image_count: int
    done: int
    """How many images have a result."""

    source: str | None
    """Name of the file that an imported run came from."""

    notes: tuple[str, ...]
    """What a reader must know of the numbers."""

    created_at: str
    worker_seconds: float
    """Computing time, added up over workers."""

    sealed_at: str | None
    seal: str | None
    """SHA-256 over the specification and all rows; None until the run is sealed."""

    curve: CurveRecord | None
    """None until the run is sealed."""

    annotations: tuple[Annotation, ...] = ()

    @property
    def certification(self) -> CertificationSpec | None:
        """The specification of a run that was computed here; None for an imported run."""
        return self.spec if isinstance(self.spec, CertificationSpec) else None

    @property
    def method(self) -> str:
        """Name of the method."""
        return self.spec.method

    @property
    def family(self) -> str:
        """Name of the family of the smoothing measure."""
        return self.spec.family

    @property
    def sigma(self) -> float:
        """σ that the run certifies with."""
        return self.spec.sigma

    @property
    def certificate(self) -> str:
        """The declared certificate."""
        return self.spec.certificate

    @property
    def procedure(self) -> str:
        """The declared procedure."""
        return self.spec.procedure

    @property
    def n_select(self) -> int | None:
        """n0; None where the measure is enumerated, or where an import does not say it."""
        return self.spec.n_select

    @property
    def n_estimate(self) -> int | None:
        """The declared n; None where the measure is enumerated."""
        return self.spec.n_estimate

    @property
    def failure_probability(self) -> float | None:
        """The declared α; None where the measure is enumerated."""
        return self.spec.failure_probability

    @property
    def images(self) -> str:
        """Canonical text of the certified indices, see `rsbench.data.subset`."""
        return self.spec.images

    @property
    def checkpoint_sha256(self) -> str | None:
        """SHA-256 of the checkpoint; None for an imported run."""
        return None if self.certification is None else self.certification.checkpoint_sha256

    @property
    def seed(self) -> int | None:
        """Seed of the noise of the votes; None for an imported run."""
        return self.spec.noise_seed


@dataclass(frozen=True)
class ClaimRecord:
    """Which process works on a run, and since when."""

    host: str
    process: int
    since: str


@dataclass(frozen=True)
class RunDetails:
    """What only a look at a single run needs."""

    provenances: tuple[Provenance, ...]
    """Code and machines that computed it: several where it was resumed by other code or on another machine."""

    curves: tuple[CurveRecord, ...]
    claim: ClaimRecord | None = None
    """Which process works on it, None where none does."""


@dataclass(frozen=True)
class TrainingRecord:
    """A finished trial as the store has it."""

    spec: TrainingSpec
    checkpoint_sha256: str
    checkpoint_path: str
    """Where the checkpoint's file was last seen."""

    provenance: Provenance
    finished_at: str
    epochs: tuple[EpochRecord, ...]


@dataclass(frozen=True, eq=False)
class ImportedRun:
    """A run that was computed elsewhere, read and checked, ready to be stored."""

    spec: ImportSpec
    dataset: DatasetInfo
    images: ImageColumns
    """Rows whose radii may be claimed: none is above what the file says."""

    source: str
    """The file's name, for people."""

    notes: tuple[str, ...] = ()
    """What a reader of the board must know of these numbers."""


@dataclass(frozen=True)
class ReportedFigure:
    """A number as a paper prints it. Shares are between 0 and 1; None stands for what the paper does not say."""

    paper: str
    where: str
    """Table or figure."""

    dataset: str
    method: str
    quantity: str
    """certified_accuracy (at `radius`), clean_accuracy, average_certified_radius, predict_correct, predict_incorrect,
    predict_abstained or seconds_per_image."""

    value: float
    norm: str | None = None
    radius: float | None = None
    sigma: float | None = None
    n_select: int | None = None
    n_estimate: int | None = None
    failure_probability: float | None = None
    objective: str | None = None
    seed: int | None = None
    images: str | None = None
    selected: str | None = None
    """What was chosen by looking at the test images."""

    doubt: str | None = None
    """Why the number may be wrong."""

    hardware: str | None = None
