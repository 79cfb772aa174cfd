"""The board as LaTeX tables in the style of the papers, for pdfLaTeX with the package booktabs.

The file is a complete document, and another document can also include it by \\input without a change. `to_latex` of
pandas is not used, because it has no cells of two lines and does not escape characters such as σ and [.
"""

import re
from collections.abc import Callable, Iterable, Sequence

from rsbench.report.leaderboard import Cell, Group, Leaderboard, Row
from rsbench.report.numbers import percent_down, radius_text, sigma_text
from rsbench.report.reported import REPORTED_TITLE, ReportedCell, ReportedRow, ReportedTable
from rsbench.report.run_facts import seed_of

# LaTeX redefines \@nodocument when a document has begun, which means that another document includes this file.
_HEAD = r"""% Made by rsbench {version}. Compile this file as it is, or \input it into a paper that loads booktabs.
\expandafter\ifx\csname @nodocument\endcsname\relax
  \let\rsbenchend\relax
\else
  \documentclass{{article}}
  \usepackage{{booktabs}}
  \pagestyle{{empty}}
  \begin{{document}}
  \def\rsbenchend{{\end{{document}}}}
\fi
"""

_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "[": "{[}", "]": "{]}", '"': r"{\ttfamily\char34}", "`": r"{\char18}", "'": "'",
    "σ": r"$\sigma$", "α": r"$\alpha$", "λ": r"$\lambda$", "±": r"$\pm$", "−": "$-$", "·": r"$\cdot$", "≤": r"$\leq$",
    "≥": r"$\geq$", "√": r"$\surd$", "×": r"$\times$", "½": r"$\frac{1}{2}$", "–": "--", "…": r"\ldots{}",
    "‡": r"$\ddagger$", "∞": r"$\infty$",
}  # fmt: skip
_SPACES = (("R^d", r"$\mathbf{R}^d$"), ("[0,1]^d", "$[0,1]^d$"), ("{k/q}^d", r"$\{k/q\}^d$"))


def latex_board(board: Leaderboard, reported: Sequence[ReportedTable], *, version: str) -> str:
    """Return a table for each protocol of the board, then one for each dataset with figures of papers."""
    tables = [_measured(board, group, version) for group in board.groups]
    tables += [_reported(table) for table in reported]
    return "\n".join([_HEAD.format(version=escaped(version)), *tables, r"\rsbenchend", ""])


def escaped(text: str) -> str:
    """Escape text for LaTeX. Characters that its fonts lack are replaced by their code point, such as [U+4E2D]."""
    spaces = dict(_SPACES)
    parts = re.split("(" + "|".join(re.escape(space) for space in spaces) + ")", text)
    return "".join(spaces.get(part) or "".join(map(_escaped, part)) for part in parts)


def _escaped(character: str) -> str:
    is_ascii = " " <= character <= "~"
    return _ESCAPES.get(character) or (character if is_ascii else f"{{[}}U+{ord(character):04X}{{]}}")


def _measured(board: Leaderboard, group: Group, version: str) -> str:
    rows = group.rows
    columns = [_column([row.cells[i] for row in rows], percent_down) for i in range(len(board.radii))]
    columns.append(_column([row.average_radius for row in rows], radius_text))
    lines = []
    for i, row in enumerate(rows):
        upper, lower = zip(*(column[i] for column in columns), strict=True)
        lines += [r"\addlinespace"] if i else []
        lines += [_line([escaped(row.entry.title), *upper]), _line([_below(row, board), *lower])]
    headings = ["method", *(f"$r = {escaped(radius)}$" for radius in board.radii), "ACR"]
    return _table(_caption(board, group, version), headings, lines)


def _column(cells: Sequence[Cell], text: Callable[[float], str]) -> list[tuple[str, str]]:
    """Return the two lines of each cell: the number, and the network that it comes from."""
    best = max(cell.value for cell in cells)
    return [(_number(cell, text, is_best=cell.value == best > 0), _network(cell)) for cell in cells]


def _number(cell: Cell, text: Callable[[float], str], *, is_best: bool) -> str:
    printed = escaped(text(cell.value))
    number = rf"\textbf{{{printed}}}" if is_best else printed
    if cell.spread is None or text is not percent_down:
        return number
    return rf"{number}\,{{\scriptsize$\pm$\,{100.0 * cell.spread:.1f}}}"


def _network(cell: Cell) -> str:
    """Return clean accuracy and σ of the network that a number comes from."""
    mark = "$^*$" if cell.sigma_selected else ""
    configuration = cell.configuration
    clean = percent_down(configuration.clean_accuracy)
    return rf"{{\scriptsize({clean} @ {sigma_text(configuration.sigma)}{mark})}}"


def _below(row: Row, board: Leaderboard) -> str:
    """Return the line below a method: seeds or the run, and what distinguishes the row from others of the method."""
    run = row.clean.configuration.runs[0]
    seed = seed_of(run)
    if board.select_best:
        parts = [] if seed is None else [row.seeds_label]
    else:
        parts = [*([] if seed is None else [f"seed {seed}"]), f"run {run.fingerprint[:12]}"]
    text = ", ".join([*parts, *(label for label in (row.entry.training_text, row.entry.variant) if label)])
    return rf"{{\scriptsize {escaped(text)}}}"


def _caption(board: Leaderboard, group: Group, version: str) -> str:
    rows, protocol = group.rows, group.protocol
    selected = any(cell.sigma_selected for row in rows for cell in row.all_cells)
    spread = any(cell.spread is not None for row in rows for cell in row.cells)
    data = rf"{escaped(f'{protocol.dataset}, {protocol.images_label}')}; \texttt{{{protocol.fingerprint[:12]}}}"
    sentences = [
        rf"Certified accuracy in percent, rounded down, at {_norm(board.norm)} radius $r$ (pixel range $[0,1]$).",
        f"Data: {data}.",
        "Below each number: clean accuracy (an abstention counts as wrong) @ $\\sigma$ of its network.",
    ]
    if protocol.warning:
        sentences.append(f"{escaped(protocol.warning.capitalize())}.")
    if selected:
        sentences.append(r"$^*$ $\sigma$ selected on the test images: exploratory.")
    if spread:
        sentences.append(r"Mean $\pm$ sample standard deviation over seeds.")
    sentences += [
        "ACR: average certified radius.",
        f"Threat model: {_by_method((row.entry.threat_model, row) for row in rows)}.",
        f"Ball: {_by_method((row.entry.theorem.ball, row) for row in rows)}.",
        f"Certificate: {_by_method((row.entry.theorem.source, row) for row in rows)}.",
        f"Votes: {_by_method((row.entry.budget, row) for row in rows)}.",
        *(f"{escaped(title)}: {escaped(remark)}." for title, remark in _remarks(rows)),
        f"rsbench {escaped(version)}.",
    ]
    return "\n    ".join(sentences)


def _remarks(rows: Sequence[Row]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((row.entry.title, row.entry.caveats) for row in rows if row.entry.caveats))


def _by_method(facts: Iterable[tuple[str, Row]]) -> str:
    """Return a fact alone if all rows share it, otherwise each fact with its methods."""
    methods: dict[str, list[str]] = {}
    for fact, row in facts:
        methods.setdefault(fact, []).append(row.entry.title)
    if len(methods) == 1:
        return escaped(next(iter(methods)))
    return escaped("; ".join(f"{fact} ({', '.join(dict.fromkeys(titles))})" for fact, titles in methods.items()))


def _reported(table: ReportedTable) -> str:
    lines: list[str] = []
    source = ""
    headings = ["method", *(["$r = 0$"] if table.with_zero else []), *(f"$r = {escaped(r)}$" for r in table.radii)]
    headings += ["ACR"] if table.with_average else []
    for row in table.rows:
        if row.source != source:
            source = row.source
            lines.append(rf"\addlinespace\multicolumn{{{len(headings)}}}{{@{{}}l}}{{\textit{{{escaped(source)}}}}} \\")
        upper = [_paper_method(row), *([_paper_number(row.at_zero)] if table.with_zero else [])]
        upper += [_paper_number(cell) for cell in row.cells]
        if table.with_average:
            upper.append("--" if row.average_radius is None else str(row.average_radius))
        lines.append(_line(upper))
        if any(cell and cell.clean is not None for cell in row.cells):
            lower = ["", *([""] if table.with_zero else []), *(_paper_network(cell) for cell in row.cells)]
            lines.append(_line([*lower, *([""] if table.with_average else [])]))
    return _table(_reported_caption(table), headings, lines)


def _reported_caption(table: ReportedTable) -> str:
    sentences = [
        rf"{REPORTED_TITLE}: certified accuracy in percent, rounded down, at {_norm(table.norm)} radius $r$.",
        f"Data: {escaped(table.dataset)}. As printed: not ranked and not averaged with measured numbers.",
    ]
    if table.with_zero:
        sentences.append("At $r = 0$ an abstention counts as wrong.")
    if table.with_clean:
        sentences.append(r"Below a number: clean accuracy, where nothing abstains, @ $\sigma$ of its network.")
    sentences += [f"$^*$ {escaped(selection)}: exploratory." for selection in table.selections]
    sentences += [rf"$^\ddagger$ Doubtful: {escaped(doubt)}." for doubt in table.doubts]
    return "\n    ".join(sentences)


def _paper_method(row: ReportedRow) -> str:
    sigma = "" if row.sigma is None else f", σ {sigma_text(row.sigma)}"
    return escaped(row.label + sigma) + ("$^*$" if row.selected else "") + (r"$^\ddagger$" if row.doubts else "")


def _paper_number(cell: ReportedCell | None) -> str:
    return "--" if cell is None else percent_down(cell.value)


def _paper_network(cell: ReportedCell | None) -> str:
    if cell is None or cell.clean is None or cell.sigma is None:
        return ""
    return rf"{{\scriptsize({percent_down(cell.clean)} @ {sigma_text(cell.sigma)})}}"


def _table(caption: str, headings: Sequence[str], lines: Sequence[str]) -> str:
    body = "\n    ".join([r"\toprule", _line(headings), r"\midrule", *lines, r"\bottomrule"])
    return rf"""\begin{{table}}[htbp]
  \centering
  \caption{{{caption}}}
  \medskip
  \setlength{{\tabcolsep}}{{4pt}}
  \begin{{tabular}}{{@{{}}l*{{{len(headings) - 1}}}{{r}}@{{}}}}
    {body}
  \end{{tabular}}
\end{{table}}
"""


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _norm(norm: str) -> str:
    return {"l1": r"$\ell_1$", "l2": r"$\ell_2$"}.get(norm, escaped(norm))
