"""The filters above every page. Each is part of the address, so that a link shows what its sender saw."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from rsbench.records import NORMS, RunRecord
from rsbench.report.numbers import plain_markdown, sigma_text
from rsbench.report.ranking import is_exploratory
from rsbench.report.runs import Report, RunFilters

ALL_DATASETS = "all datasets"
STANDINGS = ("declared", "all")


@dataclass(frozen=True)
class PageFilters:
    """What the reader chose."""

    runs: RunFilters
    exploratory: bool
    """Whether to show exploratory curves too."""

    def matching(self, runs: Sequence[RunRecord]) -> list[RunRecord]:
        """Return the runs that match, whatever the standing of their curves."""
        return self.runs.apply(runs)

    def shown(self, runs: Sequence[RunRecord]) -> list[RunRecord]:
        """Return the runs that match, with exploratory curves only if the reader chose them."""
        return [run for run in self.matching(runs) if self.exploratory or not is_exploratory(run)]

    def show_nothing_matches(self, hidden: Sequence[RunRecord] = ()) -> None:
        """Say that no run matches. `hidden`: runs that match except that their curves are exploratory."""
        message = f"No sealed run with a certificate for {self.runs.norm} matches these filters."
        if hidden:
            message += " Exploratory curves do: choose all curves above."
        st.info(message, icon=":material/filter_alt_off:")


def draw_filters(report: Report) -> PageFilters:
    """Draw the filters for what the report holds, and return what is chosen."""
    with st.container(horizontal=True, gap="medium"):
        names = sorted({*report.datasets, *report.reported_datasets})
        dataset = st.selectbox(
            "Dataset", [ALL_DATASETS, *names], key="dataset", bind="query-params", width=190
        )  # fmt: skip
        norm = st.segmented_control(
            "Norm", NORMS, default="l1", required=True, key="norm", bind="query-params", width="content"
        )  # fmt: skip
        methods, sigmas, seeds = _draw_run_filters(report) if report.sealed else ((), (), ())
        standing = st.segmented_control(
            "Curves", STANDINGS, default=STANDINGS[0], required=True, key="curves", bind="query-params",
            help="All: also exploratory curves, whose certificate, n, α or σ were chosen after a result was seen",
            width="content",
        )  # fmt: skip
    name = None if dataset == ALL_DATASETS else dataset
    return PageFilters(RunFilters(norm, name, methods, sigmas, seeds), exploratory=standing != STANDINGS[0])


def _draw_run_filters(report: Report) -> tuple[Sequence[str], Sequence[float], Sequence[int]]:
    """Draw the filters for methods, σ and seeds. Where all runs are imported, none has a seed."""
    titles = {name: plain_markdown(title) for name, title in report.methods.items()}
    methods = st.pills(
        "Methods", list(titles), selection_mode="multi", format_func=titles.__getitem__, key="method",
        bind="query-params", help="If you choose none, all are shown", width="content",
    )  # fmt: skip
    sigmas = st.pills(
        "σ", report.sigmas, selection_mode="multi", format_func=sigma_text, key="sigma", bind="query-params",
        help="Standard deviation of the smoothing; if you choose none, all are shown", width="content",
    )  # fmt: skip
    if not report.seeds:
        return methods, sigmas, ()
    seeds = st.pills(
        "Seeds", report.seeds, selection_mode="multi", key="seed", bind="query-params",
        help="If you choose none, all are shown", width="content",
    )  # fmt: skip
    return methods, sigmas, seeds
