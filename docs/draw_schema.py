"""Draws the tables as a Mermaid diagram: prints it, or writes it between the markers of a page.

Usage: python docs/draw_schema.py [docs/reference/store.md]
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Column, Table

from rsbench.store.tables import metadata

_BETWEEN = re.compile(r"(<!-- schema: .*? -->\n).*?(<!-- /schema -->)", re.DOTALL)


def diagram() -> str:
    """All tables with their columns, and a line for each foreign key."""
    tables = metadata.sorted_tables
    lines = ["```mermaid", "erDiagram"]
    lines += [f"    {line}" for table in tables for line in _relations(table)]
    lines += [f"    {line}" for table in tables for line in _entity(table)]
    return "\n".join([*lines, "```"]) + "\n"


def _relations(table: Table) -> Iterator[str]:
    for column in table.columns:
        for key in column.foreign_keys:
            parent = "|o" if column.nullable else "||"
            yield f"{key.column.table.name} {parent}--o{{ {table.name} : {column.name}"


def _entity(table: Table) -> Iterator[str]:
    yield f"{table.name} {{"
    yield from (f"    {_attribute(column)}" for column in table.columns)
    yield "}"


def _attribute(column: "Column[object]") -> str:
    signs = (("PK", column.primary_key), ("FK", column.foreign_keys), ("UK", column.unique))
    keys = ", ".join(sign for sign, holds in signs if holds)
    words = (str(column.type).lower(), column.name, keys, '"or null"' if column.nullable else "")
    return " ".join(word for word in words if word)


def rewrite(page: Path) -> None:
    """Put the diagram between the markers of a page."""
    text, found = _BETWEEN.subn(lambda match: match[1] + diagram() + match[2], page.read_text(encoding="utf-8"))
    if found != 1:
        sys.exit(f"{page} must hold <!-- schema: ... --> and <!-- /schema --> once, and holds them {found} times")
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:]:
        rewrite(Path(sys.argv[1]))
    else:
        print(diagram(), end="")
