"""The exported page in a real browser: nothing is cut off, and no request leaves the file."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from rsbench.cli.main import run
from rsbench.report.reported import printed_figures
from rsbench.store.store import Store
from tests.fixtures.results import FASHION, write_results, write_run

pytestmark = pytest.mark.browser

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a store with results on three datasets and the figures of papers on one of them."""
    folder = tmp_path_factory.mktemp("exported")
    database = folder / "results.db"
    write_results(database)
    with Store.create_or_open(str(database)) as store:
        cifar = replace(FASHION, name="cifar10", fingerprint="c1" * 32)
        write_run(store, cifar, "ssn", 0.5, 0, images="0:9901:100", count=100)
        store.record_reported(printed_figures())
    page = folder / "board.html"
    assert run(["export", "board", "--to", str(page), "--db", str(database)]) == 0
    return page


@pytest.fixture
def open_file(browser: Browser, file: Path) -> Iterator[Open]:
    """Opens the page. It may ask for nothing but itself, and complain of nothing."""
    requested: list[str] = []
    messages: list[str] = []
    opened: list[Page] = []

    def open_at(width: int = 1400, scheme: str = "light") -> Page:
        page = browser.new_page(viewport={"width": width, "height": 1000}, color_scheme=scheme)  # type: ignore[arg-type]
        page.on("request", lambda request: requested.append(request.url))
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.goto(file.as_uri())
        opened.append(page)
        return page

    yield open_at
    for page in opened:
        page.close()
    assert set(requested) == {file.as_uri()}
    assert messages == []


@pytest.mark.parametrize("width", [800, 1400])
def test_nothing_is_cut_off(open_file: Open, width: int) -> None:
    page = open_file(width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    right = "(elements) => Math.max(...elements.map((e) => e.getBoundingClientRect().right))"
    assert page.locator("table, figure svg, pre, dd").evaluate_all(right) <= width
    # Neither a table in its frame nor a word of a command in its box is wider than what holds it.
    wider = "(elements) => elements.filter((e) => e.scrollWidth > e.clientWidth).length"
    assert page.locator(".wide, pre, dl").evaluate_all(wider) == 0
    inside = """(elements) => elements.filter((text) => {
        const own = text.getBoundingClientRect(), around = text.closest('svg').getBoundingClientRect();
        return own.left < around.left - 1 || own.right > around.right + 1 || own.bottom > around.bottom + 1;
    }).length"""
    assert page.locator("figure svg text").count() > 30
    assert page.locator("figure svg text").evaluate_all(inside) == 0


def test_a_number_leads_to_its_run_and_the_command(open_file: Open) -> None:
    page = open_file()
    row = page.locator("table.board").last.locator("tbody tr").first
    expect(row.locator("th")).to_contain_text("SSN")
    page.locator("table.board tbody tr").first.get_by_role("link").first.click()
    target = page.locator(":target")
    expect(target.locator("pre")).to_contain_text("rsbench certify --dataset")
    expect(target.locator("pre")).to_be_in_viewport()


def test_it_says_what_makes_the_numbers_true_and_what_papers_report(open_file: Open) -> None:
    page = open_file()
    expect(page.get_by_text("Levine & Feizi 2021, corollary 1 and appendix B")).to_be_visible()
    expect(page.get_by_text("* σ selected on the test images: exploratory.")).to_be_visible()
    expect(page.get_by_role("heading", name="Reported in papers: cifar10, l1")).to_have_count(1)
    expect(page.locator("article.run")).to_have_count(39)


def test_both_colour_schemes_are_legible(open_file: Open) -> None:
    brightness = """(element) => {
        const sum = (colour) => colour.match(/[0-9.]+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0) / 3;
        const style = getComputedStyle(element), ground = getComputedStyle(document.documentElement).backgroundColor;
        return Math.abs(sum(element instanceof SVGElement ? style.fill : style.color) - sum(ground));
    }"""
    for scheme in ("light", "dark"):
        page = open_file(1400, scheme)
        for selector in ("h1", "td.n >> nth=0", "small >> nth=0", "figure svg text >> nth=0", "pre code >> nth=0"):
            assert page.locator(selector).first.evaluate(brightness) > 90
