"""Turn tables of per-image results into runs.

σ, n and α are determined, and every radius is lowered to what its printed digits guarantee.
Shapes: N images, which are the rows of a table, M distinct printed radii.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rsbench.data.subset import canonical
from rsbench.errors import DataError, UsageError
from rsbench.foreign.budget_inference import (
    TOP_COUNT,
    Budget,
    TopRadii,
    common_budgets,
    exceeded_limit,
    fitting_budgets,
)
from rsbench.foreign.import_options import ImportOptions, ReadResult
from rsbench.foreign.paths import display_name, files_below, sigma_of_path
from rsbench.foreign.printed_radii import PrintPrecision, smallest_grid_values, smallest_values
from rsbench.foreign.tsv_table import Table, looks_like_table, read_table
from rsbench.records import DatasetInfo, FloatArray, ImageColumns, ImportedRun
from rsbench.specs import ImportSpec, MeasureSpec, deterministic_levels
from rsbench.theory.certificate import ImageFacts

DATA_DEPENDENT_NOTE = (
    "σ was chosen for each image and no memory was kept: these radii are not certificates of a single classifier"
)


def read_tsv(paths: Iterable[Path], options: ImportOptions) -> ReadResult:
    """Read every table at or below the paths; each is a run.

    Raises UsageError or DataError, naming the file, when one of the files cannot be read, contradicts itself or the
    options, or leaves its σ, n or α open. Then nothing is imported.
    """
    paths = tuple(paths)
    tables, empty_files, ignored_files = [], [], []
    for file in files_below(paths):
        if file not in paths and not looks_like_table(file):
            ignored_files.append(file)
        elif (table := read_table(file, options.dataset)) is None:
            empty_files.append(file)
        else:
            tables.append(_ResolvedTable.of(table, options))
    if not tables:
        reason = f"all tables are empty ({len(empty_files)})" if empty_files else "no file has tabs in its first line"
        raise UsageError(
            f"{', '.join(map(str, paths))}: nothing to import, {reason}: give tables or folders that contain some"
        )
    dataset = options.dataset.info(max(int(resolved.table.index_N[-1]) for resolved in tables))
    facts = ImageFacts(q=dataset.q, dims=math.prod(dataset.shape))
    resolved_budget = None if options.is_enumerated else _resolve_budget(tables, options, facts)
    runs, complaints = [], []
    for resolved in tables:
        doubts = () if resolved_budget is None else _doubts_about_budget(resolved, options, facts, resolved_budget)
        runs.append(_run(resolved, display_name(paths, resolved.table.file), options, dataset, resolved_budget, doubts))
        complaints += [(doubt, resolved.table.file) for doubt in doubts]
    return ReadResult(tuple(runs), tuple(empty_files), tuple(ignored_files), _group_by_complaint(complaints))


@dataclass(frozen=True, eq=False)
class _ResolvedTable:
    """A table together with the smoothing measure that its results are of."""

    table: Table
    measure: MeasureSpec
    data_dependent: bool
    """Whether σ was chosen for each image; `measure.sigma` is then where the choice started."""

    precision: PrintPrecision
    """How the file's radii were printed."""

    @classmethod
    def of(cls, table: Table, options: ImportOptions) -> "_ResolvedTable":
        """Determine the measure of a table. Raises UsageError when its σ is unknown, ambiguous or too small."""
        sigma, data_dependent = _resolve_sigma(table, options)
        if not options.is_enumerated:
            measure = MeasureSpec(family=options.family, sigma=sigma)
            return cls(table, measure, data_dependent, PrintPrecision.of(table.radius_M))
        levels = deterministic_levels(sigma, options.dataset.q or 0)
        if levels < 2:
            raise UsageError(
                f"{table.file}: σ = {sigma:g} gives {levels} splits at q = {options.dataset.q}, but {options.method} "
                "needs at least 2: correct σ"
            )
        measure = MeasureSpec(family=options.family, sigma=sigma, levels=levels, offsets_seed=0)
        return cls(table, measure, data_dependent, PrintPrecision.of(table.radius_M))

    @cached_property
    def top(self) -> TopRadii:
        """The largest radii, at the largest σ."""
        table = self.table
        largest = sorted(range(len(table.text_M)), key=lambda m: float(table.text_M[m]), reverse=True)[:TOP_COUNT]
        measure = self.measure
        if table.sigma_N is not None:
            measure = measure.model_copy(update={"sigma": float(table.sigma_N.max())})
        intervals = tuple(self.precision.interval(table.radius_M[m]) for m in largest)
        return TopRadii(table.text_M[largest[0]], intervals, measure)


class _ResolvedBudget(NamedTuple):
    """n and α of an import, and where they come from."""

    budget: Budget
    is_inferred: bool
    """Whether n or α was inferred from the files rather than given as an option."""

    of_files: Budget | None
    """The pair that the files' largest radii determine on their own, if it is unique."""


def _resolve_sigma(table: Table, options: ImportOptions) -> tuple[float, bool]:
    """Return σ of a table, and whether σ was chosen for each image; σ is then where that choice started.

    σ may come from --sigma, the path and a constant column. Raises UsageError when they differ or none is there.
    """
    column_N = table.sigma_N
    varies = column_N is not None and bool((column_N != column_N[0]).any())
    candidates = {"--sigma": options.sigma, "its path": sigma_of_path(table.file)}
    if column_N is not None and not varies:
        candidates["its column sigma"] = float(column_N[0])
    sigma_by_source = {source: sigma for source, sigma in candidates.items() if sigma is not None}
    if len(set(sigma_by_source.values())) > 1:
        texts = ", ".join(f"{sigma:g} by {source}" for source, sigma in sigma_by_source.items())
        raise UsageError(f"{table.file}: σ is {texts}: correct the one that is wrong")
    if not sigma_by_source:
        problem = (
            "its column sigma varies, and the σ at which the choice started is unknown" if varies else "σ is unknown"
        )
        raise UsageError(f"{table.file}: {problem}: give --sigma, or put the file below a folder such as sigma_0.25")
    return next(iter(sigma_by_source.values())), varies


def _resolve_budget(tables: Sequence[_ResolvedTable], options: ImportOptions, facts: ImageFacts) -> _ResolvedBudget:
    """Return n and α as given by the options, or inferred from the largest radii of all files.

    Raises UsageError when no pair, or more than one, fits all files.
    """
    n, alpha = options.n_estimate, options.failure_probability
    if options.procedure != "one-versus-rest":
        if n is None or alpha is None:
            raise UsageError(
                f"--method {options.method}: radii of {options.procedure} bounds do not determine n and α: "
                "give --n and --alpha"
            )
        return _ResolvedBudget(Budget(n, alpha), False, None)
    common = common_budgets(None, None)
    of_files = _budgets_fitting_all(tables, options, facts, common)
    unique = of_files[0] if len(of_files) == 1 else None
    if n is not None and alpha is not None:
        return _ResolvedBudget(Budget(n, alpha), False, unique)
    candidates = common_budgets(n, alpha)
    fitting = of_files if candidates == common else _budgets_fitting_all(tables, options, facts, candidates)
    if len(fitting) == 1:
        return _ResolvedBudget(fitting[0], True, unique)
    first = tables[0]
    missing = " and ".join(flag for flag, value in (("--n", n), ("--alpha", alpha)) if value is None)
    largest, remedy = f"its largest radius, {first.top.text}, fits", f"give {missing}"
    if fitting:
        problem = f"{largest} {' or '.join(map(str, fitting[:4]))}"
    elif any(resolved.data_dependent for resolved in tables):
        problem = "σ was chosen for each image, so the largest radius does not determine n and α"
    elif any(_budgets_fitting_all([resolved], options, facts, candidates) for resolved in tables):
        problem = f"no single n and α fit the largest radii of all {len(tables)} files"
        remedy = f"import files that differ in n or α separately, or {remedy}"
    else:
        problem = f"{largest} no common n and α: no image was unanimous, or other values were used"
    raise UsageError(f"{first.table.file}: {problem}: {remedy}")


def _budgets_fitting_all(
    tables: Sequence[_ResolvedTable], options: ImportOptions, facts: ImageFacts, budgets: Sequence[Budget]
) -> tuple[Budget, ...]:
    """Return the pairs that fit every file.

    Files that no pair fits are left out, because they have no unanimous image; so are files with a σ for each image.
    """
    shared = set(budgets)
    any_fits = False
    for resolved in tables:
        if resolved.data_dependent:
            continue
        fitting = fitting_budgets(resolved.top, options.certificate, facts, budgets)
        any_fits = any_fits or bool(fitting)
        shared = shared & set(fitting) if fitting else shared
    return tuple(budget for budget in budgets if any_fits and budget in shared)


def _doubts_about_budget(
    resolved: _ResolvedTable, options: ImportOptions, facts: ImageFacts, resolved_budget: _ResolvedBudget
) -> tuple[str, ...]:
    """Return what in a file contradicts its n and α, as sentences for the user."""
    budget, of_files = resolved_budget.budget, resolved_budget.of_files
    limit = exceeded_limit(resolved.top, options.certificate, facts, budget, options.procedure)
    if limit is not None:
        doubt = (
            f"the largest radius, {resolved.top.text}, is above {limit:.6g}, the most that {budget} can certify: "
            "another n or α, or another certificate, was used"
        )
        return (doubt,)
    if of_files not in (None, budget) and not resolved.data_dependent:
        return (f"the largest radii are those of unanimous images under {of_files}, not under {budget}",)
    return ()


def _run(
    resolved: _ResolvedTable, source: str, options: ImportOptions, dataset: DatasetInfo,
    resolved_budget: _ResolvedBudget | None, doubts: tuple[str, ...],
) -> ImportedRun:  # fmt: skip
    table, budget = resolved.table, None if resolved_budget is None else resolved_budget.budget
    printed = f"radii were printed with {resolved.precision.text}"
    if options.is_enumerated:
        notes = [
            f"{printed}: each is recorded as the smallest k/{dataset.q} that prints as the same text",
            f"L = {resolved.measure.levels} splits: computed from σ, because the file does not state L",
        ]
    else:
        notes = [f"{printed}: half a unit of the last digit was subtracted"]
    if resolved_budget is not None and resolved_budget.is_inferred:
        notes.append(f"{resolved_budget.budget}: inferred from the largest radii, which are those of unanimous images")
    if resolved.data_dependent:
        notes.append(DATA_DEPENDENT_NOTE)
    spec = ImportSpec(
        source="tsv",
        content_sha256=table.sha256,
        method=options.method,
        dataset=dataset.name,
        dataset_fingerprint=dataset.fingerprint,
        images=canonical(tuple(table.index_N.tolist())),
        family=options.family,
        sigma=resolved.measure.sigma,
        levels=resolved.measure.levels,
        certificate=options.certificate.name,
        procedure=options.procedure,
        n_select=options.n_select,
        n_estimate=None if budget is None else budget.n_estimate,
        failure_probability=None if budget is None else budget.failure_probability,
        data_dependent=resolved.data_dependent,
        radius_text=resolved.precision.text,
    )
    images = ImageColumns(
        table.index_N,
        table.label_N,
        table.predicted_N,
        _guaranteed_radii(resolved, dataset)[table.radius_N],
        sigma_N=table.sigma_N if resolved.data_dependent else None,
    )
    return ImportedRun(spec, dataset, images, source, (*notes, *doubts))


def _guaranteed_radii(resolved: _ResolvedTable, dataset: DatasetInfo) -> FloatArray:
    """Return the radius that the printed digits guarantee, for each distinct printed radius."""
    table = resolved.table
    if resolved.measure.levels is None:
        return smallest_values(table.radius_M, resolved.precision)
    assert dataset.q is not None  # noqa: S101 - ImportOptions refuses an enumerated measure without a grid
    radius_M, impossible = smallest_grid_values(table.radius_M, resolved.precision, dataset.q)
    if impossible is not None:
        row = int(np.flatnonzero(table.radius_N == impossible)[0])
        raise DataError(
            f"{table.file}: idx {table.index_N[row]}: no k/{dataset.q} prints as the radius "
            f"{table.text_M[impossible]}: these radii are not of {resolved.measure.family} smoothing at "
            f"q = {dataset.q}; correct --method or --q"
        )
    return radius_M


def _group_by_complaint(complaints: Sequence[tuple[str, Path]]) -> tuple[str, ...]:
    """Return one line for each distinct complaint, with the first file it concerns and the number of others."""
    files: dict[str, list[Path]] = {}
    for complaint, file in complaints:
        files.setdefault(complaint, []).append(file)
    return tuple(
        f"{concerned[0]}{f' and {len(concerned) - 1} more files' if len(concerned) > 1 else ''}: {complaint}"
        for complaint, concerned in files.items()
    )
