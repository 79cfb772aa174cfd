"""What came out: frozen records that cross the layers. Shapes: N images, K classes, R rows of votes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from rsbench.specs import Family, ImportSpec

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

# Where a run's numbers come from. Reproduced: measured here, and another run gave the same votes.
Tier = Literal["measured", "reproduced", "imported-votes", "imported-radii"]
Standing = Literal["declared", "exploratory"]
AnnotationKind = Literal["invalid", "superseded", "reproduced"]


@dataclass(frozen=True, eq=False)
class Votes:
    """How many noisy copies of each image every class won.

    `counts_NRK`: row 0 holds the selection votes (all zero where the law is enumerated), the rows after it the
    estimation votes at the declared `prefixes`, cumulative; the last row is the full count.
    """

    counts_NRK: IntArray
    prefixes: tuple[int, ...]

    @property
    def selection_NK(self) -> IntArray:
        """Votes that chose the class."""
        return self.counts_NRK[:, 0, :]

    @property
    def estimation_NK(self) -> IntArray:
        """Votes that certify: all n of them."""
        return self.counts_NRK[:, -1, :]

    def first_NK(self, n: int) -> IntArray:
        """The first n of them, as a run with that n would have drawn.

        Raises ValueError when n is no declared prefix: what was not fixed beforehand would be chosen by its result.
        """
        if n not in self.prefixes:
            raise ValueError(f"n = {n} was not declared: choose from {', '.join(map(str, self.prefixes))}")
        return self.counts_NRK[:, 1 + self.prefixes.index(n), :]


@dataclass(frozen=True)
class Chunk:
    """A fixed, consecutive part of a run's images: the unit of work, of loss and of commit."""

    number: int
    indices: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class ChunkVotes:
    """The votes of a chunk, its images in the chunk's order, the seconds that they took, and on what.

    They are of all its batches, or of so many of them: the votes of all parts add up to those of the chunk. `devices`:
    the kinds that they come from.
    """

    chunk: Chunk
    votes: Votes
    seconds: float
    devices: frozenset[str]
    batches: int


@dataclass(frozen=True, eq=False)
class ImageColumns:
    """Images of a run as columns, by image index. `predicted_N` is −1 on abstention; `radius_N` is then 0.

    `sigma_N`: σ of each image where it was chosen for the image, else None. `votes`: the encoded row of `Votes` of each
    image (see `rsbench.votes_format`), None where a run has none or they were not asked for.
    """

    index_N: IntArray
    label_N: IntArray
    predicted_N: IntArray
    radius_N: FloatArray
    sigma_N: FloatArray | None = None
    votes: tuple[bytes, ...] | None = None

    @property
    def correct_N(self) -> BoolArray:
        """Where the smoothed classifier returned the label: an abstention is wrong."""
        return np.asarray(self.predicted_N == self.label_N)

    def __len__(self) -> int:
        return len(self.index_N)


@dataclass(frozen=True)
class Provenance:
    """Where a result comes from."""

    rsbench_version: str
    git_revision: str | None
    git_dirty: bool | None
    versions: dict[str, str]
    device: str
    platform: str


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of training: mean loss and accuracy on the noisy training copies."""

    epoch: int
    loss: float
    accuracy: float
    seconds: float


@dataclass(frozen=True)
class DatasetInfo:
    """What identifies a data set. `q`: pixels are k/q with k in 0..q; None when they lie on no grid."""

    name: str
    fingerprint: str
    images: int
    classes: int
    shape: tuple[int, int, int]
    q: int | None


@dataclass(frozen=True)
class CheckpointRecord:
    """A checkpoint as the store tells it: `header_json` says what it is, `path` where its file was last seen."""

    sha256: str
    path: str
    method: str
    dataset_fingerprint: str
    sigma: float
    seed: int | None
    header_json: str


@dataclass(frozen=True)
class CurveRecord:
    """What one certificate says of a run at one n and α.

    `failure_probability` is None where the law is enumerated. `standing`: declared before a result was seen, or
    exploratory; `statement` says who says so where that does not follow from the run. Abstentions count as wrong.
    `certified`: at each radius that was asked for, on how many images the class is correct and the radius larger, and
    on how many it is at least as large (see `Queries.with_certified`).
    """

    id: int
    certificate: str
    procedure: str
    n: int
    failure_probability: float | None
    standing: Standing
    statement: str | None
    is_primary: bool
    correct: int
    abstained: int
    average_certified_radius: float
    certified: Mapping[float, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class NewCurve:
    """A curve that is yet to be stored; see `CurveRecord`. `radii`: of the images classified correctly, unsorted."""

    certificate: str
    procedure: str
    n: int
    failure_probability: float | None
    standing: Standing
    correct: int
    abstained: int
    average_certified_radius: float
    radii: FloatArray


@dataclass(frozen=True, eq=False)
class Steps:
    """A whole curve: M distinct radii of the images classified correctly, ascending, and how many images have each."""

    radius_M: FloatArray
    count_M: IntArray


@dataclass(frozen=True)
class Annotation:
    """What was said of a sealed run later. `other`: the fingerprint of the run that replaces or confirms it."""

    kind: AnnotationKind
    other: str | None
    reason: str
    author: str
    created_at: str


@dataclass(frozen=True, eq=False)
class RunRecord:
    """A certification run as the store tells it, with one of its curves: None until the run is sealed.

    `certificate`, `procedure`, `n_estimate` and `failure_probability` are those that it declared. `seed` keyed the
    noise of the votes; `training_seed` is the checkpoint's, None for a foreign one. Of an imported run seeds and
    checkpoint are None. `recipe`: canonical JSON of what runs have in common that may be averaged. `notes`: what a
    reader must know of its numbers. `seal`: sha256 over its specification and rows.
    """

    id: int
    fingerprint: str
    tier: Tier
    method: str
    family: Family
    dataset: DatasetInfo
    checkpoint_sha256: str | None
    certificate: str
    procedure: str
    sigma: float
    seed: int | None
    training_seed: int | None
    n_select: int | None
    n_estimate: int | None
    failure_probability: float | None
    images: str
    image_count: int
    done: int
    recipe: str
    spec_json: str
    source: str | None
    notes: tuple[str, ...]
    created_at: str
    worker_seconds: float
    sealed_at: str | None
    seal: str | None
    curve: CurveRecord | None
    annotations: tuple[Annotation, ...] = ()


@dataclass(frozen=True)
class ClaimRecord:
    """Which process is at work on a run, and since when."""

    host: str
    process: int
    since: str


@dataclass(frozen=True)
class RunDetails:
    """What only a look at a single run needs: where it was computed, all its curves, and who is at work on it.

    `provenances`: one, or several where it was resumed by other code or on another machine.
    """

    provenances: tuple[Provenance, ...]
    curves: tuple[CurveRecord, ...]
    claim: ClaimRecord | None = None


@dataclass(frozen=True)
class TrainingRecord:
    """A finished trial as the store tells it."""

    spec_json: str
    checkpoint_sha256: str
    checkpoint_path: str
    provenance: Provenance
    finished_at: str
    epochs: tuple[EpochRecord, ...]


@dataclass(frozen=True, eq=False)
class ImportedRun:
    """A run that others computed, read and checked, ready to be stored.

    `images`: its rows; radii as they may be claimed, which is never above what the file says. `source`: the file's name
    for people. `notes`: what a reader of the board must know of these numbers, a line each.
    """

    spec: ImportSpec
    dataset: DatasetInfo
    images: ImageColumns
    source: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReportedFigure:
    """A number as a paper prints it. Shares are between 0 and 1; None is what the paper does not say.

    `quantity`: certified_accuracy (at `radius`), clean_accuracy, average_certified_radius, predict_correct,
    predict_incorrect, predict_abstained or seconds_per_image. `selected`: what was chosen by looking at the test
    images. `doubt`: why the number may be wrong. `where`: table or figure.
    """

    paper: str
    where: str
    dataset: str
    method: str
    quantity: str
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
    doubt: str | None = None
    hardware: str | None = None
