"""Files as other projects write them, and claims about them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rsbench.foreign.claims import Claims, certificate_and_family
from rsbench.foreign.known_datasets import imported_dataset
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
    """A table of correctly classified images with these radii."""
    return write_table(file, [f"{i}\t1\t1\t{radius}\t1\t0:00:01" for i, radius in enumerate(radii)])


def write_arrays(file: Path, **arrays: Any) -> Path:
    """An .npz file of the arrays that are not None."""
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, **{key: value for key, value in arrays.items() if value is not None})
    return file


def claims(
    method: str = "cohen", *, certificate: str | None = None, family: str | None = None, dataset: str = "cifar10",
    q: int | None = None, **told: Any,
) -> Claims:  # fmt: skip
    described = imported_dataset(dataset) if q is None else imported_dataset(dataset, classes=10, q=q, shape=(1, 8, 8))
    found = certificate_and_family(method, certificate, family)
    return Claims(described, method, *found, **told)


def sampled_radius(certificate: str, k: int, n: int, failure_probability: float, sigma: float) -> float:
    """The radius of an image with k of n votes, by the certificate itself."""
    found = CERTIFICATES[certificate]
    assert isinstance(found, SampledCertificate)
    measure = MeasureSpec(family=next(iter(found.threat_models)), sigma=sigma)
    bounds = ProbabilityBounds.one_versus_rest(clopper_pearson_lower(k, n, failure_probability))
    return float(found.radius(bounds, measure.sigma if found.scale == "sigma" else measure.half_width)[0])
