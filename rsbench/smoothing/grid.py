"""Exact arithmetic for images on a grid: pixels k/q as the integers k, noise in steps of 1/mq.

Integers are stored in float32, which represents them exactly up to 2²⁴ and is faster than int64 on a CPU.
Shapes: B batch, C channels, H height, W width.
"""

import math

import torch
from torch import Tensor

# A pixel k/q is a float32, so k/q·q differs from k by less than 255·2⁻²³.
_PIXEL_TOLERANCE = 1e-4
# With at most this many steps all numbers below stay under 2²⁴, and the rounding error of a quotient is smaller than
# its distance to the next integer.
_MAX_STEPS = 2**21
# Integer noise has at least this many steps per pixel range: so many that rounding λ up to a step changes no result
# visibly.
_MIN_STEPS_PER_RANGE = 1024


def check_levels(levels: int, q: int) -> None:
    """Raise ValueError if noise of L = `levels` steps of 1/q is too fine or too wide for exact arithmetic."""
    if levels + q > _MAX_STEPS:
        raise ValueError(
            f"{levels} noise levels on a grid of {q} steps exceed exact float32 arithmetic (at most {_MAX_STEPS} in "
            "all): lower sigma, or use --noise-arithmetic float"
        )


def integer_noise_parameters(half_width: float, q: int) -> tuple[int, int, int]:
    """Return L, q and m: noise of half-width λ for images on the grid k/q is drawn in L steps of 1/mq.

    m makes at least 1024 steps per pixel range, and L = ⌈2λmq⌉, so the half-width L/2mq of the noise is at least λ and
    exceeds it by less than half a step. The radius of every theorem for these distributions increases with the
    half-width, so the certificate for λ holds.
    """
    m = max(1, math.ceil(_MIN_STEPS_PER_RANGE / q))
    return max(1, math.ceil(2.0 * half_width * m * q)), q, m


def pixel_steps(x: Tensor, q: int, measure_name: str) -> Tensor:
    """Return the integer k of each pixel k/q as float32, same shape.

    Raises ValueError if a pixel is not one of 0, 1/q, …, 1. The message starts with `measure_name`, which certifies
    only such images.
    """
    scaled = x * q
    steps = scaled.round()
    largest_error = (scaled - steps).abs().max().item()
    if steps.min().item() < 0 or steps.max().item() > q:
        raise ValueError(f"{measure_name} certifies images in [0,1] only, and a pixel lies outside it")
    if not largest_error <= _PIXEL_TOLERANCE:  # also where a pixel is NaN
        raise ValueError(
            f"{measure_name} certifies images on the grid k/{q} only, and a pixel lies {largest_error / q:.2g} off it: "
            "quantise the images or use ssn with --noise-arithmetic float"
        )
    return steps


def split_pixels(steps_BCHW: Tensor, index_BCHW: Tensor, *, levels: int, q: int) -> Tensor:
    """Replace each pixel by the midpoint of its cell of [0,1], float32 (Levine & Feizi 2021, equation 28).

    `steps_BCHW` holds pixels in steps of 1/q. `index_BCHW` holds integers in float32 and is overwritten: it divides
    [0,1] at (index + ½)/q and at every multiple of L/q from there, with L = `levels`. Only quotients are rounded.
    """
    # In half steps pixels are even and split points odd, so no pixel lies on a split point. 2L is even, so each
    # quotient is at least 1/2L away from an integer, which is far more than its rounding error.
    period = 2 * levels
    split_BCHW = index_BCHW.mul_(2).add_(1)
    high_BCHW = (2 * steps_BCHW).sub_(split_BCHW).div_(period).ceil_().mul_(period).add_(split_BCHW)
    low_BCHW = torch.sub(high_BCHW, period, out=split_BCHW).clamp_(min=0)
    return high_BCHW.clamp_(max=2 * q).add_(low_BCHW).div_(4 * q)
