"""The documentation says what the program does: commands, options, tables, formats, examples, links."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import ray.autoscaler
import typer.main
import yaml

from rsbench.cli.main import application
from rsbench.methods import METHODS
from rsbench.store.tables import metadata
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.votes_format import encode_votes

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
COMMANDS = (REFERENCE / "commands.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(group: Any = None, name: str = "rsbench") -> Iterator[tuple[str, Any]]:
    """Every command with its full name."""
    group = group or typer.main.get_command(application())
    for word, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{name} {word}")
        else:
            yield f"{name} {word}", command


def flags(command: Any) -> set[str]:
    """The long flags of a command."""
    every = (flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts))
    return {flag for flag in every if flag.startswith("--")} - {"--help"}


def section(name: str) -> str:
    """What the documentation says of a command."""
    match = re.search(rf"^## {re.escape(name)}\n(.*?)(?=^## |\Z)", COMMANDS, re.MULTILINE | re.DOTALL)
    assert match, f"docs/reference/commands.md has no section {name}"
    return match[1]


@pytest.mark.parametrize(("name", "command"), list(commands()), ids=[name for name, _ in commands()])
def test_every_command_is_documented_with_every_option_and_no_other(name: str, command: Any) -> None:
    documented = set(re.findall(r"`(--[a-z0-9-]+)", section(name)))
    assert flags(command) <= documented
    assert documented - flags(command) <= {"--all"}


@pytest.mark.parametrize(("name", "command"), list(commands()), ids=[name for name, _ in commands()])
def test_the_help_fits_into_80_columns(name: str, command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    text = command.make_context(name, [], resilient_parsing=True).get_help()
    assert max(map(len, text.splitlines())) <= 80


def test_the_list_of_commands_shows_whole_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    program: Any = typer.main.get_command(application())
    text = program.make_context("rsbench", [], resilient_parsing=True).get_help()
    # The line of usage ends in "[ARGS]...".
    assert "..." not in text.split("\n", 1)[1]


def test_no_section_is_of_a_command_that_is_not() -> None:
    assert set(re.findall(r"^## (rsbench .*)$", COMMANDS, re.MULTILINE)) == {name for name, _ in commands()}


def examples() -> Iterator[str]:
    """Every rsbench command line in a fenced block, with its continuation lines joined."""
    for page in PAGES:
        for block in fenced_blocks(page.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                if match := re.match(r"(?:\$ )?(?:\.venv/bin/)?(rsbench .*)", line):
                    yield match[1]


def fenced_blocks(text: str) -> list[str]:
    """The contents of the fenced code blocks of a page, whatever their language."""
    return re.findall(r"^ *```[a-z]*\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", examples())
def test_every_example_is_a_command_line_that_parses(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = re.search(r"A `sweep\.toml` looks like this:\n\n```toml\n(.*?)```", COMMANDS, re.DOTALL)
    assert config
    (tmp_path / "sweep.toml").write_text(config[1])
    words = shlex.split(example, comments=True)
    while words[1] == "--plugin":
        del words[1:3]
    known = dict(commands())
    name = next(n for n in (" ".join(words[:3]), " ".join(words[:2])) if n in known)
    known[name].make_context(name, words[len(name.split()) :])


def test_the_readme_names_every_method() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z+]+)` \|", readme, re.MULTILINE)) == set(METHODS)


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """The target file and the anchor, possibly empty, of every link of a page to a file of this repository."""
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        yield (page.parent / path).resolve() if path else page, anchor


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target, anchor in links(page):
        assert target.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(target), f"{page.name} links to #{anchor} of {target.name}"


def test_every_page_is_reachable_from_the_readme() -> None:
    reached, pending = set[Path](), [ROOT / "README.md"]
    while pending:
        page = pending.pop()
        if page not in reached:
            reached.add(page)
            pending += [target for target, _ in links(page) if target.suffix == ".md"]
    assert set(PAGES) == reached


def test_every_document_that_the_code_names_exists() -> None:
    sources = [ROOT / "Makefile", ROOT / "pyproject.toml", ROOT / "ray_cluster.yaml"]
    for folder in ("rsbench", "dashboards", "migrations", "tests", "docs"):
        sources += (ROOT / folder).rglob("*.py")
    for source in sources:
        for name in re.findall(r"\bdocs/[\w./-]+\.(?:md|py|png)", source.read_text(encoding="utf-8")):
            assert (ROOT / name).exists(), f"{source.relative_to(ROOT)} names {name}"


def test_every_module_that_the_table_of_theory_names_exists() -> None:
    page = (REFERENCE / "certificates.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \|", page[page.index("What else is in") :], re.MULTILINE)
    modules = set(re.findall(r"`([a-z_]+)`", " ".join(rows[: rows.index("`comparison`") + 1])))
    assert {"confidence", "memory"} <= modules
    for module in modules:
        assert (ROOT / "rsbench" / "theory" / f"{module}.py").exists(), module


def test_every_table_is_described() -> None:
    store = (REFERENCE / "store.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", store, re.MULTILINE)
    assert set(re.findall(r"`([a-z_]+)`", " ".join(rows))) == set(metadata.tables)


def test_the_diagram_of_the_tables_is_what_make_schema_draws() -> None:
    drawn = subprocess.run(
        [sys.executable, ROOT / "docs" / "draw_schema.py"], capture_output=True, text=True, check=True
    )
    assert drawn.stdout in (REFERENCE / "store.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^    ([a-z_]+) {$", drawn.stdout, re.MULTILINE)) == set(metadata.tables)


def test_the_documented_reader_reads_votes() -> None:
    source = re.search(r"```python\n(.*?)```", (REFERENCE / "store.md").read_text(encoding="utf-8"), re.DOTALL)
    assert source
    names: dict[str, Any] = {}
    exec(source[1], names)  # noqa: S102 - this is the documentation's own code
    counts_RK = np.array([[60, 0, 4], [99, 1, 0], [900, 90, 10]], dtype=np.int64)
    np.testing.assert_array_equal(names["read_votes"](encode_votes(counts_RK[None])[0]), counts_RK)
    wide_RK = np.zeros((2, 70_000), dtype=np.int64)
    wide_RK[:, [5, 69_999]] = [[1, 2], [3, 4]]
    np.testing.assert_array_equal(names["read_votes"](encode_votes(wide_RK[None])[0]), wide_RK)


def test_the_cluster_file_is_one_that_ray_understands() -> None:
    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(yaml.safe_load((ROOT / "ray_cluster.yaml").read_text(encoding="utf-8")), schema)


def test_the_table_of_certificates_is_what_they_declare() -> None:
    page = (REFERENCE / "certificates.md").read_text(encoding="utf-8")
    declared = [
        f"| `{c.name}` | {', '.join(c.norms)} | {c.ball} | {c.threat_model} | {c.condition} | {c.source} |"
        for c in CERTIFICATES.values()
    ]
    assert re.findall(r"^\| `[a-z-]+` \| l.*\|$", page, re.MULTILINE) == declared
