"""The runs of a store, for a reader who keeps no connection open."""

from collections.abc import Sequence
from dataclasses import dataclass

from rsbench.errors import RsbenchError
from rsbench.methods import METHODS
from rsbench.records import ReportedFigure, RunRecord, StepCurve
from rsbench.report.configuration import certificate_of, seed_of
from rsbench.report.numbers import thresholds
from rsbench.store.location import location_name
from rsbench.store.store import Store

__all__ = ["Report", "RsbenchError", "RunRecord", "location_name", "open_report", "select_runs"]


@dataclass(frozen=True, eq=False)
class Report:
    """The runs of a store: sealed ones, oldest first, and those that were begun and not sealed."""

    location: str
    sealed: tuple[RunRecord, ...]
    incomplete: tuple[RunRecord, ...]
    reported: tuple[ReportedFigure, ...]

    def certified(self, runs: Sequence[RunRecord], radii: Sequence[str]) -> list[RunRecord]:
        """Runs with the values of their curves at some radii, as typed. Raises UsageError for a radius that is none."""
        with Store.open_existing(self.location) as store:
            return store.with_certified(runs, thresholds(radii))

    def step_curves(self, runs: Sequence[RunRecord]) -> dict[int, StepCurve]:
        """The whole curves of runs, by the curve's id."""
        with Store.open_existing(self.location) as store:
            return store.step_curves([run.curve.id for run in runs if run.curve])

    @property
    def datasets(self) -> list[str]:
        """Names of the data sets that sealed runs are on."""
        return sorted({run.dataset.name for run in self.sealed})

    @property
    def reported_datasets(self) -> list[str]:
        """Names of the data sets that papers report something on."""
        return sorted({figure.dataset for figure in self.reported})

    @property
    def methods(self) -> dict[str, str]:
        """Names and titles of the methods of sealed runs, in the order of the table of methods."""
        present = {run.method for run in self.sealed}
        known = {name: method.title for name, method in METHODS.items() if name in present}
        # Others may give a method the very name that another has as its title.
        others = {name: f"{name} (imported)" if name in known.values() else name for name in present - known.keys()}
        return known | dict(sorted(others.items()))

    @property
    def seeds(self) -> list[int]:
        """Seeds that sealed runs count under."""
        return sorted({seed for run in self.sealed if (seed := seed_of(run)) is not None})

    @property
    def sigmas(self) -> list[float]:
        """σ of sealed runs."""
        return sorted({run.sigma for run in self.sealed})


def open_report(location: str, *, exploratory: bool = False) -> Report:
    """The runs of the store at a path or a URL, with their exploratory curves where asked for.

    Raises UsageError when there is none, StoreError when it cannot be read or its schema is not this code's.
    """
    with Store.open_existing(location) as store:
        sealed = tuple(store.sealed_runs(exploratory=exploratory))
        return Report(location, sealed, tuple(store.incomplete_runs()), tuple(store.reported()))


def select_runs(
    runs: Sequence[RunRecord],
    *,
    dataset: str | None = None,
    norm: str | None = None,
    methods: Sequence[str] = (),
    seeds: Sequence[int] = (),
    sigmas: Sequence[float] = (),
) -> list[RunRecord]:
    """The runs that match; an empty or missing filter lets all through.

    norm: that in which the run's certificate holds. Raises StoreError when this version does not know the certificate.
    """
    return [
        run
        for run in runs
        if dataset in (None, run.dataset.name)
        and (norm is None or norm in certificate_of(run).norms)
        and (not methods or run.method in methods)
        and (not seeds or seed_of(run) in seeds)
        and (not sigmas or run.sigma in sigmas)
    ]
