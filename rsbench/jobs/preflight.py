"""A quick check of a base classifier before hours are spent on it. Shapes: N images, C×H×W an image."""

import numpy as np
import torch
from scipy.special import bdtrc

from rsbench.data.dataset import ImageDataset, unit_images
from rsbench.data.subset import indices_of
from rsbench.errors import CheckpointError
from rsbench.models.checkpoint import BaseClassifier
from rsbench.records import IntArray
from rsbench.smoothing.build import build_measure
from rsbench.smoothing.randomness import KeyedRandom, Stage

# Enough to tell from guessing a network that is right for one image in five of ten classes, and few enough for a
# CPU to classify them in seconds.
IMAGES = 100
# Images of a batch: few enough for the memory that a large network needs on a CPU.
_BATCH_SIZE = 25
# A classifier that guesses passes at least one of two tests with a probability below 2 %.
_SIGNIFICANCE = 0.01


def check_above_chance(checkpoint: BaseClassifier, dataset: ImageDataset, images: str) -> None:
    """Raise CheckpointError when a classifier is no better than guessing on 100 images and no better on noisy copies.

    A network that was trained on much noise may be at chance on images without noise, so passing either test suffices.
    The most common cause is a wrong normalisation. Nothing is raised for so few images that guessing could get all of
    them right. All is computed on the CPU of this process.

    images: canonical text of the run's images, of which at most 100 are used.
    """
    chosen = indices_of(images)
    index_N = np.array(chosen)[np.unique(np.linspace(0, len(chosen) - 1, IMAGES).round().astype(int))]
    classes, count = dataset.info.classes, len(index_N)
    if (1.0 / classes) ** count > _SIGNIFICANCE:
        return
    correct = _count_correct(checkpoint, dataset, index_N)
    # bdtrc(k − 1, n, p) is the probability of at least k successes.
    if all(hits == 0 or bdtrc(hits - 1, count, 1.0 / classes) > _SIGNIFICANCE for hits in correct):
        raise CheckpointError(
            f"checkpoint {checkpoint.sha256[:12]} classifies {correct[0]} of {count} images and {correct[1]} of their "
            f"noisy copies correctly, no better than guessing among {classes} classes: check --normalisation and the "
            "order of the classes, or certify it anyway with --force"
        )


@torch.inference_mode()
def _count_correct(checkpoint: BaseClassifier, dataset: ImageDataset, index_N: IntArray) -> list[int]:
    """How many images the network classifies correctly, and how many of their noisy copies."""
    info = dataset.info
    network = checkpoint.network(torch.device("cpu"))
    measure = build_measure(checkpoint.header.measure, q=info.q, shape_CHW=info.shape)
    correct = [0, 0]
    for start in range(0, len(index_N), _BATCH_SIZE):
        part_N = index_N[start : start + _BATCH_SIZE]
        x_NCHW = unit_images(dataset.pixels(part_N.tolist()), info.q)
        label_N = torch.from_numpy(dataset.labels_N[part_N])
        noisy_NCHW = measure.perturb(
            measure.prepare(x_NCHW), KeyedRandom.of(0, Stage.PREFLIGHT, 0, range(start, start + len(part_N)))
        )
        for kind, batch_NCHW in enumerate((x_NCHW, noisy_NCHW)):
            correct[kind] += int((network(batch_NCHW).argmax(dim=1) == label_N).sum())
    return correct
