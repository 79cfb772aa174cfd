"""`rsbench import`: results that others computed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsbench.cli import options as o
from rsbench.cli.output import print_json, say
from rsbench.errors import UsageError
from rsbench.families import FAMILIES
from rsbench.foreign.import_options import (
    KNOWN_DATASETS,
    ImportOptions,
    ReadResult,
    describe_dataset,
    resolve_certificate,
)
from rsbench.theory.catalogue import CERTIFICATES

if TYPE_CHECKING:
    from rsbench.jobs.importing import ImportedFile

app = typer.Typer(
    help="Import results that others computed; they stand apart from measured ones.", no_args_is_help=True
)

_Dataset = Annotated[
    str | None,
    typer.Option(
        envvar="RSBENCH_DATASET", help=f"{', '.join(KNOWN_DATASETS)}, or another name with --classes and --shape."
    ),
]
_Method = Annotated[
    str, typer.Option(envvar="RSBENCH_METHOD", help="cohen, uniform, ssn, dssn, or any name with --certificate.")
]
_Certificate = Annotated[
    str | None,
    typer.Option(envvar="RSBENCH_CERTIFICATE", help="The radii's theorem (default: the method's): see rsbench radius."),
]
_Measure = Annotated[
    str | None,
    typer.Option(envvar="RSBENCH_MEASURE", help=f"Noise of a method that is not ours: {', '.join(tuple(FAMILIES))}."),
]
_Sigma = Annotated[
    float | None,
    typer.Option(envvar="RSBENCH_SIGMA", help="Standard deviation of the noise (default: what the files say)."),
]
_SelectionVotes = Annotated[
    int | None, typer.Option("--n0", envvar="RSBENCH_N0", help="Votes that selected the class, where known.")
]
_EstimationVotes = Annotated[
    int | None, typer.Option("--n", envvar="RSBENCH_N", help="Votes that certified it (default: what the files say).")
]
_Alpha = Annotated[
    float | None,
    typer.Option("--alpha", envvar="RSBENCH_ALPHA", help="α of a one-sided bound (default: what the files say)."),
]
_Classes = Annotated[
    int | None, typer.Option(envvar="RSBENCH_CLASSES", help="How many classes a data set of another name has.")
]
_Shape = Annotated[
    str | None, typer.Option(envvar="RSBENCH_SHAPE", help="Shape C,H,W of its images as the network sees them.")
]
_Q = Annotated[
    int | None, typer.Option("--q", envvar="RSBENCH_Q", help="Its pixels are k/q (default: they lie on no grid).")
]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Read and check the files, print, and store nothing.")]


@app.command()
def tsv(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Tables of per-image certificates, or folders of them.")
    ],
    dataset: _Dataset = None,
    method: _Method = "cohen",
    certificate: _Certificate = None,
    measure: _Measure = None,
    sigma: _Sigma = None,
    n0: _SelectionVotes = None,
    n: _EstimationVotes = None,
    alpha: _Alpha = None,
    classes: _Classes = None,
    shape: _Shape = None,
    q: _Q = None,
    db: o.Database = None,
    dry_run: _DryRun = False,
    json: o.Json = False,
) -> None:
    """Import tables of idx, label, predict, radius, as released code of the field writes them: each is a run."""
    claims = _claims(dataset, method, certificate, measure, sigma, n0, n, alpha, classes, shape, q)

    from rsbench.foreign.tsv_runs import read_tsv

    _import(lambda: read_tsv(paths, claims), claims, db, dry_run, json)


@app.command()
def npz(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of .npz files, or one of them.")],
    dataset: _Dataset = None,
    method: _Method = "cohen",
    certificate: _Certificate = None,
    measure: _Measure = None,
    sigma: _Sigma = None,
    n0: _SelectionVotes = None,
    n: _EstimationVotes = None,
    alpha: _Alpha = None,
    classes: _Classes = None,
    shape: _Shape = None,
    q: _Q = None,
    db: o.Database = None,
    dry_run: _DryRun = False,
    json: o.Json = False,
) -> None:
    """Import .npz files of votes, or of lower bounds on the class's probability: each is a run."""
    claims = _claims(dataset, method, certificate, measure, sigma, n0, n, alpha, classes, shape, q)

    from rsbench.foreign.npz import read_npz

    _import(lambda: read_npz([folder], claims), claims, db, dry_run, json)


@app.command()
def reported(db: o.Database = None, json: o.Json = False) -> None:
    """Import the figures that papers print: they come with rsbench, and stand in tables of their own."""
    from rsbench.report.reported import printed_figures
    from rsbench.store.store import Store

    figures = printed_figures()
    with Store.create_or_open(o.database(db)) as store:
        new = store.record_reported(figures)
    if json:
        print_json({"figures": len(figures), "new": new})
    say(f"{new} of {len(figures)} figures imported; see rsbench leaderboard" if new else "nothing new: known before")


def _claims(
    dataset: str | None, method: str, certificate: str | None, measure: str | None, sigma: float | None,
    n0: int | None, n: int | None, alpha: float | None, classes: int | None, shape: str | None, q: int | None,
) -> ImportOptions:  # fmt: skip
    """What the options say of the files. Raises UsageError when that is too little, out of range or contradictory."""
    if dataset is None:
        raise UsageError(
            f"no --dataset: name the images, {', '.join(KNOWN_DATASETS)}, or another name with --classes and --shape"
        )
    for flag, name in (("--dataset", dataset), ("--method", method)):
        if not 1 <= len(name) <= 64 or not name.isprintable() or name != name.strip():
            raise UsageError(f"{flag} {name!r}: give a name of 1 to 64 printable characters")
    family = None if measure is None else o.choice("--measure", measure, tuple(FAMILIES))
    described = describe_dataset(dataset, classes=classes, q=q, shape=None if shape is None else _shape(shape))
    theorem, family = resolve_certificate(method, certificate, family)
    return ImportOptions(described, method, theorem, family, sigma, n0, n, alpha)


def _shape(text: str) -> tuple[int, int, int]:
    sides = [side.strip() for side in text.split(",")]
    if len(sides) != 3 or not all(side.isdecimal() for side in sides):
        raise UsageError(f"--shape {text}: give channels, height and width between commas, such as 3,32,32")
    channels, height, width = map(int, sides)
    return channels, height, width


def _import(read: Callable[[], ReadResult], claims: ImportOptions, db: str | None, dry_run: bool, json: bool) -> None:
    from rsbench.jobs.importing import import_files

    reading, files = import_files(read, o.database(db), dry_run=dry_run)
    if json:
        print_json(_as_json(reading, files))
    else:
        _print_lines(files)
    for told, paths in (
        ("without a row, skipped", reading.empty_files),
        ("no table, passed over", reading.ignored_files),
    ):
        if paths:
            more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
            say(f"{told}: {', '.join(map(str, paths[:3]))}{more}")
    for note in dict.fromkeys(note for file in files for note in file.run.notes):
        if not any(note in warning for warning in reading.warnings):
            say(f"note: {note}")
    for warning in reading.warnings:
        say(f"warning: {warning}")
    say(_conclusion(files, claims, dry_run))


def _conclusion(files: "Sequence[ImportedFile]", claims: ImportOptions, dry_run: bool) -> str:
    new = [file for file in files if file.new]
    runs = "1 run" if len(new) == 1 else f"{len(new)} runs"
    if not new:
        return f"nothing new: {'it was' if len(files) == 1 else f'all {len(files)} were'} imported before"
    images = f"{sum(len(file.run.images) for file in new):,} images"
    if dry_run:
        return f"dry run: {runs} of {images} would be imported"
    known = f", {len(files) - len(new)} imported before" if len(new) < len(files) else ""
    norm = CERTIFICATES[claims.certificate.name].norms[0]
    shown = f"rsbench leaderboard --dataset {claims.dataset.name} --norm {norm}"
    return f"{runs} of {images} imported{known}; see {shown}"


def _as_json(reading: ReadResult, files: "Sequence[ImportedFile]") -> dict[str, Any]:
    return {
        "runs": [
            {
                "run": file.fingerprint,
                "new": file.new,
                "source": file.run.source,
                "images": len(file.run.images),
                "correct": int(file.run.images.correct_N.sum()),
                "abstained": int((file.run.images.predicted_N < 0).sum()),
                "notes": list(file.run.notes),
                "spec": file.run.spec.model_dump(mode="json"),
            }
            for file in files
        ],
        "empty": list(map(str, reading.empty_files)),
        "passed_over": list(map(str, reading.ignored_files)),
        "warnings": list(reading.warnings),
    }


def _print_lines(files: "Sequence[ImportedFile]") -> None:
    print(f"{'run':<12} {'':<5} {'σ':>6} {'n':>9} {'α':>7} {'images':>8} {'correct':>8} {'abstained':>9}  file")
    for file in files:
        spec, images = file.run.spec, file.run.images
        n = "" if spec.n_estimate is None else f"{spec.n_estimate:,}"
        alpha = "" if spec.failure_probability is None else f"{spec.failure_probability:g}"
        correct, abstained = int(images.correct_N.sum()), int((images.predicted_N < 0).sum())
        print(
            f"{file.fingerprint[:12]} {'new' if file.new else 'known':<5} {spec.sigma:>6g} {n:>9} {alpha:>7} "
            f"{len(images):>8,} {correct:>8,} {abstained:>9,}  {file.run.source}"
        )
