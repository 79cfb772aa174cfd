"""Rows per second of every certificate, from votes to radii, on a million rows: `make benchmark`.

A row is an image. Shapes: N rows, K classes, D pixels.
"""

import time
from collections.abc import Callable, Iterator

import numpy as np

from rsbench.records import FloatArray, IntArray
from rsbench.specs import PROCEDURES, MeasureSpec
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import ImageFacts
from rsbench.theory.confidence import clopper_pearson_lower, clopper_pearson_upper
from rsbench.theory.confidence_extensions import time_uniform_lower

N, K, D = 1_000_000, 10, 64
SAMPLES = 100_000
LEVELS = 3091
ALPHA = 0.001
RUN_SIZE = 10_000


def draw_votes(random: np.random.Generator, total: int) -> IntArray:
    """Return votes of N images. In most images class 1 leads, by all possible margins."""
    share_N = random.beta(4.0, 1.0, size=N)
    votes_NK = np.zeros((N, K), dtype=np.int64)
    votes_NK[:, 1] = random.binomial(total, share_N)
    votes_NK[:, 2] = random.binomial(total - votes_NK[:, 1], 0.7)
    votes_NK[:, 3] = total - votes_NK.sum(axis=1)
    return votes_NK


def draw_caps(random: np.random.Generator) -> FloatArray:
    """Return caps, max(x, 1 − x), of N images with 17 grey levels, like the digits."""
    x_ND = random.integers(0, 17, size=(N, D)) / 16.0
    return np.maximum(x_ND, 1.0 - x_ND)


def seconds(call: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure_bounds() -> Iterator[tuple[str, int, float]]:
    """Yield name, rows and seconds of each confidence bound."""
    random = np.random.default_rng(1)
    k_N, sizes_N = random.integers(0, SAMPLES + 1, size=N), random.integers(SAMPLES, 2 * SAMPLES, size=N)
    yield "Clopper–Pearson, lower, one n", N, seconds(lambda: clopper_pearson_lower(k_N, SAMPLES, ALPHA))
    yield (
        "Clopper–Pearson, lower, a different n in each row",
        N,
        seconds(lambda: clopper_pearson_lower(k_N, sizes_N, ALPHA)),
    )
    yield "Clopper–Pearson, upper, one n", N, seconds(lambda: clopper_pearson_upper(k_N, SAMPLES, ALPHA))
    few = N // 100
    yield "time-uniform, lower", few, seconds(lambda: time_uniform_lower(k_N[:few], sizes_N[:few], ALPHA))


def measure_certificates(rows: int) -> Iterator[tuple[str, int, float]]:
    """Yield name, rows and seconds of each certificate under each procedure, from votes to radii."""
    random = np.random.default_rng(2)
    sampled_NK, enumerated_NK, caps_ND = (
        draw_votes(random, SAMPLES)[:rows],
        draw_votes(random, LEVELS)[:rows],
        draw_caps(random)[:rows],
    )
    for name, certificate in CERTIFICATES.items():
        family: str = next(iter(certificate.threat_models))
        if name == "dssn":
            measure = MeasureSpec(family=family, sigma=3.5, levels=LEVELS, offsets_seed=0)
            facts = ImageFacts(q=255)
            yield (
                name,
                rows,
                seconds(
                    lambda c=certificate, m=measure, f=facts: c.certify(enumerated_NK, enumerated_NK, m, images=f)  # type: ignore[misc]
                ),
            )
            continue
        measure, facts = MeasureSpec(family=family, sigma=1.0), ImageFacts(dims=D, caps_ND=caps_ND)
        for procedure in PROCEDURES:
            yield (
                f"{name}, {procedure}",
                rows,
                seconds(
                    lambda c=certificate, m=measure, f=facts, p=procedure: c.certify(  # type: ignore[misc]
                        sampled_NK, sampled_NK, m, failure_probability=ALPHA, procedure=p, images=f
                    )
                ),
            )


def print_table(heading: str, measurements: Iterator[tuple[str, int, float]]) -> None:
    """Print a Markdown table with a line for each measurement, as soon as it is taken."""
    print(f"| {heading} | rows | seconds | rows per second |\n|---|---:|---:|---:|")
    for name, rows, elapsed in measurements:
        print(f"| {name} | {rows:,} | {elapsed:.3f} | {rows / elapsed:,.0f} |", flush=True)
    print()


if __name__ == "__main__":
    print_table("bound", measure_bounds())
    print_table("certificate", measure_certificates(N))
    print_table("certificate, one run", measure_certificates(RUN_SIZE))
