"""Write files as other projects do, and the import options that go with them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rsbench.foreign.import_options import ImportOptions, describe_dataset, resolve_certificate
from rsbench.specs import MeasureSpec
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import SampledCertificate
from rsbench.theory.confidence import clopper_pearson_lower
from rsbench.theory.probability_bounds import ProbabilityBounds

HEADER = "idx\tlabel\tpredict\tradius\tcorrect\ttime"
ROWS = ("0\t3\t-1\t0.0\t0\t0:00:14.1", "1\t8\t8\t0.36\t1\t0:00:13.9", "4\t6\t2\t0.457\t0\t0:00:14.0")


def write_table(file: Path, rows: Sequence[str] = ROWS, *, header: str = HEADER, end: str = "\n") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join((header, *rows)) + end, encoding="utf-8")
    return file


def write_radii(file: Path, radii: Sequence[str]) -> Path:
    """Write a table of correctly classified images with these radii."""
    return write_table(file, [f"{i}\t1\t1\t{radius}\t1\t0:00:01" for i, radius in enumerate(radii)])


def write_arrays(file: Path, **arrays: Any) -> Path:
    """Write an .npz file of the arrays that are not None."""
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, **{key: value for key, value in arrays.items() if value is not None})
    return file


def import_options(
    method: str = "cohen", *, certificate: str | None = None, family: str | None = None, dataset: str = "cifar10",
    q: int | None = None, **changes: Any,
) -> ImportOptions:  # fmt: skip
    """Return import options; with `q` given, for an unknown dataset of ten classes."""
    description = (
        describe_dataset(dataset) if q is None else describe_dataset(dataset, classes=10, q=q, shape=(1, 8, 8))
    )
    theorem, resolved_family = resolve_certificate(method, certificate, family)
    return ImportOptions(description, method, theorem, resolved_family, **changes)


def sampled_radius(certificate: str, k: int, n: int, failure_probability: float, sigma: float) -> float:
    """Return the certificate's radius for an image with k of n votes."""
    theorem = CERTIFICATES[certificate]
    assert isinstance(theorem, SampledCertificate)
    measure = MeasureSpec(family=next(iter(theorem.threat_models)), sigma=sigma)
    bounds = ProbabilityBounds.one_versus_rest(clopper_pearson_lower(k, n, failure_probability))
    return float(theorem.radius(bounds, measure.sigma if theorem.scale == "sigma" else measure.half_width)[0])
