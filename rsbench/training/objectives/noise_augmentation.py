"""Noise augmentation: cross-entropy on a noisy copy of each image."""

from torch import nn

from rsbench.training.batch import TrainingBatch
from rsbench.training.objectives.base import Objective, ObjectiveOptions, StepLoss


class NoiseAugmentation(Objective[ObjectiveOptions]):
    """Cross-entropy on one noisy copy of each image, with fresh noise in every epoch.

    Sources: Cohen, Rosenfeld & Kolter 2019; Yang et al. 2020; Levine & Feizi 2021. No options.
    """

    def loss(self, network: nn.Module, batch: TrainingBatch) -> StepLoss:
        logits_BK = network(batch.noisy_copy())
        return StepLoss(nn.functional.cross_entropy(logits_BK, batch.label_B), logits_BK, batch.label_B)
