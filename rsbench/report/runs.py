"""The runs of a store, for readers that keep no connection open."""

from collections.abc import Sequence
from dataclasses import dataclass

from rsbench.errors import UsageError
from rsbench.methods import METHODS
from rsbench.records import CertifiedCounts, Norm, Provenance, ReportedFigure, RunRecord, StepCurve
from rsbench.report.numbers import thresholds
from rsbench.report.run_facts import may_hold_in, seed_of
from rsbench.store.location import location_name
from rsbench.store.store import Store

__all__ = ["Report", "RunFilters", "location_name", "matching_runs", "open_report"]


@dataclass(frozen=True, eq=False)
class Report:
    """What a store holds, or what it holds on one dataset."""

    location: str
    """Path or URL of the store."""

    sealed: tuple[RunRecord, ...]
    """Sealed runs, oldest first, once for each of their curves."""

    incomplete: tuple[RunRecord, ...]
    """Runs that were begun and not sealed."""

    reported: tuple[ReportedFigure, ...]
    """Figures of papers."""

    def certified_counts(self, runs: Sequence[RunRecord], radii: Sequence[str]) -> CertifiedCounts:
        """Return how many images the curves of runs certify at some radii, as typed.

        Raises UsageError when one is not a radius.
        """
        with Store.open_existing(self.location) as store:
            return store.certified_counts([run.curve.id for run in runs if run.curve], thresholds(radii))

    def step_curves(self, runs: Sequence[RunRecord]) -> dict[int, StepCurve]:
        """Return whole curves of runs, by the curve's id."""
        with Store.open_existing(self.location) as store:
            return store.step_curves([run.curve.id for run in runs if run.curve])

    def provenances(self, runs: Sequence[RunRecord]) -> dict[str, tuple[Provenance, ...]]:
        """Return what computed each of some runs, by the run's fingerprint."""
        with Store.open_existing(self.location) as store:
            return {run.fingerprint: store.details(run.id).provenances for run in runs}

    @property
    def datasets(self) -> list[str]:
        """Names of the datasets of sealed runs."""
        return sorted({run.dataset.name for run in self.sealed})

    @property
    def reported_datasets(self) -> list[str]:
        """Names of the datasets on which papers report something."""
        return sorted({figure.dataset for figure in self.reported})

    @property
    def methods(self) -> dict[str, str]:
        """Names and titles of the methods of sealed runs, in the order of the table of methods."""
        present = {run.method for run in self.sealed}
        titles = {name: method.title for name, method in METHODS.items() if name in present}
        # An imported run may use the title of another method as its name.
        others = {name: f"{name} (imported)" if name in titles.values() else name for name in present - titles.keys()}
        return titles | dict(sorted(others.items()))

    @property
    def seeds(self) -> list[int]:
        """Seeds under which sealed runs count, ascending."""
        return sorted({seed for run in self.sealed if (seed := seed_of(run)) is not None})

    @property
    def sigmas(self) -> list[float]:
        """σ of sealed runs, ascending."""
        return sorted({run.sigma for run in self.sealed})


def open_report(location: str, *, dataset: str | None = None, exploratory: bool = False) -> Report:
    """Read what the store at a path or a URL holds.

    dataset: read only runs and figures on the dataset of that name. exploratory: read exploratory curves too.
    Raises UsageError when there is no store, or nothing on the dataset; StoreError when the store cannot be read.
    """
    with Store.open_existing(location) as store:
        sealed = tuple(store.sealed_runs(dataset, exploratory=exploratory))
        report = Report(location, sealed, tuple(store.incomplete_runs(dataset)), tuple(store.reported(dataset)))
        names = store.dataset_names()
    if dataset is not None and dataset not in names and not report.reported:
        raise UsageError(f"no sealed run on {dataset!r}: there are runs on {', '.join(names) or 'no dataset yet'}")
    return report


@dataclass(frozen=True)
class RunFilters:
    """What runs must match. An empty choice matches all runs."""

    norm: Norm
    """The run's certificate must hold in this norm. Certificates that are not known here match every norm."""

    dataset: str | None = None
    """Name of the dataset, None for all."""

    methods: Sequence[str] = ()
    sigmas: Sequence[float] = ()
    seeds: Sequence[int] = ()
    """Seeds under which runs count, see `seed_of`."""

    def apply(self, runs: Sequence[RunRecord]) -> list[RunRecord]:
        """Return the runs that match."""
        return [
            run
            for run in runs
            if self.dataset in (None, run.dataset.name)
            and may_hold_in(run, self.norm)
            and (not self.methods or run.method in self.methods)
            and (not self.seeds or seed_of(run) in self.seeds)
            and (not self.sigmas or run.sigma in self.sigmas)
        ]


def matching_runs(report: Report, filters: RunFilters) -> list[RunRecord]:
    """Return the sealed runs that match the options of a command.

    Raises UsageError when there is none, or no run of one of the methods.
    """
    for name in filters.methods:
        if name not in report.methods:
            raise UsageError(f"--method {name}: there are runs of {', '.join(report.methods) or 'no method yet'}")
    if not (runs := filters.apply(report.sealed)):
        raise UsageError(f"no sealed run with a certificate for {filters.norm} matches: see rsbench leaderboard --all")
    return runs
