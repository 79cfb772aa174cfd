"""The choice of images that are certified, and its canonical text."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rsbench.errors import UsageError

_FORMS = "choose all, first:COUNT, every:STEP, or the path of a file with one image index per line"


def choose_images(text: str, images: int) -> tuple[int, ...]:
    """The ascending indices that `all`, `first:COUNT`, `every:STEP` or the path of an index file choose.

    images: the number of images in the dataset.
    Raises UsageError when the text has none of these forms, or the file is empty or has an index that is out of range
    or listed twice.
    """
    form, _, number = text.partition(":")
    if text == "all":
        return tuple(range(images))
    if form in ("first", "every"):
        count = _positive(number, text)
        if form == "first" and count > images:
            raise UsageError(f"--images {text}: the dataset has only {images} images")
        return tuple(range(count) if form == "first" else range(0, images, count))
    return _from_file(text, images)


def canonical(indices: tuple[int, ...]) -> str:
    """The text that a specification stores: `START:STOP:STEP` for an arithmetic progression, else a list."""
    if len(indices) == 1:
        return f"{indices[0]}:{indices[0] + 1}:1"
    steps = np.diff(indices)
    if (steps == steps[0]).all():
        return f"{indices[0]}:{indices[-1] + 1}:{steps[0]}"
    return ",".join(map(str, indices))


def indices_of(canonical_text: str) -> Sequence[int]:
    """The indices of a canonical text; a range, which takes no memory, for an arithmetic progression."""
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
        raise UsageError(f"--images {text}: there is no such form and no such file; {_FORMS}")
    lines = file.read_text(encoding="utf-8", errors="replace").split()
    if not lines:
        raise UsageError(f"--images {text}: the file is empty; write one image index per line")
    for line in lines:
        if not line.isdecimal() or int(line) >= images:
            raise UsageError(f"--images {text}: {line!r} is not an index from 0 to {images - 1}")
    indices = sorted(map(int, lines))
    if len(set(indices)) != len(indices):
        raise UsageError(f"--images {text}: the file lists an index twice")
    return tuple(indices)
