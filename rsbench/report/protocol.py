"""Which runs may be ranked together: those on the same data and the same images, and no others."""

from dataclasses import dataclass

from rsbench.records import RunRecord

EXPLORATORY = "exploratory: chosen after a result was seen"


@dataclass(frozen=True)
class Protocol:
    """A data set, told by its content, and the images that were chosen of it.

    `images` is the canonical text of a specification, `images_label` the same for people. `dataset_images` is how many
    images the data set has, `image_count` how many were chosen. `exploratory`: n, α or σ were chosen after a result was
    seen, and such numbers are ranked apart.
    """

    dataset: str
    fingerprint: str
    dataset_images: int
    images: str
    image_count: int
    exploratory: bool = False

    @property
    def images_label(self) -> str:
        """The chosen images in words."""
        return images_label(self.images, self.image_count, self.dataset_images)

    @property
    def heading(self) -> str:
        """One line: data set, images, the first 12 digits of the data's fingerprint, and whether it is exploratory."""
        warning = f" · {EXPLORATORY}" if self.exploratory else ""
        return f"{self.dataset} · {self.images_label} · data {self.fingerprint[:12]}{warning}"


def protocol_of(run: RunRecord) -> Protocol:
    """The protocol that a run followed."""
    data = run.dataset
    return Protocol(data.name, data.fingerprint, data.images, run.images, run.image_count, is_exploratory(run))


def is_exploratory(run: RunRecord) -> bool:
    """Whether a run comes with a curve that was chosen after a result was seen."""
    return run.curve is not None and run.curve.standing == "exploratory"


def images_label(canonical: str, count: int, dataset_images: int) -> str:
    """The images of a canonical text `START:STOP:STEP` or `I,J,…` in words, as in "every 100th image (100 images)"."""
    if count == dataset_images:
        return f"all {count:,} images"
    if ":" not in canonical:
        return f"{count:,} listed images"
    start, stop, step = map(int, canonical.split(":"))
    if count == 1:
        return f"image {start:,} alone"
    if step == 1:
        return f"first {count:,} images" if start == 0 else f"images {start:,} to {stop - 1:,}"
    reaches_the_end = stop - 1 + step >= dataset_images
    if start == 0 and reaches_the_end:
        return f"every {_ordinal(step)} image ({count:,} images)"
    return f"every {_ordinal(step)} image from {start:,} to {stop - 1:,}"


def _ordinal(number: int) -> str:
    teen = number % 100 in (11, 12, 13)
    ending = "th" if teen else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"
