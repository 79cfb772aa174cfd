"""What a training objective is.

Shapes: B images of a batch, K classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from rsbench.specs import Spec
from rsbench.training.batch import TrainingBatch, TrainingData


class ObjectiveOptions(Spec):
    """Base class of the options of an objective, and the options of one that has none.

    An option is a field of type bool, int, float or str, usually with a default. A specification stores only the
    options that differ from their defaults, so a default must never change.
    """


OptionsT = TypeVar("OptionsT", bound=ObjectiveOptions)


@dataclass(frozen=True, eq=False)
class StepLoss:
    """What one step of the optimizer minimises, and what it is reported with."""

    loss: Tensor
    """The mean over B images, a scalar that the gradient is taken of."""

    logits_BK: Tensor
    """Outputs of the network on one noisy copy of each image. The accuracy of an epoch is that of these outputs."""

    label_B: Tensor
    """The labels of the same images, int64."""


class Objective(ABC, Generic[OptionsT]):
    """A training objective: what the loss of a batch of images is.

    The training loop (`rsbench.training.trainer`) draws the images, runs the optimizer and writes the checkpoint. A
    subclass implements `loss`, and declares its options:

        class StabilityOptions(ObjectiveOptions):
            weight: float = Field(default=6.0, ge=0)

        class Stability(Objective[StabilityOptions]):
            options_type = StabilityOptions

            def loss(self, network, batch):
                logits_BK = network(batch.noisy_copy(0))
                other_BK = network(batch.noisy_copy(1))
                divergence = kl_div(
                    log_softmax(other_BK, dim=1), log_softmax(logits_BK, dim=1), log_target=True, reduction="batchmean"
                )
                loss = cross_entropy(logits_BK, batch.label_B) + self.options.weight * divergence
                return StepLoss(loss, logits_BK, batch.label_B)

        OBJECTIVES.register("stability", Stability)

    A trial creates one instance and calls `required_checkpoints`, then `prepare`, then `losses` for each batch. An
    instance may keep state between batches, for example one value per training image, found by `batch.index_B`.

    The weights must follow from the specification alone: an objective draws random numbers from `batch.noisy_copy` and
    `batch.random` only, never from torch's or numpy's global generators.
    """

    options_type: ClassVar[type[ObjectiveOptions]] = ObjectiveOptions
    """The class of `options`."""

    def __init__(self, options: OptionsT) -> None:
        self.options = options

    def required_checkpoints(self) -> tuple[str, ...]:
        """Return the sha256 of every checkpoint that the options name, for example that of a frozen classifier.

        They are in `TrainingData.checkpoints` when `prepare` is called.
        """
        return ()

    def prepare(self, network: nn.Module, data: TrainingData, device: torch.device) -> None:
        """Prepare the trial, once, before its optimizer is created. Does nothing by default.

        Parameters
        ----------
        network
            The network with its initial weights, on the device and in training mode. An objective may load other
            weights into it, and may freeze a part of it with `requires_grad_(False)` and `eval()`: the loop never
            changes the mode of a module.
        data
            All training images, and the required checkpoints.
        device
            Where the trial runs.
        """

    @abstractmethod
    def loss(self, network: nn.Module, batch: TrainingBatch) -> StepLoss:
        """Return the loss of some images.

        Parameters
        ----------
        network
            Maps images in [0,1], float32 B×C×H×W on the device, to logits B×K. If the method changes its mode or the
            gradients of its parameters, for example to attack it in evaluation mode, it restores the mode; gradients
            are cleared before the loss is differentiated.
        batch
            The images, their labels, the smoothing measure, and the source of noisy copies.
        """

    def losses(self, network: nn.Module, batch: TrainingBatch) -> Iterator[StepLoss]:
        """Yield the losses of a batch, one for each step of the optimizer.

        The network is updated between two of them; the learning rate changes after the batch. By default a batch is
        one step. An objective that takes m noisy copies of B/m images in each step yields
        `self.loss(network, part) for part in batch.parts(m)`.
        """
        yield self.loss(network, batch)
