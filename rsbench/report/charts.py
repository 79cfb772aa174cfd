"""Charts of frames. They draw what they are given: no number is computed here, and none is rounded up."""

from collections.abc import Iterable
from typing import Literal

import altair as alt
import pandas as pd

from rsbench.methods import METHODS
from rsbench.report.numbers import percent_down, radius_text, sigma_text

# Okabe and Ito's colours, which stay apart under every common colour blindness. A method keeps its colour whatever
# else is drawn; methods of another origin share the last one.
METHOD_COLOURS = {"cohen": "#0072B2", "uniform": "#E69F00", "ssn": "#009E73", "dssn": "#CC3F7F"}
OTHER_COLOUR = "#555555"
_DASHES = ([1, 0], [7, 3], [2, 2], [10, 3, 2, 3], [4, 6], [1, 4])


def curve_chart(frame: pd.DataFrame, *, height: int = 440) -> alt.LayerChart:
    """Certified accuracy over the radius, of a frame made by `curve_frame` that holds one protocol and is not empty.

    One colour a method, one dash a σ; the mean over seeds is a strong line, single runs are faint ones. Hovering shows
    the nearest point of a mean. Raises ValueError when the frame is empty.
    """
    if frame.empty:
        raise ValueError("there is no curve to draw")
    drawn = _drawn(frame)
    means = alt.Chart(drawn[drawn["line"] == "mean"])
    colour, dash = _colour(frame), _dash(frame)
    norm = frame["norm"].iloc[0]
    x = alt.X("radius:Q", title=f"{norm} radius (pixel range [0, 1])", scale=alt.Scale(nice=False, zero=True))
    y = alt.Y(
        "certified_accuracy:Q",
        title="certified accuracy",
        axis=alt.Axis(format="%", tickCount=6),
        scale=alt.Scale(domain=[0, 1]),
    )
    layers: list[alt.Chart] = []
    for ball in sorted(set(drawn["ball"])):
        # Between two points an open ball's curve has the value of the first, a closed ball's that of the second.
        step: Literal["step-after", "step-before"] = "step-after" if ball == "open" else "step-before"
        for is_mean in (False, True):
            part = drawn[(drawn["ball"] == ball) & ((drawn["line"] == "mean") == is_mean)]
            if part.empty:
                continue
            width, opacity = (2.2, 1.0) if is_mean else (1.0, 0.25)
            line = alt.Chart(part).mark_line(interpolate=step, clip=True, strokeWidth=width, opacity=opacity)
            layers.append(line.encode(x=x, y=y, color=colour, strokeDash=dash, detail="identity:N", order="radius:Q"))
    layers += _hover(means, x, y, colour)
    chart: alt.LayerChart = (
        alt.layer(*layers)
        .properties(height=height, width="container")
        .configure_view(strokeWidth=0)
        .configure_axis(gridColor="#e8eaed", domainColor="#9aa0a6", tickColor="#9aa0a6", titlePadding=10)
        .configure_legend(symbolStrokeWidth=2.5, symbolSize=260, titleFontWeight="bold", rowPadding=4)
    )
    return chart


def _drawn(frame: pd.DataFrame) -> pd.DataFrame:
    """What the chart needs of a frame, with its numbers as text for the tooltip."""
    names = frame[["title", "variant", "budget"]].astype(str)
    return pd.DataFrame(
        {
            "method": frame["title"],
            "sigma": [sigma_text(sigma) for sigma in frame["sigma"]],
            "line": frame["line"],
            "identity": names.agg("|".join, axis=1) + "|" + frame["sigma"].astype(str) + "|" + frame["line"],
            "ball": frame["ball"],
            "radius": frame["radius"],
            "certified_accuracy": frame["certified_accuracy"],
            "radius_text": [radius_text(radius) for radius in frame["radius"]],
            "accuracy_text": [f"{percent_down(share)} %" for share in frame["certified_accuracy"]],
            "seeds": frame["seeds"],
            "budget": frame["budget"],
        }
    )


def _hover(means: alt.Chart, x: alt.X, y: alt.Y, colour: alt.Color) -> list[alt.Chart]:
    nearest = alt.selection_point(name="nearest", on="pointerover", nearest=True, empty=False, clear="pointerout")
    tooltip = [
        alt.Tooltip("method:N"),
        alt.Tooltip("sigma:N", title="σ"),
        alt.Tooltip("radius_text:N", title="radius"),
        alt.Tooltip("accuracy_text:N", title="certified accuracy"),
        alt.Tooltip("seeds:N"),
        alt.Tooltip("budget:N"),
    ]
    shown = alt.when(nearest).then(alt.value(1.0)).otherwise(alt.value(0.0))
    points = means.mark_point(size=70, filled=True).encode(x=x, y=y, color=colour, opacity=shown, tooltip=tooltip)
    return [points.add_params(nearest)]


def _colour(frame: pd.DataFrame) -> alt.Color:
    present = _in_table_order(set(frame["method"]))
    titles = dict(zip(frame["method"], frame["title"], strict=True))
    scale = alt.Scale(
        domain=[titles[method] for method in present],
        range=[METHOD_COLOURS.get(method, OTHER_COLOUR) for method in present],
    )
    legend = alt.Legend(symbolType="stroke", symbolOpacity=1.0)
    return alt.Color("method:N", title="method", scale=scale, legend=legend)


def _dash(frame: pd.DataFrame) -> alt.StrokeDash:
    sigmas = [sigma_text(sigma) for sigma in sorted(set(frame["sigma"]))]
    # The largest σ, whose curves reach furthest, is solid.
    dashes = [_DASHES[i % len(_DASHES)] for i in reversed(range(len(sigmas)))]
    return alt.StrokeDash(
        "sigma:N",
        title="σ",
        sort=sigmas,
        scale=alt.Scale(domain=sigmas, range=dashes),
        legend=alt.Legend(symbolType="stroke", symbolOpacity=1.0, symbolStrokeColor="#3c4043"),
    )


def _in_table_order(methods: Iterable[str]) -> list[str]:
    order = {name: i for i, name in enumerate(METHODS)}
    return sorted(methods, key=lambda method: (order.get(method, len(order)), method))
