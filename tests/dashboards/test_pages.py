"""The pages in a real browser, on a real store."""

import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from rsbench.report.leaderboard import Group, leaderboard
from rsbench.report.numbers import percent_down
from rsbench.report.runs import open_report
from rsbench.store.store import Store

pytestmark = pytest.mark.browser

Open = Callable[..., Page]


def table(page: Page, number: int = 0) -> Locator:
    return page.locator("[data-testid=stTable]").nth(number)


def rows(page: Page, number: int = 0) -> list[list[str]]:
    cells = table(page, number).locator("tbody tr").all()
    return [row.locator("th, td").all_inner_texts() for row in cells]


def radii_field(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Radii, between commas")


def digits_group(results: Path) -> Group:
    report, radii = open_report(str(results)), ["0.25", "0.5", "1"]
    counts = report.certified_counts(report.sealed, radii)
    board = leaderboard(report.sealed, counts, norm="l1", radii=radii, incomplete=0)
    return next(group for group in board.groups if group.protocol.dataset == "digits")


def test_the_leaderboard_shows_the_methods_best_first_with_their_numbers(open_page: Open, results: Path) -> None:
    page = open_page("/", results)
    expect(table(page).locator("tbody tr")).to_have_count(4)
    for shown, row in zip(rows(page), digits_group(results).rows, strict=True):
        assert shown[0] == row.entry.title
        assert shown[1] == row.entry.budget
        for text, cell in zip(shown[4:7], row.cells, strict=True):
            assert text.split()[0] == percent_down(cell.value)
            assert f"σ {cell.configuration.sigma:g} *" in text
    expect(page.get_by_text("σ selected on the test images: exploratory")).to_be_visible()
    expect(page.get_by_text("1 run is incomplete and not shown.")).to_be_visible()
    expect(page.get_by_role("button", name="Download as CSV")).to_be_visible()


def test_a_filter_changes_the_address_and_the_table_and_the_address_restores_it(open_page: Open, results: Path) -> None:
    page = open_page("/", results)
    page.get_by_role("button", name="SSN", exact=True).click()
    expect(page).to_have_url(re.compile(r"[?&]method=SSN"))
    expect(table(page).locator("tbody tr")).to_have_count(1)
    radii_field(page).fill("0.25")
    radii_field(page).press("Enter")
    expect(page).to_have_url(re.compile(r"[?&]radii=0\.25"))
    # Both tables have this radius; only the earlier one has the other.
    expect(table(page).get_by_text("r = 0.5")).to_have_count(0)
    expect(table(page).get_by_text("r = 0.25")).to_be_visible()
    expect(table(page).locator("tbody tr")).to_have_count(1)
    shown = rows(page)

    again = open_page(page.url[page.url.index("/?") :], results)
    expect(radii_field(again)).to_have_value("0.25")
    expect(table(again).get_by_text("r = 0.5")).to_have_count(0)
    expect(table(again).locator("tbody tr")).to_have_count(1)
    assert rows(again) == shown
    assert [row[0] for row in rows(again)] == ["SSN"]


def test_every_filter_is_read_from_the_address(open_page: Open, results: Path) -> None:
    page = open_page("/?dataset=digits&norm=l2&seed=1&sigma=0.5&all=true", results)
    expect(table(page).locator("tbody tr")).to_have_count(1)
    assert rows(page)[0][0] == "Gaussian"
    assert rows(page)[0][2:4] == ["0.5", "1"]
    expect(page.get_by_role("heading", name="fashion-mnist")).to_have_count(0)


def test_the_other_page_keeps_the_filters(open_page: Open, results: Path) -> None:
    page = open_page("/?dataset=digits&method=DSSN", results)
    page.get_by_role("link", name="Curves").click()
    expect(page.get_by_role("heading", name="Certified accuracy over the radius")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/curves\?.*dataset=digits"))
    expect(page).to_have_url(re.compile(r"method=DSSN"))
    expect(page.locator("[data-testid=stVegaLiteChart]")).to_have_count(1)


def test_the_curves_page_draws_a_chart_and_its_table(open_page: Open, results: Path) -> None:
    page = open_page("/curves", results)
    charts = page.locator("[data-testid=stVegaLiteChart]")
    expect(charts).to_have_count(2)
    for chart in charts.all():
        expect(chart.locator("canvas, svg").first).to_be_visible()
    expect(page.locator("[data-testid=stDataFrame]")).to_have_count(2)


def test_what_makes_the_numbers_true_can_be_opened(open_page: Open, results: Path) -> None:
    page = open_page("/?dataset=digits", results)
    page.get_by_text("What makes these numbers true").click()
    expect(page.get_by_text("Levine & Feizi 2021, corollary 1 and appendix B")).to_be_visible()
    expect(page.get_by_text("n0 100 · n 1,000 · α 0.001").last).to_be_visible()


@pytest.mark.parametrize("path", ["/", "/curves"])
@pytest.mark.parametrize("width", [800, 1400])
def test_nothing_is_wider_than_the_window(open_page: Open, results: Path, path: str, width: int) -> None:
    page = open_page(path, results, width)
    drawn = "[data-testid=stTable] table, [data-testid=stVegaLiteChart] :is(canvas, svg)"
    page.locator(drawn).first.wait_for()
    widest = "(elements) => Math.max(...elements.map((element) => element.getBoundingClientRect().right))"
    assert page.locator(drawn).evaluate_all(widest) <= width
    assert page.locator("[data-testid=stMain]").evaluate("(main) => main.scrollWidth") <= width


def test_filters_that_match_nothing_say_so(open_page: Open, results: Path) -> None:
    for path in ("/", "/curves"):
        page = open_page(f"{path}?norm=l2&method=SSN", results)
        expect(page.get_by_text("No sealed run with a certificate for l2 matches these filters.")).to_be_visible()


def test_a_bad_radius_in_the_address_is_one_line(open_page: Open, results: Path) -> None:
    page = open_page("/?radii=0.5,abc", results)
    expect(page.get_by_text("'abc' is not a radius: give a decimal number ≥ 0")).to_be_visible()


@pytest.mark.parametrize("path", ["/", "/curves"])
def test_an_empty_or_missing_store_says_what_to_do(open_page: Open, tmp_path: Path, path: str) -> None:
    missing = open_page(path, tmp_path / "nothing.db")
    expect(missing.get_by_text("run rsbench sweep first")).to_be_visible()
    Store.create_or_open(str(tmp_path / "empty.db")).close()
    empty = open_page(path, tmp_path / "empty.db")
    expect(empty.get_by_text("No finished run yet")).to_be_visible()


def test_a_store_of_a_newer_version_is_one_line(open_page: Open, results: Path, tmp_path: Path) -> None:
    newer = tmp_path / "newer.db"
    shutil.copy(results, newer)
    with sqlite3.connect(newer) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    page = open_page("/", newer)
    expect(page.get_by_text("it was written by a newer version; upgrade rsbench")).to_be_visible()
