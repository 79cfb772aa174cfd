"""Reading the tested pages: files that they tell you to save, commands to run, and the output that they show.

A page is a walk if its code blocks follow three conventions:

- A block that follows a sentence ending in "as `NAME`:" is a file that the reader saves.
- A ```console block holds commands, each behind "$ ", and what they print.
- In the output, a line "..." stands for any lines, and "..." at the end of a line for the rest of that line.

Numbers in a line with a decimal point are measurements, which may differ a little between machines; all other numbers
must be equal. Identifiers of runs may differ entirely. The reader replaces them in later commands, and so does `Walk`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"(?P<before>[^\n]*\n?[^\n]*)\n\n```(?P<language>[a-z]*)\n(?P<content>.*?)^```$", re.M | re.S)
_FILE_NAME = re.compile(r"\bas\s+`([^`]+)`:$")
_IDENTIFIER = re.compile(r"\b(?=[0-9a-f]*[0-9])[0-9a-f]{8,64}\b")
_NUMBER = re.compile(r"[+-]?[0-9][0-9,]*(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?")

RELATIVE_TOLERANCE = 0.2
ABSOLUTE_TOLERANCE = 0.1
COUNT_TOLERANCE = 10


@dataclass(frozen=True)
class SavedFile:
    """A file that the reader saves."""

    name: str
    content: str


@dataclass(frozen=True)
class Command:
    """A command that the reader runs, and the lines that the page shows for it."""

    text: str
    output: tuple[str, ...]


def steps(page: Path) -> Iterator[SavedFile | Command]:
    """The steps of a page, in order."""
    for block in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        if name := _FILE_NAME.search(block["before"]):
            yield SavedFile(name[1], block["content"])
        elif block["language"] == "console":
            yield from _commands(block["content"])


def _commands(content: str) -> Iterator[Command]:
    for part in re.split(r"^\$ ", content.replace("\\\n", ""), flags=re.MULTILINE)[1:]:
        command, *output = part.splitlines()
        yield Command(command, tuple(output))


class Walk:
    """Compares shown with printed output, and remembers which printed identifier stands for which shown one."""

    def __init__(self) -> None:
        self._printed_by_shown: dict[str, str] = {}

    def localized(self, command: str) -> str:
        """The command with the identifiers of this machine in place of those of the page."""
        return _IDENTIFIER.sub(lambda match: self._printed_of(match[0]), command)

    def _printed_of(self, shown: str) -> str:
        """A command may abbreviate an identifier that a page showed in full."""
        for full, printed in self._printed_by_shown.items():
            if full.startswith(shown):
                return printed[: len(shown)]
        return shown

    def first_difference(self, shown: Sequence[str], printed: Sequence[str]) -> str | None:
        """The first shown line that was not printed in its place, or None if the output is as shown."""
        shown, printed = [s for s in shown if s.strip()], [p for p in printed if p.strip()]
        position, anywhere = 0, False
        for line in shown:
            if line.strip() == "...":
                anywhere = True
                continue
            candidates = range(position, len(printed) if anywhere else min(position + 1, len(printed)))
            match = next((i for i in candidates if self._is_as_shown(line, printed[i])), None)
            if match is None:
                return line
            position, anywhere = match + 1, False
        return None if anywhere or position == len(printed) else f"nothing after {printed[position - 1]!r}"

    def _is_as_shown(self, shown: str, printed: str) -> bool:
        expected, actual = shown.split(), printed.split()
        if expected and expected[-1] == "...":
            expected = expected[:-1]
            actual = actual[: len(expected)]
        is_measurement = any("." in number for word in expected for number in _NUMBER.findall(word))
        if len(expected) != len(actual):
            return False
        if not all(_word_is_as_shown(e, a, is_measurement) for e, a in zip(expected, actual, strict=True)):
            return False
        for words in zip(expected, actual, strict=True):
            self._printed_by_shown.update(zip(*map(_IDENTIFIER.findall, words), strict=False))
        return True


def _word_is_as_shown(shown: str, printed: str, is_measurement: bool) -> bool:
    if set(shown) == set(printed) == {"─"}:
        return True
    shown, printed = _IDENTIFIER.sub("ID", shown), _IDENTIFIER.sub("ID", printed)
    if not is_measurement:
        return shown == printed
    if _NUMBER.sub("#", shown) != _NUMBER.sub("#", printed):
        return False
    return all(map(_is_close, _NUMBER.findall(shown), _NUMBER.findall(printed)))


def _is_close(shown: str, printed: str) -> bool:
    a, b = (float(text.replace(",", "")) for text in (shown, printed))
    if a.is_integer() and b.is_integer() and "." not in shown + printed:
        return abs(a - b) <= COUNT_TOLERANCE
    return abs(a - b) <= max(ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE * max(abs(a), abs(b)))
