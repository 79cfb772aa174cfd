"""The data sets that published results are of, and what identifies one of which we have no pixel."""

import hashlib
from dataclasses import dataclass
from types import MappingProxyType

from rsbench.errors import UsageError
from rsbench.records import DatasetInfo


@dataclass(frozen=True)
class ImportedDataset:
    """A data set as published results need it. `images` is None where nobody said how many test images it has."""

    name: str
    images: int | None
    classes: int
    shape: tuple[int, int, int]
    q: int | None

    def info(self, largest_index: int) -> DatasetInfo:
        """The record of it. An unknown number of images is taken from the largest index that a file names.

        The fingerprint hashes what was claimed, and says so: no pixel was seen, so it never equals a measured one.
        """
        images = largest_index + 1 if self.images is None else self.images
        claimed = f"imported|{self.name}|{self.classes}|{self.q}"
        fingerprint = hashlib.sha256(claimed.encode()).hexdigest()
        return DatasetInfo(self.name, fingerprint, images, self.classes, self.shape, self.q)


KNOWN = MappingProxyType(
    {
        d.name: d
        for d in (
            ImportedDataset("cifar10", 10_000, 10, (3, 32, 32), 255),
            ImportedDataset("cifar100", 10_000, 100, (3, 32, 32), 255),
            ImportedDataset("fashion-mnist", 10_000, 10, (1, 28, 28), 255),
            ImportedDataset("imagenet", 50_000, 1000, (3, 224, 224), 255),
            ImportedDataset("mnist", 10_000, 10, (1, 28, 28), 255),
            ImportedDataset("svhn", 26_032, 10, (3, 32, 32), 255),
        )
    }
)


def imported_dataset(
    name: str, *, classes: int | None = None, q: int | None = None, shape: tuple[int, int, int] | None = None
) -> ImportedDataset:
    """The known data set of that name, or another one that is described.

    classes, shape (C, H, W): needed of a data set that is not known; a guessed shape would make some radii wrong.
    q: its pixels are k/q; None: they lie on no grid.
    Raises UsageError when a description is missing, out of range, or contradicts what is known.
    """
    known = KNOWN.get(name)
    if known is not None:
        for flag, told, true in (("--classes", classes, known.classes), ("--q", q, known.q)):
            if told is not None and told != true:
                raise UsageError(f"{flag} {told}: {name} has {true}; give another --dataset name if it is another one")
        if shape is not None and shape != known.shape:
            raise UsageError(f"--shape {_text(shape)}: {name} has {_text(known.shape)}")
        return known
    if classes is None or shape is None:
        missing = "--classes" if classes is None else "--shape"
        raise UsageError(
            f"--dataset {name} is none of {', '.join(KNOWN)}: describe it with --classes K and --shape C,H,W "
            f"({missing} is missing)"
        )
    if classes < 2:
        raise UsageError(f"--classes {classes}: a classifier needs at least 2")
    if q is not None and not 1 <= q < 2**16:
        raise UsageError(f"--q {q}: pixels are k/q with q in 1..65535")
    if min(shape) < 1:
        raise UsageError(f"--shape {_text(shape)}: every side must be at least 1")
    return ImportedDataset(name, None, classes, shape, q)


def _text(shape: tuple[int, int, int]) -> str:
    return ",".join(map(str, shape))
