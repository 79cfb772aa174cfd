"""Another certificate, n or α of a run, computed from its stored votes while one looks."""

import streamlit as st

from dashboards.filters import Filters
from rsbench.report.charts import method_colour, paired_chart
from rsbench.report.live import PROCEDURES, Asked, LiveRun, askable_runs, first_choice, open_live_run
from rsbench.report.live_text import live_frame, live_table, run_label
from rsbench.report.numbers import DEFAULT_RADII, plain_markdown, split_radii
from rsbench.report.runs import Report, RsbenchError, RunRecord

INTRODUCTION = (
    "What another certificate, *n* or α says of a run, computed from the votes that it kept. "
    "No noise is drawn again, and nothing is stored."
)

_OWN = (
    ":green-badge[:material/verified: declared] This is the curve that the run declared itself: "
    "choose another certificate, bounds, *n* or α."
)
_STANDING = {
    "declared": (
        ":green-badge[:material/verified: declared] The bounds are those that the run declared. They hold together, "
        "whichever theorem is read off them: choosing the theorem costs nothing."
    ),
    "exploratory": (
        ":orange-badge[:material/science: exploratory] The bounds, *n* or α are not those that the run declared: "
        "chosen after its result was seen, such a curve is ranked apart."
    ),
}


def show(report: Report, chosen: Filters, database: str | None) -> None:
    """Draw the page below its filters; `database`: what the command that keeps a curve must name, if anything."""
    runs = {run.fingerprint: run for run in askable_runs(chosen.apply(report.sealed))}
    if not runs:
        chosen.say_nothing_matches()
        return
    names = list(runs)
    # The address names the run by its fingerprint, also where it is the first: a link keeps showing it.
    linked, first = st.query_params.get("run", ""), first_choice(list(runs.values())).fingerprint
    matching = [name for name in names if linked and name.startswith(linked)]
    if linked and not matching:
        st.caption(plain_markdown(f"Run {linked} is not among these: the filters leave it out, or it is withheld."))
    position = names.index((matching or [first])[0])
    fingerprint = st.selectbox(
        "Run", names, index=position, format_func=lambda name: run_label(runs[name]), key="chosen run",
        help="Data set, method, σ, seed, fingerprint: type to search",
    )  # fmt: skip
    st.query_params["run"] = fingerprint[:12]
    try:
        live = _opened(report.location, runs[fingerprint].id, runs[fingerprint].seal, runs[fingerprint])
    except RsbenchError as error:
        st.info(plain_markdown(f"{error}."), icon=":material/how_to_vote:")
        return
    if live.exact:
        st.info(plain_markdown(live.exact_text), icon=":material/calculate:")
        return
    _ask(live, chosen.norm, report, database)


# Known by its seal: the votes of a sealed run never change. What LiveRun keeps of a run is bounded.
@st.cache_resource(max_entries=4, show_spinner="Reading the votes of this run …")
def _opened(location: str, run_id: int, seal: str | None, _run: RunRecord) -> LiveRun:
    return open_live_run(location, _run)


# A fragment: a click asks the votes that are kept, and reads nothing from the store.
@st.fragment
def _ask(live: LiveRun, norm: str, report: Report, database: str | None) -> None:
    try:
        asked, radii = _controls(live, norm)
        _answer(asked, radii, norm)
        _keep(asked, report, database)
    except RsbenchError as error:
        st.warning(plain_markdown(f"{error}."), icon=":material/info:")


def _controls(live: LiveRun, norm: str) -> tuple[Asked, tuple[str, ...]]:
    """What is asked of the run, and the radii to tell its numbers at."""
    # Under keys of its own, every run begins with what it declared.
    own, key = live.known.declared, live.run.fingerprint[:8]
    with st.container(horizontal=True, gap="medium"):
        names = live.certificates(norm)
        certificate = st.segmented_control(
            "Certificate", names, default=names[0], required=True, key=f"certificate-{key}", bind="query-params",
            help="Theorems that hold for this run's noise", width="content",
        )  # fmt: skip
        procedure = st.segmented_control(
            "Bounds", PROCEDURES, default=own.procedure, required=True, key=f"bounds-{key}", bind="query-params",
            help="One-versus-rest bounds the chosen class alone; top-two the strongest other class too, at α/2 each",
            width="content",
        )  # fmt: skip
        n = st.segmented_control(
            "n", live.known.prefixes, default=own.n, required=True, format_func="{:,}".format, key=f"n-{key}",
            bind="query-params", help="Votes that certify: the prefixes that the run declared", width="content",
        )  # fmt: skip
        alpha = st.select_slider(
            "α", live.alphas, value=own.failure_probability, format_func="{:g}".format, key=f"alpha-{key}",
            bind="query-params", help="Probability that the certificate of an image is wrong", width=300,
        )  # fmt: skip
        radii = st.text_input(
            "Radii, between commas", DEFAULT_RADII, key="radii", bind="query-params", width=200,
            help="In units of the pixel range [0, 1]",
        )  # fmt: skip
    if left_out := live.left_out(norm):
        st.caption(plain_markdown(f"Not offered: {'; '.join(left_out)}."))
    return live.ask(certificate, procedure=procedure, n=n, alpha=alpha), split_radii(radii)


def _answer(asked: Asked, radii: tuple[str, ...], norm: str) -> None:
    st.markdown(_OWN if asked.is_own else _STANDING[asked.standing])
    points, chart = paired_chart(live_frame(asked), norm, method_colour(asked.live.run.method))
    st.vega_lite_chart(
        points,
        chart,
        width="stretch",
        alt="Certified accuracy over the radius: the run's own curve, and the one that is asked for",
    )
    st.table(live_table(asked, radii), border="horizontal", hide_index=True)
    st.caption("Clean and certified accuracy in percent of all images, differences in points; all rounded down.")


def _keep(asked: Asked, report: Report, database: str | None) -> None:
    if asked.is_own:
        return
    kept = asked.kept_as(report.sealed)
    if kept is None:
        st.markdown("This keeps the curve in the store, beside the run's own:")
        st.code(asked.command(database), language="bash", wrap_lines=True)
    else:
        said = f" in {kept.statement}" if kept.statement else ""
        st.caption(f"The store keeps this curve already: {plain_markdown(kept.standing + said)}.")
