"""The charts, read from their Vega-Lite specification."""

from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import pytest

from rsbench.methods import METHODS
from rsbench.report.charts import curve_chart, paired_chart
from rsbench.report.colours import colours_on_dark, method_colour
from rsbench.report.curves import MOST_WITH_RUNS, curve_frame, uncrowded
from rsbench.report.numbers import radius_text
from tests.report.runs import STEPS, a_run


def chart_of(*methods: str) -> dict[str, Any]:
    runs = [a_run([0.25, 0.5], method=m, sigma=s, seed=seed) for m in methods for s in (0.5, 1.0) for seed in (0, 1)]
    return dict(curve_chart(curve_frame(runs, "l1", STEPS)).to_dict())


def test_an_open_ball_steps_after_and_a_closed_one_before() -> None:
    assert {layer["mark"].get("interpolate") for layer in chart_of("ssn")["layer"]} == {"step-after", None}
    assert {layer["mark"].get("interpolate") for layer in chart_of("dssn")["layer"]} == {"step-before", None}


def test_a_method_keeps_its_colour_whatever_else_is_shown() -> None:
    for methods in (("ssn",), ("cohen", "ssn", "dssn"), ("ssn", "split++"), ("split++",)):
        scale = chart_of(*methods)["layer"][0]["encoding"]["color"]["scale"]
        assert scale["range"] == [method_colour(m) for m in methods]


def test_methods_and_their_variants_have_different_colours() -> None:
    colours = [method_colour(method, variant) for method in METHODS for variant in range(3)]
    assert len(set(colours)) == len(colours)
    assert [method_colour(method) for method in ("cohen", "uniform", "ssn", "dssn")] == [
        "#0072B2", "#E69F00", "#009E73", "#CC3F7F",
    ]  # fmt: skip
    assert method_colour("their method") == "#555555"
    assert set(colours_on_dark()) == {"#555555", *map(method_colour, METHODS)}


def test_axes_name_their_units() -> None:
    encoding = chart_of("ssn")["layer"][0]["encoding"]
    assert encoding["x"]["title"] == "l1 radius (pixel range [0, 1])"
    assert encoding["y"]["axis"]["format"] == "%"
    assert encoding["y"]["scale"]["domain"] == [0, 1]


def test_each_sigma_has_its_dash() -> None:
    scale = chart_of("ssn")["layer"][0]["encoding"]["strokeDash"]["scale"]
    assert scale["domain"] == ["0.5", "1"]
    assert len({tuple(dash) for dash in scale["range"]}) == 2


def test_hovering_tells_values_that_are_rounded_down() -> None:
    runs = [a_run([0.2519], images=3)]
    chart = curve_chart(curve_frame(runs, "l1", STEPS)).to_dict()
    tooltip = [t["field"] for t in chart["layer"][-1]["encoding"]["tooltip"]]
    assert tooltip == ["method", "sigma", "radius_text", "accuracy_text", "seeds", "budget"]
    points = chart["datasets"][chart["layer"][-1]["data"]["name"]]
    assert [(p["radius_text"], p["accuracy_text"]) for p in points] == [("0.000", "33.3 %"), ("0.251", "0.0 %")]


def test_an_empty_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="no curve"):
        curve_chart(curve_frame([], "l1", STEPS))


def test_curves_of_one_method_are_distinguished_by_shades_and_names() -> None:
    runs = [a_run([0.25, 0.5]), a_run([0.25], certificate="box"), a_run([0.5], n=10_000)]
    scale = curve_chart(curve_frame(runs, "l1", STEPS)).to_dict()["layer"][0]["encoding"]["color"]["scale"]
    budgets = [f"n0 100 · n {n} · α 0.001" for n in ("1,000", "10,000")]
    assert scale["domain"] == [f"SSN · {budgets[0]}", f"SSN · {budgets[1]}", "SSN (box)"]
    assert scale["range"][0] == method_colour("ssn")
    assert len(set(scale["range"])) == 3


def test_a_curve_that_never_falls_reaches_the_end_of_the_axis() -> None:
    for method, last in (("ssn", 0.25), ("dssn", 0.25)):
        chart = curve_chart(curve_frame([a_run([0.5, np.inf], method=method)], "l1", STEPS)).to_dict()
        layer = chart["layer"][0]
        points = chart["datasets"][layer["data"]["name"]]
        end = layer["encoding"]["x"]["scale"]["domainMax"]
        assert points[-1]["radius"] == end
        assert points[-1]["certified_accuracy"] == last
        hovered = chart["datasets"][chart["layer"][-1]["data"]["name"]]
        assert hovered[-1]["radius_text"] == "∞"


def test_a_crowded_chart_draws_means_alone() -> None:
    def frame(sigmas: int) -> pd.DataFrame:
        runs = [a_run([0.25], sigma=0.5 + 0.01 * i, seed=seed) for i in range(sigmas) for seed in (0, 1)]
        return curve_frame(runs, "l1", STEPS)

    few, many = frame(MOST_WITH_RUNS), frame(MOST_WITH_RUNS + 1)
    assert len(uncrowded(few)) == len(few)
    assert set(uncrowded(many)["line"]) == {"mean"}


def test_two_curves_of_a_run_share_an_axis_that_moves_by_tenths() -> None:
    def end(radius: float) -> float:
        parts = [("declared", 1.0), ("computed", radius)]
        frame = pd.DataFrame(
            [
                {"line": line, "curve": line, "ball": "open", "radius": r, "certified_accuracy": 1.0 - r / last}
                for line, last in parts
                for r in (0.0, last)
            ]
        )
        points, spec = paired_chart(frame, "l1", "#009E73")
        assert points["radius_text"].tolist() == ["0.000", "1.000", "0.000", radius_text(radius)]
        assert alt.Chart.from_dict({"data": {"values": points.to_dict("records")}} | spec).to_dict()["layer"]
        return float(spec["encoding"]["x"]["scale"]["domainMax"])

    assert end(0.5) == end(1.0) == pytest.approx(1.015)
    assert end(1.02) == end(1.1) == pytest.approx(1.015 * 1.1)
