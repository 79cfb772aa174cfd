"""Certified radii as plain functions of votes or probabilities: one function for each certificate.

>>> from rsbench import certificates
>>> certificates.cohen([950, 30, 20], sigma=0.5, alpha=0.001)
np.float64(0.7199310106376134)

All functions have one signature, that of `CertificateFunction`, whose documentation explains the arguments.
Certificates that plugins register have a function too. Where a certificate's name has a hyphen, its function's name has
an underscore.

Shapes: N images, K classes, D pixel values of an image (channels × pixels), M distinct rows of bounds.
"""

import math
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rsbench.plugins import load_plugins
from rsbench.records import FloatArray, IntArray
from rsbench.specs import MeasureSpec, Procedure
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import Certificate, ImageFacts, SampledCertificate, check_votes
from rsbench.theory.probability_bounds import ProbabilityBounds, bounds_of_votes

__all__ = ["CertificateFunction", "box", "box_image", "box_log", "cohen", "dssn", "lecuyer", "lee", "li", "names"]

# One number for one image, an array for several.
Radii = np.float64 | FloatArray


class CertificateFunction(Protocol):
    """The signature of every certificate's function."""

    def __call__(
        self,
        votes: npt.ArrayLike | None = None,
        *,
        sigma: float | None = None,
        alpha: float | None = None,
        selected: npt.ArrayLike | None = None,
        bounds: Procedure = "one-versus-rest",
        pa: npt.ArrayLike | Fraction | None = None,
        pb: npt.ArrayLike | Fraction | None = None,
        dims: int | None = None,
        images: npt.ArrayLike | None = None,
        q: int = 255,
    ) -> Radii:
        """The radius of each image: one number for one image, an array for several.

        Radii are rounded down, in units of the pixel range [0,1], and in the certificate's norm.

        A radius of 0 stands for an abstention. A radius is infinite where no image of the threat model changes the
        class.

        votes: the votes of one image, K counts, or of N images, an N×K array of counts with equal row sums.
        sigma: the standard deviation of the noise, in units of the pixel range [0,1]; unused by exact certificates.
        alpha: the certified radius of an image is wrong with probability at most alpha, one-sided.
        selected: the class, or the N classes, that other votes selected; the most voted if it is left out. A class that
            was selected by these very votes has a certified radius that is wrong with probability at most 2α with the
            bounds one-versus-rest, and no such guarantee with top-two.
        bounds: how α is spent: one-versus-rest (Cohen et al. 2019) or top-two (Voracek & Hein 2023).
        pa, pb: instead of votes, bounds on the probability of the class from below and of the runner-up from above; pb
            is 1 − pa if it is left out. Both are taken as exact numbers.
        dims: for `box`, d, the number of pixel values (channels × pixels). With it, a radius that covers the whole
            box is infinite.
        images: for certificates that look at the pixels, such as `box_image`: the image, or the N images along the
            first axis, floats in [0,1] or whole numbers k that stand for k/q.
        q: the images lie on the grid k/q, k = 0..q; images of 8 bits have q = 255.

        Raises ValueError when an argument is missing, out of range or not what the theorem needs.
        """


def _function_of(name: str) -> CertificateFunction:
    def certified_radius(
        votes: npt.ArrayLike | None = None,
        *,
        sigma: float | None = None,
        alpha: float | None = None,
        selected: npt.ArrayLike | None = None,
        bounds: Procedure = "one-versus-rest",
        pa: npt.ArrayLike | Fraction | None = None,
        pb: npt.ArrayLike | Fraction | None = None,
        dims: int | None = None,
        images: npt.ArrayLike | None = None,
        q: int = 255,
    ) -> Radii:
        theorem = CERTIFICATES[name]
        if isinstance(theorem, SampledCertificate):
            bounds_M, row_N, shape = _bounds(theorem, votes, alpha, selected, bounds, pa, pb)
            if sigma is None:
                raise ValueError(f"certificate {name} needs sigma, the standard deviation of the noise")
            # The very float that a run with this sigma has, so that its radii come out again bit by bit.
            scale = sigma if theorem.scale == "sigma" else math.sqrt(3.0) * sigma
            facts = _facts(theorem, len(row_N), dims, images, q)
            if theorem.looks_at_images:
                return _shaped(theorem.radius(bounds_M.take(row_N), scale, facts), shape)
            return _shaped(theorem.radius(bounds_M, scale, facts)[row_N], shape)
        if votes is None or any(argument is not None for argument in (alpha, selected, pa, pb)):
            raise ValueError(f"certificate {name} is exact: it takes the votes of all noisy copies, no alpha, pa or pb")
        votes_NK, shape = _rows_of(votes)
        facts = _facts(theorem, len(votes_NK), dims, images, q)
        return _shaped(
            theorem.certify(np.zeros_like(votes_NK), votes_NK, _measure(theorem, votes_NK), images=facts).radius_N,
            shape,
        )

    theorem = CERTIFICATES[name]
    certified_radius.__name__ = certified_radius.__qualname__ = name.replace("-", "_")
    certified_radius.__doc__ = (
        f"The radius of an {theorem.ball} {' and '.join(theorem.norms)} ball ({theorem.source}).\n\n"
        f"Needs {theorem.condition}. See `CertificateFunction` for the arguments."
    )
    return certified_radius


cohen = _function_of("cohen")
lecuyer = _function_of("lecuyer")
li = _function_of("li")
lee = _function_of("lee")
box_log = _function_of("box-log")
box = _function_of("box")
box_image = _function_of("box-image")
dssn = _function_of("dssn")


def names() -> tuple[str, ...]:
    """The names of all certificates, those of plugins included."""
    load_plugins()
    return tuple(CERTIFICATES)


def __getattr__(name: str) -> CertificateFunction:
    """The function of a certificate that a plugin registers."""
    certificate = name.replace("_", "-")
    if certificate not in CERTIFICATES and not name.startswith("__"):
        load_plugins()
    if certificate not in CERTIFICATES:
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}: the certificates are {', '.join(names())}"
        )
    return _function_of(certificate)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name.replace("-", "_") for name in CERTIFICATES)})


def _bounds(
    theorem: SampledCertificate,
    votes: npt.ArrayLike | None,
    alpha: float | None,
    selected: npt.ArrayLike | None,
    procedure: Procedure,
    pa: npt.ArrayLike | Fraction | None,
    pb: npt.ArrayLike | Fraction | None,
) -> tuple[ProbabilityBounds, IntArray, tuple[int, ...]]:
    """Rows of bounds, the row of each image, and the shape that the radii are to have."""
    if votes is None:
        if pa is None:
            raise ValueError(f"certificate {theorem.name} needs votes and alpha, or pa")
        rows, shape = _exact_bounds(pa, pb)
        return rows, np.arange(len(rows)), shape
    if pa is not None or pb is not None:
        raise ValueError("votes and pa exclude each other: give votes and alpha, or pa and pb")
    if alpha is None:
        raise ValueError(f"certificate {theorem.name} needs alpha, such as alpha=0.001")
    votes_NK, shape = _rows_of(votes)
    return *bounds_of_votes(_selected(selected, votes_NK), votes_NK, alpha, procedure), shape


def _measure(theorem: Certificate, votes_NK: IntArray) -> MeasureSpec:
    """What an exact certificate reads of a measure is the number of its copies; the rest is a label."""
    levels = int(votes_NK[0].sum()) if len(votes_NK) else 2
    return MeasureSpec(family=next(iter(theorem.threat_models)), sigma=1.0, levels=max(2, levels), offsets_seed=0)


def _rows_of(votes: npt.ArrayLike) -> tuple[IntArray, tuple[int, ...]]:
    """The votes as an N×K array, and the shape that the radii are to have."""
    array = np.asarray(votes)
    if array.ndim not in (1, 2):
        raise ValueError(f"votes must be K counts or an N×K array of counts, got the shape {array.shape}")
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"votes must be whole numbers, got {array.dtype}")
    votes_NK = np.atleast_2d(array).astype(np.int64)
    check_votes(votes_NK)
    return votes_NK, array.shape[:-1]


def _selected(selected: npt.ArrayLike | None, votes_NK: IntArray) -> IntArray:
    classes = votes_NK.shape[1]
    array = votes_NK.argmax(axis=1) if selected is None else np.asarray(selected)
    if not np.issubdtype(array.dtype, np.integer) or array.size not in (1, len(votes_NK)):
        raise ValueError(f"selected must be a class, or a class for each of the {len(votes_NK)} images")
    if array.size and not 0 <= array.min() <= array.max() < classes:
        raise ValueError(f"selected must lie in 0..{classes - 1}, got {array.min()} to {array.max()}")
    selected_N: IntArray = np.broadcast_to(array.ravel(), (len(votes_NK),)).astype(np.int64)
    return selected_N


def _exact_bounds(
    pa: npt.ArrayLike | Fraction | None, pb: npt.ArrayLike | Fraction | None
) -> tuple[ProbabilityBounds, tuple[int, ...]]:
    """Bounds from probabilities that are taken as exact numbers, and the shape that the radii are to have."""
    lower, upper = np.broadcast_arrays(np.asarray(pa, dtype=object), np.asarray(pb, dtype=object))
    rows = [
        ProbabilityBounds.exact(_fraction("pa", a), None if b is None else _fraction("pb", b))
        for a, b in zip(lower.ravel(), upper.ravel(), strict=True)
    ]
    columns = zip(*((row.lower_N, row.upper_N, row.gap_N, row.rest_N) for row in rows), strict=True)
    return ProbabilityBounds(*(np.concatenate(column) for column in columns)), lower.shape


def _fraction(name: str, value: Any) -> Fraction:
    try:
        return Fraction(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must be a probability in [0, 1], got {value!r}") from error


def _facts(theorem: Certificate, rows: int, dims: int | None, images: npt.ArrayLike | None, q: int) -> ImageFacts:
    if not theorem.looks_at_images:
        return ImageFacts(q=q, dims=dims)
    if images is None:
        raise ValueError(f"certificate {theorem.name} needs images: it looks at their pixels")
    array = np.asarray(images)
    if array.size == 0 or array.dtype.kind not in "uif" or array.size % max(1, rows):
        raise ValueError(f"images must be {rows} arrays of numbers of one shape, got the shape {array.shape}")
    x_ND = array.reshape(rows, -1).astype(np.float64) / (q if array.dtype.kind in "ui" else 1)
    if not ((x_ND >= 0.0) & (x_ND <= 1.0)).all():
        raise ValueError(f"pixels must lie in [0,1], got {x_ND.min():g} to {x_ND.max():g}")
    return ImageFacts(q=q, dims=dims, caps_ND=np.maximum(x_ND, 1.0 - x_ND))


def _shaped(radius_N: FloatArray, shape: tuple[int, ...]) -> Radii:
    """A number for one image, else an array."""
    radii: Radii = radius_N.reshape(shape)[()]
    return radii
