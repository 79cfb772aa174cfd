"""`rsbench dashboard`: serve the board in a browser."""

import os
import sys
from typing import Annotated

import typer

from rsbench.bundled import bundled
from rsbench.cli import options as o
from rsbench.cli.output import say
from rsbench.errors import UsageError


def dashboard(
    port: Annotated[int, typer.Option(envvar="RSBENCH_PORT", help="Port to listen on.")] = 8501,
    address: Annotated[
        str,
        typer.Option(envvar="RSBENCH_ADDRESS", help="Address to listen on. With 0.0.0.0, other machines can connect."),
    ] = "127.0.0.1",
    db: o.Database = None,
) -> None:
    """Serve the board in a browser until you press Ctrl-C."""
    if not 1 <= port <= 65535:
        raise UsageError(f"--port must lie between 1 and 65535 (got {port})")
    from rsbench.store.location import location_name

    location = o.database(db)
    host = "localhost" if address == "127.0.0.1" else address
    say(f"results in {location_name(location)}; open http://{host}:{port}; press Ctrl-C to stop")
    pages = bundled("dashboards")
    command = [sys.executable, "-m", "streamlit", "run", str(pages / "app.py")]
    flags = {
        "server.port": str(port),
        "server.address": address,
        "server.headless": "true",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "server.fileWatcherType": "none",
        "theme.base": str(pages / "theme.toml"),
    }
    command += [f"--{name}={value}" for name, value in flags.items()]
    # The server takes this process's place, so that every signal reaches it and none leaves it behind.
    os.execve(command[0], command, os.environ | {"RSBENCH_DB": location})  # noqa: S606
