"""Runs of others as .npz files: votes, or lower bounds on the class probability. Shapes: N images, K classes.

| key            | shape | what                                                                      |
|----------------|-------|---------------------------------------------------------------------------|
| `labels`       | N     | classes of the images                                                     |
| `votes`        | N×K   | fresh votes of each class, every row of the same sum n                    |
| `selection`    | N×K   | the votes that selected the class, or                                     |
| `predicted`    | N     | the class that they selected; neither is needed for dssn                  |
| `lower_bounds` | N     | instead of votes: pA, with `predicted` (−1 where it abstained)            |
| `index`        | N     | which images; 0..N−1 without it                                           |
| `sigma`, `n0`, `n`, `alpha` | 1 | what the command line would say                                  |
"""

import hashlib
import io
import lzma
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt

from rsbench.data.subset import canonical
from rsbench.errors import DataError, UsageError, first_line
from rsbench.foreign.claims import Claims, Reading
from rsbench.foreign.tree import files_below, name_below
from rsbench.records import DatasetInfo, FloatArray, ImageColumns, ImportedRun, IntArray
from rsbench.specs import ImportSpec, MeasureSpec
from rsbench.theory.certificate import ImageFacts, SampledCertificate, check_votes
from rsbench.theory.probability_bounds import ProbabilityBounds
from rsbench.votes_format import encode_votes

T = TypeVar("T", int, float)

# What a damaged archive, or the header of an array in it, makes its readers raise.
_DAMAGED = (
    *(OSError, ValueError, EOFError, RuntimeError, KeyError, TypeError, SyntaxError, MemoryError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
)
_SINGLE_VOTE = "only the selected class was published: its selection votes are stored as a single vote"


def read_npz(paths: list[Path], claims: Claims) -> Reading:
    """Every .npz file at or below the paths, each one a run.

    Raises UsageError or DataError, naming the file, when one cannot be read, lacks something that nobody told, or
    contradicts itself or the claims.
    """
    if claims.certificate.looks_at_images:
        raise UsageError(f"certificate {claims.certificate.name} looks at the pixels, and an import has none: see lee")
    files = files_below(paths, suffix=".npz")
    if not files:
        raise UsageError(f"{', '.join(map(str, paths))}: no .npz file")
    contents = [_Arrays.of(file) for file in files]
    dataset = claims.dataset.info(max(int(arrays.index_N.max()) for arrays in contents))
    runs = (_run(arrays, claims, dataset) for arrays in contents)
    return Reading(tuple(replace(run, source=name_below(paths, file)) for run, file in zip(runs, files, strict=True)))


@dataclass(frozen=True, eq=False)
class _Arrays:
    """The arrays of a file, rows by image index."""

    file: Path
    sha256: str
    index_N: IntArray
    label_N: IntArray
    of_key: Mapping[str, npt.NDArray[Any]]

    @classmethod
    def of(cls, file: Path) -> "_Arrays":
        content = file.read_bytes()
        arrays = _load(file, content)
        if "labels" not in arrays:
            raise DataError(f"{file} has no array labels: it holds {', '.join(sorted(arrays)) or 'nothing'}")
        label_N = _whole(file, "labels", arrays["labels"])
        if label_N.ndim != 1 or not len(label_N):
            raise DataError(f"{file}: labels must hold one class an image, got the shape {label_N.shape}")
        index_N = _whole(file, "index", arrays.get("index", np.arange(len(label_N))), len(label_N))
        if index_N.min() < 0 or len(np.unique(index_N)) != len(index_N):
            raise DataError(f"{file}: index must hold different numbers ≥ 0, and one is negative or stands there twice")
        order_N = np.argsort(index_N)
        sorted_arrays = {
            key: value[order_N] if value.ndim and len(value) == len(order_N) else value for key, value in arrays.items()
        }
        return cls(file, hashlib.sha256(content).hexdigest(), index_N[order_N], label_N[order_N], sorted_arrays)

    def whole_N(self, key: str) -> IntArray:
        """A column of whole numbers. Raises DataError when it is none."""
        return _whole(self.file, key, self.of_key[key], len(self.index_N))

    def agreed(self, key: str, flag: str, told: T | None, kind: type[T]) -> T | None:
        """A scalar that the file or the command line tells. Raises DataError when both do, and differ."""
        if key not in self.of_key:
            return told
        value = self.of_key[key]
        if value.size != 1 or value.dtype.kind not in ("iu" if kind is int else "iuf"):
            raise DataError(f"{self.file}: {key} must be one {'whole ' if kind is int else ''}number, got {value!r}")
        found = kind(value.item())
        if told is not None and told != found:
            raise UsageError(
                f"{self.file}: {key} is {found:g} in the file and {told:g} by {flag}: correct the wrong one"
            )
        return found

    def refuse(self, what: str) -> NoReturn:
        """Raises DataError."""
        raise DataError(f"{self.file}: {what}")


def _run(arrays: _Arrays, claims: Claims, dataset: DatasetInfo) -> ImportedRun:
    if (largest := int(arrays.index_N[-1])) >= dataset.images:
        arrays.refuse(f"index {largest} is beyond the {dataset.images:,} images of {dataset.name}")
    _check_classes(arrays, "labels", arrays.label_N, dataset, least=0)
    budget = _told(arrays, claims)
    if ("votes" in arrays.of_key) == ("lower_bounds" in arrays.of_key):
        arrays.refuse(f"it must hold either votes or lower_bounds, and it holds {', '.join(sorted(arrays.of_key))}")
    if "votes" in arrays.of_key:
        return _from_votes(arrays, claims, dataset, budget)
    return _from_lower_bounds(arrays, claims, dataset, budget)


@dataclass(frozen=True)
class _Told:
    """σ and the budget, as the file and the command line together tell them."""

    sigma: float
    n_select: int | None
    n_estimate: int | None
    failure_probability: float | None


def _told(arrays: _Arrays, claims: Claims) -> _Told:
    sigma = arrays.agreed("sigma", "--sigma", claims.sigma, float)
    if sigma is None or not 0.0 < sigma < math.inf:
        arrays.refuse(f"σ must be a positive number, got {sigma}: give --sigma, or a scalar sigma in the file")
    if claims.enumerated:
        return _Told(sigma, None, None, None)
    alpha = arrays.agreed("alpha", "--alpha", claims.failure_probability, float)
    if alpha is None or not 0.0 < alpha < 1.0:
        arrays.refuse(f"α must lie between 0 and 1, got {alpha}: give --alpha, or a scalar alpha in the file")
    return _Told(
        sigma,
        arrays.agreed("n0", "--n0", claims.n_select, int),
        arrays.agreed("n", "--n", claims.n_estimate, int),
        alpha,
    )


def _from_votes(arrays: _Arrays, claims: Claims, dataset: DatasetInfo, told: _Told) -> ImportedRun:
    votes_NK = _whole(arrays.file, "votes", arrays.of_key["votes"])
    notes: tuple[str, ...] = ()
    try:
        check_votes(votes_NK, n=told.n_estimate, classes=dataset.classes)
        if len(votes_NK) != len(arrays.index_N):
            raise ValueError(f"{len(votes_NK)} rows of votes and {len(arrays.index_N)} labels")
    except ValueError as error:
        arrays.refuse(str(error))
    n = int(votes_NK[0].sum())
    n_select = told.n_select
    if claims.enumerated:
        selection_NK = np.zeros_like(votes_NK)
    elif "selection" in arrays.of_key:
        selection_NK = _selection(arrays, votes_NK)
        n_select = int(selection_NK[0].sum())
        if told.n_select not in (None, n_select):
            arrays.refuse(f"the selection votes sum to {n_select}, and n0 = {told.n_select} were drawn")
    elif "predicted" in arrays.of_key:
        predicted_N = arrays.whole_N("predicted")
        _check_classes(arrays, "predicted", predicted_N, dataset, least=0)
        selection_NK = np.eye(dataset.classes, dtype=np.int64)[predicted_N]
        notes = (_SINGLE_VOTE,)
    else:
        arrays.refuse(
            "votes cannot select and certify a class at once: add selection (N×K) or predicted (N), from other votes"
        )
    levels = (n, 0) if claims.enumerated else (None, None)
    measure = MeasureSpec(family=claims.family, sigma=told.sigma, levels=levels[0], offsets_seed=levels[1])
    verdicts = claims.certificate.certify(
        selection_NK,
        votes_NK,
        measure,
        failure_probability=told.failure_probability,
        images=ImageFacts(q=dataset.q, dims=math.prod(dataset.shape)),
    )
    images = ImageColumns(
        arrays.index_N,
        arrays.label_N,
        np.where(verdicts.abstained_N, -1, verdicts.predicted_N),
        verdicts.radius_N,
        votes=tuple(encode_votes(np.stack([selection_NK, votes_NK], axis=1))),
    )
    told = _Told(told.sigma, n_select, None if claims.enumerated else n, told.failure_probability)
    return ImportedRun(_spec(arrays, claims, dataset, told, measure.levels), dataset, images, str(arrays.file), notes)


def _selection(arrays: _Arrays, votes_NK: IntArray) -> IntArray:
    selection_NK = _whole(arrays.file, "selection", arrays.of_key["selection"])
    if selection_NK.shape != votes_NK.shape:
        arrays.refuse(f"selection has the shape {selection_NK.shape}, votes {votes_NK.shape}: they must be the same")
    try:
        check_votes(selection_NK)
    except ValueError as error:
        arrays.refuse(f"selection: {error}")
    if "predicted" in arrays.of_key and (arrays.whole_N("predicted") != selection_NK.argmax(axis=1)).any():
        arrays.refuse("predicted is not the class that selection selects: leave one of them out")
    return selection_NK


def _from_lower_bounds(arrays: _Arrays, claims: Claims, dataset: DatasetInfo, told: _Told) -> ImportedRun:
    certificate = claims.certificate
    if not isinstance(certificate, SampledCertificate):
        arrays.refuse(f"certificate {certificate.name} counts votes, and lower_bounds are none: give votes")
    if "predicted" not in arrays.of_key:
        arrays.refuse("lower_bounds need predicted, the class that each is of")
    if told.n_estimate is None or told.failure_probability is None:
        arrays.refuse("lower_bounds do not tell of how many votes: give --n, or a scalar n in the file")
    lower_N = _lower_bounds(arrays)
    _check_bounds_are_of_so_many_votes(arrays, float(lower_N.max()), told.n_estimate, told.failure_probability)
    predicted_N = arrays.whole_N("predicted")
    _check_classes(arrays, "predicted", predicted_N, dataset, least=-1)
    certified_N = lower_N > 0.5
    if (wrong_N := (predicted_N == -1) & certified_N).any():
        row = int(np.flatnonzero(wrong_N)[0])
        arrays.refuse(f"index {arrays.index_N[row]}: predicted is −1 beside a lower bound of {lower_N[row]:g}, above ½")
    measure = MeasureSpec(family=claims.family, sigma=told.sigma)
    scale = measure.sigma if certificate.scale == "sigma" else measure.half_width
    facts = ImageFacts(q=dataset.q, dims=math.prod(dataset.shape))
    images = ImageColumns(
        arrays.index_N,
        arrays.label_N,
        np.where(certified_N, predicted_N, -1),
        certificate.radius(ProbabilityBounds.one_versus_rest(lower_N), scale, facts),
    )
    return ImportedRun(_spec(arrays, claims, dataset, told, None), dataset, images, str(arrays.file))


def _lower_bounds(arrays: _Arrays) -> FloatArray:
    """pA as float64; a narrower float is what is left of a bound after rounding to nearest, so it is stepped down."""
    bound_N = arrays.of_key["lower_bounds"]
    if bound_N.dtype.kind != "f" or bound_N.shape != arrays.index_N.shape:
        arrays.refuse(f"lower_bounds must hold one float an image, got {bound_N.dtype} of the shape {bound_N.shape}")
    if (wrong_N := ~((bound_N >= 0.0) & (bound_N < 1.0))).any():
        arrays.refuse(f"a lower bound from samples lies in [0, 1), got {bound_N[wrong_N][0]:g}")
    if bound_N.dtype.itemsize < 8:
        bound_N = np.maximum(np.nextafter(bound_N, np.array(-1, dtype=bound_N.dtype)), 0)
    return bound_N.astype(np.float64)


def _check_bounds_are_of_so_many_votes(arrays: _Arrays, largest: float, n: int, failure_probability: float) -> None:
    """Raises DataError when a bound is above α^(1/n), that of a unanimous image."""
    most = failure_probability ** (1.0 / n)
    # Other code's special functions may differ in the last digits.
    if largest > most * (1.0 + 2.0**-40):
        told = f"n = {n:,} and α = {failure_probability:g}"
        arrays.refuse(f"a lower bound is {largest:.9g}, and {told} allow at most {most:.9g}: correct n or alpha")


def _spec(arrays: _Arrays, claims: Claims, dataset: DatasetInfo, told: _Told, levels: int | None) -> ImportSpec:
    return ImportSpec(
        source="npz",
        content_sha256=arrays.sha256,
        method=claims.method,
        dataset=dataset.name,
        dataset_fingerprint=dataset.fingerprint,
        images=canonical(tuple(arrays.index_N.tolist())),
        family=claims.family,
        sigma=told.sigma,
        levels=levels,
        certificate=claims.certificate.name,
        n_select=told.n_select,
        n_estimate=told.n_estimate,
        failure_probability=told.failure_probability,
    )


def _check_classes(arrays: _Arrays, key: str, class_N: IntArray, dataset: DatasetInfo, *, least: int) -> None:
    wrong_N = (class_N < least) | (class_N >= dataset.classes)
    if wrong_N.any():
        arrays.refuse(f"{key} has {class_N[wrong_N][0]}, outside {least}..{dataset.classes - 1} of {dataset.name}")


def _whole(file: Path, key: str, array: npt.NDArray[Any], rows: int | None = None) -> IntArray:
    if array.dtype.kind not in "iu":
        raise DataError(f"{file}: {key} must hold whole numbers, got {array.dtype}")
    if rows is not None and array.shape != (rows,):
        raise DataError(
            f"{file}: {key} must hold one number for each of the {rows} labels, got the shape {array.shape}"
        )
    if array.size and array.max() >= 2**31:
        raise DataError(f"{file}: {key} has {array.max()}, more than can be meant")
    return array.astype(np.int64)


def _load(file: Path, content: bytes) -> dict[str, npt.NDArray[Any]]:
    try:
        loaded = np.load(io.BytesIO(content), allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise ValueError("it holds a single array")
        with loaded:
            return dict(loaded)
    except _DAMAGED as error:
        raise DataError(f"{file} cannot be read as an .npz file: {first_line(error)}") from error
