"""The Leaderboard page: certified accuracy at chosen radii, and what papers report."""

from collections.abc import Sequence

import streamlit as st

from dashboards.filters import PageFilters
from dashboards.page_parts import show_excluded, show_heading
from rsbench.report.leaderboard import SELECTED_ON_TEST, Leaderboard, leaderboard, leaderboard_frame
from rsbench.report.numbers import DEFAULT_RADII, count_text, plain_markdown, split_radii
from rsbench.report.ranking import ranked
from rsbench.report.reported import (
    REPORTED_TITLE,
    ReportedTable,
    reported_markdown,
    reported_notes,
    reported_tables,
)
from rsbench.report.runs import Report
from rsbench.report.tables import board_table, theorem_table

INTRODUCTION = (
    "Share of images that are classified correctly **and** certified at radius *r*. "
    "Only runs on the same data and the same images are ranked together."
)


def show(report: Report, filters: PageFilters) -> None:
    """Draw the page below its filters. Raises UsageError when the reader's radii are not radii."""
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        radii_text = st.text_input(
            "Radii, between commas", DEFAULT_RADII, key="radii", bind="query-params", width=260,
            help="In units of the pixel range [0, 1]",
        )  # fmt: skip
        each_run = st.toggle("Every run in a row of its own", key="all", bind="query-params")
    radii, norm, dataset = split_radii(radii_text), filters.runs.norm, filters.runs.dataset
    runs = filters.shown(report.sealed)
    board = leaderboard(
        runs,
        report.certified_counts(ranked(runs), radii),
        norm=norm,
        radii=radii,
        incomplete=len(filters.matching(report.incomplete)),
        select_best=not each_run,
    )
    measured = [group.protocol.dataset for group in board.groups]
    datasets = [*measured, *report.reported_datasets] if dataset is None else [dataset]
    papers = reported_tables(report.reported, datasets=datasets, norm=norm, radii=radii)
    if board.groups:
        _show_groups(board, papers)
    else:
        filters.show_nothing_matches([] if filters.exploratory else ranked(filters.matching(report.sealed)))
    for table in papers:
        if table.dataset not in measured:
            st.subheader(plain_markdown(table.dataset), anchor=False)
            st.caption("No measured run on this dataset matches the filters.")
            _show_papers(table, expanded=True)
    if board.groups:
        _show_legend(board)
    show_excluded(runs)
    if board.incomplete:
        verb = "is" if board.incomplete == 1 else "are"
        st.caption(f"{count_text(board.incomplete, 'run')} {verb} incomplete and not shown.")


def _show_groups(board: Leaderboard, papers: Sequence[ReportedTable]) -> None:
    datasets = [group.protocol.dataset for group in board.groups]
    for number, group in enumerate(board.groups):
        protocol = group.protocol
        described = f"{protocol.images_label} · data `{protocol.fingerprint[:12]}`"
        show_heading(protocol.dataset, described, standing=protocol.standing)
        st.table(board_table(board, group), border="horizontal")
        for table in papers:
            # A table stands below the last group of its dataset.
            if table.dataset == protocol.dataset and table.dataset not in datasets[number + 1 :]:
                _show_papers(table)


def _show_legend(board: Leaderboard) -> None:
    st.caption(_legend_text(board))
    if board.any_selected:
        st.caption(rf"\* {SELECTED_ON_TEST}.")
    with st.expander("What makes these numbers true", icon=":material/verified:"):
        st.table(theorem_table(board), border="horizontal")
    st.download_button(
        "Download as CSV",
        leaderboard_frame(board).to_csv(index=False),
        file_name=f"leaderboard-{board.norm}.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
    )


def _show_papers(table: ReportedTable, *, expanded: bool = False) -> None:
    title = f"{REPORTED_TITLE}: {plain_markdown(table.dataset)}, {table.norm}"
    with st.expander(title, icon=":material/article:", expanded=expanded):
        st.table(reported_markdown(table), border="horizontal")
        st.caption("  \n".join(map(plain_markdown, reported_notes(table))))


def _legend_text(board: Leaderboard) -> str:
    spread = "± standard deviation over seeds. " if board.select_best else ""
    return (
        f"Percent of all images, rounded down; the best of a column is bold. {spread}"
        "Clean: correct without a perturbation; an abstention counts as wrong. ACR: average certified radius."
    )
