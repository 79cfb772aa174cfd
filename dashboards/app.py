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

from dashboards import curves_page, leaderboard_page, recertify_page
from dashboards.filters import filters
from rsbench.plugins import load_plugins
from rsbench.report.numbers import plain_markdown
from rsbench.report.runs import RsbenchError, location_name, open_report

_STYLE = """<style>
/* The header of the top navigation needs less room than the sidebar's pages leave for it. */
.stMainBlockContainer { padding-top: 4.75rem; padding-bottom: 3rem; }
/* What stands below a number stays in one line, however long the notes below a method are. */
[data-testid=stTable] td:not(:first-child) span[style*=font-size] { white-space: nowrap; }
</style>"""


def default_location() -> str:
    """Where the results are unless RSBENCH_DB says otherwise."""
    return str(Path(os.environ.get("RSBENCH_HOME") or ".rsbench") / "results.db")


def main() -> None:
    """Draw the chosen page, or say in one line what is wrong with the store or the filters."""
    st.set_page_config(page_title="rsbench", page_icon=":material/shield:", layout="wide")
    st.html(_STYLE)
    location = os.environ.get("RSBENCH_DB") or default_location()
    board = st.Page(
        lambda: leaderboard_page.show(report, chosen), title="Leaderboard", icon=":material/leaderboard:", default=True,
        url_path="leaderboard",
    )  # fmt: skip
    curves = st.Page(
        lambda: curves_page.show(report, chosen), title="Curves", icon=":material/show_chart:", url_path="curves"
    )
    named = None if location == default_location() else location
    recertify = st.Page(
        lambda: recertify_page.show(report, chosen, named and location_name(named)),
        title="Recertify", icon=":material/how_to_vote:", url_path="recertify",
    )  # fmt: skip
    page = st.navigation([board, curves, recertify], position="top")
    heading, introduction = {
        board: (board.title, leaderboard_page.INTRODUCTION),
        curves: ("Certified accuracy over the radius", curves_page.INTRODUCTION),
        recertify: (recertify.title, recertify_page.INTRODUCTION),
    }[page]
    st.title(heading, anchor=False)
    st.markdown(introduction)
    try:
        load_plugins()
        report = open_report(location, exploratory=True)
        if not report.sealed and not report.reported:
            name = plain_markdown(location_name(location))
            st.info(f"No finished run yet in {name}: run `rsbench sweep` first.")
            return
        # Drawn here and not by the pages, because a page takes its widgets out of the address when it is left.
        chosen = filters(report)
        page.run()
    except RsbenchError as error:
        st.warning(plain_markdown(str(error)), icon=":material/info:")


main()
