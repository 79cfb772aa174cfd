"""What was said of runs after they were sealed, and what follows from it for the board."""

from collections.abc import Iterable, Sequence

from rsbench.records import Annotation, RunRecord


def is_withheld(run: RunRecord) -> bool:
    """Whether a run must not be ranked: it is invalid, or another run has superseded it."""
    return any(said.kind in ("invalid", "superseded") for said in run.annotations)


def ranked(runs: Iterable[RunRecord]) -> list[RunRecord]:
    """The runs that may be ranked."""
    return [run for run in runs if not is_withheld(run)]


def withheld_runs(runs: Iterable[RunRecord]) -> list[RunRecord]:
    """The runs that must not be ranked, each once."""
    return list({run.fingerprint: run for run in runs if is_withheld(run)}.values())


def withheld_lines(runs: Sequence[RunRecord]) -> list[str]:
    """Why the runs that are not ranked are not, a line for each annotation."""
    return [
        f"run {run.fingerprint[:12]} ({run.method}, σ {run.sigma:g}) is not ranked: {annotation_text(said)}"
        for run in withheld_runs(runs)
        for said in run.annotations
        if said.kind != "reproduced"
    ]


def annotation_text(said: Annotation) -> str:
    """What was said, why, by whom and when."""
    other = f" by {said.other[:12]}" if said.other else ""
    return f"{said.kind}{other}, {said.reason} ({said.author}, {said.created_at[:10]})"
