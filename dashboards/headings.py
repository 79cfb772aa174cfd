"""What stands above the numbers of a protocol."""

import streamlit as st

from rsbench.records import Standing
from rsbench.report.numbers import plain_markdown

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


def show_heading(dataset: str, described: str, *, standing: Standing) -> None:
    """Write the name of a dataset, which of its images are meant (in Markdown), and a badge unless all is declared."""
    st.subheader(plain_markdown(dataset), anchor=False)
    st.caption(described)
    if standing in _STANDING:
        st.markdown(_STANDING[standing])
