"""Charts of frames. No number is computed here, and none is rounded up."""

import math
from typing import Any, Literal

import altair as alt
import numpy as np
import pandas as pd

from rsbench.methods import place_of
from rsbench.report.colours import method_colour
from rsbench.report.numbers import percent_down, radius_text, sigma_text

# A browser keeps a cell around each point to find the nearest one. More points than this make it slow.
_MOST_HOVERED = 2_000
_CONFIG: dict[str, Any] = {
    "view": {"strokeWidth": 0},
    "axis": {"gridColor": "#e8eaed", "domainColor": "#9aa0a6", "tickColor": "#9aa0a6", "titlePadding": 10},
    "legend": {"symbolStrokeWidth": 2.5, "symbolSize": 260, "titleFontWeight": "bold", "rowPadding": 4},
}
_ACCURACY_TITLE = "certified accuracy"
_TOOLTIPS = {"sigma": "σ", "radius_text": "radius", "accuracy_text": _ACCURACY_TITLE}
_PAIRED_TOOLTIP = ("line", "curve", "radius_text", "accuracy_text")
_DASHES = ([1, 0], [7, 3], [2, 2], [10, 3, 2, 3], [4, 6], [1, 4])


def curve_chart(frame: pd.DataFrame, *, height: int = 440) -> alt.LayerChart:
    """Return a chart of certified accuracy over the radius, of a frame that `curve_frame` made for one protocol.

    Each method has a colour and each σ a dash. The mean over seeds is a strong line, single runs are faint ones.
    Hovering shows the nearest point of a mean. Raises ValueError when the frame is empty.
    """
    layers = curve_lines(frame)
    of_means = frame[frame["line"] == "mean"]
    of_means = of_means.iloc[:: -(-len(of_means) // _MOST_HOVERED)]
    means = alt.Chart(_drawn(of_means, frame).assign(**_texts(of_means)))
    x, y = _axes(frame["norm"].iloc[0], frame["radius"])
    points, tooltip = means.encode(x=x, y=y, color=_colour(frame)), ["method", "sigma", "seeds", "budget"]
    return _styled([*layers, _hover(points, tooltip)], height)


def paired_chart(
    frame: pd.DataFrame, norm: str, colour: str, *, height: int = 380
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return a chart of two curves of a run, of a frame that `paired_frame` made: a broad grey one, and one over it.

    Returns the points and the Vega-Lite specification that draws them. The specification is written by hand, because it
    is made at every click and Altair's validation would take most of the time.
    """
    lines, step = list(dict.fromkeys(frame["line"])), _step(frame["ball"].iloc[0])
    # The axis fits the first curve, and is longer by whole tenths if the second one needs it. So it seldom changes, and
    # a browser draws new points much faster if the specification stays the same.
    first = _furthest(frame.loc[frame["line"] == lines[0], "radius"])
    tenths = math.ceil(round(10.0 * (_furthest(frame["radius"]) / first - 1.0), 6))
    furthest = first * (1.0 + 0.1 * tenths)
    encoding = {
        "x": {
            "field": "radius",
            "type": "quantitative",
            "title": _radius_title(norm),
            "scale": {"nice": False, "zero": True, "domainMax": furthest},
        },
        "y": {
            "field": "certified_accuracy",
            "type": "quantitative",
            "title": _ACCURACY_TITLE,
            "axis": {"format": "%", "tickCount": 6},
            "scale": {"domain": [0, 1]},
        },
        "color": {
            "field": "line",
            "type": "nominal",
            "scale": {"domain": lines, "range": ["#9aa0a6", colour]},
            "legend": {"title": None, "symbolType": "stroke", "symbolOpacity": 1, "orient": "top", "labelLimit": 400},
        },
    }
    tooltip = [{"field": name, "type": "nominal", "title": _TOOLTIPS.get(name, name)} for name in _PAIRED_TOOLTIP]
    layers: list[dict[str, Any]] = [
        {
            "transform": [{"filter": {"field": "line", "equal": line}}],
            "mark": {"type": "line", "interpolate": step, "strokeWidth": width},
            "encoding": {"order": {"field": "radius", "type": "quantitative"}},
        }
        for line, width in zip(lines, (4.5, 2.0), strict=True)
    ]
    nearest = {"type": "point", "on": "pointerover", "nearest": True, "clear": "pointerout"}
    layers.append(
        {
            "params": [{"name": "nearest", "select": nearest}],
            "mark": {"type": "point", "size": 70, "filled": True},
            "encoding": {
                "opacity": {"condition": {"param": "nearest", "empty": False, "value": 1}, "value": 0},
                "tooltip": tooltip,
            },
        }
    )
    points = _within(frame, furthest).assign(**_texts(frame))
    return points, {"height": height, "encoding": encoding, "layer": layers, "config": _CONFIG}


def _styled(layers: list[alt.Chart], height: int) -> alt.LayerChart:
    chart: alt.LayerChart = alt.layer(*layers).properties(height=height, width="container").configure(**_CONFIG)
    return chart


def curve_lines(
    frame: pd.DataFrame, *, legend_of: pd.DataFrame | None = None, mean_width: float = 2.2, single_width: float = 1.0
) -> list[alt.Chart]:
    """Return the layers of a chart with the curves of one protocol and no hovering.

    legend_of: the frame that gives colours and dashes, if several charts share a legend. mean_width, single_width: in
    pixels, of means and of single runs. Raises ValueError when the frame is empty.
    """
    if frame.empty:
        raise ValueError("there is no curve to draw")
    named = frame if legend_of is None else legend_of
    drawn = _drawn(frame, named)
    x, y = _axes(frame["norm"].iloc[0], named["radius"])
    colour, dash = _colour(named), _dash(named)
    layers: list[alt.Chart] = []
    for ball in sorted(set(drawn["ball"])):
        for is_mean in (False, True):
            part = drawn[(drawn["ball"] == ball) & ((drawn["line"] == "mean") == is_mean)]
            if part.empty:
                continue
            width, opacity = (mean_width, 1.0) if is_mean else (single_width, 0.25)
            line = alt.Chart(part).mark_line(interpolate=_step(ball), strokeWidth=width, opacity=opacity)
            layers.append(line.encode(x=x, y=y, color=colour, strokeDash=dash, detail="identity:N", order="radius:Q"))
    return layers


def _step(ball: str) -> Literal["step-after", "step-before"]:
    """Return whose value a curve has between two points: of an open ball the first, of a closed one the second."""
    return "step-after" if ball == "open" else "step-before"


def _axes(norm: str, reaching: pd.Series) -> tuple[alt.X, alt.Y]:
    scale = alt.Scale(nice=False, zero=True, domainMax=_furthest(reaching))
    x = alt.X("radius:Q", title=_radius_title(norm), scale=scale)
    y = alt.Y(
        "certified_accuracy:Q",
        title=_ACCURACY_TITLE,
        axis=alt.Axis(format="%", tickCount=6),
        scale=alt.Scale(domain=[0, 1]),
    )
    return x, y


def _radius_title(norm: str) -> str:
    return f"{norm} radius (pixel range [0, 1])"


def _furthest(radii: pd.Series) -> float:
    """Return where the axis ends: beyond the last radius, so that the line that falls to 0 there is not cut off."""
    values = radii.to_numpy(dtype=np.float64)
    return 1.015 * float(values[np.isfinite(values)].max()) or 1.0


def _within(frame: pd.DataFrame, furthest: float) -> pd.DataFrame:
    """Move points at infinity to the end of the axis, which their curves reach without falling."""
    infinite = np.isinf(frame["radius"].to_numpy(dtype=np.float64))
    if not infinite.any():
        return frame
    before = frame["certified_accuracy"].mask(infinite & (frame["ball"] == "open")).ffill()
    return frame.assign(radius=frame["radius"].mask(infinite, furthest), certified_accuracy=before)


def _texts(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Return radii and accuracies as text for a tooltip."""
    return {
        "radius_text": [radius_text(radius) for radius in frame["radius"]],
        "accuracy_text": [f"{percent_down(share)} %" for share in frame["certified_accuracy"]],
    }


def _names(frame: pd.DataFrame, named: pd.DataFrame) -> pd.Series:
    """Return the name of each curve in the legend: the title, with budget and variant if others have the same title."""
    text = frame["title"].astype(str)
    for column in ("budget", "variant"):
        different_values = named.groupby("title")[column].nunique()
        addition = frame[column].astype(str).where(frame["title"].map(different_values) > 1, "")
        text += np.where(addition == "", "", " · " + addition)
    return text


def _drawn(frame: pd.DataFrame, named: pd.DataFrame) -> pd.DataFrame:
    """Return what the chart needs of a frame."""
    sigma_texts = frame["sigma"].map({sigma: sigma_text(sigma) for sigma in set(frame["sigma"])})
    identity = frame["sigma"].astype(str)
    for column in ("title", "variant", "budget", "line"):
        identity = identity + "|" + frame[column].astype(str)
    drawn = pd.DataFrame(
        {
            "method": _names(frame, named),
            "sigma": sigma_texts,
            "line": frame["line"],
            "identity": identity,
            "ball": frame["ball"],
            "radius": frame["radius"],
            "certified_accuracy": frame["certified_accuracy"],
            "seeds": frame["seeds"],
            "budget": frame["budget"],
        }
    )
    return _within(drawn, _furthest(named["radius"]))


def _hover(points: alt.Chart, described: list[str]) -> alt.Chart:
    """Mark the point nearest to the pointer, with a tooltip of some columns, radius and accuracy."""
    nearest = alt.selection_point(name="nearest", on="pointerover", nearest=True, empty=False, clear="pointerout")
    columns = [*described[:2], "radius_text", "accuracy_text", *described[2:]]
    tooltip = [alt.Tooltip(f"{column}:N", title=_TOOLTIPS.get(column, column)) for column in columns]
    shown = alt.when(nearest).then(alt.value(1.0)).otherwise(alt.value(0.0))
    drawn: alt.Chart = points.mark_point(size=70, filled=True).encode(opacity=shown, tooltip=tooltip)
    return drawn.add_params(nearest)


def _colour(frame: pd.DataFrame) -> alt.Color:
    columns = {"method": frame["method"], "title": frame["title"], "name": _names(frame, frame)}
    # Titles with a certificate in parentheses come after the method's plain title.
    named = pd.DataFrame(columns).drop_duplicates().sort_values(["title", "name"])
    colours = {
        name: method_colour(method, variant)
        for method in sorted(set(named["method"]), key=place_of)
        for variant, name in enumerate(named.loc[named["method"] == method, "name"])
    }
    legend = alt.Legend(symbolType="stroke", symbolOpacity=1.0, labelLimit=320)
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
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
