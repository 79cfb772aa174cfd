"""The l1 certificates of uniform noise and of independently sampled splitting noise.

`lee` holds without any constraint on the image (for uniform noise). `box-log`, `box` and `box-image` use that both the
image and its perturbation lie in [0,1]^d: two images that differ in several coordinates then have more of their noise
in common than `lee` assumes. With one set of bounds, `lee` and `box-log` ≤ `box` ≤ `box-image`.

How they work: let λ be the noise's half-width, a = 2λ its width, and the overlap of two images the share of the noise
distribution that they have in common. The prediction cannot change while the overlap exceeds t = 1 − (pA − pB)/2.

Shapes: N rows of bounds, D pixel values of an image (channels × pixels), M largest caps.
"""

import math
from fractions import Fraction
from typing import ClassVar

import numpy as np

from rsbench.records import FloatArray, Norm
from rsbench.theory.certificate import ImageFacts, SampledCertificate
from rsbench.theory.probability_bounds import ProbabilityBounds
from rsbench.theory.rounding import floor_to_float, lower_by_ulps

# `box-image` works on blocks of rows with this many values, so that each temporary array has 32 MiB.
_BLOCK_VALUES = 2**22


class LipschitzL1(SampledCertificate):
    """Lee's and Yang's certificate: R = λ·(pA − pB). See `lipschitz_l1_radius`."""

    name = "lee"
    norms: ClassVar[tuple[Norm, ...]] = ("l1",)
    ball = "open"
    threat_models: ClassVar = {"uniform": "all of R^d", "splitting": "the box [0,1]^d"}
    condition = "uniform noise, independent across coordinates, or sampled splitting noise of any joint distribution"
    source = "Lee et al. 2019; Yang et al. 2020; Levine & Feizi 2021, theorem 2"
    scale = "half_width"

    def _radius(self, bounds: ProbabilityBounds, scale: float, images: ImageFacts) -> FloatArray:
        return lipschitz_l1_radius(bounds.gap_N, scale)


class BoxLogL1(SampledCertificate):
    """Voracek and Hein's box certificate in its smooth form, for comparison with published figures.

    See `box_log_l1_radius`. `box` is never smaller and holds for every λ.
    """

    name = "box-log"
    norms: ClassVar[tuple[Norm, ...]] = ("l1",)
    ball = "open"
    threat_models: ClassVar = {"uniform": "the box [0,1]^d", "splitting": "the box [0,1]^d"}
    condition = "noise independent across coordinates and 2λ > 1"
    source = "Voracek & Hein 2023, corollaries 2.7 and 2.14"
    scale = "half_width"

    def _radius(self, bounds: ProbabilityBounds, scale: float, images: ImageFacts) -> FloatArray:
        return box_log_l1_radius(bounds.gap_N, scale)


class BoxL1(SampledCertificate):
    """Voracek and Hein's box certificate in its exact form, the same for every image. See `box_l1_radius`."""

    name = "box"
    norms: ClassVar[tuple[Norm, ...]] = ("l1",)
    ball = "open"
    threat_models: ClassVar = {"uniform": "the box [0,1]^d", "splitting": "the box [0,1]^d"}
    condition = "noise independent across coordinates"
    source = "Voracek & Hein 2023, proposition 2.5, inverted exactly"
    scale = "half_width"
    uses_dims = True

    def _radius(self, bounds: ProbabilityBounds, scale: float, images: ImageFacts) -> FloatArray:
        return box_l1_radius(bounds.gap_N, scale, images.dims)


class BoxImageL1(SampledCertificate):
    """Voracek and Hein's box certificate for the given image, never below `box`. See `box_image_l1_radius`."""

    name = "box-image"
    norms: ClassVar[tuple[Norm, ...]] = ("l1",)
    ball = "open"
    threat_models: ClassVar = {"uniform": "the box [0,1]^d", "splitting": "the box [0,1]^d"}
    condition = "noise independent across coordinates"
    source = "Voracek & Hein 2023, theorem 2.8"
    scale = "half_width"
    looks_at_images = True

    def _radius(self, bounds: ProbabilityBounds, scale: float, images: ImageFacts) -> FloatArray:
        if images.caps_ND is None:
            raise ValueError("certificate box-image needs each image's caps max(x, 1−x)")
        return box_image_l1_radius(bounds.gap_N, scale, images.caps_ND)


def lipschitz_l1_radius(gap_N: FloatArray, half_width: float) -> FloatArray:
    """Return R = λ·(pA − pB) of an open l1 ball, rounded down; with pB = 1 − pA this is 2λ(pA − ½).

    It follows from the class probabilities being Lipschitz in l1 with constant 1/(2λ).
    Source: Lee et al. 2019; Yang et al. 2020; for splitting noise Levine & Feizi 2021, theorem 2.

    gap_N: pA − pB > 0. half_width: λ > 0, in units of the pixel range.
    """
    return lower_by_ulps(half_width * gap_N)


def box_log_l1_radius(gap_N: FloatArray, half_width: float) -> FloatArray:
    """Return R = ln t / ln(1 − 1/a) of an open l1 ball, rounded down.

    Moving m coordinates by their whole range leaves an overlap of (1 − 1/a)^m; this radius solves that for a real m.
    Source: Voracek & Hein 2023, corollaries 2.7 and 2.14. It is below Lee's radius wherever that is below 1.

    gap_N: pA − pB > 0. half_width: λ. Raises ValueError unless 2λ > 1.
    """
    a = 2.0 * half_width
    if a <= 1.0:
        raise ValueError(f"box-log needs 2λ > 1, got λ = {half_width:g}: use box, which holds for every λ")
    # ln(1 − 1/a) = −ln(1 + 1/(a−1)), which keeps its digits for an a just above 1.
    return lower_by_ulps(np.log1p(-0.5 * gap_N) / -np.log1p(1.0 / (a - 1.0)))


def box_l1_radius(gap_N: FloatArray, half_width: float, dims: int | None = None) -> FloatArray:
    """Return the radius of the largest open l1 ball that keeps an overlap above t, for any image of the box.

    For a ≤ 1 this is Lee's radius. For a > 1 it is R = m + a(1 − t/(1−1/a)^m) with the largest integer m for which
    (1−1/a)^m ≥ t: the worst perturbation moves m coordinates by their whole range and one more by a part of it.
    Source: Voracek & Hein 2023, first line of proposition 2.5. The paper bounds it by a logarithm (see
    `box_log_l1_radius`); we invert it exactly, which is never smaller. Rounded down.

    The radius is infinite if (1−1/a)^d > t: then not even the opposite corner of the box is far enough away. At
    equality the opposite corner ties, so the inequality is strict.

    gap_N: pA − pB > 0. half_width: λ > 0. dims: d; if None, no radius is infinite.
    """
    a = 2.0 * half_width
    if a <= 1.0:
        return lipschitz_l1_radius(gap_N, half_width)
    log_t, log_overlap = np.log1p(-0.5 * gap_N), np.log1p(-1.0 / a)
    m = np.floor(log_t / log_overlap)
    # The quotient may have been rounded up to an integer, so test (1−1/a)^m ≥ t directly. If rounding makes m one too
    # small, the radius is only lower.
    m = np.where(m * log_overlap < log_t, m - 1.0, m)
    radius = np.where(
        m == 0.0,
        lipschitz_l1_radius(gap_N, half_width),
        lower_by_ulps(m - a * np.expm1(log_t - m * log_overlap)),
    )
    if dims is None:
        return radius
    # Infinite only where the overlap exceeds t by more than the rounding errors.
    return np.where(-dims * log_overlap < lower_by_ulps(-log_t), np.inf, radius)


def box_image_l1_radius(gap_N: FloatArray, half_width: float, caps_ND: FloatArray) -> FloatArray:
    """Return the radius of the largest open l1 ball that keeps an overlap above t, for the given image.

    A pixel x can move by at most its cap c = max(x, 1−x), which leaves an overlap of 1 − c/a. The worst image at a
    given l1 distance moves the pixels with the largest caps as far as they go.
    Source: Voracek & Hein 2023, theorem 2.8. Rounded down; infinite where the ball contains the whole box.

    gap_N: pA − pB > 0. half_width: λ > 0. caps_ND: the caps of each image's pixels, in any order, in [½, 1].
    """
    rows = max(1, _BLOCK_VALUES // caps_ND.shape[1])
    blocks = [slice(start, start + rows) for start in range(0, len(gap_N), rows)]
    radii = [_box_image_radius_of_block(gap_N[block], 2.0 * half_width, caps_ND[block]) for block in blocks]
    return np.concatenate(radii) if radii else np.zeros(0)


def smallest_overlap(caps_D: FloatArray, distance: float, half_width: float) -> float:
    """Return the smallest overlap of an image with any image of the box at an l1 distance, rounded down.

    This is theorem 2.8 of Voracek & Hein 2023 read from distance to overlap, with each factor clamped at 0. It is the
    inverse of `box_image_l1_radius` and serves to test it.

    caps_D: the caps of the image's pixels. distance: ≥ 0. half_width: λ > 0.
    """
    # The remaining distance and factors near 0 are differences of nearby numbers: exact arithmetic keeps their digits.
    remaining, overlap, roundings = Fraction(distance), 1.0, 16
    for cap in np.sort(caps_D)[::-1]:
        if remaining == 0:
            break
        moved = min(Fraction(float(cap)), remaining)
        overlap *= floor_to_float(max(Fraction(0), 1 - moved / Fraction(2.0 * half_width)))
        remaining -= moved
        roundings += 2
    return float(lower_by_ulps(overlap, roundings))


def _box_image_radius_of_block(gap_N: FloatArray, a: float, caps_ND: FloatArray) -> FloatArray:
    """Compute `box_image_l1_radius` for a block of rows, with a = 2λ."""
    largest_NM = _largest_caps(caps_ND, _caps_needed(a))
    caps_used = largest_NM.shape[1]
    # Distance and log overlap after the 0, 1, …, M largest caps have moved as far as they go.
    distance_NM1 = np.pad(np.cumsum(largest_NM, axis=1), ((0, 0), (1, 0)))
    with np.errstate(divide="ignore"):
        # A cap of a or more leaves no overlap: log 0.
        log_overlap_NM = np.cumsum(np.log1p(-np.minimum(largest_NM / a, 1.0)), axis=1)
    log_overlap_NM1 = np.pad(log_overlap_NM, ((0, 0), (1, 0)))
    log_t_N = np.log1p(-0.5 * gap_N)
    # A sum of m terms is off by up to m units in the last place.
    ulps = 16 + 2 * caps_used
    # How many pixels can move as far as they go while the overlap exceeds t. A rounding error in this count only
    # lowers the radius: the overlap is piecewise linear in the distance, and each piece, continued, lies below its
    # neighbours.
    moved_N = (log_overlap_NM > log_t_N[:, None]).sum(axis=1)
    covers_box_N = (caps_used == caps_ND.shape[1]) & (-log_overlap_NM1[:, -1] < lower_by_ulps(-log_t_N, ulps))
    index_N1 = np.minimum(moved_N, caps_used - 1)[:, None]
    distance_N = np.take_along_axis(distance_NM1, index_N1, axis=1)[:, 0]
    log_overlap_N = np.take_along_axis(log_overlap_NM1, index_N1, axis=1)[:, 0]
    radius_N = lower_by_ulps(distance_N - a * np.expm1(log_t_N - log_overlap_N), ulps)
    return np.where(covers_box_N, np.inf, radius_N)


def _caps_needed(a: float) -> int:
    """Return a number of caps ≥ ½ after which the overlap is below ½ ≤ t, so that no more can matter."""
    return 1 if a <= 0.5 else math.ceil(math.log(2.0) / -math.log1p(-0.5 / a)) + 1


def _largest_caps(caps_ND: FloatArray, count: int) -> FloatArray:
    """Return the `count` largest caps of each row in descending order, or all of them where there are fewer."""
    if count < caps_ND.shape[1]:
        caps_ND = np.partition(caps_ND, -count, axis=1)[:, -count:]
    return -np.sort(-caps_ND, axis=1)
