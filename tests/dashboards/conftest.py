"""A browser, and the real app served from a store that a test chooses."""

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from rsbench.bundled import bundled
from tests.fixtures.board import write_board
from tests.fixtures.results import write_results

_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
_SECONDS_TO_START = 60.0


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with results."""
    file = tmp_path_factory.mktemp("results") / "results.db"
    write_results(file)
    return file


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with whatever a page can meet: imported runs, exploratory curves, excluded runs, figures of papers."""
    file = tmp_path_factory.mktemp("everything") / "results.db"
    write_board(file)
    return file


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        reason = "no Chromium on this machine: install the package chromium"
        if os.environ.get("RSBENCH_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(_FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def app(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a running app, and the path at which it looks for its store."""
    link = tmp_path_factory.mktemp("served") / "results.db"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "streamlit", "run", str(bundled("dashboards") / "app.py"), f"--server.port={port}",
        "--server.address=127.0.0.1", "--server.headless=true", "--browser.gatherUsageStats=false",
        "--client.toolbarMode=minimal", "--server.fileWatcherType=none",
        f"--theme.base={bundled('dashboards') / 'theme.toml'}",
    ]  # fmt: skip
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | {"RSBENCH_DB": str(link)}
    )
    watchdog = threading.Timer(_SECONDS_TO_START, server.kill)
    watchdog.start()
    assert server.stdout is not None
    output = []
    for line in server.stdout:
        output.append(line)
        if "URL:" in line:
            break
    watchdog.cancel()
    assert server.poll() is None, "".join(output)
    yield f"http://127.0.0.1:{port}", link
    server.terminate()
    server.wait()


@pytest.fixture
def open_page(app: tuple[str, Path], browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens an address of the app on a store, and waits until the page is drawn. No page may show an exception."""
    address, link = app
    opened: list[Page] = []
    errors: list[str] = []

    def open_at(path: str, store: Path, width: int = 1400) -> Page:
        link.unlink(missing_ok=True)
        link.symlink_to(store)
        page = browser.new_page(viewport={"width": width, "height": 1000})
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address + path)
        page.wait_for_selector("[data-testid=stTable], [data-testid=stVegaLiteChart] svg, [data-testid=stAlert]")
        page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
        opened.append(page)
        return page

    yield open_at
    exceptions = [page.locator("[data-testid=stException]").count() for page in opened]
    for page in opened:
        page.close()
    assert exceptions == [0] * len(opened)
    assert errors == []
