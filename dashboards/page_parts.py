"""Parts that several pages have: the heading of a protocol, and the runs that are excluded from ranking."""

from collections.abc import Sequence

import streamlit as st

from rsbench.records import RunRecord, Standing
from rsbench.report.numbers import plain_markdown
from rsbench.report.ranking import exclusion_lines

_STANDING = {
    "exploratory": (
        ":orange-badge[:material/science: exploratory] Certificate, *n*, α or σ were chosen after a result was seen. "
        "These rows are ranked apart from declared ones."
    ),
    "stated-afterwards": (
        ":blue-badge[:material/edit_note: stated afterwards] Somebody states that these choices were fixed before the "
        "votes; no specification shows it. These rows are ranked apart from declared ones."
    ),
}

# A longer list of excluded runs is collapsed.
_MOST_EXPANDED = 3


def show_heading(dataset: str, described: str, *, standing: Standing) -> None:
    """Write the name of a dataset, which of its images are meant (in Markdown), and a badge unless all is declared."""
    st.subheader(plain_markdown(dataset), anchor=False)
    st.caption(described)
    if standing in _STANDING:
        st.markdown(_STANDING[standing])


def show_excluded(runs: Sequence[RunRecord]) -> None:
    """List which of the runs are excluded from ranking and why; nothing if there are none."""
    lines = exclusion_lines(runs)
    if not lines:
        return
    title = f"Excluded from ranking ({len(lines)})"
    with st.expander(title, icon=":material/warning:", expanded=len(lines) <= _MOST_EXPANDED):
        st.markdown("\n".join(f"- {plain_markdown(line[0].upper() + line[1:])}" for line in lines))
