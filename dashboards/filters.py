"""The filters above a page. Each lives in the address under its key, so that a link shows what its sender saw."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from rsbench.report.leaderboard import NORMS
from rsbench.report.numbers import plain_markdown, sigma_text
from rsbench.report.protocol import is_exploratory
from rsbench.report.runs import Report, RunRecord, select_runs

ALL_DATASETS = "all data sets"
STANDINGS = ("declared", "all")


@dataclass(frozen=True)
class Filters:
    """What the reader chose; an empty choice lets everything through."""

    dataset: str | None
    norm: str
    methods: Sequence[str]
    seeds: Sequence[int]
    sigmas: Sequence[float]
    exploratory: bool

    def apply(self, runs: Sequence[RunRecord]) -> list[RunRecord]:
        """The runs that match, whatever the standing of their curves."""
        return select_runs(
            runs, dataset=self.dataset, norm=self.norm, methods=self.methods, seeds=self.seeds, sigmas=self.sigmas
        )

    def shown(self, runs: Sequence[RunRecord]) -> list[RunRecord]:
        """The runs that match, with exploratory curves only where these were asked for."""
        return [run for run in self.apply(runs) if self.exploratory or not is_exploratory(run)]

    def say_nothing_matches(self, hidden: Sequence[RunRecord] = ()) -> None:
        """Tell that no run matches, and whether there are some that only a switch keeps `hidden`."""
        told = f"No sealed run with a certificate for {self.norm} matches these filters."
        if hidden:
            told += " Exploratory curves do: choose all curves above."
        st.info(told, icon=":material/filter_alt_off:")


def filters(report: Report) -> Filters:
    """Draw the filters for what the report holds, and return what is chosen."""
    with st.container(horizontal=True, gap="medium"):
        names = sorted({*report.datasets, *report.reported_datasets})
        dataset = st.selectbox(
            "Data set", [ALL_DATASETS, *names], key="dataset", bind="query-params", width=190
        )  # fmt: skip
        norm = st.segmented_control(
            "Norm", NORMS, default="l1", required=True, key="norm", bind="query-params", width="content"
        )  # fmt: skip
        methods, sigmas, seeds = _of_runs(report) if report.sealed else ((), (), ())
        standing = st.segmented_control(
            "Curves", STANDINGS, default=STANDINGS[0], required=True, key="curves", bind="query-params",
            help="All: with the exploratory ones, whose n, α or σ were chosen after a result was seen",
            width="content",
        )  # fmt: skip
    name = None if dataset == ALL_DATASETS else dataset
    return Filters(name, norm, methods, seeds, sigmas, exploratory=standing != STANDINGS[0])


def _of_runs(report: Report) -> tuple[Sequence[str], Sequence[float], Sequence[int]]:
    """Methods, σ and seeds. Only imported runs may have no seed."""
    titles = {name: plain_markdown(title) for name, title in report.methods.items()}
    methods = st.pills(
        "Methods", list(titles), selection_mode="multi", format_func=titles.__getitem__, key="method",
        bind="query-params", help="None chosen: all are shown", width="content",
    )  # fmt: skip
    sigmas = st.pills(
        "σ", report.sigmas, selection_mode="multi", format_func=sigma_text, key="sigma", bind="query-params",
        help="Standard deviation of the smoothing; none chosen: all are shown", width="content",
    )  # fmt: skip
    if not report.seeds:
        return methods, sigmas, ()
    seeds = st.pills(
        "Seeds", report.seeds, selection_mode="multi", key="seed", bind="query-params",
        help="None chosen: all are shown", width="content",
    )  # fmt: skip
    return methods, sigmas, seeds
