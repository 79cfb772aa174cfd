"""The commands of the tested pages run as they stand there, on an empty folder, and print what the pages show."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.walks import SavedFile, Walk, steps

DOCS = Path(__file__).resolve().parents[2] / "docs"

# Pages of one entry follow each other in one folder: the later ones use the runs of the earlier ones.
WALKS = (
    ("quickstart.md", "guides/compare-methods.md"),
    ("guides/certify-your-network.md",),
    ("guides/import-published-results.md",),
    ("guides/write-a-method.md",),
)


@pytest.mark.slow
@pytest.mark.parametrize("pages", WALKS, ids=lambda pages: pages[-1])
def test_the_commands_of_a_page_print_what_the_page_shows(pages: tuple[str, ...], tmp_path: Path) -> None:
    environment = _environment(tmp_path / "bin")
    folder = tmp_path / "reader"
    folder.mkdir()
    walk = Walk()
    for page in pages:
        for step in steps(DOCS / page):
            if isinstance(step, SavedFile):
                file = folder / step.name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(step.content, encoding="utf-8")
                continue
            result = subprocess.run(  # noqa: S602 - the pages hold shell commands of our own
                walk.localized(step.text), shell=True, cwd=folder, env=environment, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            difference = walk.first_difference(step.output, result.stdout.splitlines())
            assert difference is None, f"{page}: $ {step.text}\nmissing: {difference}\nprinted:\n{result.stdout}"


def _environment(bin_folder: Path) -> dict[str, str]:
    """The reader's environment: rsbench and python on the path, no settings, a terminal of 80 columns."""
    bin_folder.mkdir()
    for name, arguments in (("rsbench", "-m rsbench"), ("python", "")):
        script = bin_folder / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {arguments} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RSBENCH_")}
    paths = (str(DOCS.parent), os.environ.get("PYTHONPATH", ""))
    return environment | {
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "COLUMNS": "80",
    }


@pytest.mark.parametrize("page", [page for pages in WALKS for page in pages])
def test_a_walk_has_commands_with_output(page: str) -> None:
    commands = [step for step in steps(DOCS / page) if not isinstance(step, SavedFile)]
    assert sum(bool(command.output) for command in commands) >= 2


def test_the_example_of_the_readme_is_that_of_the_guide() -> None:
    guide = list(steps(DOCS / "guides" / "certify-your-network.md"))
    example = list(steps(DOCS.parent / "README.md"))
    assert example
    assert all(step in guide for step in example)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("DSSN  96.5 ± 2.1  run 693a448c", "DSSN   95.0 ± 2.0  run 1a4b1840"),
        ("σ 0.5 *", "σ 0.5 *"),
        ("first ...", "first of many words"),
        ("0.25  86.0  +13.0  14  1  9.8e-04", "0.25  85.0  +12.0  12  2  0.003"),
    ],
)
def test_small_differences_between_machines_are_accepted(shown: str, printed: str) -> None:
    assert Walk().first_difference([shown], [printed]) is None


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        (["clean 96.5"], ["clean 61.5"]),
        (["2 runs sealed"], ["3 runs sealed"]),
        (["a", "b"], ["a", "c", "b"]),
        (["a"], ["a", "b"]),
        (["a", "...", "d"], ["a", "b", "c"]),
        (["0.0 ± 0.0"], ["1.0 ± 0.0"]),
    ],
)
def test_real_differences_are_found(shown: list[str], printed: list[str]) -> None:
    assert Walk().first_difference(shown, printed) is not None


def test_identifiers_that_a_page_shows_are_replaced_by_those_that_were_printed() -> None:
    walk = Walk()
    assert walk.first_difference(["run 693a448fc80e done"], ["run 1a4b1840a511 done"]) is None
    assert walk.localized("rsbench show 693a448f") == "rsbench show 1a4b1840"
