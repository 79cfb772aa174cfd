"""The curves of certified accuracy."""

import streamlit as st

from dashboards.filters import Filters
from rsbench.report.charts import curve_chart
from rsbench.report.curves import curve_frame
from rsbench.report.numbers import plain_markdown
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
    runs = chosen.apply(report.sealed)
    frame = curve_frame(runs, chosen.norm, report.steps(runs))
    if frame.empty:
        st.info(
            f"No sealed run with a certificate for {chosen.norm} matches these filters.",
            icon=":material/filter_alt_off:",
        )
    for group, curves in frame.groupby("group", sort=True):
        heading, _, rest = str(group).partition(" · ")
        st.subheader(plain_markdown(heading), anchor=False)
        st.caption(rest)
        st.altair_chart(curve_chart(curves), width="stretch", alt=f"Certified accuracy over the radius: {group}")
        st.dataframe(curve_table(curves), hide_index=True, height=280, column_config=_COLUMNS)
