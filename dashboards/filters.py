"""The filters above a page. Each lives in the address under its key, so that a link shows what its sender saw."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from rsbench.report.leaderboard import NORMS
from rsbench.report.numbers import sigma_text
from rsbench.report.runs import Report, RunRecord, select_runs

ALL_DATASETS = "all data sets"


@dataclass(frozen=True)
class Filters:
    """What the reader chose; an empty choice lets everything through."""

    dataset: str | None
    norm: str
    methods: Sequence[str]
    seeds: Sequence[int]
    sigmas: Sequence[float]

    def apply(self, runs: Sequence[RunRecord]) -> list[RunRecord]:
        """The runs that match."""
        return select_runs(
            runs, dataset=self.dataset, methods=self.methods, seeds=self.seeds, sigmas=self.sigmas
        )  # fmt: skip


def filters(report: Report) -> Filters:
    """Draw the filters for what the report holds, and return what is chosen."""
    with st.container(horizontal=True, gap="medium"):
        dataset = st.selectbox(
            "Data set", [ALL_DATASETS, *report.datasets], key="dataset", bind="query-params", width=190
        )  # fmt: skip
        norm = st.segmented_control(
            "Norm", NORMS, default="l1", required=True, key="norm", bind="query-params", width="content"
        )  # fmt: skip
        titles = report.methods
        methods = st.pills(
            "Methods", list(titles), selection_mode="multi", format_func=titles.__getitem__, key="method",
            bind="query-params", help="None chosen: all are shown", width="content",
        )  # fmt: skip
        sigmas = st.pills(
            "σ", report.sigmas, selection_mode="multi", format_func=sigma_text, key="sigma", bind="query-params",
            help="Standard deviation of the smoothing; none chosen: all are shown", width="content",
        )  # fmt: skip
        seeds = st.pills(
            "Seeds", report.seeds, selection_mode="multi", key="seed", bind="query-params",
            help="None chosen: all are shown", width="content",
        )  # fmt: skip
    return Filters(None if dataset == ALL_DATASETS else dataset, norm, methods, seeds, sigmas)
