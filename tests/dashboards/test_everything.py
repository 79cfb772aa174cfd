"""The leaderboard and the curves of a store with whatever it can hold."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from rsbench.report.reported import printed_figures
from rsbench.store.store import Store
from tests.fixtures.board import imported_radii, write_unknown_certificate

pytestmark = pytest.mark.browser

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def imports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of imported radii alone."""
    file = tmp_path_factory.mktemp("imports") / "results.db"
    with Store.create_or_open(str(file)) as store:
        store.import_runs([imported_radii(), imported_radii(data_dependent=True)])
    return file


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of nothing but figures of papers."""
    file = tmp_path_factory.mktemp("papers") / "results.db"
    with Store.create_or_open(str(file)) as store:
        store.record_reported(printed_figures())
    return file


def cells(page: Page, number: int) -> Locator:
    return page.locator("[data-testid=stTable]").nth(number).locator("tbody tr")


def test_exploratory_curves_are_ranked_apart_and_only_when_chosen(open_page: Open, everything: Path) -> None:
    page = open_page("/?dataset=digits", everything)
    expect(page.get_by_role("heading", name="digits")).to_have_count(1)
    expect(page.get_by_text("chosen after a result was seen")).to_have_count(0)
    page.get_by_role("radio", name="all", exact=True).click()
    expect(page.get_by_role("heading", name="digits")).to_have_count(2)
    expect(page.get_by_text("Certificate, n, α or σ were chosen after a result was seen")).to_have_count(1)
    expect(cells(page, 1)).to_have_count(2)
    expect(cells(page, 1).first).to_contain_text("SSN (top-two)")
    expect(page).to_have_url(re.compile("curves=all"))


def test_where_numbers_come_from_stands_under_the_method(open_page: Open, everything: Path) -> None:
    page = open_page("/", everything)
    expect(cells(page, 0)).to_contain_text("their_*method* imported (radii only); radii as printed, lowered by 0.0005")
    expect(cells(page, 0)).to_contain_text("∞")
    digits = open_page("/?dataset=digits", everything).locator("[data-testid=stTable]").first
    expect(digits.get_by_text("imported (votes)")).to_be_visible()
    expect(digits.get_by_text("1 of 4 runs reproduced")).to_be_visible()
    # A row for each method, certificate and origin: a run that was reproduced is averaged as any other.
    expect(digits.locator("tbody tr")).to_have_count(6)


@pytest.mark.parametrize("path", ["/", "/curves"])
def test_excluded_runs_are_named_with_reason_author_and_date(open_page: Open, everything: Path, path: str) -> None:
    page = open_page(path, everything)
    expander = page.locator("[data-testid=stExpander]").filter(has_text="Excluded from ranking (2)")
    expect(expander.get_by_text("is not ranked: invalid, trained on the *test* images (ada, 20")).to_be_visible()
    expect(expander.get_by_text("the seed of another run (grace, 20")).to_be_visible()
    filtered = open_page(f"{path}?method=SSN", everything)
    expect(filtered.get_by_text("Excluded from ranking")).to_have_count(0)


@pytest.mark.parametrize("path", ["/", "/curves", "/recertify"])
def test_a_certificate_that_is_not_known_here_is_named_and_other_runs_are_shown(
    open_page: Open, tmp_path: Path, path: str
) -> None:
    file = tmp_path / "results.db"
    unknown, known = write_unknown_certificate(file)
    page = open_page(path, file)
    if path == "/recertify":
        expect(page).to_have_url(re.compile(f"run={known[:12]}"))
        return
    expect(page.locator("[data-testid=stTable], [data-testid=stVegaLiteChart]").first).to_be_visible()
    expander = page.locator("[data-testid=stExpander]").filter(has_text="Excluded from ranking (2)")
    message = f"Run {unknown[:12]} (ssn, σ 0.5) is not ranked: certificate 'of-a-plugin' is not known here"
    expect(expander.get_by_text(message)).to_be_visible()


def test_papers_stand_also_where_nothing_was_measured(open_page: Open, everything: Path, papers: Path) -> None:
    page = open_page("/", everything)
    expect(page.get_by_role("heading", name="imagenet")).to_be_visible()
    expect(page.get_by_text("No measured run on this dataset matches the filters.")).to_have_count(1)
    expect(page.get_by_text("Reported in papers: imagenet, l1")).to_be_visible()
    alone = open_page("/?dataset=cifar10", papers)
    expect(alone.get_by_role("heading", name="imagenet")).to_have_count(0)
    expect(alone.locator("[data-testid=stExpander] table")).to_be_visible()
    expect(alone.get_by_text("not ranked and not averaged with measured numbers")).to_be_visible()
    for path in ("/curves", "/recertify"):
        expect(open_page(path, papers).get_by_text("No sealed run with a certificate")).to_be_visible()


def test_exploratory_curves_are_drawn_apart(open_page: Open, everything: Path) -> None:
    page = open_page("/curves?dataset=digits&curves=all", everything)
    expect(page.locator("[data-testid=stVegaLiteChart]")).to_have_count(2)
    expect(page.get_by_text("Certificate, n, α or σ were chosen after a result was seen")).to_have_count(1)


@pytest.mark.parametrize("path", ["/", "/curves"])
def test_where_only_exploratory_curves_match_the_page_says_so(open_page: Open, tmp_path: Path, path: str) -> None:
    file = tmp_path / "results.db"
    with Store.create_or_open(str(file)) as store:
        store.import_runs([imported_radii(data_dependent=True)])
    page = open_page(path, file)
    expect(page.get_by_text("Exploratory curves do: choose all curves above.")).to_be_visible()
    everything = open_page(f"{path}?curves=all", file)
    expect(everything.get_by_text("Certificate, n, α or σ were chosen after a result was seen")).to_be_visible()


@pytest.mark.parametrize("path", ["/", "/?all=true&curves=all", "/curves", "/curves?curves=all", "/recertify"])
def test_a_store_of_imported_radii_alone(open_page: Open, imports: Path, path: str) -> None:
    page = open_page(path, imports)
    expect(page.get_by_text("their_*method*").first).to_be_visible()


@pytest.mark.parametrize("path", ["/?curves=all", "/curves?curves=all"])
def test_nothing_is_wider_than_the_window(open_page: Open, everything: Path, path: str) -> None:
    width = 800
    page = open_page(path, everything, width)
    drawn = "[data-testid=stTable] table, [data-testid=stVegaLiteChart] :is(canvas, svg)"
    page.locator(drawn).first.wait_for()
    widest = "(elements) => Math.max(...elements.map((element) => element.getBoundingClientRect().right))"
    assert page.locator(drawn).evaluate_all(widest) <= width
    assert page.locator("[data-testid=stMain]").evaluate("(main) => main.scrollWidth") <= width
