"""The charts, read from their Vega-Lite specification."""

from typing import Any

import pytest

from rsbench.report.charts import METHOD_COLOURS, curve_chart
from rsbench.report.curves import curve_frame
from tests.report.runs import STEPS, a_run


def chart_of(*methods: str) -> dict[str, Any]:
    runs = [a_run([0.25, 0.5], method=m, sigma=s, seed=seed) for m in methods for s in (0.5, 1.0) for seed in (0, 1)]
    return dict(curve_chart(curve_frame(runs, "l1", STEPS)).to_dict())


def test_an_open_ball_steps_after_and_a_closed_one_before() -> None:
    assert {layer["mark"].get("interpolate") for layer in chart_of("ssn")["layer"]} == {"step-after", None}
    assert {layer["mark"].get("interpolate") for layer in chart_of("dssn")["layer"]} == {"step-before", None}


def test_a_method_keeps_its_colour_whatever_else_is_shown() -> None:
    for methods in (("ssn",), ("cohen", "ssn", "dssn")):
        scale = chart_of(*methods)["layer"][0]["encoding"]["color"]["scale"]
        assert scale["range"] == [METHOD_COLOURS[m] for m in methods]


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
