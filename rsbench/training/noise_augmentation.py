"""Noise augmentation: cross-entropy on a fresh noisy copy of each image (Cohen et al. 2019; Yang et al. 2020).

Shapes: N images, B batch, C channels, H height, W width, K classes.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rsbench.data.dataset import Pixels, unit_images
from rsbench.methods import training_name
from rsbench.models.architectures import build_backbone
from rsbench.models.checkpoint import Checkpoint
from rsbench.models.device import prepare_device
from rsbench.models.networks import Normalized
from rsbench.records import DatasetInfo, EpochRecord, IntArray
from rsbench.smoothing.build import build_measure
from rsbench.smoothing.measures import SmoothingMeasure
from rsbench.smoothing.randomness import KeyedRandom, Stage, check_streams, permutation
from rsbench.specs import CheckpointHeader, TrainingSpec


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a trial trains on: this, and not the data set object, travels to a worker."""

    info: DatasetInfo
    pixels_NCHW: Pixels
    labels_N: IntArray
    mean: tuple[float, ...]
    std: tuple[float, ...]


def train(
    spec: TrainingSpec, data: TrainingData, device_name: str, on_epoch: Callable[[EpochRecord], None]
) -> Checkpoint:
    """Train a network on the run's own measure by SGD with cosine annealing, calling `on_epoch` after each epoch.

    The same spec gives the same bytes on the same kind of device: initial weights, order and noise follow the seed.
    Raises ValueError when the loss stops being finite.
    """
    device = prepare_device(device_name)
    check_streams(device)
    info = data.info
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        backbone = build_backbone(spec.architecture, info.classes, info.shape)
    network = Normalized(backbone, data.mean, data.std).to(device).train()
    measure = build_measure(spec.measure, q=info.q, shape_CHW=info.shape)
    images_NCHW = measure.prepare(unit_images(data.pixels_NCHW, info.q))
    labels_N = torch.from_numpy(data.labels_N)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=spec.learning_rate, momentum=spec.momentum, weight_decay=spec.weight_decay
    )
    steps = spec.epochs * math.ceil(len(labels_N) / spec.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    for epoch in range(spec.epochs):
        started = time.perf_counter()
        loss, accuracy = _epoch(spec, epoch, network, measure, images_NCHW, labels_N, optimizer, schedule)
        if not math.isfinite(loss):
            raise ValueError(f"training diverged in epoch {epoch + 1}: lower the learning rate {spec.learning_rate:g}")
        on_epoch(EpochRecord(epoch + 1, loss, accuracy, time.perf_counter() - started))
    header = CheckpointHeader(
        architecture=spec.architecture,
        classes=info.classes,
        shape=info.shape,
        mean=data.mean,
        std=data.std,
        dataset=spec.dataset,
        dataset_fingerprint=spec.dataset_fingerprint,
        method=training_name(spec),
        measure=spec.measure,
        seed=spec.seed,
        training_fingerprint=spec.fingerprint(),
    )
    return Checkpoint.pack(network, header)


def _epoch(
    spec: TrainingSpec,
    epoch: int,
    network: nn.Module,
    measure: SmoothingMeasure,
    images_NCHW: Tensor,
    labels_N: Tensor,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> tuple[float, float]:
    """Mean loss and accuracy over the epoch's noisy copies."""
    device = next(network.parameters()).device
    order_N = permutation(spec.seed, Stage.ORDER, epoch, len(labels_N))
    loss_sum = torch.zeros((), device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    done = 0
    for chosen_B in order_N.split(spec.batch_size):
        x_BCHW, y_B = images_NCHW[chosen_B].to(device), labels_N[chosen_B].to(device)
        # In training a stream is keyed by the epoch, and by how many images came before in it.
        copies = range(done, done + len(y_B))
        logits_BK = network(measure.perturb(x_BCHW, KeyedRandom.of(spec.seed, Stage.TRAIN, epoch, copies, device)))
        loss = nn.functional.cross_entropy(logits_BK, y_B)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        done += len(y_B)
        loss_sum += loss.detach() * len(y_B)
        correct += (logits_BK.argmax(dim=1) == y_B).sum()
    return loss_sum.item() / len(labels_N), correct.item() / len(labels_N)
