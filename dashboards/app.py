"""The Streamlit app: `streamlit run dashboards/app.py`, or `rsbench dashboard`.

The store is RSBENCH_DB (a path or a URL), else `results.db` in RSBENCH_HOME, which defaults to ./.rsbench. To add a
page, write a module with a function that draws it below the filters, and add it to PAGES.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

# Streamlit puts this file's own folder on the path, and the pages are imported from the one above it.
if (_PARENT := str(Path(__file__).parents[1])) not in sys.path:
    sys.path.insert(0, _PARENT)

from dashboards import curves_page, leaderboard_page, recertify_page
from dashboards.filters import PageFilters, draw_filters
from rsbench.errors import RsbenchError
from rsbench.home import default_database
from rsbench.plugins import load_plugins
from rsbench.report.numbers import plain_markdown
from rsbench.report.runs import Report, location_name, open_report

_STYLE = """<style>
/* The header of the top navigation needs less room than the sidebar's pages leave for it. */
.stMainBlockContainer { padding-top: 4.75rem; padding-bottom: 3rem; }
/* What stands below a number stays in one line, however long the notes below a method are. */
[data-testid=stTable] td:not(:first-child) span[style*=font-size] { white-space: nowrap; }
</style>"""


@dataclass(frozen=True)
class DashboardPage:
    """A page of the dashboard."""

    title: str
    """Its name in the navigation."""

    icon: str
    url: str
    """Its path in the address."""

    heading: str
    introduction: str
    """What the page shows, in Markdown."""

    show: Callable[[Report, PageFilters], None]
    """Draws the page below its filters."""


PAGES = (
    DashboardPage(
        "Leaderboard", ":material/leaderboard:", "leaderboard", "Leaderboard", leaderboard_page.INTRODUCTION,
        leaderboard_page.show,
    ),
    DashboardPage(
        "Curves", ":material/show_chart:", "curves", "Certified accuracy over the radius", curves_page.INTRODUCTION,
        curves_page.show,
    ),
    DashboardPage(
        "Recertify", ":material/how_to_vote:", "recertify", "Recertify", recertify_page.INTRODUCTION,
        recertify_page.show,
    ),
)  # fmt: skip


def main() -> None:
    """Draw the selected page, or say in one line what is wrong with the store or the filters."""
    st.set_page_config(page_title="rsbench", page_icon=":material/shield:", layout="wide")
    st.html(_STYLE)

    def drawn_by(page: DashboardPage) -> Callable[[], None]:
        return lambda: page.show(report, filters)

    pages = {
        st.Page(
            drawn_by(page), title=page.title, icon=page.icon, url_path=page.url, default=page is PAGES[0]
        ): page
        for page in PAGES
    }  # fmt: skip
    selected = st.navigation(list(pages), position="top")
    st.title(pages[selected].heading, anchor=False)
    st.markdown(pages[selected].introduction)
    try:
        load_plugins()
        report = open_report(default_database(), exploratory=True)
        if not report.sealed and not report.reported:
            name = plain_markdown(location_name(report.location))
            st.info(f"No finished run yet in {name}: run `rsbench sweep` first.")
            return
        # Drawn here and not by the pages, because Streamlit removes the widgets of a page from the address when the
        # reader leaves it.
        filters = draw_filters(report)
        selected.run()
    except RsbenchError as error:
        st.warning(plain_markdown(str(error)), icon=":material/info:")


main()
