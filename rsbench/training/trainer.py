"""The training loop, which is the same for every objective.

Shapes: N training images, B images of a batch, C channels, H height, W width, K classes.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from rsbench.data.dataset import unit_images
from rsbench.errors import CheckpointError
from rsbench.methods import training_name
from rsbench.models.architectures import build_backbone
from rsbench.models.checkpoint import Checkpoint
from rsbench.models.device import prepare_device
from rsbench.models.networks import Normalized
from rsbench.records import EpochRecord
from rsbench.smoothing.build import build_measure
from rsbench.smoothing.measures import SmoothingMeasure
from rsbench.smoothing.randomness import Stage, check_streams, permutation
from rsbench.specs import CheckpointHeader, TrainingSpec
from rsbench.training.batch import TrainingBatch, TrainingData
from rsbench.training.objectives import Objective, build_objective


def train(
    spec: TrainingSpec, data: TrainingData, device_name: str, on_epoch: Callable[[EpochRecord], None]
) -> Checkpoint:
    """Train a network with the objective and the smoothing measure of a specification, and return its checkpoint.

    The optimizer is SGD; its learning rate is annealed by a cosine over all batches. Initial weights, order and noise
    follow from the seed, so a specification gives the same bytes on every device of one kind.

    Parameters
    ----------
    spec
        The trial.
    data
        The training images.
    device_name
        `cpu` or `cuda`.
    on_epoch
        Called after each epoch with its mean loss and its accuracy on noisy copies. An exception that it raises ends
        the training.

    Raises UsageError if the objective or its options are not valid, CheckpointError if a checkpoint that the objective
    needs is not in `data`, and ValueError if the loss becomes infinite or NaN.
    """
    device = prepare_device(device_name)
    check_streams(device)
    objective = build_objective(spec.objective, spec.objective_options)
    _check_checkpoints(spec.objective, objective, data)
    header = _header(spec, data)
    network = _initial_network(spec, data).to(device).train()
    smoothing = build_measure(spec.measure, q=data.info.q, shape_CHW=data.info.shape)
    prepared_NCHW = smoothing.prepare(unit_images(data.pixels_NCHW, data.info.q))
    labels_N = torch.from_numpy(data.labels_N)
    objective.prepare(network, data, device)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=spec.learning_rate, momentum=spec.momentum, weight_decay=spec.weight_decay
    )
    batches = spec.epochs * math.ceil(len(labels_N) / spec.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=batches)
    for epoch in range(spec.epochs):
        started = time.perf_counter()
        epoch_batches = _batches(spec, epoch, smoothing, prepared_NCHW, labels_N, data, device)
        loss_sum, correct = _run_epoch(objective, network, epoch_batches, optimizer, schedule, device)
        loss = loss_sum / len(labels_N)
        if not math.isfinite(loss):
            raise ValueError(f"training diverged in epoch {epoch + 1}: lower the learning rate {spec.learning_rate:g}")
        on_epoch(EpochRecord(epoch + 1, loss, correct / len(labels_N), time.perf_counter() - started))
    return Checkpoint.pack(network, header)


def _initial_network(spec: TrainingSpec, data: TrainingData) -> Normalized:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        backbone = build_backbone(spec.architecture, data.info.classes, data.info.shape)
    return Normalized(backbone, data.mean, data.std)


def _batches(
    spec: TrainingSpec,
    epoch: int,
    smoothing: SmoothingMeasure,
    prepared_NCHW: Tensor,
    labels_N: Tensor,
    data: TrainingData,
    device: torch.device,
) -> Iterator[TrainingBatch]:
    """Yield the batches of an epoch, in a random order of the images that follows from the seed."""
    position = 0
    for index_B in permutation(spec.seed, Stage.ORDER, epoch, len(labels_N)).split(spec.batch_size):
        yield TrainingBatch(
            index_B=index_B,
            label_B=labels_N[index_B].to(device),
            prepared_BCHW=prepared_NCHW[index_B].to(device),
            smoothing=smoothing,
            seed=spec.seed,
            epoch=epoch,
            first_position=position,
            data=data,
        )
        position += len(index_B)


def _run_epoch(
    objective: Objective[Any],
    network: nn.Module,
    batches: Iterable[TrainingBatch],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    device: torch.device,
) -> tuple[float, int]:
    """Return the sum of the losses over images, and how many of them were classified correctly."""
    # Kept on the device, which is waited for once an epoch.
    loss_sum = torch.zeros((), device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    for batch in batches:
        for step in objective.losses(network, batch):
            optimizer.zero_grad()
            step.loss.backward()
            optimizer.step()
            loss_sum += step.loss.detach() * len(step.label_B)
            correct += (step.logits_BK.argmax(dim=1) == step.label_B).sum()
        schedule.step()
    return loss_sum.item(), int(correct.item())


def _check_checkpoints(name: str, objective: Objective[Any], data: TrainingData) -> None:
    for sha256 in objective.required_checkpoints():
        if sha256 not in data.checkpoints:
            raise CheckpointError(
                f"the training objective {name!r} needs checkpoint {sha256[:12]}, which was not provided: add it to "
                "TrainingData.checkpoints"
            )


def _header(spec: TrainingSpec, data: TrainingData) -> CheckpointHeader:
    return CheckpointHeader(
        architecture=spec.architecture,
        classes=data.info.classes,
        shape=data.info.shape,
        mean=data.mean,
        std=data.std,
        dataset=spec.dataset,
        dataset_fingerprint=spec.dataset_fingerprint,
        method=training_name(spec),
        measure=spec.measure,
        seed=spec.seed,
        training_fingerprint=spec.fingerprint(),
    )
