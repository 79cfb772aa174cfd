"""A comparison of two runs in a terminal."""

from rich import box
from rich.console import Group as Stack
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from rsbench.methods import title_of
from rsbench.records import RunRecord
from rsbench.report.comparison import Comparison
from rsbench.report.configuration import certificate_of, curve_of, seed_of
from rsbench.report.numbers import percent_down, radius_text, seed_text, sigma_text


def comparison_table(comparison: Comparison) -> RenderableType:
    """Both runs, a line for each radius, and the difference of the average certified radii."""
    first, second = comparison.first, comparison.second
    return Stack(
        Text(f"{first.dataset.name} · {first.image_count:,} images · {comparison.norm}, {comparison.threat_model}"),
        Text(_told("A", first), style="dim"),
        Text(_told("B", second), style="dim"),
        _accuracies(comparison),
        Text(_average(comparison)),
        Text(
            "p: McNemar's exact test on the images that only one run certifies; Holm: corrected for all radii",
            style="dim",
        ),
    )


def _accuracies(comparison: Comparison) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    for heading in ("radius", "A %", "B %", "A − B", "only A", "only B", "p", "p (Holm)"):
        table.add_column(heading, justify="right", no_wrap=True)
    for at in comparison.radii:
        difference = 100.0 * (at.test.only_first - at.test.only_second) / comparison.first.image_count
        table.add_row(
            at.radius,
            percent_down(at.first),
            percent_down(at.second),
            f"{difference:+.1f}",
            f"{at.test.only_first:,}",
            f"{at.test.only_second:,}",
            _p_text(at.test.p_value),
            _p_text(at.corrected),
        )
    return table


def _average(comparison: Comparison) -> str:
    first, second = curve_of(comparison.first), curve_of(comparison.second)
    mean = comparison.average_radius
    return (
        f"ACR {radius_text(first.average_certified_radius)} and {radius_text(second.average_certified_radius)}: "
        f"A − B {mean.mean:+.4f}, {100 * comparison.confidence:g} % interval {mean.low:+.4f} to {mean.high:+.4f} "
        f"({comparison.resamples:,} paired resamples)"
    )


def _told(letter: str, run: RunRecord) -> str:
    certificate = certificate_of(run)
    return (
        f"{letter}  {run.fingerprint[:12]}  {title_of(run.method)}, σ {sigma_text(run.sigma)}, "
        f"seed {seed_text(seed_of(run))}, {certificate.name} ({certificate.ball} ball)"
    )


def _p_text(p_value: float) -> str:
    return f"{p_value:.3f}" if p_value >= 0.001 else f"{p_value:.1e}"
