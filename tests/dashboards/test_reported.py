"""The figures of papers on the leaderboard page."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from rsbench.report.reported import printed_figures
from rsbench.store.store import Store
from tests.fixtures.results import DIGITS, FASHION, write_run

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with runs on CIFAR-10 and on the digits, and the figures of papers."""
    file = tmp_path_factory.mktemp("compared") / "results.db"
    with Store.create_or_open(str(file)) as store:
        cifar = replace(FASHION, name="cifar10", fingerprint="c1" * 32)
        write_run(store, cifar, "ssn", 0.5, 0, images="0:1901:100", count=20)
        write_run(store, cifar, "ssn", 0.5, 1, images="0:951:50", count=20)
        write_run(store, DIGITS, "ssn", 0.5, 0, images="0:60:1", count=60)
        store.record_reported(printed_figures())
    return file


@pytest.mark.parametrize("width", [800, 1400])
def test_papers_stand_once_below_their_dataset(open_page: Callable[..., Page], compared: Path, width: int) -> None:
    page = open_page("/?radii=0.5%2C+1", compared, width)
    papers = page.locator("[data-testid=stExpander]").filter(has_text="Reported in papers: cifar10")
    expect(papers).to_have_count(1)
    papers.get_by_text("Reported in papers: cifar10, l1").click()
    table = papers.locator("table")
    expect(table.locator("tbody tr")).to_have_count(8)
    expect(table.get_by_text("81.5 @ σ 0.75").first).to_be_visible()
    expect(table.get_by_role("columnheader", name="r = 0 (abstention = wrong)")).to_be_visible()
    expect(papers.get_by_text("not ranked and not averaged with measured numbers")).to_be_visible()
    assert table.evaluate("(table) => table.getBoundingClientRect().right") <= width
