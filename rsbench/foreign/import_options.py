"""What the user states about the files of an import, and what reading them returns.

Files of other projects rarely say which dataset, method and certificate they belong to. The user states it with the
options of `rsbench import`; the readers (`npz`, `tsv_runs`) check the files against these options.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from rsbench.errors import UsageError
from rsbench.families import FAMILIES
from rsbench.methods import METHODS
from rsbench.records import DatasetInfo, ImportedRun
from rsbench.specs import Procedure
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import Certificate


@dataclass(frozen=True)
class DatasetDescription:
    """A dataset that imported results refer to. rsbench has not seen its pixels."""

    name: str
    """Such as "cifar10"."""

    images: int | None
    """Size of the test set, or None if unknown."""

    classes: int
    """K, the number of classes."""

    shape: tuple[int, int, int]
    """C, H, W of an image as the network sees it."""

    q: int | None
    """Pixels are multiples of 1/q; None if they lie on no grid."""

    def info(self, largest_index: int) -> DatasetInfo:
        """Return the record of the dataset that the store keeps.

        The fingerprint is a hash of the description. It differs from that of every dataset whose pixels were read, so
        imported and measured runs are never taken to be on the same dataset.

        largest_index: the largest image index in the files; it determines the size of a test set of unknown size.
        """
        images = largest_index + 1 if self.images is None else self.images
        description = f"imported|{self.name}|{self.classes}|{self.q}"
        fingerprint = hashlib.sha256(description.encode()).hexdigest()
        return DatasetInfo(self.name, fingerprint, images, self.classes, self.shape, self.q)


KNOWN_DATASETS = MappingProxyType(
    {
        d.name: d
        for d in (
            DatasetDescription("cifar10", 10_000, 10, (3, 32, 32), 255),
            DatasetDescription("cifar100", 10_000, 100, (3, 32, 32), 255),
            DatasetDescription("fashion-mnist", 10_000, 10, (1, 28, 28), 255),
            DatasetDescription("imagenet", 50_000, 1000, (3, 224, 224), 255),
            DatasetDescription("mnist", 10_000, 10, (1, 28, 28), 255),
            DatasetDescription("svhn", 26_032, 10, (3, 32, 32), 255),
        )
    }
)
"""The datasets that published results are mostly on, by name."""


@dataclass(frozen=True)
class ImportOptions:
    """What the user states about all files of an import. None means that the files themselves must say it.

    Raises UsageError when a value is out of range, or a budget is given for a certificate that draws no votes.
    """

    dataset: DatasetDescription
    """The dataset that the files' image indices refer to."""

    method: str
    """Name of the method for the board: one of `METHODS` or any other."""

    certificate: Certificate
    """The theorem that the radii come from, or that the votes are to be certified with."""

    family: str
    """Name of the `Family` of smoothing measures that the noise was drawn from."""

    sigma: float | None = None
    """Standard deviation of the noise, in units of the pixel range."""

    n_select: int | None = None
    """Selection votes for each image."""

    n_estimate: int | None = None
    """Estimation votes for each image."""

    failure_probability: float | None = None
    """α of a one-sided bound."""

    def __post_init__(self) -> None:
        if self.sigma is not None and not 0.0 < self.sigma < float("inf"):
            raise UsageError(f"--sigma {self.sigma:g}: a standard deviation must be greater than 0")
        for flag, votes in (("--n0", self.n_select), ("--n", self.n_estimate)):
            if votes is not None and not 1 <= votes < 2**31:
                raise UsageError(f"{flag} {votes}: give a number of votes from 1 to {2**31 - 1}")
        if self.failure_probability is not None and not 0.0 < self.failure_probability < 1.0:
            raise UsageError(f"--alpha {self.failure_probability:g}: give a number between 0 and 1, such as 0.001")
        if self.is_enumerated and (self.n_select or self.n_estimate or self.failure_probability):
            raise UsageError(f"certificate {self.certificate.name} draws no votes: leave out --n0, --n and --alpha")
        if self.is_enumerated and self.dataset.q is None:
            raise UsageError(f"certificate {self.certificate.name} needs pixels on a grid k/q: give q with --q")

    @property
    def is_enumerated(self) -> bool:
        """Whether every noisy copy was evaluated, so that there is no n and no α."""
        return FAMILIES.lookup(self.family).is_enumerated

    @property
    def procedure(self) -> Procedure:
        """How votes became bounds: as the method declares if rsbench knows it, else one-versus-rest."""
        return METHODS[self.method].procedure if self.method in METHODS else "one-versus-rest"


@dataclass(frozen=True, eq=False)
class ReadResult:
    """The runs read from the files of an import, and remarks about the files for the user."""

    runs: tuple[ImportedRun, ...]
    """One run for each file with results."""

    empty_files: tuple[Path, ...] = ()
    """Tables without a row."""

    ignored_files: tuple[Path, ...] = ()
    """Files in a folder that are not tables."""

    warnings: tuple[str, ...] = ()
    """Contradictions between files and options, one line each, naming the files."""


def describe_dataset(
    name: str, *, classes: int | None = None, q: int | None = None, shape: tuple[int, int, int] | None = None
) -> DatasetDescription:
    """Return the known dataset of that name, or describe another one by its classes and shape.

    classes, shape (C, H, W): required unless the dataset is known; radii of some certificates depend on them.
    q: pixels are multiples of 1/q; None if they lie on no grid.
    Raises UsageError when a value is missing, out of range, or contradicts the known dataset.
    """
    dataset = KNOWN_DATASETS.get(name)
    if dataset is not None:
        for flag, given, actual in (("--classes", classes, dataset.classes), ("--q", q, dataset.q)):
            if given is not None and given != actual:
                raise UsageError(f"{flag} {given}: {name} has {actual}; use another --dataset name for other data")
        if shape is not None and shape != dataset.shape:
            raise UsageError(
                f"--shape {_shape_text(shape)}: {name} has {_shape_text(dataset.shape)}; use another --dataset name "
                "for other data"
            )
        return dataset
    if classes is None or shape is None:
        missing = "--classes" if classes is None else "--shape"
        raise UsageError(
            f"--dataset {name} is none of {', '.join(KNOWN_DATASETS)}: describe it with --classes K and --shape C,H,W "
            f"({missing} is missing)"
        )
    if classes < 2:
        raise UsageError(f"--classes {classes}: a classifier needs at least 2")
    if q is not None and not 1 <= q < 2**16:
        raise UsageError(f"--q {q}: pixels are k/q with q in 1..65535")
    if min(shape) < 1:
        raise UsageError(f"--shape {_shape_text(shape)}: every side must be at least 1")
    return DatasetDescription(name, None, classes, shape, q)


def resolve_certificate(method: str, certificate: str | None, family: str | None) -> tuple[Certificate, str]:
    """Return the certificate of an import and the family of smoothing measures that it is applied to.

    method: name of the method; one of `METHODS` implies both. certificate: its name, required for other methods.
    family: required for other methods if the certificate covers several families.
    Raises UsageError when one of the two cannot be determined, is unknown, or does not go with the other.
    """
    known_method = METHODS.get(method)
    name = certificate or (known_method.certificate if known_method else None)
    if name is None:
        raise UsageError(
            f"--method {method} is none of {', '.join(METHODS)}: name the theorem behind its radii with --certificate, "
            f"one of {', '.join(CERTIFICATES)}"
        )
    if name not in CERTIFICATES:
        raise UsageError(f"--certificate {name}: choose from {', '.join(CERTIFICATES)}")
    theorem = CERTIFICATES[name]
    if known_method and family and family != known_method.family:
        raise UsageError(f"--measure {family}: {method} smooths with {known_method.family} noise; leave out --measure")
    covered = tuple(theorem.threat_models)
    if known_method:
        resolved_family = known_method.family
    elif family:
        resolved_family = family
    elif len(covered) == 1:
        resolved_family = covered[0]
    else:
        raise UsageError(
            f"certificate {name} holds for {' and '.join(covered)} smoothing: name the one that was used with --measure"
        )
    try:
        theorem.check_measure(resolved_family)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return theorem, resolved_family


def _shape_text(shape: tuple[int, int, int]) -> str:
    return ",".join(map(str, shape))
