"""What stands above the numbers of a protocol."""

import streamlit as st

from rsbench.report.numbers import plain_markdown

_EXPLORATORY = (
    ":orange-badge[:material/science: exploratory] Their *n*, α or σ were chosen after a result was seen: "
    "ranked apart from what was declared beforehand."
)


def show_heading(dataset: str, described: str, *, exploratory: bool) -> None:
    """Name a data set, say which of its images and data (in Markdown), and mark what is exploratory."""
    st.subheader(plain_markdown(dataset), anchor=False)
    st.caption(described)
    if exploratory:
        st.markdown(_EXPLORATORY)
