"""Votes per second of `ChunkVoter`, compared with a plain implementation: `make benchmark-engine`.

The plain implementation certifies as the released code of most papers does: one image after another, its noisy copies
in batches of which the last is smaller, with noise from torch's generator and votes counted in Python. Both use the
same network, batch size and single CPU thread. The weights are untrained, which does not change the time.
Shapes: N images, B noisy copies, K classes, C channels, H height, W width.
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from rsbench.certification.plan import all_chunks
from rsbench.certification.voting import CertificationWork, ChunkVoter
from rsbench.data.dataset import ImageDataset, unit_images
from rsbench.data.in_memory import load_digits
from rsbench.jobs.benchmark import choose_subject
from rsbench.jobs.options import CertifyOptions, CheckpointDescription
from rsbench.jobs.planning import plan_run
from rsbench.models.checkpoint import BaseClassifier
from rsbench.records import IntArray
from rsbench.specs import CertificationSpec
from rsbench.store.store import Store

N_SELECT = 100
SIGMA = 0.5


@dataclass(frozen=True)
class Case:
    """One comparison."""

    architecture: str
    dataset: ImageDataset | None
    """None for random images of the size that the architecture expects."""

    n: int
    """Estimation votes of an image."""

    images: int | None
    """How many images are certified; None for a chunk of the default size."""

    repetitions: int


CASES = {
    "mlp": (Case("mlp", load_digits(), 1000, None, 9), Case("mlp", load_digits(), 10_000, None, 9)),
    "cnn": (Case("cnn", None, 1000, 9, 5),),
    "wrn40-2": (Case("wrn40-2", None, 1000, 3, 2),),
    # With n = 1,000, one image would take minutes.
    "resnet50": (Case("resnet50", None, 400, 1, 1),),
}


def plain_counts(network: nn.Module, x_CHW: Tensor, n: int, batch_size: int, classes: int) -> IntArray:
    """Count how many of n noisy copies of an image are assigned to each class."""
    counts_K = np.zeros(classes, dtype=np.int64)
    remaining = n
    while remaining > 0:
        size = min(batch_size, remaining)
        remaining -= size
        x_BCHW = x_CHW.repeat((size, 1, 1, 1))
        predicted_B = network(x_BCHW + SIGMA * torch.randn_like(x_BCHW)).argmax(dim=1).cpu().numpy()
        for predicted in predicted_B:
            counts_K[predicted] += 1
    return counts_K


@torch.inference_mode()
def vote_plainly(network: nn.Module, images_NCHW: Tensor, spec: CertificationSpec, classes: int) -> None:
    """Count selection and estimation votes of every image."""
    assert spec.budget is not None
    for x_CHW in images_NCHW:
        for n in (spec.budget.n_select, spec.budget.n_estimate):
            assert plain_counts(network, x_CHW, n, spec.batch_size, classes).sum() == n


@dataclass(frozen=True)
class Comparison:
    """The result of a case. Speeds and speedup are medians over the repetitions."""

    spec: CertificationSpec
    votes: int
    """Votes of all images."""

    plain_votes_per_second: float
    rsbench_votes_per_second: float
    speedup: float


def compare(case: Case) -> Comparison:
    """Time both implementations alternately."""
    checkpoint, dataset = untrained_checkpoint(case)
    options = CertifyOptions(
        n_select=N_SELECT,
        n_estimate=case.n,
        images=None if case.images is None else f"first:{case.images}",
    )
    spec = plan_run(checkpoint, "", dataset, options).spec
    voter = ChunkVoter(CertificationWork(spec, dataset.info, checkpoint))
    network = checkpoint.network(torch.device("cpu"))
    chunk = all_chunks(spec)[0]
    pixels_NCHW = dataset.pixels(chunk.indices)
    votes = len(chunk.indices) * spec.passes_per_image
    images_NCHW = unit_images(pixels_NCHW, dataset.info.q)
    rsbench_times, plain_times = [], []
    for _ in range(case.repetitions):
        rsbench_times.append(seconds(lambda: voter.count(chunk, pixels_NCHW)))
        plain_times.append(seconds(lambda: vote_plainly(network, images_NCHW, spec, dataset.info.classes)))
    return Comparison(
        spec,
        votes,
        votes / statistics.median(plain_times),
        votes / statistics.median(rsbench_times),
        statistics.median(plain / ours for plain, ours in zip(plain_times, rsbench_times, strict=True)),
    )


def untrained_checkpoint(case: Case) -> tuple[BaseClassifier, ImageDataset]:
    """Return an untrained network and images for it."""
    description = CheckpointDescription(method="cohen", sigma=SIGMA, architecture=case.architecture)
    with Store.open_or_empty("no-such-file.db") as store:
        return choose_subject(store, Path(), case.dataset, description, None)


def seconds(call: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def print_table(cases: Sequence[Case]) -> None:
    """Print a Markdown table with a line for each case, as soon as it is measured."""
    print("| network | votes per image | images | batch | plain, votes per second | rsbench | speedup |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for case in cases:
        result = compare(case)
        images = result.votes // result.spec.passes_per_image
        print(
            f"| `{case.architecture}` | {N_SELECT} + {case.n:,} | {images} | {result.spec.batch_size} "
            f"| {result.plain_votes_per_second:,.1f} | {result.rsbench_votes_per_second:,.1f} "
            f"| {result.speedup:.2f} × |",
            flush=True,
        )


if __name__ == "__main__":
    print_table([case for name in sys.argv[1:] or CASES for case in CASES[name]])
