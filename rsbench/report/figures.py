"""Curves as figures for print: SVG, PDF or PNG, with the size and the letters of a paper."""

import re
from io import BytesIO, StringIO
from typing import Any

import altair as alt
import pandas as pd

from rsbench.report.charts import curve_lines

FIGURE_SUFFIXES = (".svg", ".pdf", ".png")

_FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
INK, GREY, GRID = "#202124", "#5f6368", "#e8eaed"
_PNG_DOTS_PER_INCH = 300
# Width and height in points (1/72 inch). One panel with its legend fills the width of a page, or two panels do.
_PANEL = (330, 205)
_PANEL_OF_SEVERAL = (230, 165)
_PANEL_OF_A_PAGE = (470, 235)


def print_figure(frame: pd.DataFrame) -> alt.ConcatChart:
    """Return a figure of a frame that `curve_frame` made: a panel for each protocol, with common axes and one legend.

    Raises ValueError when the frame is empty.
    """
    if frame.empty:
        raise ValueError("there is no curve to draw")
    groups = [(str(heading), curves) for heading, curves in frame.groupby("group", sort=True)]
    width, height = _PANEL if len(groups) == 1 else _PANEL_OF_SEVERAL
    panels = [_panel(curves, frame, width, height).properties(title=_title(heading)) for heading, curves in groups]
    together = alt.concat(*panels, columns=2, spacing=24)
    figure: alt.ConcatChart = _styled(
        together.resolve_scale(x="shared", y="shared", color="shared", strokeDash="shared"), background="white"
    )
    return figure


def curve_svg(frame: pd.DataFrame) -> str:
    """Return the curves of one protocol as an SVG element for a page, without background and title.

    Raises ValueError when the frame is empty.
    """
    chart = _styled(_panel(frame, frame, *_PANEL_OF_A_PAGE), background="transparent")
    return figure_bytes(chart, ".svg").decode().strip()


def figure_bytes(chart: alt.TopLevelMixin, suffix: str) -> bytes:
    """Return a chart as a file with one of FIGURE_SUFFIXES. No browser and no network is needed."""
    if suffix == ".svg":
        text = StringIO()
        chart.save(text, format="svg")
        return _renumbered(text.getvalue()).encode()
    content = BytesIO()
    if suffix == ".png":
        chart.save(content, format="png", ppi=_PNG_DOTS_PER_INCH)
    else:
        chart.save(content, format="pdf")
    return content.getvalue()


def _renumbered(svg: str) -> str:
    """Number the clipping paths of a drawing from 1. The library counts on through a process, so bytes would differ."""
    numbers = {name: f"clip{i}" for i, name in enumerate(dict.fromkeys(re.findall(r'id="(clip\d+)"', svg)), start=1)}
    return re.sub(r'(?<=[#"])clip\d+(?=[)"])', lambda match: numbers.get(match[0], match[0]), svg)


def _panel(curves: pd.DataFrame, legend_of: pd.DataFrame, width: int, height: int) -> Any:
    lines = curve_lines(curves, legend_of=legend_of, mean_width=1.5, single_width=0.6)
    return alt.layer(*lines).properties(width=width, height=height)


def _styled(chart: Any, *, background: str) -> Any:
    return (
        chart.configure(font=_FONT, background=background, padding=4, aria=False)
        .configure_view(strokeWidth=0)
        .configure_title(
            anchor="start", fontSize=10, fontWeight="bold", color=INK, subtitleFontSize=8, subtitleColor=GREY, offset=8,
        )
        .configure_axis(
            labelFontSize=9, titleFontSize=9.5, titleFontWeight="normal", titlePadding=6, labelColor=INK,
            titleColor=INK, gridColor=GRID, domainColor=GREY, tickColor=GREY, tickSize=4, gridWidth=0.6,
            domainWidth=0.6, tickWidth=0.6, labelFlush=False,
        )
        .configure_legend(
            labelFontSize=9, titleFontSize=9, titleFontWeight="bold", labelColor=INK, titleColor=INK,
            symbolStrokeWidth=1.6, symbolSize=320, rowPadding=3, titlePadding=4, offset=14, labelLimit=280,
        )
    )  # fmt: skip


def _title(heading: str) -> alt.TitleParams:
    dataset, _, rest = heading.partition(" · ")
    return alt.TitleParams(text=dataset, subtitle=rest)
