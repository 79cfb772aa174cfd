"""The figures for print: their size, their letters, and that a file of each kind comes out."""

import struct
from xml.etree import ElementTree

import pandas as pd
import pytest

from rsbench.report.curves import curve_frame
from rsbench.report.figures import FIGURE_SUFFIXES, curve_svg, figure_bytes, print_figure
from tests.fixtures.results import FASHION
from tests.report.runs import STEPS, a_run


def frame(*, panels: int = 1) -> pd.DataFrame:
    runs = [
        a_run([0.25, 0.5], method=m, sigma=s, seed=seed) for m in ("ssn", "dssn") for s in (0.5, 1.0) for seed in (0, 1)
    ]
    if panels == 2:
        runs.append(a_run([0.75], dataset=FASHION, method="cohen"))
    return curve_frame(runs, "l1", STEPS)


@pytest.mark.parametrize("suffix", FIGURE_SUFFIXES)
def test_a_file_of_each_kind_comes_out(suffix: str) -> None:
    content = figure_bytes(print_figure(frame()), suffix)
    assert content.startswith({".svg": b"<svg", ".pdf": b"%PDF", ".png": b"\x89PNG"}[suffix])


def test_a_png_has_three_hundred_dots_an_inch() -> None:
    content = figure_bytes(print_figure(frame()), ".png")
    width, _ = struct.unpack(">II", content[16:24])
    # At most the 6.5 inches that a page of letter size leaves between its margins.
    assert 5.5 * 300 <= width <= 6.5 * 300


def test_two_protocols_are_two_panels_with_the_same_axes_and_one_legend() -> None:
    chart = print_figure(frame(panels=2)).to_dict()
    assert [panel["title"]["text"] for panel in chart["concat"]] == ["digits", "fashion-mnist"]
    scales = [panel["layer"][0]["encoding"][axis]["scale"] for panel in chart["concat"] for axis in ("x", "color")]
    assert scales[0] == scales[2]
    assert scales[1] == scales[3]
    assert scales[1]["domain"] == ["Gaussian", "SSN", "DSSN"]
    assert chart["resolve"]["scale"]["color"] == "shared"


def test_every_letter_is_legible_in_print() -> None:
    root = ElementTree.fromstring(figure_bytes(print_figure(frame(panels=2)), ".svg"))  # noqa: S314 - of our own making
    sizes = [float(e.attrib["font-size"].removesuffix("px")) for e in root.iter() if "font-size" in e.attrib]
    assert min(sizes) >= 8
    texts = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Gaussian", "SSN", "DSSN", "0.5", "1", "certified accuracy", "100%"} <= set(texts)


def test_a_figure_for_a_page_has_no_ground_of_its_own() -> None:
    svg = curve_svg(frame())
    assert svg.startswith("<svg")
    assert 'fill="white"' not in svg
    assert "digits" not in svg


def test_an_empty_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="no curve"):
        print_figure(curve_frame([], "l1", STEPS))
