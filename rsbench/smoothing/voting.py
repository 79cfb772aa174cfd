"""Counting which class each noisy copy won. Shapes: T tallies (one a vote row of one image), K classes, B batch."""

import torch
from torch import Tensor, nn


class NonFiniteOutputError(ValueError):
    """The base classifier returned NaN or infinity."""


class WrongOutputShapeError(ValueError):
    """The base classifier returned another number of rows or classes than it should."""


class Ballot:
    """Packs noisy copies of many images into batches of one fixed shape and counts each copy's vote on the device.

    A batch always has `batch_size` rows: the last one is padded with zeros whose votes are dropped, because a network's
    output for a row may change in its last bits with the shape of the batch.
    """

    def __init__(
        self, network: nn.Module, *, batch_size: int, tallies: int, classes: int, shape_CHW: tuple[int, int, int],
        device: torch.device,
    ) -> None:  # fmt: skip
        self._network = network
        self._classes = classes
        self._filled = 0
        self._x_BCHW = torch.zeros((batch_size, *shape_CHW), device=device)
        # Padding votes into one tally past the last, which is dropped.
        self._tally_B = torch.full((batch_size,), tallies, dtype=torch.int64, device=device)
        self._one_B = torch.ones(batch_size, dtype=torch.int64, device=device)
        self._counts = torch.zeros((tallies + 1) * classes, dtype=torch.int64, device=device)
        self._finite = torch.ones((), dtype=torch.bool, device=device)

    def cast(self, copies_BCHW: Tensor, tally: int) -> None:
        """Let the network vote on copies; their votes go to one tally.

        Raises WrongOutputShapeError when a full batch does not come back as one row of logits a copy.
        """
        done = 0
        while done < len(copies_BCHW):
            taken = min(len(copies_BCHW) - done, len(self._x_BCHW) - self._filled)
            rows = slice(self._filled, self._filled + taken)
            self._x_BCHW[rows] = copies_BCHW[done : done + taken]
            self._tally_B[rows] = tally
            self._filled += taken
            done += taken
            if self._filled == len(self._x_BCHW):
                self._forward()

    def count(self) -> Tensor:
        """The votes, int64 T×K on the CPU: the only synchronisation with the device.

        Raises NonFiniteOutputError when the network returned NaN or infinity for any copy, and WrongOutputShapeError
        as `cast` does.
        """
        if self._filled:
            self._x_BCHW[self._filled :] = 0.0
            self._tally_B[self._filled :] = len(self._counts) // self._classes - 1
            self._forward()
        if not self._finite.item():
            raise NonFiniteOutputError("the network returned NaN or infinity")
        return self._counts.reshape(-1, self._classes)[:-1].cpu()

    def _forward(self) -> None:
        logits_BK = self._network(self._x_BCHW)
        if logits_BK.shape != (len(self._x_BCHW), self._classes):
            raise WrongOutputShapeError(
                f"the network returned outputs of shape {tuple(logits_BK.shape)}, "
                f"expected {(len(self._x_BCHW), self._classes)}"
            )
        self._finite &= torch.isfinite(logits_BK).all()
        winner_B = logits_BK.argmax(dim=1)
        self._counts.index_add_(0, self._tally_B * self._classes + winner_B, self._one_B)
        self._filled = 0
