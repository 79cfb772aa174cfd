"""Draw the tables of the store as a Mermaid diagram.

Usage: python docs/draw_schema.py [PAGE]

This prints the diagram, or writes it between the markers of a page such as docs/reference/store.md.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Column, Table

from rsbench.store.tables import metadata

_MARKED_PART = re.compile(r"(<!-- schema: .*? -->\n).*?(<!-- /schema -->)", re.DOTALL)


def diagram() -> str:
    """Return a diagram of all tables with their columns and foreign keys."""
    tables = metadata.sorted_tables
    lines = ["```mermaid", "erDiagram"]
    lines += [f"    {line}" for table in tables for line in _foreign_key_lines(table)]
    lines += [f"    {line}" for table in tables for line in _table_lines(table)]
    return "\n".join([*lines, "```"]) + "\n"


def _foreign_key_lines(table: Table) -> Iterator[str]:
    for column in table.columns:
        for key in column.foreign_keys:
            parent = "|o" if column.nullable else "||"
            yield f"{key.column.table.name} {parent}--o{{ {table.name} : {column.name}"


def _table_lines(table: Table) -> Iterator[str]:
    yield f"{table.name} {{"
    yield from (f"    {_column_line(column)}" for column in table.columns)
    yield "}"


def _column_line(column: "Column[object]") -> str:
    key_kinds = (("PK", column.primary_key), ("FK", column.foreign_keys), ("UK", column.unique))
    keys = ", ".join(kind for kind, is_key in key_kinds if is_key)
    parts = (str(column.type).lower(), column.name, keys, '"or null"' if column.nullable else "")
    return " ".join(part for part in parts if part)


def write_into(page: Path) -> None:
    """Replace the diagram between the markers of a page."""
    content = page.read_text(encoding="utf-8")
    content, replaced = _MARKED_PART.subn(lambda match: match[1] + diagram() + match[2], content)
    if replaced != 1:
        sys.exit(
            f"{page} has {replaced} places for the diagram: mark one with <!-- schema: by make schema --> and "
            "<!-- /schema -->"
        )
    page.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:]:
        write_into(Path(sys.argv[1]))
    else:
        print(diagram(), end="")
