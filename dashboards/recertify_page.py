"""The Recertify page: another certificate, n or α of a run, computed from its stored votes at each click."""

import streamlit as st

from dashboards.filters import PageFilters
from rsbench.errors import RsbenchError
from rsbench.home import home
from rsbench.recertification import CurveResult, RunVotes, open_run_votes
from rsbench.records import RunRecord, StepCurve
from rsbench.report.charts import paired_chart
from rsbench.report.colours import method_colour
from rsbench.report.numbers import DEFAULT_RADII, plain_markdown, split_radii
from rsbench.report.recertified import (
    certificate_objections,
    fixed_curve_reason,
    initial_run,
    paired_frame,
    paired_table,
    recertify_command,
    run_label,
    selectable_alphas,
    selectable_certificates,
    selectable_runs,
    stored_curve,
)
from rsbench.report.runs import Report, location_name
from rsbench.specs import PROCEDURES

INTRODUCTION = (
    "The curve of a run under another certificate, *n* or α, computed from its stored votes. "
    "No noise is drawn, and nothing is stored."
)

_DECLARED = (
    ":green-badge[:material/verified: declared] This is the curve that the run declared: "
    "choose another certificate, bounds, *n* or α."
)
_STANDING = {
    "declared": (
        ":green-badge[:material/verified: declared] The bounds are those that the run declared. They hold together, "
        "whichever theorem is applied to them, so the choice of the theorem costs nothing."
    ),
    "exploratory": (
        ":orange-badge[:material/science: exploratory] The bounds, *n* or α are not those that the run declared. "
        "A curve that is chosen after a result was seen is ranked apart."
    ),
}


def show(report: Report, filters: PageFilters) -> None:
    """Draw the page below its filters."""
    runs = {run.fingerprint: run for run in selectable_runs(filters.matching(report.sealed))}
    if not runs:
        filters.show_nothing_matches()
        return
    run = runs[_select_run(runs)]
    try:
        votes, declared = _read_votes(report.location, run.id, run.seal, run, report)
    except RsbenchError as error:
        message = str(error)
        st.info(plain_markdown(f"{message[0].upper()}{message[1:]}."), icon=":material/how_to_vote:")
        return
    if reason := fixed_curve_reason(votes):
        st.info(plain_markdown(reason), icon=":material/calculate:")
        return
    _recertify(votes, declared, filters.runs.norm, report)


def _select_run(runs: dict[str, RunRecord]) -> str:
    """Draw the list of runs, and return the fingerprint of the selected one."""
    names = list(runs)
    # The address names the run by its fingerprint, even the first one, so that a link keeps showing it.
    linked, first = st.query_params.get("run", ""), initial_run(list(runs.values())).fingerprint
    matching = [name for name in names if linked and name.startswith(linked)]
    if linked and not matching:
        message = f"Run {linked} is not in the list: the filters do not match it, or it is excluded from ranking."
        st.caption(plain_markdown(message))
    fingerprint = st.selectbox(
        "Run", names, index=names.index((matching or [first])[0]), format_func=lambda name: run_label(runs[name]),
        key="chosen run", help="Dataset, method, σ, seed, fingerprint: type to search",
    )  # fmt: skip
    st.query_params["run"] = fingerprint[:12]
    return fingerprint


# The seal identifies the votes, because those of a sealed run never change.
@st.cache_resource(max_entries=4, show_spinner="Reading the votes of this run …")
def _read_votes(
    location: str, run_id: int, seal: str | None, _run: RunRecord, _report: Report
) -> tuple[RunVotes, StepCurve]:
    """Return the votes of a run, and the stored curve that it declared."""
    votes = open_run_votes(location, _run)
    (declared,) = _report.step_curves([_run]).values()
    return votes, declared


# As a fragment, a click computes a curve and reads nothing from the store.
@st.fragment
def _recertify(votes: RunVotes, declared: StepCurve, norm: str, report: Report) -> None:
    try:
        result, radii = _controls(votes, norm)
        _show_result(declared, result, radii, norm)
        _show_command(result, report)
    except RsbenchError as error:
        st.warning(plain_markdown(f"{error}."), icon=":material/info:")


def _controls(votes: RunVotes, norm: str) -> tuple[CurveResult, tuple[str, ...]]:
    """Draw the controls, and return the curve that they request and the radii of its table."""
    # With keys of its own, every run begins with what it declared.
    declared, key = votes.declared, votes.run.fingerprint[:8]
    with st.container(horizontal=True, gap="medium"):
        names = selectable_certificates(votes, norm)
        certificate = st.segmented_control(
            "Certificate", names, default=names[0], required=True, key=f"certificate-{key}", bind="query-params",
            help="Theorems that hold for this run's noise", width="content",
        )  # fmt: skip
        procedure = st.segmented_control(
            "Bounds", PROCEDURES, default=declared.procedure, required=True, key=f"bounds-{key}", bind="query-params",
            help="One-versus-rest bounds the chosen class alone; top-two the strongest other class too, at α/2 each",
            width="content",
        )  # fmt: skip
        n = st.segmented_control(
            "n", votes.prefixes, default=declared.n, required=True, format_func="{:,}".format, key=f"n-{key}",
            bind="query-params", help="Estimation votes: the prefixes that the run declared", width="content",
        )  # fmt: skip
        alpha = st.select_slider(
            "α", selectable_alphas(votes), value=declared.failure_probability, format_func="{:g}".format,
            key=f"alpha-{key}", bind="query-params", help="Probability that the certificate of an image is wrong",
            width=300,
        )  # fmt: skip
        radii = st.text_input(
            "Radii, between commas", DEFAULT_RADII, key="radii", bind="query-params", width=200,
            help="In units of the pixel range [0, 1]",
        )  # fmt: skip
    if objections := certificate_objections(votes, norm):
        st.caption(plain_markdown(f"Not available: {'; '.join(objections)}."))
    request = votes.request(certificate=certificate, procedure=procedure, n=n, failure_probability=alpha)
    return votes.compute(request), split_radii(radii)


def _show_result(declared: StepCurve, result: CurveResult, radii: tuple[str, ...], norm: str) -> None:
    st.markdown(_DECLARED if result.is_declared else _STANDING[result.curve.standing])
    points, chart = paired_chart(paired_frame(declared, result), norm, method_colour(result.run.method))
    st.vega_lite_chart(
        points,
        chart,
        width="stretch",
        alt="Certified accuracy over the radius: the curve that the run declared, and the one that is computed now",
    )
    st.table(paired_table(declared, result, radii), border="horizontal", hide_index=True)
    st.caption("Clean and certified accuracy in percent of all images, differences in points; all rounded down.")


def _show_command(result: CurveResult, report: Report) -> None:
    if result.is_declared:
        return
    stored = stored_curve(result, report.sealed)
    if stored is None:
        st.markdown("This command stores the curve, beside the run's own:")
        # A shell has to name the store unless it is the default one. RSBENCH_DB may be set for the dashboard alone.
        is_default = report.location == str(home() / "results.db")
        command = recertify_command(result, None if is_default else location_name(report.location))
        st.code(command, language="bash", wrap_lines=True)
    else:
        statement = f", {stored.statement}" if stored.statement else ""
        st.caption(f"The store already has this curve: {plain_markdown(stored.standing + statement)}.")
