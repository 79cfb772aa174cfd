"""The leaderboard."""

import streamlit as st

from dashboards.filters import Filters
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
    board = leaderboard(
        report.certified(chosen.apply(report.sealed), asked),
        norm=chosen.norm,
        radii=asked,
        incomplete=len(chosen.apply(report.incomplete)),
        select_best=not each_run,
    )
    if board.groups:
        _groups(board, report)
    else:
        st.info(
            f"No sealed run with a certificate for {chosen.norm} matches these filters.",
            icon=":material/filter_alt_off:",
        )
    for line in board.withheld:
        st.caption(plain_markdown(line[0].upper() + line[1:]) + r"\.")
    if board.incomplete:
        verb = "is" if board.incomplete == 1 else "are"
        st.caption(f"{count_text(board.incomplete, 'run')} {verb} incomplete and not shown.")


def _groups(board: Leaderboard, report: Report) -> None:
    datasets = [group.protocol.dataset for group in board.groups]
    papers = reported_tables(report.reported, datasets=datasets, norm=board.norm, radii=board.radii)
    for number, group in enumerate(board.groups):
        st.subheader(plain_markdown(group.protocol.dataset), anchor=False)
        st.caption(f"{group.protocol.images_label} · data `{group.protocol.fingerprint[:12]}`")
        st.table(board_table(board, group), border="horizontal")
        for table in papers:
            # Below the last group of its data set.
            if table.dataset == group.protocol.dataset and table.dataset not in datasets[number + 1 :]:
                _papers(table)
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


def _papers(table: ReportedTable) -> None:
    with st.expander(f"{REPORTED_TITLE}: {plain_markdown(table.dataset)}, {table.norm}", icon=":material/article:"):
        st.table(reported_markdown(table), border="horizontal")
        st.caption("  \n".join(map(plain_markdown, reported_notes(table))))


def _legend(board: Leaderboard) -> str:
    spread = "± standard deviation over seeds. " if board.select_best else ""
    return (
        f"Percent of all images, rounded down; the best of a column is bold. {spread}"
        "Clean: correct without a perturbation; an abstention counts as wrong. ACR: average certified radius."
    )
