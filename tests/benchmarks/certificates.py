"""Rows per second of every certificate, from votes to radii, on a million rows: `make benchmark`.

Shapes: N rows, K classes, D pixels.
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
BASES = 3091
ALPHA = 0.001
RUN = 10_000


def votes(random: np.random.Generator, total: int) -> IntArray:
    """Votes of N images in which class 1 leads in most, by all margins, and the rest is spread."""
    share_N = random.beta(4.0, 1.0, size=N)
    votes_NK = np.zeros((N, K), dtype=np.int64)
    votes_NK[:, 1] = random.binomial(total, share_N)
    votes_NK[:, 2] = random.binomial(total - votes_NK[:, 1], 0.7)
    votes_NK[:, 3] = total - votes_NK.sum(axis=1)
    return votes_NK


def caps(random: np.random.Generator) -> FloatArray:
    """Caps of images with 17 grey levels, as the digits have."""
    x_ND = random.integers(0, 17, size=(N, D)) / 16.0
    return np.maximum(x_ND, 1.0 - x_ND)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def bounds() -> Iterator[tuple[str, int, float]]:
    """Each confidence bound on its own: what it bounded, rows, seconds."""
    random = np.random.default_rng(1)
    k_N, sizes_N = random.integers(0, SAMPLES + 1, size=N), random.integers(SAMPLES, 2 * SAMPLES, size=N)
    yield "Clopper–Pearson, lower, one n", N, seconds(lambda: clopper_pearson_lower(k_N, SAMPLES, ALPHA))
    yield "Clopper–Pearson, lower, as many n", N, seconds(lambda: clopper_pearson_lower(k_N, sizes_N, ALPHA))
    yield "Clopper–Pearson, upper, one n", N, seconds(lambda: clopper_pearson_upper(k_N, SAMPLES, ALPHA))
    few = N // 100
    yield "time-uniform, lower", few, seconds(lambda: time_uniform_lower(k_N[:few], sizes_N[:few], ALPHA))


def certificates(rows: int) -> Iterator[tuple[str, int, float]]:
    """Each certificate under each procedure, from votes to radii: its name, rows, seconds."""
    random = np.random.default_rng(2)
    sampled_NK, enumerated_NK, caps_ND = votes(random, SAMPLES)[:rows], votes(random, BASES)[:rows], caps(random)[:rows]
    for name, certificate in CERTIFICATES.items():
        family: str = next(iter(certificate.threat_models))
        if name == "dssn":
            measure = MeasureSpec(family=family, sigma=3.5, levels=BASES, offsets_seed=0)
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


def report(heading: str, lines: Iterator[tuple[str, int, float]]) -> None:
    """A Markdown table."""
    print(f"| {heading} | rows | seconds | rows a second |\n|---|---:|---:|---:|")
    for name, rows, took in lines:
        print(f"| {name} | {rows:,} | {took:.3f} | {rows / took:,.0f} |", flush=True)
    print()


if __name__ == "__main__":
    report("bound", bounds())
    report("certificate", certificates(N))
    report("certificate, one run", certificates(RUN))
