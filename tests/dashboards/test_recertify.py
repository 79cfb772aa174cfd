"""The page that computes other curves of a run from its votes."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from rsbench.recertification import open_run_votes
from rsbench.records import RunRecord
from rsbench.report.recertified import paired_table, selectable_runs
from rsbench.report.runs import open_report

pytestmark = pytest.mark.browser

Open = Callable[..., Page]


def run_of(store: Path, method: str, tier: str = "measured") -> RunRecord:
    runs = selectable_runs(open_report(str(store), exploratory=True).sealed)
    return next(run for run in runs if run.method == method and run.tier == tier and run.sigma > 0.5)


def address(run: RunRecord, **controls: str) -> str:
    chosen = "".join(f"&{name}-{run.fingerprint[:8]}={value}" for name, value in controls.items())
    return f"/recertify?run={run.fingerprint[:12]}{chosen}"


def expect_numbers(page: Page, rows: list[list[str]]) -> None:
    """Waits for them: Streamlit draws the table when it has drawn what stands above it."""
    expect(page.locator("[data-testid=stTable] tbody tr")).to_have_count(len(rows))
    cells = page.locator("[data-testid=stTable] tbody td")
    expect(cells).to_have_text([cell for row in rows for cell in row], use_inner_text=True)


def expected(
    store: Path, run: RunRecord, certificate: str, *, n: int | None = None, alpha: float | None = None
) -> list[list[str]]:
    votes = open_run_votes(str(store), run)
    result = votes.compute(votes.request(certificate=certificate, n=n, failure_probability=alpha))
    (declared,) = open_report(str(store)).step_curves([run]).values()
    table = paired_table(declared, result, ("0.25", "0.5", "1"))
    plain = table.map(lambda text: " ".join(re.sub(r":small\[:gray\[(.*)\]\]", r"\1", text).split()))
    rows: list[list[str]] = plain.to_numpy().tolist()
    return rows


def choose(page: Page, label: str) -> None:
    page.get_by_role("radio", name=label, exact=True).or_(page.get_by_role("button", name=label, exact=True)).click()


def command(page: Page) -> Locator:
    return page.locator("[data-testid=stCode]")


def test_it_begins_with_what_the_run_declared(open_page: Open, everything: Path) -> None:
    run = run_of(everything, "ssn")
    page = open_page(address(run), everything)
    expect(page.get_by_text("This is the curve that the run declared:")).to_be_visible()
    expect(page.locator("[data-testid=stVegaLiteChart]")).to_have_count(1)
    expect_numbers(page, expected(everything, run, "lee"))
    expect(page.get_by_text("box-image needs the pixels of the images")).to_be_visible()
    expect(command(page)).to_have_count(0)


def test_another_theorem_is_declared_and_the_command_would_store_it(open_page: Open, everything: Path) -> None:
    run = run_of(everything, "ssn")
    page = open_page(address(run), everything)
    choose(page, "box-log")
    expect(page.get_by_text("the choice of the theorem costs nothing")).to_be_visible()
    expect(command(page)).to_contain_text(f"rsbench recertify {run.fingerprint[:12]} --certificate box-log --db")
    expect(page).to_have_url(re.compile(f"certificate-{run.fingerprint[:8]}=box-log"))
    expect_numbers(page, expected(everything, run, "box-log"))


def test_other_bounds_are_exploratory_and_the_address_brings_them_back(open_page: Open, everything: Path) -> None:
    run = run_of(everything, "ssn")
    page = open_page(address(run), everything)
    choose(page, "100")
    expect(page.get_by_text("after a result was seen is ranked apart")).to_be_visible()
    expect(command(page)).to_contain_text("--n 100")
    page.get_by_role("slider").focus()
    page.keyboard.press("ArrowLeft")
    expect(command(page)).to_contain_text("--n 100 --alpha 0.002")
    expect(page).to_have_url(re.compile(f"alpha-{run.fingerprint[:8]}=0.002"))
    shown = expected(everything, run, "lee", n=100, alpha=0.002)
    expect_numbers(page, shown)
    again = open_page(page.url[page.url.index("/recertify") :], everything)
    expect(command(again)).to_contain_text("--n 100 --alpha 0.002")
    expect_numbers(again, shown)


def test_another_run_begins_with_its_own(open_page: Open, everything: Path) -> None:
    run = run_of(everything, "ssn")
    page = open_page(address(run, n="100"), everything)
    expect(page.get_by_text("after a result was seen is ranked apart")).to_be_visible()
    other = run_of(everything, "uniform")
    page.get_by_role("combobox", name="Run").click()
    page.get_by_role("option").filter(has_text=other.fingerprint[:12]).click()
    expect(page.get_by_text("This is the curve that the run declared:")).to_be_visible()
    expect(page).to_have_url(re.compile(f"run={other.fingerprint[:12]}"))
    expect(page).not_to_have_url(re.compile(f"n-{run.fingerprint[:8]}"))


def test_a_curve_that_the_store_has_is_not_offered_again(open_page: Open, everything: Path) -> None:
    run = run_of(everything, "ssn")
    page = open_page(address(run, certificate="box", n="100"), everything)
    expect(page.get_by_text("The store already has this curve: exploratory.")).to_be_visible()
    expect(command(page)).to_have_count(0)


@pytest.mark.parametrize(
    ("method", "tier", "message"),
    [
        ("dssn", "measured", "There is no other bound, n or α to choose."),
        (
            "their_*method*",
            "imported-radii",
            "was imported with radii only: other curves can only be computed from votes",
        ),
    ],
)
def test_a_run_that_cannot_be_recertified_says_why(
    open_page: Open, everything: Path, method: str, tier: str, message: str
) -> None:
    page = open_page(address(run_of(everything, method, tier)), everything)
    expect(page.get_by_text(message)).to_be_visible()


def test_the_filters_choose_among_the_runs(open_page: Open, everything: Path) -> None:
    page = open_page("/recertify?norm=l2", everything)
    page.get_by_role("combobox", name="Run").click()
    expect(page.get_by_role("option").first).to_be_visible()
    options = page.get_by_role("option").all_inner_texts()
    assert options
    assert all("Gaussian" in option for option in options)
    nothing = open_page("/recertify?norm=l2&method=SSN", everything)
    expect(nothing.get_by_text("No sealed run with a certificate for l2 matches these filters.")).to_be_visible()


def test_a_run_that_is_left_out_is_not_replaced_in_silence(open_page: Open, everything: Path) -> None:
    page = open_page(address(run_of(everything, "ssn")) + "&method=Uniform", everything)
    name = run_of(everything, "ssn").fingerprint[:12]
    expect(page.get_by_text(f"Run {name} is not in the list: the filters do not match it")).to_be_visible()


def test_bad_radii_are_one_line(open_page: Open, everything: Path) -> None:
    page = open_page("/recertify?radii=x", everything)
    expect(page.get_by_text("'x' is not a radius")).to_be_visible()


@pytest.mark.parametrize("width", [800, 1400])
def test_nothing_is_wider_than_the_window(open_page: Open, everything: Path, width: int) -> None:
    page = open_page(address(run_of(everything, "ssn"), certificate="box-log"), everything, width)
    expect(command(page)).to_be_visible()
    drawn = "[data-testid=stTable] table, [data-testid=stVegaLiteChart] :is(canvas, svg), [data-testid=stCode]"
    page.locator("[data-testid=stVegaLiteChart] :is(canvas, svg)").first.wait_for()
    page.locator("[data-testid=stTable] table").first.wait_for()
    widest = "(elements) => Math.max(...elements.map((element) => element.getBoundingClientRect().right))"
    assert page.locator(drawn).evaluate_all(widest) <= width
    assert page.locator("[data-testid=stMain]").evaluate("(main) => main.scrollWidth") <= width
