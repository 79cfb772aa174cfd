"""Boards and curves as frames of text for a page, with Markdown in the cells and numbers rounded down."""

import numpy as np
import pandas as pd

from rsbench.report.leaderboard import Cell, Group, Leaderboard, Row
from rsbench.report.numbers import (
    percent_down,
    plain_markdown,
    radius_text,
    seed_text,
    sigma_text,
    spread_text,
)
from rsbench.report.run_facts import seed_of


def board_table(board: Leaderboard, group: Group) -> pd.DataFrame:
    """Return the rows of a group, best first: method, votes, seeds, and a column for each number. The best is bold.

    Certified accuracies are in percent, with their spread and σ. A σ that was selected has an asterisk.
    """
    columns: dict[str, list[str]] = {
        "Method": [_method(row) for row in group.rows],
        "Votes": [row.entry.budget for row in group.rows],
    }
    if board.select_best:
        columns["Seeds"] = [str(_seed_count(row)) for row in group.rows]
    else:
        columns["σ"] = [sigma_text(row.clean.configuration.sigma) for row in group.rows]
        columns["Seed"] = [seed_text(seed_of(row.clean.configuration.runs[0])) for row in group.rows]
        columns["Run"] = [row.clean.configuration.runs[0].fingerprint[:12] for row in group.rows]
    columns["Clean"] = _numbers([row.clean for row in group.rows], board, radius=False)
    for i, radius in enumerate(board.radii):
        # With no-break spaces, headings stay in one line where long notes leave little room.
        columns[f"r\u00a0=\u00a0{radius}"] = _numbers([row.cells[i] for row in group.rows], board, radius=False)
    columns["ACR"] = _numbers([row.average_radius for row in group.rows], board, radius=True)
    return pd.DataFrame(columns)


def theorem_facts(board: Leaderboard) -> list[dict[str, str]]:
    """Return certificate, theorem, ball, threat model and votes of each method, without duplicates."""
    facts: dict[tuple[tuple[str, str], ...], None] = {}
    for row in (row for group in board.groups for row in group.rows):
        theorem = row.entry.theorem
        fact = {
            "Method": row.entry.title,
            "Certificate": theorem.name,
            "Theorem": theorem.source,
            "Ball": f"{theorem.ball} {board.norm}",
            "Holds on": row.entry.threat_model,
            "Needs": theorem.condition,
            "Votes": row.entry.budget,
        }
        facts[tuple(fact.items())] = None
    return [dict(fact) for fact in facts]


def theorem_table(board: Leaderboard) -> pd.DataFrame:
    """Return `theorem_facts` for a page, with Markdown in the cells."""
    free = ("Method", "Holds on", "Needs")
    lines = theorem_facts(board)
    return pd.DataFrame(
        [{name: plain_markdown(text) if name in free else text for name, text in line.items()} for line in lines]
    )


def curve_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the means of a curve frame. Radii have three decimals, percentages one, and all are rounded down."""
    means = frame[frame["line"] == "mean"]
    table = pd.DataFrame(
        {
            "Method": means["title"],
            "σ": means["sigma"],
            "Radius": [radius if np.isinf(radius) else float(radius_text(radius)) for radius in means["radius"]],
            "Certified accuracy (%)": [float(percent_down(share)) for share in means["certified_accuracy"]],
            "Seeds": means["seeds"],
            "Votes": means["budget"],
            "Variant": means["variant"],
        }
    )
    return table if (means["variant"] != "").any() else table.drop(columns="Variant")


def _method(row: Row) -> str:
    entry = row.entry
    label = "; ".join(text for text in (entry.label, row.reproduced_label, *entry.notes) if text)
    return plain_markdown(entry.title) + (f"  \n:small[:gray[{plain_markdown(label)}]]" if label else "")


def _seed_count(row: Row) -> str:
    return row.seeds_label.removesuffix("s").removesuffix(" seed")


def _numbers(cells: list[Cell], board: Leaderboard, *, radius: bool) -> list[str]:
    best = max(cell.value for cell in cells)
    return [_number(cell, board, radius=radius, is_best=cell.value == best > 0) for cell in cells]


def _number(cell: Cell, board: Leaderboard, *, radius: bool, is_best: bool) -> str:
    text = radius_text(cell.value) if radius else percent_down(cell.value)
    text = f"**{text}**" if is_best else text
    if cell.spread is not None and not radius:
        text += f" :gray[{spread_text(cell.spread)}]"
    if board.select_best:
        mark = r" \*" if cell.sigma_selected else ""
        text += f"  \n:small[:gray[σ {sigma_text(cell.configuration.sigma)}{mark}]]"
    return text
