"""The leaderboard."""

from collections.abc import Sequence

import streamlit as st

from dashboards.filters import Filters
from dashboards.headings import show_heading
from dashboards.withheld import show_withheld
from rsbench.report.annotations import ranked
from rsbench.report.leaderboard import SELECTED_ON_TEST, Leaderboard, leaderboard, leaderboard_frame
from rsbench.report.numbers import DEFAULT_RADII, count_text, plain_markdown, split_radii
from rsbench.report.reported import REPORTED_TITLE, ReportedTable, reported_tables
from rsbench.report.reported_text import reported_markdown, reported_notes
from rsbench.report.runs import Report
from rsbench.report.tables import board_table, theorem_table

INTRODUCTION = (
    "Share of images that are classified correctly **and** certified at radius *r*. "
    "Only runs on the same data and the same images are ranked together."
)


def show(report: Report, chosen: Filters) -> None:
    """Draw the page below its filters. Raises UsageError for radii that are none."""
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        radii = st.text_input(
            "Radii, between commas", DEFAULT_RADII, key="radii", bind="query-params", width=260,
            help="In units of the pixel range [0, 1]",
        )  # fmt: skip
        each_run = st.toggle("Every run in a row of its own", key="all", bind="query-params")
    asked = split_radii(radii)
    matching, runs = chosen.apply(report.sealed), chosen.shown(report.sealed)
    board = leaderboard(
        report.certified(ranked(runs), asked),
        norm=chosen.norm,
        radii=asked,
        incomplete=len(chosen.apply(report.incomplete)),
        select_best=not each_run,
    )
    datasets = [group.protocol.dataset for group in board.groups]
    wanted = [*datasets, *report.reported_datasets] if chosen.dataset is None else [chosen.dataset]
    papers = reported_tables(report.reported, datasets=wanted, norm=chosen.norm, radii=asked)
    if board.groups:
        _groups(board, papers)
    else:
        chosen.say_nothing_matches([] if chosen.exploratory else ranked(matching))
    for table in papers:
        if table.dataset not in datasets:
            st.subheader(plain_markdown(table.dataset), anchor=False)
            st.caption("Nothing that was measured on it matches the filters.")
            _papers(table, expanded=True)
    if board.groups:
        _below(board)
    show_withheld(runs)
    if board.incomplete:
        verb = "is" if board.incomplete == 1 else "are"
        st.caption(f"{count_text(board.incomplete, 'run')} {verb} incomplete and not shown.")


def _groups(board: Leaderboard, papers: Sequence[ReportedTable]) -> None:
    datasets = [group.protocol.dataset for group in board.groups]
    for number, group in enumerate(board.groups):
        protocol = group.protocol
        described = f"{protocol.images_label} · data `{protocol.fingerprint[:12]}`"
        show_heading(protocol.dataset, described, standing=protocol.standing)
        st.table(board_table(board, group), border="horizontal")
        for table in papers:
            # Below the last group of its data set.
            if table.dataset == protocol.dataset and table.dataset not in datasets[number + 1 :]:
                _papers(table)


def _below(board: Leaderboard) -> None:
    st.caption(_legend(board))
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


def _papers(table: ReportedTable, *, expanded: bool = False) -> None:
    title = f"{REPORTED_TITLE}: {plain_markdown(table.dataset)}, {table.norm}"
    with st.expander(title, icon=":material/article:", expanded=expanded):
        st.table(reported_markdown(table), border="horizontal")
        st.caption("  \n".join(map(plain_markdown, reported_notes(table))))


def _legend(board: Leaderboard) -> str:
    spread = "± standard deviation over seeds. " if board.select_best else ""
    return (
        f"Percent of all images, rounded down; the best of a column is bold. {spread}"
        "Clean: correct without a perturbation; an abstention counts as wrong. ACR: average certified radius."
    )
