"""Which noisy copy stands in which row of a batch. Shapes: B rows of a batch."""

from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from rsbench.certification.plan import spec_prefixes
from rsbench.smoothing.randomness import Stage
from rsbench.specs import CertificationSpec


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of one batch, int64 on the device.

    `position_B`: which image of the chunk. `stage_B` and `copy_B`: which of its copies. `tally_B`: where the vote goes,
    image by image one tally for the selection and one from each prefix to the next; one past all for a row that only
    fills the batch up and repeats the last copy.
    """

    position_B: Tensor
    stage_B: Tensor
    copy_B: Tensor
    tally_B: Tensor


class RowPlan:
    """The copies of a chunk in one order: image by image, its selection and then its estimation.

    They fill batches of one shape, whatever n0 and n are, for a network's output may change in its last bits with the
    shape of a batch. Row r of batch b is copy b·B + r, so any part of the batches can be made alone.
    """

    def __init__(self, spec: CertificationSpec, images: int, device: torch.device) -> None:
        self._batch_size, self._device = spec.batch_size, device
        self._copies = spec.passes_per_image
        self._select = 0 if spec.budget is None else spec.budget.n_select
        prefixes = spec_prefixes(spec)
        self.tallies_of_image = 1 + len(prefixes)
        self.tallies = images * self.tallies_of_image
        self._total = images * self._copies
        # The first copy of an image after the selection, and after each prefix but the last.
        ends = accumulate((self._select, *prefixes[:1], *(b - a for a, b in pairwise(prefixes))))
        self._ends = torch.tensor(list(ends)[:-1], device=device)

    def rows(self, batch: int) -> Rows:
        """The rows of a batch, by its number in the chunk."""
        first = batch * self._batch_size
        row_B = torch.arange(first, first + self._batch_size, device=self._device)
        filling_B = row_B >= self._total
        row_B.clamp_(max=self._total - 1)
        position_B = row_B // self._copies
        copy_B = row_B - position_B * self._copies
        tally_B = torch.bucketize(copy_B, self._ends, right=True)
        estimates_B = tally_B > 0
        tally_B += position_B * self.tallies_of_image
        return Rows(
            position_B,
            torch.where(estimates_B, int(Stage.ESTIMATE), int(Stage.SELECT)),
            copy_B - self._select * estimates_B,
            tally_B.masked_fill_(filling_B, self.tallies),
        )
