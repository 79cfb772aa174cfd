"""Tables in, runs out: σ, n and α found or refused, every radius lowered to what its print allows."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rsbench.data.subset import canonical
from rsbench.errors import DataError, UsageError
from rsbench.foreign.budget import TOP, Budget, TopRadii, common_budgets, exceeds, fitting_budgets
from rsbench.foreign.claims import Claims, Reading
from rsbench.foreign.printed_radii import Precision, lower_ends, lower_ends_on_grid
from rsbench.foreign.tree import files_below, name_below, sigma_of_path
from rsbench.foreign.tsv import Table, looks_like_table, read_table
from rsbench.records import DatasetInfo, FloatArray, ImageColumns, ImportedRun
from rsbench.specs import ImportSpec, MeasureSpec, deterministic_levels
from rsbench.theory.certificate import ImageFacts

DATA_DEPENDENT = "σ was chosen for each image and no memory was kept: these radii are no certificate of one classifier"


def read_tsv(paths: Iterable[Path], claims: Claims) -> Reading:
    """Every table at or below the paths, each one a run.

    Raises UsageError or DataError, naming the file, when one cannot be read, contradicts itself or the claims, or
    does not say its σ, n or α: then nothing of the import is of use.
    """
    paths = tuple(paths)
    tables, empty, passed_over = [], [], []
    for file in files_below(paths):
        if file not in paths and not looks_like_table(file):
            passed_over.append(file)
        elif (table := read_table(file, claims.dataset)) is None:
            empty.append(file)
        else:
            tables.append(_Sized.of(table, claims))
    if not tables:
        told = f"{len(empty)} files without a row" if empty else "no file with tabs in its first line"
        raise UsageError(f"{', '.join(map(str, paths))}: nothing to import, {told}: name tables, or folders of them")
    dataset = claims.dataset.info(max(int(sized.table.index_N[-1]) for sized in tables))
    facts = ImageFacts(q=dataset.q, dims=math.prod(dataset.shape))
    found = None if claims.enumerated else _find_budget(tables, claims, facts)
    runs, complaints = [], []
    for sized in tables:
        doubts = () if found is None else _doubts(sized, claims, facts, found)
        runs.append(_run(sized, name_below(paths, sized.table.file), claims, dataset, found, doubts))
        complaints += [(doubt, sized.table.file) for doubt in doubts]
    return Reading(tuple(runs), tuple(empty), tuple(passed_over), _grouped(complaints))


@dataclass(frozen=True, eq=False)
class _Sized:
    """A table, the σ that it is of, and how its radii were printed."""

    table: Table
    measure: MeasureSpec
    data_dependent: bool
    precision: Precision

    @classmethod
    def of(cls, table: Table, claims: Claims) -> "_Sized":
        sigma, data_dependent = _sigma(table, claims)
        if not claims.enumerated:
            measure = MeasureSpec(family=claims.family, sigma=sigma)
            return cls(table, measure, data_dependent, Precision.of(table.radius_M))
        levels = deterministic_levels(sigma, claims.dataset.q or 0)
        if levels < 2:
            raise UsageError(f"{table.file}: σ = {sigma:g} leaves {levels} splits at q = {claims.dataset.q}: correct σ")
        measure = MeasureSpec(family=claims.family, sigma=sigma, levels=levels, offsets_seed=0)
        return cls(table, measure, data_dependent, Precision.of(table.radius_M))

    @cached_property
    def top(self) -> TopRadii:
        """The largest radii, at the largest σ."""
        table = self.table
        top = sorted(range(len(table.text_M)), key=lambda m: float(table.text_M[m]), reverse=True)[:TOP]
        measure = self.measure
        if table.sigma_N is not None:
            measure = measure.model_copy(update={"sigma": float(table.sigma_N.max())})
        intervals = tuple(self.precision.interval(table.radius_M[m]) for m in top)
        return TopRadii(table.text_M[top[0]], intervals, measure)


class _Found(NamedTuple):
    """n and α of an import, whether they were inferred, and what the files themselves say, where that is one pair."""

    budget: Budget
    inferred: bool
    of_files: Budget | None


def _sigma(table: Table, claims: Claims) -> tuple[float, bool]:
    """σ, and whether it was chosen for each image; σ is then where the choice began."""
    column_N, of_path = table.sigma_N, sigma_of_path(table.file)
    varies = column_N is not None and bool((column_N != column_N[0]).any())
    told = {"--sigma": claims.sigma, "its path": of_path}
    if column_N is not None and not varies:
        told["its column sigma"] = float(column_N[0])
    said = {source: sigma for source, sigma in told.items() if sigma is not None}
    if len(set(said.values())) > 1:
        texts = ", ".join(f"{sigma:g} by {source}" for source, sigma in said.items())
        raise UsageError(f"{table.file}: σ is {texts}: correct the one that is wrong")
    if not said:
        why = "its column sigma varies, and where the choice began" if varies else "σ"
        raise UsageError(f"{table.file}: {why} is not told: give --sigma, or put the file below a folder sigma_0.25")
    return next(iter(said.values())), varies


def _find_budget(tables: Sequence[_Sized], claims: Claims, facts: ImageFacts) -> _Found:
    """What was told of n and α, and the rest from the largest radii. Raises UsageError where that leaves a choice."""
    n, alpha = claims.n_estimate, claims.failure_probability
    common = common_budgets(None, None)
    of_files = _shared_by_files(tables, claims, facts, common)
    alone = of_files[0] if len(of_files) == 1 else None
    if n is not None and alpha is not None:
        return _Found(Budget(n, alpha), False, alone)
    asked = common_budgets(n, alpha)
    fitting = of_files if asked == common else _shared_by_files(tables, claims, facts, asked)
    if len(fitting) == 1:
        return _Found(fitting[0], True, alone)
    first = tables[0]
    missing = " and ".join(flag for flag, value in (("--n", n), ("--alpha", alpha)) if value is None)
    largest = f"its largest radius, {first.top.text}, fits"
    if fitting:
        why = f"{largest} {' or '.join(map(str, fitting[:4]))}"
    elif any(sized.data_dependent for sized in tables):
        why = "σ was chosen for each image, so the largest radius does not tell n and α"
    elif any(_shared_by_files([sized], claims, facts, asked) for sized in tables):
        why = f"no one n and α fit the largest radii of all {len(tables)} files: import apart what was made apart"
    else:
        why = f"{largest} no usual n and α: no image was unanimous, or others were used"
    raise UsageError(f"{first.table.file}: {why}: give {missing}")


def _shared_by_files(
    tables: Sequence[_Sized], claims: Claims, facts: ImageFacts, budgets: Sequence[Budget]
) -> tuple[Budget, ...]:
    """The pairs that fit every file that any pair fits: the others have no unanimous image."""
    shared = set(budgets)
    any_fits = False
    for sized in tables:
        if sized.data_dependent:
            continue
        fitting = fitting_budgets(sized.top, claims.certificate, facts, budgets)
        any_fits = any_fits or bool(fitting)
        shared = shared & set(fitting) if fitting else shared
    return tuple(budget for budget in budgets if any_fits and budget in shared)


def _doubts(sized: _Sized, claims: Claims, facts: ImageFacts, found: _Found) -> tuple[str, ...]:
    """What in a file contradicts its n and α."""
    bound = exceeds(sized.top, claims.certificate, facts, found.budget)
    if bound is not None:
        most = f"{bound:.6g}, which is all that {found.budget} can certify"
        return (
            f"the largest radius, {sized.top.text}, is above {most}: another n or α, or another certificate, was used",
        )
    if found.of_files not in (None, found.budget) and not sized.data_dependent:
        return (f"the largest radii are those of unanimous images under {found.of_files}, not under {found.budget}",)
    return ()


def _run(
    sized: _Sized, source: str, claims: Claims, dataset: DatasetInfo, found: _Found | None, doubts: tuple[str, ...]
) -> ImportedRun:
    table, budget = sized.table, None if found is None else found.budget
    notes = [f"radii were printed with {sized.precision.text}: half a unit of the last digit was taken off"]
    if claims.enumerated:
        notes = [
            f"radii were printed with {sized.precision.text}: each is the smallest k/{dataset.q} that prints so",
            f"L = {sized.measure.levels} splits follow from σ: the file does not tell them",
        ]
    if found is not None and found.inferred:
        notes.append(f"{found.budget}: inferred from the largest radii, which are those of unanimous images")
    if sized.data_dependent:
        notes.append(DATA_DEPENDENT)
    spec = ImportSpec(
        source="tsv",
        content_sha256=table.sha256,
        method=claims.method,
        dataset=dataset.name,
        dataset_fingerprint=dataset.fingerprint,
        images=canonical(tuple(table.index_N.tolist())),
        family=claims.family,
        sigma=sized.measure.sigma,
        levels=sized.measure.levels,
        certificate=claims.certificate.name,
        n_select=claims.n_select,
        n_estimate=None if budget is None else budget.n_estimate,
        failure_probability=None if budget is None else budget.failure_probability,
        data_dependent=sized.data_dependent,
        radius_text=sized.precision.text,
    )
    images = ImageColumns(
        table.index_N,
        table.label_N,
        table.predicted_N,
        _claimable(sized, dataset)[table.radius_N],
        sigma_N=table.sigma_N if sized.data_dependent else None,
    )
    return ImportedRun(spec, dataset, images, source, (*notes, *doubts))


def _claimable(sized: _Sized, dataset: DatasetInfo) -> FloatArray:
    """What may be claimed of each distinct printed radius."""
    table = sized.table
    if sized.measure.levels is None:
        return lower_ends(table.radius_M, sized.precision)
    assert dataset.q is not None  # noqa: S101 - claims refuse an enumerated measure without a grid
    radius_M, stranger = lower_ends_on_grid(table.radius_M, sized.precision, dataset.q)
    if stranger is not None:
        row = int(np.flatnonzero(table.radius_N == stranger)[0])
        raise DataError(
            f"{table.file}: idx {table.index_N[row]}: no k/{dataset.q} prints as the radius {table.text_M[stranger]}: "
            f"these are no radii of {sized.measure.family} smoothing at q = {dataset.q}"
        )
    return radius_M


def _grouped(complaints: Sequence[tuple[str, Path]]) -> tuple[str, ...]:
    """A line for each complaint, with the first of the files that it is about and how many more."""
    files: dict[str, list[Path]] = {}
    for complaint, file in complaints:
        files.setdefault(complaint, []).append(file)
    return tuple(
        f"{named[0]}{f' and {len(named) - 1} more files' if len(named) > 1 else ''}: {complaint}"
        for complaint, named in files.items()
    )
