"""Counting which class each noisy copy won. Shapes: T tallies (one a vote row of one image), K classes, B batch."""

import torch
from torch import Tensor, nn


class NonFiniteOutputError(ValueError):
    """The base classifier returned NaN or infinity."""


class WrongOutputShapeError(ValueError):
    """The base classifier returned another number of rows or classes than it should."""


class Ballot:
    """Lets a network vote on batches of noisy copies and counts each copy's vote on the device.

    Tally number T, past the last, is for rows that only fill a batch up: their votes are dropped.
    """

    def __init__(self, network: nn.Module, *, tallies: int, classes: int, device: torch.device) -> None:
        self._network = network
        self._classes = classes
        self._counts = torch.zeros((tallies + 1) * classes, dtype=torch.int64, device=device)
        self._finite = torch.ones((), dtype=torch.bool, device=device)

    def cast(self, copies_BCHW: Tensor, tally_B: Tensor) -> None:
        """Let the network vote on copies; the vote of each goes to the tally of its number in `tally_B`, int64.

        Raises WrongOutputShapeError when the batch does not come back as one row of logits a copy.
        """
        logits_BK = self._network(copies_BCHW)
        if logits_BK.shape != (len(copies_BCHW), self._classes):
            raise WrongOutputShapeError(
                f"the network returned outputs of shape {tuple(logits_BK.shape)}, "
                f"expected {(len(copies_BCHW), self._classes)}"
            )
        self._finite &= torch.isfinite(logits_BK).all()
        cell_B = tally_B * self._classes + logits_BK.argmax(dim=1)
        self._counts.index_add_(0, cell_B, torch.ones_like(cell_B))

    def count(self) -> Tensor:
        """The votes, int64 T×K on the CPU: the only synchronisation with the device.

        Raises NonFiniteOutputError when the network returned NaN or infinity for any copy.
        """
        if not self._finite.item():
            raise NonFiniteOutputError("the network returned NaN or infinity")
        return self._counts.reshape(-1, self._classes)[:-1].cpu()
