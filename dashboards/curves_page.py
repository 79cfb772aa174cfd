"""The Curves page: certified accuracy over the radius."""

import streamlit as st

from dashboards.filters import PageFilters
from dashboards.page_parts import show_excluded, show_heading
from rsbench.report.charts import curve_chart
from rsbench.report.curves import MOST_WITH_RUNS, curve_frame, uncrowded
from rsbench.report.numbers import plain_markdown
from rsbench.report.ranking import STANDING_WARNING, ranked
from rsbench.report.runs import Report
from rsbench.report.tables import curve_table

INTRODUCTION = (
    "Share of images that are classified correctly **and** certified at each radius: "
    "the mean over seeds as a strong line, each seed as a faint one."
)

# The numbers are already rounded down. These formats only keep their trailing zeros.
_COLUMNS = {
    "Radius": st.column_config.NumberColumn(format="%.3f"),
    "Certified accuracy (%)": st.column_config.NumberColumn(format="%.1f"),
}


def show(report: Report, filters: PageFilters) -> None:
    """Draw the page below its filters."""
    runs = filters.shown(report.sealed)
    frame = curve_frame(runs, filters.runs.norm, report.step_curves(ranked(runs)))
    if frame.empty:
        filters.show_nothing_matches([] if filters.exploratory else ranked(filters.matching(report.sealed)))
    for group, curves in frame.groupby("group", sort=True):
        standing = curves["standing"].iloc[0]
        heading = str(group).removesuffix(f" · {STANDING_WARNING[standing]}")
        dataset, _, described = heading.partition(" · ")
        show_heading(dataset, plain_markdown(described), standing=standing)
        drawn = uncrowded(curves)
        if len(drawn) < len(curves):
            st.caption(f"More than {MOST_WITH_RUNS} curves: each is a mean over seeds, and single seeds are left out.")
        st.altair_chart(curve_chart(drawn), width="stretch", alt=f"Certified accuracy over the radius: {group}")
        st.dataframe(curve_table(curves), hide_index=True, height=280, column_config=_COLUMNS)
    show_excluded(runs)
