"""Read runs from .npz files that hold votes, or lower bounds on the probability of the predicted class.

| key            | shape  | content                                                                              |
|----------------|--------|--------------------------------------------------------------------------------------|
| `labels`       | N      | true classes                                                                         |
| `votes`        | N×K    | estimation votes of each class; every row has the same sum n                         |
| `selection`    | N×K    | selection votes, drawn independently of `votes`                                      |
| `predicted`    | N      | the class that the selection votes chose; given instead of `selection`               |
| `lower_bounds` | N      | lower bounds on pA, given instead of `votes`; needs `predicted`, −1 on abstention    |
| `index`        | N      | index of each image in the test set; 0..N−1 if missing                               |
| `sigma`, `n0`, `n`, `alpha` | scalar | the same as the command's options; must not contradict them             |

Votes of `dssn` need neither `selection` nor `predicted`.

Shapes: N images, K classes.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rsbench.data.subset import canonical
from rsbench.errors import UsageError
from rsbench.foreign.import_options import ImportOptions, ReadResult
from rsbench.foreign.npz_arrays import Arrays
from rsbench.foreign.paths import display_name, files_below
from rsbench.records import DatasetInfo, FloatArray, ImageColumns, ImportedRun, IntArray
from rsbench.specs import ImportSpec, MeasureSpec
from rsbench.theory.certificate import ImageFacts, SampledCertificate, check_votes
from rsbench.theory.probability_bounds import ProbabilityBounds
from rsbench.votes_format import encode_votes

_SINGLE_VOTE_NOTE = "the file has only the selected class: its selection votes are stored as a single vote"


def read_npz(paths: list[Path], options: ImportOptions) -> ReadResult:
    """Read every .npz file at or below the paths; each is a run.

    Raises UsageError or DataError, naming the file, when one of the files cannot be read, lacks something that the
    options do not state either, or contradicts itself or the options. Then nothing is imported.
    """
    if options.certificate.looks_at_images:
        raise UsageError(
            f"certificate {options.certificate.name} needs the pixels, which an import does not have: use "
            "--certificate lee or box"
        )
    files = files_below(paths, suffix=".npz")
    if not files:
        raise UsageError(f"{', '.join(map(str, paths))}: no .npz file: give a file, or a folder that contains some")
    contents = [Arrays.of(file) for file in files]
    dataset = options.dataset.info(max(int(arrays.index_N.max()) for arrays in contents))
    runs = (_run(arrays, options, dataset) for arrays in contents)
    return ReadResult(
        tuple(replace(run, source=display_name(paths, file)) for run, file in zip(runs, files, strict=True))
    )


@dataclass(frozen=True)
class _Sampling:
    """How the votes of a file were drawn, as the file and the options state together."""

    sigma: float
    n_select: int | None
    """n0; None if unknown, or if all splits were evaluated."""

    n_estimate: int | None
    """n; None if the votes are still to be counted, or if all splits were evaluated."""

    failure_probability: float | None
    """α; None if all splits were evaluated."""


def _run(arrays: Arrays, options: ImportOptions, dataset: DatasetInfo) -> ImportedRun:
    """Return the run of one file. Raises UsageError or DataError."""
    if (largest := int(arrays.index_N[-1])) >= dataset.images:
        arrays.refuse(f"index {largest} is beyond the {dataset.images:,} images of {dataset.name}")
    _check_classes(arrays, "labels", arrays.label_N, dataset, least=0)
    sampling = _resolve_sampling(arrays, options)
    if ("votes" in arrays) == ("lower_bounds" in arrays):
        arrays.refuse(
            f"it must contain either votes or lower_bounds, and it contains {', '.join(sorted(arrays.array_by_key))}"
        )
    if "votes" in arrays:
        return _run_from_votes(arrays, options, dataset, sampling)
    return _run_from_lower_bounds(arrays, options, dataset, sampling)


def _resolve_sampling(arrays: Arrays, options: ImportOptions) -> _Sampling:
    sigma = arrays.scalar("sigma", "--sigma", options.sigma, float)
    if sigma is None or not 0.0 < sigma < math.inf:
        arrays.refuse(f"σ must be a positive number, got {sigma}: give --sigma, or a scalar sigma in the file")
    if options.is_enumerated:
        return _Sampling(sigma, None, None, None)
    alpha = arrays.scalar("alpha", "--alpha", options.failure_probability, float)
    if alpha is None or not 0.0 < alpha < 1.0:
        arrays.refuse(f"α must lie between 0 and 1, got {alpha}: give --alpha, or a scalar alpha in the file")
    return _Sampling(
        sigma,
        arrays.scalar("n0", "--n0", options.n_select, int),
        arrays.scalar("n", "--n", options.n_estimate, int),
        alpha,
    )


def _run_from_votes(arrays: Arrays, options: ImportOptions, dataset: DatasetInfo, sampling: _Sampling) -> ImportedRun:
    """Certify the votes of a file. Raises DataError when they are invalid."""
    votes_NK = arrays.integers("votes")
    try:
        check_votes(votes_NK, n=sampling.n_estimate, classes=dataset.classes)
        if len(votes_NK) != len(arrays.index_N):
            raise ValueError(f"{len(votes_NK)} rows of votes but {len(arrays.index_N)} labels")
    except ValueError as error:
        arrays.refuse(str(error))
    selection_NK, n_select, notes = _resolve_selection(arrays, options, dataset, sampling, votes_NK)
    n = int(votes_NK[0].sum())
    levels, offsets_seed = (n, 0) if options.is_enumerated else (None, None)
    measure = MeasureSpec(family=options.family, sigma=sampling.sigma, levels=levels, offsets_seed=offsets_seed)
    verdicts = options.certificate.certify(
        selection_NK,
        votes_NK,
        measure,
        failure_probability=sampling.failure_probability,
        procedure=options.procedure,
        images=ImageFacts(q=dataset.q, dims=math.prod(dataset.shape)),
    )
    images = ImageColumns(
        arrays.index_N,
        arrays.label_N,
        np.where(verdicts.abstained_N, -1, verdicts.predicted_N),
        verdicts.radius_N,
        votes=tuple(encode_votes(np.stack([selection_NK, votes_NK], axis=1))),
    )
    counted = replace(sampling, n_select=n_select, n_estimate=None if options.is_enumerated else n)
    return ImportedRun(_spec(arrays, options, dataset, counted, levels), dataset, images, str(arrays.file), notes)


def _resolve_selection(
    arrays: Arrays, options: ImportOptions, dataset: DatasetInfo, sampling: _Sampling, votes_NK: IntArray
) -> tuple[IntArray, int | None, tuple[str, ...]]:
    """Return the selection votes of a file, n0, and notes for the reader of the board."""
    if options.is_enumerated:
        return np.zeros_like(votes_NK), sampling.n_select, ()
    if "selection" in arrays:
        selection_NK = _selection_votes(arrays, votes_NK)
        n_select = int(selection_NK[0].sum())
        if sampling.n_select not in (None, n_select):
            arrays.refuse(f"the selection votes of an image sum to {n_select}, but n0 = {sampling.n_select} was given")
        return selection_NK, n_select, ()
    if "predicted" not in arrays:
        arrays.refuse(
            "the same votes cannot select a class and certify it: add selection (N×K) or predicted (N) of other votes"
        )
    predicted_N = arrays.integer_column("predicted")
    _check_classes(arrays, "predicted", predicted_N, dataset, least=0)
    return np.eye(dataset.classes, dtype=np.int64)[predicted_N], sampling.n_select, (_SINGLE_VOTE_NOTE,)


def _selection_votes(arrays: Arrays, votes_NK: IntArray) -> IntArray:
    selection_NK = arrays.integers("selection")
    if selection_NK.shape != votes_NK.shape:
        arrays.refuse(f"selection has the shape {selection_NK.shape}, votes {votes_NK.shape}: they must be the same")
    try:
        check_votes(selection_NK)
    except ValueError as error:
        arrays.refuse(f"selection: {error}")
    if "predicted" in arrays and (arrays.integer_column("predicted") != selection_NK.argmax(axis=1)).any():
        arrays.refuse("predicted is not the class that selection selects: leave one of them out")
    return selection_NK


def _run_from_lower_bounds(
    arrays: Arrays, options: ImportOptions, dataset: DatasetInfo, sampling: _Sampling
) -> ImportedRun:
    """Compute the radii of lower bounds on pA. Raises DataError when the bounds are invalid."""
    certificate = options.certificate
    if not isinstance(certificate, SampledCertificate):
        arrays.refuse(f"certificate {certificate.name} needs votes, but the file has lower_bounds")
    if options.procedure != "one-versus-rest":
        arrays.refuse(
            f"lower_bounds are of pA alone, but {options.method} also bounds pB ({options.procedure}): give votes, or "
            "import them under another --method"
        )
    if "predicted" not in arrays:
        arrays.refuse("lower_bounds need the array predicted, the class that each bound is of")
    if sampling.n_estimate is None or sampling.failure_probability is None:
        arrays.refuse("the number of votes behind lower_bounds is unknown: give --n, or a scalar n in the file")
    lower_N = _lower_bounds(arrays)
    _check_attainable(arrays, float(lower_N.max()), sampling.n_estimate, sampling.failure_probability)
    predicted_N = arrays.integer_column("predicted")
    _check_classes(arrays, "predicted", predicted_N, dataset, least=-1)
    certified_N = lower_N > 0.5
    if (contradicts_N := (predicted_N == -1) & certified_N).any():
        row = int(np.flatnonzero(contradicts_N)[0])
        arrays.refuse(
            f"index {arrays.index_N[row]}: predicted is −1, an abstention, but its lower bound of {lower_N[row]:g} is "
            "above ½"
        )
    measure = MeasureSpec(family=options.family, sigma=sampling.sigma)
    scale = measure.sigma if certificate.scale == "sigma" else measure.half_width
    facts = ImageFacts(q=dataset.q, dims=math.prod(dataset.shape))
    images = ImageColumns(
        arrays.index_N,
        arrays.label_N,
        np.where(certified_N, predicted_N, -1),
        certificate.radius(ProbabilityBounds.one_versus_rest(lower_N), scale, facts),
    )
    return ImportedRun(_spec(arrays, options, dataset, sampling, None), dataset, images, str(arrays.file))


def _lower_bounds(arrays: Arrays) -> FloatArray:
    """Return the lower bounds in float64.

    Bounds in a narrower type were rounded to nearest, so they are lowered by one step of that type.
    """
    bound_N = arrays.array_by_key["lower_bounds"]
    if bound_N.dtype.kind != "f" or bound_N.shape != arrays.index_N.shape:
        arrays.refuse(
            f"lower_bounds must have one float for each image, got {bound_N.dtype} of the shape {bound_N.shape}"
        )
    if (invalid_N := ~((bound_N >= 0.0) & (bound_N < 1.0))).any():
        arrays.refuse(f"a lower bound from samples lies in [0, 1), got {bound_N[invalid_N][0]:g}")
    if bound_N.dtype.itemsize < 8:
        bound_N = np.maximum(np.nextafter(bound_N, np.array(-1, dtype=bound_N.dtype)), 0)
    return bound_N.astype(np.float64)


def _check_attainable(arrays: Arrays, largest: float, n: int, failure_probability: float) -> None:
    """Raise DataError when a bound is above α^(1/n), the bound of a unanimous image."""
    limit = failure_probability ** (1.0 / n)
    # The special functions of other code may differ in the last digits.
    if largest > limit * (1.0 + 2.0**-40):
        arrays.refuse(
            f"a lower bound is {largest:.9g}, but n = {n:,} and α = {failure_probability:g} allow at most {limit:.9g}: "
            "correct n or alpha"
        )


def _spec(
    arrays: Arrays, options: ImportOptions, dataset: DatasetInfo, sampling: _Sampling, levels: int | None
) -> ImportSpec:
    return ImportSpec(
        source="npz",
        content_sha256=arrays.sha256,
        method=options.method,
        dataset=dataset.name,
        dataset_fingerprint=dataset.fingerprint,
        images=canonical(tuple(arrays.index_N.tolist())),
        family=options.family,
        sigma=sampling.sigma,
        levels=levels,
        certificate=options.certificate.name,
        procedure=options.procedure,
        n_select=sampling.n_select,
        n_estimate=sampling.n_estimate,
        failure_probability=sampling.failure_probability,
    )


def _check_classes(arrays: Arrays, key: str, class_N: IntArray, dataset: DatasetInfo, *, least: int) -> None:
    """Raise DataError unless all classes lie in least..K−1."""
    invalid_N = (class_N < least) | (class_N >= dataset.classes)
    if invalid_N.any():
        arrays.refuse(
            f"{key} has the class {class_N[invalid_N][0]}, outside {least}..{dataset.classes - 1} of {dataset.name}"
        )
