"""Which images of a data set are certified, and the canonical text of that choice."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rsbench.errors import UsageError

_FORMS = "choose all, first:COUNT, every:STEP, or the path of a file with one image index a line"


def choose_images(text: str, images: int) -> tuple[int, ...]:
    """The indices, ascending, that `all`, `first:COUNT`, `every:STEP` or the path of an index file choose of `images`.

    Raises UsageError when the text is none of these, or chooses nothing, or an index twice or out of range.
    """
    form, _, number = text.partition(":")
    if text == "all":
        return tuple(range(images))
    if form in ("first", "every"):
        count = _positive(number, text)
        if form == "first" and count > images:
            raise UsageError(f"--images {text}: the data set has only {images} images")
        return tuple(range(count) if form == "first" else range(0, images, count))
    return _from_file(text, images)


def canonical(indices: tuple[int, ...]) -> str:
    """`START:STOP:STEP` where the indices are a progression, else the indices between commas: the text of a spec."""
    if len(indices) == 1:
        return f"{indices[0]}:{indices[0] + 1}:1"
    steps = np.diff(indices)
    if (steps == steps[0]).all():
        return f"{indices[0]}:{indices[-1] + 1}:{steps[0]}"
    return ",".join(map(str, indices))


def indices_of(canonical_text: str) -> Sequence[int]:
    """The indices of a canonical text: a range where they are a progression, which takes no memory."""
    if ":" in canonical_text:
        start, stop, step = map(int, canonical_text.split(":"))
        return range(start, stop, step)
    return tuple(map(int, canonical_text.split(",")))


def _positive(number: str, text: str) -> int:
    if not number.isdecimal() or int(number) < 1:
        raise UsageError(f"--images {text}: {number!r} is not a positive whole number")
    return int(number)


def _from_file(text: str, images: int) -> tuple[int, ...]:
    file = Path(text)
    if not file.is_file():
        raise UsageError(f"--images {text}: no such form or file; {_FORMS}")
    lines = file.read_text(encoding="utf-8", errors="replace").split()
    if not lines:
        raise UsageError(f"--images {text}: the file names no image")
    for line in lines:
        if not line.isdecimal() or int(line) >= images:
            raise UsageError(f"--images {text}: {line!r} is not an index in 0..{images - 1}")
    indices = sorted(map(int, lines))
    if len(set(indices)) != len(indices):
        raise UsageError(f"--images {text}: an index stands in it twice")
    return tuple(indices)
