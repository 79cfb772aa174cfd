"""What came out: frozen records that cross the layers. Shapes: N images, K classes, R rows of votes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


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
    """The votes of a chunk, its images in the chunk's order, the seconds that they took, and on what."""

    chunk: Chunk
    votes: Votes
    seconds: float
    device: str


@dataclass(frozen=True)
class ImageResult:
    """One row of a run. `predicted` is None on abstention; `radius` is then 0. `votes` is the encoded `Votes` row."""

    index: int
    label: int
    predicted: int | None
    radius: float
    top_votes: int
    runner_up_votes: int
    votes: bytes

    @property
    def correct(self) -> bool:
        """Whether the smoothed classifier returned the label: an abstention is wrong."""
        return self.predicted == self.label


@dataclass(frozen=True, eq=False)
class ImageColumns:
    """The rows of a run as columns, by image index. `predicted_N` is −1 on abstention."""

    index_N: IntArray
    label_N: IntArray
    predicted_N: IntArray
    radius_N: FloatArray

    @property
    def correct_N(self) -> BoolArray:
        """Where the smoothed classifier returned the label: an abstention is wrong."""
        return np.asarray(self.predicted_N == self.label_N)


@dataclass(frozen=True)
class RunSummary:
    """What a sealed run says of itself. Rates are shares of all its images; abstentions count as wrong."""

    images: int
    correct: int
    abstained: int
    average_certified_radius: float


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


@dataclass(frozen=True, eq=False)
class RunRecord:
    """A certification run as the store tells it. The fields from `sealed_at` on are None until the run is sealed.

    `seed` keyed the noise of the votes; `training_seed` is the checkpoint's, None for a foreign one, as is
    `training_json`, the specification of the trial that made it. `provenances`: one, or several where it was resumed by
    other code or on another machine. `radii`: ascending radii of the images classified
    correctly, under the declared certificate.
    """

    id: int
    fingerprint: str
    method: str
    dataset: DatasetInfo
    checkpoint_sha256: str
    certificate: str
    sigma: float
    seed: int
    training_seed: int | None
    n_select: int | None
    n_estimate: int | None
    failure_probability: float | None
    images: str
    image_count: int
    done: int
    spec_json: str
    training_json: str | None
    provenances: tuple[Provenance, ...]
    created_at: str
    worker_seconds: float
    sealed_at: str | None
    summary: RunSummary | None
    radii: FloatArray | None


@dataclass(frozen=True)
class TrainingRecord:
    """A finished trial as the store tells it."""

    spec_json: str
    checkpoint_sha256: str
    checkpoint_path: str
    provenance: Provenance
    finished_at: str
    epochs: tuple[EpochRecord, ...]
