"""The smoothing measures, by the standard deviation of their noise."""

from rsbench.errors import UsageError
from rsbench.methods import measure_for, method_named
from rsbench.specs import MeasureSpec


def gaussian(sigma: float) -> MeasureSpec:
    """Isotropic Gaussian noise N(0, σ²·I) (Cohen et al. 2019).

    sigma: the standard deviation, from 1e-6 to 1e6, in units of the pixel range [0,1].
    Raises UsageError when sigma is out of range.
    """
    return measure_for(method_named("cohen"), sigma, q=None, offsets_seed=0)


def uniform(sigma: float) -> MeasureSpec:
    """Uniform noise U[−λ, λ]^d with λ = √3·σ (Yang et al. 2020).

    sigma: the standard deviation, from 1e-6 to 1e6, in units of the pixel range [0,1]; for a half-width λ give λ/√3.
    Raises UsageError when sigma is out of range.
    """
    return measure_for(method_named("uniform"), sigma, q=None, offsets_seed=0)


def splitting(sigma: float) -> MeasureSpec:
    """Independent splitting noise with λ = √3·σ (Levine & Feizi 2021, theorem 2).

    sigma: the standard deviation of the split points, from 1e-6 to 1e6, in units of the pixel range [0,1]; for a
        half-width λ give λ/√3.
    Raises UsageError when sigma is out of range.
    """
    return measure_for(method_named("ssn"), sigma, q=None, offsets_seed=0)


def deterministic_splitting(sigma: float, *, q: int = 255, offsets_seed: int = 0) -> MeasureSpec:
    """Splitting noise whose L = ⌊2·√3·σ·q⌋ splits are all evaluated (Levine & Feizi 2021, §4.1).

    Certification is exact: every split is evaluated, so there is no sampling and no failure probability.

    sigma: the standard deviation of the split points, from 1e-6 to 1e6, in units of the pixel range [0,1].
    q: the images lie on the grid k/q, k = 0..q; images of 8 bits have q = 255.
    offsets_seed: the seed of the offsets between the pixels' splits, which are a part of the classifier.
    Raises UsageError when an argument is out of range, or fewer than two splits are left.
    """
    if not 1 <= q < 2**16:
        raise UsageError(f"q, the number of quantisation steps, must lie in 1..65535, got {q}")
    if not 0 <= offsets_seed < 2**32:
        raise UsageError(f"offsets_seed must lie in 0..{2**32 - 1}, got {offsets_seed}")
    return measure_for(method_named("dssn"), sigma, q=q, offsets_seed=offsets_seed)
