"""The curves of certified accuracy."""

import streamlit as st

from dashboards.filters import Filters
from dashboards.headings import show_heading
from dashboards.withheld import show_withheld
from rsbench.report.annotations import ranked
from rsbench.report.charts import curve_chart
from rsbench.report.curves import MOST_WITH_RUNS, curve_frame, uncrowded
from rsbench.report.numbers import plain_markdown
from rsbench.report.protocol import STANDING_WARNING
from rsbench.report.runs import Report
from rsbench.report.tables import curve_table

# The numbers come rounded down; these formats only keep their trailing zeros.
_COLUMNS = {
    "Radius": st.column_config.NumberColumn(format="%.3f"),
    "Certified accuracy (%)": st.column_config.NumberColumn(format="%.1f"),
}


INTRODUCTION = (
    "Share of images that are classified correctly **and** certified at each radius: "
    "the mean over seeds as a strong line, each seed as a faint one."
)


def show(report: Report, chosen: Filters) -> None:
    """Draw the page below its filters."""
    matching = chosen.apply(report.sealed)
    runs = chosen.shown(report.sealed)
    frame = curve_frame(runs, chosen.norm, report.step_curves(ranked(runs)))
    if frame.empty:
        chosen.say_nothing_matches([] if chosen.exploratory else ranked(matching))
    for group, curves in frame.groupby("group", sort=True):
        standing = curves["standing"].iloc[0]
        dataset, _, described = str(group).removesuffix(f" · {STANDING_WARNING[standing]}").partition(" · ")
        show_heading(dataset, plain_markdown(described), standing=standing)
        drawn = uncrowded(curves)
        if len(drawn) < len(curves):
            st.caption(f"More than {MOST_WITH_RUNS} curves: each is a mean over seeds, and single seeds are left out.")
        st.altair_chart(curve_chart(drawn), width="stretch", alt=f"Certified accuracy over the radius: {group}")
        st.dataframe(curve_table(curves), hide_index=True, height=280, column_config=_COLUMNS)
    show_withheld(runs)
