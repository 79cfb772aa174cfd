"""A run in the tab-separated form that scripts of the field read, an image a line."""

import math
from decimal import Decimal

from rsbench.records import ImageColumns, RunRecord
from rsbench.report.configuration import certificate_of
from rsbench.report.numbers import radius_text

_STEP = Decimal("0.001")


def tsv_text(run: RunRecord, images: ImageColumns) -> str:
    """A header, then `idx label predict radius correct time` of every image; −1 and radius 0.0 where it abstained.

    Radii have three decimals, rounded down. The scripts that read this count an image as certified at r when its
    printed radius is at least r: an open ball is therefore printed strictly below its radius. The time is 0:00:00,
    because times are kept by chunk and not by image.
    """
    is_open = certificate_of(run).ball == "open"
    lines = ["idx\tlabel\tpredict\tradius\tcorrect\ttime"]
    columns = (images.index_N, images.label_N, images.predicted_N, images.radius_N, images.correct_N)
    for index, label, predicted, radius, correct in zip(*columns, strict=True):
        printed = "0.0" if predicted < 0 else _radius(float(radius), is_open=is_open)
        lines.append(f"{index}\t{label}\t{predicted}\t{printed}\t{int(correct)}\t0:00:00")
    return "\n".join(lines) + "\n"


def _radius(radius: float, *, is_open: bool) -> str:
    if math.isinf(radius):
        return "inf"
    text = radius_text(radius)
    return str(Decimal(text) - _STEP) if is_open and float(text) == radius > 0.0 else text
