"""Looking at a base classifier before hours are spent on it. Shapes: N images, C channels, H height, W width."""

import numpy as np
import torch
from scipy.special import bdtrc

from rsbench.data.dataset import ImageDataset, unit_images
from rsbench.data.subset import indices_of
from rsbench.errors import CheckpointError
from rsbench.models.checkpoint import Checkpoint
from rsbench.records import IntArray
from rsbench.smoothing.build import build_measure
from rsbench.smoothing.randomness import KeyedRandom, Stage

IMAGES = 100
_AT_ONCE = 25
# A classifier that guesses passes one of the two looks with a probability below 2 %.
_SIGNIFICANCE = 0.01


def check_above_chance(checkpoint: Checkpoint, dataset: ImageDataset, images: str) -> None:
    """Look at up to 100 of the chosen images, as they are and under one noisy copy each.

    images: canonical text of the choice. On one of the two the classifier must be right more often than by guessing;
    networks trained on much noise may know nothing else. Computed on the CPU of the driver, whatever the run uses.
    Raises CheckpointError when it is at chance on both: wrong normalisation is the field's most common mistake.
    """
    chosen = indices_of(images)
    index_N = np.array(chosen)[np.unique(np.linspace(0, len(chosen) - 1, IMAGES).round().astype(int))]
    correct = _right(checkpoint, dataset, index_N)
    classes, count = dataset.info.classes, len(index_N)
    # P(at least so many are right by guessing).
    if all(right == 0 or bdtrc(right - 1, count, 1.0 / classes) > _SIGNIFICANCE for right in correct):
        raise CheckpointError(
            f"checkpoint {checkpoint.sha256[:12]} is right on {correct[0]} of {count} images and on {correct[1]} of "
            f"their noisy copies, which is guessing among {classes} classes: is it normalised as it was trained, "
            "and its classes in this order? --force certifies it all the same"
        )


@torch.inference_mode()
def _right(checkpoint: Checkpoint, dataset: ImageDataset, index_N: IntArray) -> list[int]:
    """On how many images the network is right, and on how many noisy copies of them."""
    info = dataset.info
    network = checkpoint.network(torch.device("cpu"))
    measure = build_measure(checkpoint.header.measure, q=info.q, shape_CHW=info.shape)
    correct = [0, 0]
    for start in range(0, len(index_N), _AT_ONCE):
        part_N = index_N[start : start + _AT_ONCE]
        x_NCHW = unit_images(dataset.pixels(part_N.tolist()), info.q)
        label_N = torch.from_numpy(dataset.labels_N[part_N])
        noisy_NCHW = measure.perturb(
            measure.prepare(x_NCHW), KeyedRandom.of(0, Stage.PREFLIGHT, 0, range(start, start + len(part_N)))
        )
        for look, batch_NCHW in enumerate((x_NCHW, noisy_NCHW)):
            correct[look] += int((network(batch_NCHW).argmax(dim=1) == label_N).sum())
    return correct
