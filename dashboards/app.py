"""The Streamlit app: `streamlit run dashboards/app.py`, or `rsbench dashboard`.

The store is RSBENCH_DB (a path or a URL), else `results.db` in RSBENCH_HOME, which defaults to ./.rsbench.
"""

import os
import sys
from pathlib import Path

import streamlit as st

# Streamlit puts this file's own folder on the path, and the pages are imported from the one above it.
if (_ABOVE := str(Path(__file__).parents[1])) not in sys.path:
    sys.path.insert(0, _ABOVE)

from dashboards import curves_page, leaderboard_page
from dashboards.filters import filters
from rsbench.report.numbers import plain_markdown
from rsbench.report.runs import RsbenchError, location_name, open_report


def store_location() -> str:
    """Where the results are."""
    home = Path(os.environ.get("RSBENCH_HOME") or ".rsbench")
    return os.environ.get("RSBENCH_DB") or str(home / "results.db")


def main() -> None:
    """Draw the chosen page, or say in one line what is wrong with the store or the filters."""
    st.set_page_config(page_title="rsbench", page_icon=":material/shield:", layout="wide")
    # The header of the top navigation needs less room than the sidebar's pages leave for it.
    st.html("<style>.stMainBlockContainer { padding-top: 4.75rem; padding-bottom: 3rem; }</style>")
    board = st.Page(
        lambda: leaderboard_page.show(report, chosen), title="Leaderboard", icon=":material/leaderboard:", default=True,
        url_path="leaderboard",
    )  # fmt: skip
    curves = st.Page(
        lambda: curves_page.show(report, chosen), title="Curves", icon=":material/show_chart:", url_path="curves"
    )
    page = st.navigation([board, curves], position="top")
    st.title(page.title if page == board else "Certified accuracy over the radius", anchor=False)
    st.markdown(leaderboard_page.INTRODUCTION if page == board else curves_page.INTRODUCTION)
    try:
        report = open_report(store_location())
        if not report.sealed:
            name = location_name(store_location())
            st.info(f"No finished run yet in {plain_markdown(name)}: run `rsbench sweep` first.")
            return
        # Drawn here and not by the pages, because a page takes its widgets out of the address when it is left.
        chosen = filters(report)
        page.run()
    except RsbenchError as error:
        st.warning(plain_markdown(str(error)), icon=":material/info:")


main()
