"""The wheel holds what the program needs outside its package: the migrations and the dashboard."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_a_wheel_makes_a_database_and_carries_the_dashboard(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    assert sorted(p.name for p in installed.iterdir()) == ["rsbench", "rsbench-0.1.0.dist-info"]
    assert (installed / "rsbench" / "py.typed").is_file()
    dashboards = installed / "rsbench" / "_bundled" / "dashboards"
    assert {"app.py", "theme.toml"} <= {p.name for p in dashboards.iterdir()}
    report = installed / "rsbench" / "report"
    assert {"figures_of_papers.csv", "static_board.html"} <= {p.name for p in report.iterdir()}

    told = subprocess.run(
        [sys.executable, "-c", "import rsbench.cli.main as m; print(m.__file__); m.main()", "db", "upgrade"],
        env=os.environ | {"PYTHONPATH": str(installed), "RSBENCH_HOME": str(tmp_path / "home")},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert told.stdout.startswith(str(installed))
    assert "now at revision" in told.stdout
