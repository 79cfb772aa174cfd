"""Records of results: the frozen dataclasses that the layers pass to each other.

A run is called exact if every split is evaluated, so that there is no sampling and no α.
Radii and σ are in units of the pixel range, and a radius is in the certificate's norm; it may be infinite. Timestamps
are ISO 8601, UTC.
Shapes: N images, K classes, R rows of votes, M distinct radii; C, H, W are the channels, height and width of an image.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from rsbench.specs import CertificationSpec, CheckpointHeader, ImportSpec, RunSpec, TrainingSpec

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

# Where the numbers of a run come from. A measured run is reproduced if another run gave the same votes.
Tier = Literal["measured", "reproduced", "imported-votes", "imported-radii"]
# When procedure, n and α were fixed. The certificate may be chosen later: the bounds hold for every theorem at once.
# Declared: in the run's specification, before the first vote. Stated afterwards: before the votes too, but somebody
# says so only after them. Exploratory: after a result was seen.
Standing = Literal["declared", "stated-afterwards", "exploratory"]
# The norm in which a radius holds.
Norm = Literal["l1", "l2"]
NORMS: tuple[Norm, ...] = get_args(Norm)
# Which perturbations a radius covers: those that are smaller (open), or those that are at most as large (closed).
Ball = Literal["open", "closed"]
AnnotationKind = Literal["invalid", "superseded", "reproduced"]


@dataclass(frozen=True, eq=False)
class Votes:
    """How many noisy copies of each image were assigned to each class."""

    counts_NRK: IntArray
    """Row 0 holds the selection votes, all zero for an exact run. Row 1 + i holds the first `prefixes[i]` estimation
    votes, so that the last row holds all of them."""

    prefixes: tuple[int, ...]
    """The values of n at which estimation votes are kept, ascending. They are fixed before the run."""

    @property
    def selection_NK(self) -> IntArray:
        """All n0 votes that select the class."""
        return self.counts_NRK[:, 0, :]

    @property
    def estimation_NK(self) -> IntArray:
        """All n votes that certify the selected class."""
        return self.counts_NRK[:, -1, :]

    def first_NK(self, n: int) -> IntArray:
        """Return the first n estimation votes. They are equal to the votes of a run with this n.

        Raises ValueError when n is not one of `prefixes`, because another n could be picked because its result is good.
        """
        if n not in self.prefixes:
            raise ValueError(f"n = {n} was not declared: choose from {', '.join(map(str, self.prefixes))}")
        return self.counts_NRK[:, 1 + self.prefixes.index(n), :]


@dataclass(frozen=True)
class Chunk:
    """A fixed, consecutive part of a run's images: the unit that a worker computes and that is stored or lost."""

    number: int
    """Position among the chunks of the run, counted from 0."""

    indices: tuple[int, ...]
    """Indices of the images in the dataset."""


@dataclass(frozen=True, eq=False)
class ChunkVotes:
    """The votes of a chunk or of some of its batches. The votes of the parts add up to those of the chunk."""

    chunk: Chunk
    votes: Votes
    """Images in the chunk's order."""

    seconds: float
    """Wall-clock seconds, added up over workers."""

    devices: frozenset[str]
    """Kinds of device that evaluated the network."""

    batches: int
    """How many batches of the chunk these votes come from."""


@dataclass(frozen=True, eq=False)
class ImageColumns:
    """The results of images of a run as columns. The store returns them ordered by index."""

    index_N: IntArray
    label_N: IntArray
    predicted_N: IntArray
    """Predicted class; −1 for an abstention."""

    radius_N: FloatArray
    """Certified radius; 0 for an abstention."""

    sigma_N: FloatArray | None = None
    """σ of each image if it was chosen for the image, else None."""

    votes: tuple[bytes, ...] | None = None
    """Encoded votes of each image, see `rsbench.votes_format`. None if the run has none or they were not read."""

    @property
    def correct_N(self) -> BoolArray:
        """Whether the smoothed classifier returned the label: never where it abstained or the label is missing (−1)."""
        return np.asarray((self.predicted_N == self.label_N) & (self.predicted_N >= 0))

    def __len__(self) -> int:
        return len(self.index_N)


@dataclass(frozen=True)
class Provenance:
    """Code and machine that computed a result."""

    rsbench_version: str
    git_revision: str | None
    """None outside a git checkout."""

    git_dirty: bool | None
    """Whether the checkout had changes that were not committed; None outside a git checkout."""

    versions: dict[str, str]
    """Version by package."""

    device: str
    """Kind of device, or several kinds joined by "and"."""

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
    """A dataset's identity and the properties that certificates need."""

    name: str
    fingerprint: str
    """SHA-256 of the content."""

    images: int
    classes: int
    shape: tuple[int, int, int]
    """C, H, W of an image."""

    q: int | None
    """Pixels are k/q with k in 0..q; None if they lie on no grid."""


@dataclass(frozen=True)
class CheckpointRecord:
    """A checkpoint that is registered in the store."""

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
    """JSON of `header`."""

    @property
    def header(self) -> CheckpointHeader:
        """The checkpoint's header. Raises ValueError if its JSON is damaged."""
        return CheckpointHeader.from_json(self.header_json)


@dataclass(frozen=True)
class CurveRecord:
    """Certified accuracy of a run under one certificate, procedure, n and α."""

    id: int
    certificate: str
    procedure: str
    n: int
    """Number of estimation votes that the certificate uses; L for an exact run."""

    failure_probability: float | None
    """α; None for an exact run."""

    standing: Standing
    statement: str | None
    """Where procedure, n and α had been fixed, in the words of whoever states it afterwards; else None."""

    is_primary: bool
    """Whether the run's specification declares this curve."""

    correct: int
    """Images classified correctly. An abstention is not correct."""

    abstained: int
    average_certified_radius: float
    """Mean radius of all images, where an image that is not classified correctly counts as 0."""


@dataclass(frozen=True, eq=False)
class NewCurve:
    """A curve that is not stored yet. Its fields mean the same as in `CurveRecord`."""

    certificate: str
    procedure: str
    n: int
    failure_probability: float | None
    standing: Standing
    correct: int
    abstained: int
    average_certified_radius: float
    radii: FloatArray
    """Radii of the correctly classified images, in any order."""


@dataclass(frozen=True, eq=False)
class CertifiedCounts:
    """How many images each of some curves certifies at each of some radii."""

    counts: Mapping[tuple[int, float, Ball], int]
    """Correctly classified images that are certified, by the curve's id, the radius and the kind of ball."""

    def count(self, curve_id: int, radius: float, ball: Ball) -> int:
        """Return the count of a curve at a radius. Raises KeyError when the table does not contain it."""
        return self.counts[curve_id, radius, ball]


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
    """Fingerprint of the run that supersedes or reproduces it; None for an invalid run."""

    reason: str
    author: str
    created_at: str


@dataclass(frozen=True, eq=False)
class RunRecord:
    """A stored run with one of its curves. A run with several curves has a record for each of them."""

    id: int
    fingerprint: str
    tier: Tier
    spec: RunSpec
    """The specification that the fingerprint is of."""

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
    """What a reader of the numbers must know."""

    created_at: str
    worker_seconds: float
    """Wall-clock seconds, added up over workers."""

    sealed_at: str | None
    seal: str | None
    """SHA-256 over the specification and all rows; None until the run is sealed."""

    curve: CurveRecord | None
    """None until the run is sealed."""

    annotations: tuple[Annotation, ...] = ()

    @property
    def certification(self) -> CertificationSpec | None:
        """The specification, if the run is not an imported one; else None."""
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
        """n0; None for an exact run, and if an import does not say it."""
        return self.spec.n_select

    @property
    def n_estimate(self) -> int | None:
        """The declared n; None for an exact run."""
        return self.spec.n_estimate

    @property
    def failure_probability(self) -> float | None:
        """The declared α; None for an exact run."""
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
    """The process that works on an open run."""

    host: str
    process: int
    since: str
    """Time in UTC at which it opened the run, in ISO 8601."""


@dataclass(frozen=True)
class RunDetails:
    """Further data of a run, read only for views of a single run."""

    provenances: tuple[Provenance, ...]
    """Code and machines that computed it: several if it was resumed with other code or on another machine."""

    curves: tuple[CurveRecord, ...]
    """All curves, oldest first."""

    claim: ClaimRecord | None = None
    """The process that works on the run; None if there is none."""


@dataclass(frozen=True)
class TrainingRecord:
    """A finished trial that is registered in the store."""

    spec: TrainingSpec
    checkpoint_sha256: str
    checkpoint_path: str
    """Where the checkpoint's file was last seen."""

    provenance: Provenance
    finished_at: str
    epochs: tuple[EpochRecord, ...]


@dataclass(frozen=True, eq=False)
class ImportedRun:
    """A run that was computed elsewhere, after its file was read and checked."""

    spec: ImportSpec
    dataset: DatasetInfo
    images: ImageColumns
    """Results with radii that are certified by the file: none is larger than the file says."""

    source: str
    """Name of the file, as messages and the board show it."""

    notes: tuple[str, ...] = ()
    """What a reader of the numbers must know."""


@dataclass(frozen=True)
class ReportedFigure:
    """A number as a paper prints it. Shares lie between 0 and 1. None stands for what the paper does not say."""

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
    """What the authors chose by its result on the test images."""

    doubt: str | None = None
    """Why the number may be wrong."""

    hardware: str | None = None
