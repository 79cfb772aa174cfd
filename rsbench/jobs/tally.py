"""What a run has come to so far: abstentions, and certified accuracy at a few radii."""

import numpy as np

from rsbench.records import ImageColumns
from rsbench.specs import CertificationSpec
from rsbench.theory.catalogue import CERTIFICATES

RADII = (0.25, 0.5, 1.0)


class Tally:
    """Counts the images of a run as they come. The shares are of what is there, and not yet those of the run."""

    def __init__(self, spec: CertificationSpec) -> None:
        self._closed = CERTIFICATES[spec.certificate].ball == "closed"
        self._images = self._abstained = 0
        self._certified = np.zeros(len(RADII), dtype=np.int64)

    def add(self, images: ImageColumns) -> None:
        """Some images are there."""
        self._images += len(images)
        self._abstained += int((images.predicted_N < 0).sum())
        radius_N1 = images.radius_N[images.correct_N][:, None]
        held_NR = radius_N1 >= np.array(RADII) if self._closed else radius_N1 > np.array(RADII)
        self._certified += held_NR.sum(axis=0)

    def __str__(self) -> str:
        if not self._images:
            return "no image yet"
        # In whole thousandths, so that no accuracy is rounded up, and no abstention down.
        abstained = -(-1000 * self._abstained // self._images)
        certified = [
            f"{1000 * count // self._images / 10:.1f} % at {radius:g}"
            for radius, count in zip(RADII, self._certified.tolist(), strict=True)
        ]
        return f"{abstained / 10:.1f} % abstained, certified {', '.join(certified)}"
