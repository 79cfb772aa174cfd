"""A disk that is really full: a small file system in memory, where this system lets us make one."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rsbench.cli.main import run
from rsbench.store.store import Store

SWEEP = "sweep --method dssn --sigma 0.5 --seed 0 --epochs 2 --images first:50 --workers 1"
CERTIFY = "certify --dataset digits --method dssn --workers 0"


@pytest.fixture
def disk(home: Path) -> Iterator[Path]:
    """`home` on a file system of 60 MB."""
    home.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60M", "tmpfs", str(home)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("only root can mount a small file system")
    yield home
    subprocess.run(["umount", str(home)], check=True)


@pytest.mark.slow
def test_a_full_disk_ends_in_one_line_and_the_same_command_resumes(
    disk: Path, ray_nodes: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Full while training (Tune's files, the checkpoint) and full while certifying (the database)."""
    assert run(["db", "upgrade"]) == 0
    filling = fill(disk)
    assert run(SWEEP.split()) in (1, 3)
    assert_one_line_at_the_end(capfd)
    assert list((disk / "checkpoints").glob("*")) == []
    filling.unlink()
    assert run(SWEEP.split()) == 0

    filling = fill(disk)
    assert run(CERTIFY.split()) == 1
    assert_one_line_at_the_end(capfd)
    filling.unlink()
    assert run(CERTIFY.split()) == 0
    with Store.open_existing(str(disk / "results.db")) as store:
        assert [len(store.image_columns(sealed.id)) for sealed in store.sealed_runs()] == [50, 445]


def fill(disk: Path) -> Path:
    """A file that leaves no byte."""
    filling = disk / "filling"
    with filling.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)) == 4096:
                pass
        except OSError:
            return filling
    return filling


def assert_one_line_at_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    told = capfd.readouterr().err
    assert "Traceback" not in told
    assert told.splitlines()[-1].startswith("rsbench: ")
    assert told.count("rsbench: ") == 1
