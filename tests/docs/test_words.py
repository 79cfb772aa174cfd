"""One idea, one word: the wording rules of `docs/reference/glossary.md` that a machine can check.

The tests read what users and maintainers read: the package, the dashboard, the migrations and the documents.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GLOSSARY = "docs/reference/glossary.md"


@dataclass(frozen=True)
class Rule:
    """A word that must not be used."""

    pattern: str
    """Regular expression. In text, a space matches any white space and comment signs, so it finds wrapped lines."""

    remedy: str
    """What to write instead."""

    allowed: tuple[str, ...] = ()
    """Files, or folders ending in a slash, that may use it."""

    def applies_to(self, file: str) -> bool:
        return not any(file == place or (place.endswith("/") and file.startswith(place)) for place in self.allowed)


# Whole words, in any case.
TEXT_RULES = (
    Rule("data sets?", "dataset", allowed=(GLOSSARY,)),
    Rule("laws?", "smoothing measure, noise or distribution", allowed=(GLOSSARY,)),
    Rule("noise (of|in) whole numbers", "integer noise", allowed=(GLOSSARY,)),
    Rule("foreign (checkpoints?|files?|runs?)", "external checkpoint, imported run", allowed=(GLOSSARY,)),
    Rule("ballots?", "votes", allowed=(GLOSSARY,)),
    Rule("watchers?", "listener", allowed=(GLOSSARY,)),
    Rule("withheld", "excluded from ranking", allowed=(GLOSSARY,)),
    Rule("told|untold", "given, stated, reported"),
)

# Names of variables, parameters, functions and classes, without leading underscores.
NAME_RULES = (
    Rule(
        "told|found|known|one|asked|wanted|there|here|said|way|law|who|whoever|whole",
        "a name that says what the value is",
    ),
    Rule("Approach|Asked|Recertifiable|Ballots?|Tally|Question|Steps|Watcher|Deaf|knock", "the word of the glossary"),
)


def files(*suffixes: str) -> Iterator[tuple[str, str]]:
    """Yield the path, relative to the root, and the text of every file with one of the suffixes."""
    places = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    for folder in ("rsbench", "dashboards", "migrations", "docs"):
        places += sorted((ROOT / folder).rglob("*"))
    for place in places:
        if place.suffix in suffixes:
            yield place.relative_to(ROOT).as_posix(), place.read_text(encoding="utf-8")


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and name of every definition and assignment."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.lineno, node.name


@pytest.mark.parametrize("rule", TEXT_RULES, ids=lambda rule: rule.pattern)
def test_text_uses_the_words_of_the_glossary(rule: Rule) -> None:
    pattern = re.compile(rf"(?<![\w-])({rule.pattern})(?![\w-])".replace(" ", r"[\s#*]+"), re.IGNORECASE)
    complaints = [
        f"{file}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]!r}: write {rule.remedy}"
        for file, text in files(".py", ".md")
        if rule.applies_to(file)
        for match in pattern.finditer(text)
    ]
    assert complaints == []


@pytest.mark.parametrize("rule", NAME_RULES, ids=lambda rule: rule.remedy)
def test_names_say_what_a_value_is(rule: Rule) -> None:
    complaints = [
        f"{file}:{line}: {name}: use {rule.remedy}"
        for file, text in files(".py")
        if rule.applies_to(file)
        for line, name in names(ast.parse(text))
        if re.fullmatch(rule.pattern, name.strip("_"))
    ]
    assert complaints == []


def test_the_rules_find_what_they_look_for() -> None:
    wrapped = re.compile(r"(?<![\w-])(data sets?)(?![\w-])".replace(" ", r"[\s#*]+"), re.IGNORECASE)
    assert wrapped.search("# A data\n    # set of images.")
    assert not wrapped.search("data settings")
    assert [name for _, name in names(ast.parse("def _told(one):\n    found = one\n"))] == ["_told", "one", "found"]


def test_every_glossary_entry_has_a_meaning() -> None:
    rows = re.findall(r"^\| (.+) \| (.+) \|(.*)\|$", (ROOT / GLOSSARY).read_text(encoding="utf-8"), re.MULTILINE)
    terms = [term for term, meaning, _ in rows if term != "Term"]
    assert len(terms) == len(set(terms))
    assert len(terms) > 60
    assert all(meaning.endswith(".") for term, meaning, _ in rows if term != "Term")
