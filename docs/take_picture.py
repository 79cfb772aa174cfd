"""Take the picture of the README: the leaderboard page of the dashboard with the results of `make demo`.

Usage: python docs/take_picture.py FILE.png
"""

import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

from playwright.sync_api import sync_playwright

# Without the last two, Chromium connects to its maker's servers.
_CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def take(target: Path) -> None:
    """Save a picture of the dashboard, served on a free port, once its table is there. Exits without Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("there is no Chromium on this machine: install the package chromium")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "rsbench", "dashboard", "--port", str(port)])
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=_CHROMIUM)
            page = browser.new_page(viewport={"width": 1240, "height": 845})
            _wait_for_server(port)
            page.goto(f"http://127.0.0.1:{port}", wait_until="load")
            page.locator("table").first.get_by_text("DSSN").wait_for(timeout=60_000)
            page.get_by_text("Download as CSV").wait_for()
            page.screenshot(path=str(target))
            browser.close()
    finally:
        server.terminate()
        server.wait()


def _wait_for_server(port: int) -> None:
    patience = threading.Event()
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        patience.wait(0.1)
    sys.exit("the dashboard did not start within a minute")


if __name__ == "__main__":
    take(Path(sys.argv[1]))
