"""The runs that are left out because of what was said of them."""

from collections.abc import Sequence

import streamlit as st

from rsbench.report.annotations import withheld_lines, withheld_runs
from rsbench.report.numbers import count_text, plain_markdown
from rsbench.report.runs import RunRecord

# So few are shown at once.
_FEW = 3


def show_withheld(runs: Sequence[RunRecord]) -> None:
    """Say which of the runs are left out, why, by whom and when; nothing where none is."""
    withheld = withheld_runs(runs)
    if not withheld:
        return
    verb = "is" if len(withheld) == 1 else "are"
    title = f"{count_text(len(withheld), 'run')} {verb} withheld"
    with st.expander(title, icon=":material/warning:", expanded=len(withheld) <= _FEW):
        st.markdown("\n".join(f"- {plain_markdown(line[0].upper() + line[1:])}" for line in withheld_lines(runs)))
