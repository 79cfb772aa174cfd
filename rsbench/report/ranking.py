"""Which runs are ranked, which are excluded from ranking and why, and which are ranked together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rsbench.records import Annotation, RunRecord, Standing
from rsbench.report.run_facts import certificate_name, known_certificate, unknown_certificate_text

# What stands above rows that were not declared beforehand.
STANDING_WARNING: Mapping[Standing, str] = {
    "declared": "",
    "stated-afterwards": "stated afterwards: no specification shows that these choices were fixed before the votes",
    "exploratory": "exploratory: chosen after a result was seen",
}


@dataclass(frozen=True)
class Protocol:
    """What runs must share to be ranked together."""

    dataset: str
    fingerprint: str
    """SHA-256 of the dataset's content."""

    dataset_images: int
    """How many images the dataset has."""

    images: str
    """Canonical text of the chosen images, as in a specification."""

    image_count: int
    """How many images were chosen."""

    standing: Standing = "declared"
    """When certificate, bounds, n and α were fixed."""

    @property
    def images_label(self) -> str:
        """The chosen images in words."""
        return images_label(self.images, self.image_count, self.dataset_images)

    @property
    def warning(self) -> str:
        """What a reader must know of the standing; empty for declared runs."""
        return STANDING_WARNING[self.standing]

    @property
    def heading(self) -> str:
        """One line: dataset, images, the first 12 digits of the data's fingerprint, and the warning."""
        warning = f" · {self.warning}" if self.warning else ""
        return f"{self.dataset} · {self.images_label} · data {self.fingerprint[:12]}{warning}"


def protocol_of(run: RunRecord) -> Protocol:
    """Return the protocol that a run followed."""
    data = run.dataset
    return Protocol(data.name, data.fingerprint, data.images, run.images, run.image_count, standing_of_run(run))


def standing_of_run(run: RunRecord) -> Standing:
    """Return the standing of the run's curve; that of the specification while there is none."""
    return "declared" if run.curve is None else run.curve.standing


def is_exploratory(run: RunRecord) -> bool:
    """Whether the run comes with a curve that was chosen after a result was seen."""
    return standing_of_run(run) == "exploratory"


def exclusion_reasons(run: RunRecord) -> list[str]:
    """Return why a run must not be ranked, a line for each reason; nothing for a run that may be ranked."""
    reasons = [annotation_text(annotation) for annotation in run.annotations if annotation.kind != "reproduced"]
    if known_certificate(run) is None:
        reasons.append(unknown_certificate_text(certificate_name(run)))
    return reasons


def is_ranked(run: RunRecord) -> bool:
    """Whether a run may be ranked: it is neither invalid nor superseded, and its certificate is known here."""
    return not exclusion_reasons(run)


def ranked(runs: Iterable[RunRecord]) -> list[RunRecord]:
    """Return the runs that may be ranked."""
    return [run for run in runs if is_ranked(run)]


def exclusion_lines(runs: Iterable[RunRecord]) -> list[str]:
    """Return which runs are excluded from ranking and why, a line for each reason, each line once."""
    lines = (
        f"run {run.fingerprint[:12]} ({run.method}, σ {run.sigma:g}) is not ranked: {reason}"
        for run in runs
        for reason in exclusion_reasons(run)
    )
    return list(dict.fromkeys(lines))


def annotation_text(annotation: Annotation) -> str:
    """Return an annotation in one line: kind, reason, author and date."""
    other = f" by {annotation.other[:12]}" if annotation.other else ""
    return f"{annotation.kind}{other}, {annotation.reason} ({annotation.author}, {annotation.created_at[:10]})"


def images_label(canonical: str, count: int, dataset_images: int) -> str:
    """Describe the images of a canonical text `START:STOP:STEP` or `I,J,…`, as in "every 100th image (100 images)"."""
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
