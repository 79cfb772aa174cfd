"""The l1 radius under box constraints for a given image (Voracek & Hein). Shapes: N images, D pixels, M largest caps.

A pixel x can move by at most its cap c = max(x, 1−x), which leaves a share 1 − c/a of the noise in common (a = 2λ).
The worst image at an l1 distance moves the pixels of the largest caps as far as they go.
"""

import math
from fractions import Fraction
from typing import ClassVar

import numpy as np

from rsbench.records import FloatArray
from rsbench.theory.certificate import ImageFacts, Norm, SampledCertificate
from rsbench.theory.probability_bounds import ProbabilityBounds
from rsbench.theory.rounding import floor_to_float, inward

# Values of one block of rows: 32 MiB an array.
_BLOCK = 2**22


def box_image_l1_radius(gap_N: FloatArray, half_width: float, caps_ND: FloatArray) -> FloatArray:
    """The open l1 ball of theorem 2.8 (Voracek & Hein 2023), rounded down; infinite where it holds the whole box.

    gap_N: pA − pB > 0. half_width: λ > 0. caps_ND: the images' caps, in any order, in [½, 1].
    """
    rows = max(1, _BLOCK // caps_ND.shape[1])
    blocks = [slice(start, start + rows) for start in range(0, len(gap_N), rows)]
    radii = [_radius_of_block(gap_N[block], 2.0 * half_width, caps_ND[block]) for block in blocks]
    return np.concatenate(radii) if radii else np.zeros(0)


def smallest_overlap(caps_D: FloatArray, distance: float, half_width: float) -> float:
    """The least share of the noise that an image has in common with another at that l1 distance, rounded down.

    Theorem 2.8 (Voracek & Hein 2023) read forwards, each factor clamped at 0.
    """
    # What is left to move, and a factor that is near 0, are differences: exact, for no digit is to be lost.
    left, share, roundings = Fraction(distance), 1.0, 16
    for cap in np.sort(caps_D)[::-1]:
        if left == 0:
            break
        moved = min(Fraction(float(cap)), left)
        share *= floor_to_float(max(Fraction(0), 1 - moved / Fraction(2.0 * half_width)))
        left -= moved
        roundings += 2
    return float(inward(share, roundings))


def _radius_of_block(gap_N: FloatArray, a: float, caps_ND: FloatArray) -> FloatArray:
    largest_NM = _largest_caps(caps_ND, _caps_to_walk(a))
    steps = largest_NM.shape[1]
    walked_NM1 = np.pad(np.cumsum(largest_NM, axis=1), ((0, 0), (1, 0)))
    with np.errstate(divide="ignore"):
        # A cap that exceeds a leaves nothing in common: log 0.
        log_share_NM = np.cumsum(np.log1p(-np.minimum(largest_NM / a, 1.0)), axis=1)
    log_share_NM1 = np.pad(log_share_NM, ((0, 0), (1, 0)))
    log_t_N = np.log1p(-0.5 * gap_N)
    # A sum of m terms is off by up to m units in the last place.
    roundings = 16 + 2 * steps
    # How many pixels can move as far as they go. A rounding error there only lowers the radius: the pieces of the
    # piecewise linear share meet, and each, continued, lies below its neighbours.
    full_N = (log_share_NM > log_t_N[:, None]).sum(axis=1)
    whole_box_N = (steps == caps_ND.shape[1]) & (-log_share_NM1[:, -1] < inward(-log_t_N, roundings))
    at_N1 = np.minimum(full_N, steps - 1)[:, None]
    walked_N = np.take_along_axis(walked_NM1, at_N1, axis=1)[:, 0]
    log_share_N = np.take_along_axis(log_share_NM1, at_N1, axis=1)[:, 0]
    radius_N = inward(walked_N - a * np.expm1(log_t_N - log_share_N), roundings)
    return np.where(whole_box_N, np.inf, radius_N)


def _caps_to_walk(a: float) -> int:
    """So many caps, each ≥ ½, leave a share below ½ ≤ t in common: the walk ends before."""
    return 1 if a <= 0.5 else math.ceil(math.log(2.0) / -math.log1p(-0.5 / a)) + 1


def _largest_caps(caps_ND: FloatArray, count: int) -> FloatArray:
    """The `count` largest of each row, or all where there are fewer, in descending order."""
    if count < caps_ND.shape[1]:
        caps_ND = np.partition(caps_ND, -count, axis=1)[:, -count:]
    return -np.sort(-caps_ND, axis=1)


class BoxImageL1(SampledCertificate):
    """The certificate that looks at the image: never below `box`."""

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
