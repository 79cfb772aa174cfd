"""Votes per second of a vote counter, against the plain way: `make benchmark-engine`.

The plain way is how released code of the field certifies: one image after another, its copies in batches of which the
last is smaller, noise from torch's generator, and counting in Python. Both have the same network, batch size and single
thread, on the CPU; untrained weights take the same time. Shapes: B copies, C channels, H height, W width.
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
from rsbench.jobs.checkpoints import CheckpointDescription
from rsbench.jobs.planning import CertifyOptions, plan_run
from rsbench.models.checkpoint import Checkpoint
from rsbench.records import IntArray
from rsbench.specs import CertificationSpec
from rsbench.store.store import Store

N_SELECT = 100
SIGMA = 0.5


@dataclass(frozen=True)
class Case:
    """What is compared: as many images as a chunk has, or as are given; so many turns."""

    architecture: str
    dataset: ImageDataset | None
    n: int
    images: int | None
    turns: int


CASES = {
    "mlp": (Case("mlp", load_digits(), 1000, None, 9), Case("mlp", load_digits(), 10_000, None, 9)),
    "cnn": (Case("cnn", None, 1000, 9, 5),),
    "wrn40-2": (Case("wrn40-2", None, 1000, 3, 2),),
    # Few copies: an image with n = 1,000 would take minutes.
    "resnet50": (Case("resnet50", None, 400, 1, 1),),
}


def plain_counts(network: nn.Module, x_CHW: Tensor, n: int, batch_size: int, classes: int) -> IntArray:
    """How many of n noisy copies of an image each class won."""
    counts_K = np.zeros(classes, dtype=np.int64)
    left = n
    while left > 0:
        size = min(batch_size, left)
        left -= size
        x_BCHW = x_CHW.repeat((size, 1, 1, 1))
        winner_B = network(x_BCHW + SIGMA * torch.randn_like(x_BCHW)).argmax(dim=1).cpu().numpy()
        for winner in winner_B:
            counts_K[winner] += 1
    return counts_K


@torch.inference_mode()
def plain(network: nn.Module, images_NCHW: Tensor, spec: CertificationSpec, classes: int) -> None:
    """Selection and estimation votes of every image."""
    assert spec.budget is not None
    for x_CHW in images_NCHW:
        for n in (spec.budget.n_select, spec.budget.n_estimate):
            assert plain_counts(network, x_CHW, n, spec.batch_size, classes).sum() == n


def compare(case: Case) -> tuple[CertificationSpec, int, float, float, float]:
    """The run, its votes, the votes a second of the plain way and of ours, and the gain: medians over turns."""
    checkpoint, dataset = subject(case)
    options = CertifyOptions(
        n_select=N_SELECT,
        n_estimate=case.n,
        images=None if case.images is None else f"first:{case.images}",
    )
    spec = plan_run(checkpoint, "", dataset, options).spec
    counter = ChunkVoter(CertificationWork(spec, dataset.info, checkpoint))
    network = checkpoint.network(torch.device("cpu"))
    chunk = all_chunks(spec)[0]
    pixels_NCHW = dataset.pixels(chunk.indices)
    votes = len(chunk.indices) * spec.passes_per_image
    images_NCHW = unit_images(pixels_NCHW, dataset.info.q)
    ours, theirs = [], []
    for _ in range(case.turns):
        ours.append(seconds(lambda: counter.count(chunk, pixels_NCHW)))
        theirs.append(seconds(lambda: plain(network, images_NCHW, spec, dataset.info.classes)))
    gain = statistics.median(their / our for their, our in zip(theirs, ours, strict=True))
    return spec, votes, votes / statistics.median(theirs), votes / statistics.median(ours), gain


def subject(case: Case) -> tuple[Checkpoint, ImageDataset]:
    """An untrained network and its images."""
    description = CheckpointDescription(method="cohen", sigma=SIGMA, architecture=case.architecture)
    with Store.open_or_empty("no-such-file.db") as store:
        return choose_subject(store, Path(), case.dataset, description, None)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def report(cases: Sequence[Case]) -> None:
    """A Markdown table."""
    print("| network | votes of an image | images | batch | plain, votes a second | rsbench | gain |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for case in cases:
        spec, votes, theirs, ours, gain = compare(case)
        print(
            f"| `{case.architecture}` | {N_SELECT} + {case.n:,} | {votes // spec.passes_per_image} | {spec.batch_size} "
            f"| {theirs:,.1f} | {ours:,.1f} | {gain:.2f} × |",
            flush=True,
        )


if __name__ == "__main__":
    report([case for name in sys.argv[1:] or CASES for case in CASES[name]])
