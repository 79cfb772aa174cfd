"""Charts of frames. They draw what they are given: no number is computed here, and none is rounded up."""

import math
from collections.abc import Iterable
from typing import Any, Literal

import altair as alt
import numpy as np
import pandas as pd

from rsbench.families import FAMILIES
from rsbench.methods import METHODS, place_of
from rsbench.report.numbers import percent_down, radius_text, sigma_text

# Okabe and Ito's colours, which can be told apart under every common colour blindness. The measure gives the hue, and
# methods that share a measure are shades of it, so that a method keeps its colour whatever else is drawn.
FAMILY_COLOURS = {
    "gaussian": "#0072B2",
    "uniform": "#E69F00",
    "splitting": "#009E73",
    "deterministic-splitting": "#CC3F7F",
}
# For the measures of plugins, in the order in which they are registered.
_FURTHER_COLOURS = ("#D55E00", "#56B4E9")
OTHER_COLOUR = "#555555"
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
    """Certified accuracy over the radius, of a frame made by `curve_frame` that holds one protocol and is not empty.

    One colour a method, one dash a σ; the mean over seeds is a strong line, single runs are faint ones. Hovering shows
    the nearest point of a mean. Raises ValueError when the frame is empty.
    """
    layers = curve_lines(frame)
    # Only what can be hovered over needs its numbers as text.
    of_means = frame[frame["line"] == "mean"]
    # A browser keeps a cell around each point to find the nearest: more of them than this make it slow.
    of_means = of_means.iloc[:: -(-len(of_means) // _MOST_HOVERED)]
    means = alt.Chart(_drawn(of_means, frame).assign(**_texts(of_means)))
    x, y = _axes(frame["norm"].iloc[0], frame["radius"])
    points, tooltip = means.encode(x=x, y=y, color=_colour(frame)), ["method", "sigma", "seeds", "budget"]
    return _styled([*layers, _hover(points, tooltip)], height)


def paired_chart(
    frame: pd.DataFrame, norm: str, colour: str, *, height: int = 380
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Two curves of one run, of a frame made by `live_frame`: the first broad and grey, the second over it.

    Returns the points and the Vega-Lite specification that draws them. It is written by hand because it is drawn anew
    at every click, and Altair's checks take longer than everything else.
    """
    lines, step = list(dict.fromkeys(frame["line"])), _step(frame["ball"].iloc[0])
    # The axis is that of the first curve, longer by whole tenths where the second needs it: it seldom moves under the
    # eyes, and a chart whose specification stays gets its new points in a fraction of the time.
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
    """The curves of a frame that holds one protocol, with nothing to hover over: the layers of a chart.

    legend_of: the frame that colours and dashes are given for, where several charts share one legend. Widths of the
    means and of the single runs are in pixels. Raises ValueError when the frame is empty.
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
    """Between two points an open ball's curve has the value of the first, a closed ball's that of the second."""
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
    """Where the axis ends: beyond the last radius, at which a curve falls to 0 in a line that would be cut in half."""
    known = radii.to_numpy(dtype=np.float64)
    return 1.015 * float(known[np.isfinite(known)].max()) or 1.0


def _within(frame: pd.DataFrame, furthest: float) -> pd.DataFrame:
    """The points with those at infinity drawn at the end of the axis, which their curves reach without falling."""
    infinite = np.isinf(frame["radius"].to_numpy(dtype=np.float64))
    if not infinite.any():
        return frame
    before = frame["certified_accuracy"].mask(infinite & (frame["ball"] == "open")).ffill()
    return frame.assign(radius=frame["radius"].mask(infinite, furthest), certified_accuracy=before)


def _texts(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Radii and accuracies for a tooltip."""
    return {
        "radius_text": [radius_text(radius) for radius in frame["radius"]],
        "accuracy_text": [f"{percent_down(share)} %" for share in frame["certified_accuracy"]],
    }


def _names(frame: pd.DataFrame, named: pd.DataFrame) -> pd.Series:
    """The name of each curve's method among all that are named: with votes or label where these tell it apart."""
    text = frame["title"].astype(str)
    for column in ("budget", "variant"):
        several = named.groupby("title")[column].nunique()
        told = frame[column].astype(str).where(frame["title"].map(several) > 1, "")
        text += np.where(told == "", "", " · " + told)
    return text


def _drawn(frame: pd.DataFrame, named: pd.DataFrame) -> pd.DataFrame:
    """What the chart needs of a frame."""
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


def _hover(points: alt.Chart, columns: list[str]) -> alt.Chart:
    """A layer that shows the point nearest to the pointer, with a tooltip of its columns, radius and accuracy."""
    nearest = alt.selection_point(name="nearest", on="pointerover", nearest=True, empty=False, clear="pointerout")
    columns = [*columns[:2], "radius_text", "accuracy_text", *columns[2:]]
    tooltip = [alt.Tooltip(f"{column}:N", title=_TOOLTIPS.get(column, column)) for column in columns]
    shown = alt.when(nearest).then(alt.value(1.0)).otherwise(alt.value(0.0))
    drawn: alt.Chart = points.mark_point(size=70, filled=True).encode(opacity=shown, tooltip=tooltip)
    return drawn.add_params(nearest)


def family_colour(family: str) -> str:
    """Return the colour of a family of smoothing measures; grey for one that is not registered."""
    further = [name for name in FAMILIES if name not in FAMILY_COLOURS]
    return (FAMILY_COLOURS | dict(zip(further, _FURTHER_COLOURS, strict=False))).get(family, OTHER_COLOUR)


def method_colour(method: str) -> str:
    """Return the colour of a method: a shade of its measure's colour, grey for a method that is not registered."""
    if method not in METHODS:
        return OTHER_COLOUR
    family = METHODS[method].family
    return _shade(family_colour(family), _of_family(family).index(method))


def _of_family(family: str) -> list[str]:
    """The methods that share a family of measures, in their order of registration."""
    return [method.name for method in METHODS.values() if method.family == family]


def _shade(colour: str, place: int) -> str:
    """The colour itself at place 0, then lighter and darker shades in turn."""
    if place == 0:
        return colour
    own = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    towards, share = (255, 0)[(place + 1) % 2], min(0.75, 0.45 * ((place + 1) // 2))
    mixed = own + share * (towards - own)
    return "#" + "".join(f"{round(part):02X}" for part in mixed.tolist())


def _colour(frame: pd.DataFrame) -> alt.Color:
    columns = {"method": frame["method"], "title": frame["title"], "name": _names(frame, frame)}
    # A method's own certificate comes before the titles that name another.
    named = pd.DataFrame(columns).drop_duplicates().sort_values(["title", "name"])
    colours = {
        name: shade
        for method in _in_table_order(set(named["method"]))
        for name, shade in _curve_colours(method, named.loc[named["method"] == method, "name"].tolist())
    }
    legend = alt.Legend(symbolType="stroke", symbolOpacity=1.0, labelLimit=320)
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    return alt.Color("method:N", title="method", scale=scale, legend=legend)


def _curve_colours(method: str, names: list[str]) -> list[tuple[str, str]]:
    """The first curve of a method has the method's colour; further ones have shades that no other method has."""
    if method not in METHODS:
        return [(name, _shade(OTHER_COLOUR, place)) for place, name in enumerate(names)]
    family = METHODS[method].family
    methods = _of_family(family)
    places = range(methods.index(method), methods.index(method) + len(names) * len(methods), len(methods))
    return [(name, _shade(family_colour(family), place)) for name, place in zip(names, places, strict=True)]


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
    return sorted(methods, key=place_of)
