"""`rsbench import`: results that others computed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from rsbench.methods import METHODS
from rsbench.report.numbers import count_text
from rsbench.theory.catalogue import CERTIFICATES

if TYPE_CHECKING:
    from rsbench.jobs.importing import ImportedFile

app = typer.Typer(help="Import results that others computed, in tables of their own.", no_args_is_help=True)


@dataclass(frozen=True)
class DescriptionOptions:
    """What the user says about the files."""

    dataset: Annotated[
        str | None,
        typer.Option(
            envvar="RSBENCH_DATASET", help=f"{', '.join(KNOWN_DATASETS)}, or another name with --classes and --shape."
        ),
    ] = None
    method: Annotated[
        str,
        typer.Option(envvar="RSBENCH_METHOD", help=f"{', '.join(METHODS)}, or any other name with --certificate."),
    ] = "cohen"
    certificate: Annotated[
        str | None,
        typer.Option(
            envvar="RSBENCH_CERTIFICATE",
            help="Certificate behind the radii; rsbench radius --list prints them.",
            show_default="the method's",
        ),
    ] = None
    measure: Annotated[
        str | None,
        typer.Option(
            envvar="RSBENCH_MEASURE",
            help=f"Smoothing measure, where method and certificate leave a choice: {', '.join(FAMILIES)}.",
        ),
    ] = None
    sigma: Annotated[
        float | None,
        typer.Option(
            envvar="RSBENCH_SIGMA", help="Standard deviation of the noise.", show_default="what the files say"
        ),
    ] = None
    n0: Annotated[
        int | None, typer.Option("--n0", envvar="RSBENCH_N0", help="Selection votes per image.", show_default="unknown")
    ] = None
    n: Annotated[
        int | None,
        typer.Option("--n", envvar="RSBENCH_N", help="Estimation votes per image.", show_default="what the files say"),
    ] = None
    alpha: Annotated[
        float | None,
        typer.Option(
            "--alpha",
            envvar="RSBENCH_ALPHA",
            help="Failure probability of a certificate (one-sided).",
            show_default="what the files say",
        ),
    ] = None
    classes: Annotated[
        int | None, typer.Option(envvar="RSBENCH_CLASSES", help="Number of classes of a dataset of another name.")
    ] = None
    shape: Annotated[
        str | None, typer.Option(envvar="RSBENCH_SHAPE", help="Shape C,H,W of its images as the network sees them.")
    ] = None
    q: Annotated[
        int | None,
        typer.Option("--q", envvar="RSBENCH_Q", help="Its pixels are multiples of 1/q.", show_default="on no grid"),
    ] = None

    def import_options(self) -> ImportOptions:
        """Raises UsageError when the options say too little, are out of range or contradict each other."""
        if self.dataset is None:
            raise UsageError(
                f"--dataset is missing: choose from {', '.join(KNOWN_DATASETS)}, or give another name with --classes "
                "and --shape"
            )
        for flag, name in (("--dataset", self.dataset), ("--method", self.method)):
            if not 1 <= len(name) <= 64 or not name.isprintable() or name != name.strip():
                raise UsageError(f"{flag} {name!r} is not a name: give 1 to 64 printable characters")
        family = None if self.measure is None else o.choice("--measure", self.measure, tuple(FAMILIES))
        shape = None if self.shape is None else _shape(self.shape)
        dataset = describe_dataset(self.dataset, classes=self.classes, q=self.q, shape=shape)
        certificate, family = resolve_certificate(self.method, self.certificate, family)
        return ImportOptions(dataset, self.method, certificate, family, self.sigma, self.n0, self.n, self.alpha)


_DryRun = Annotated[bool, typer.Option("--dry-run", help="Read and check the files, and store nothing.")]


@app.command()
@o.with_option_groups
def tsv(
    *,
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Tables of per-image certificates, or folders of them.")
    ],
    options: DescriptionOptions,
    db: o.Database = None,
    dry_run: _DryRun = False,
    json: o.Json = False,
) -> None:
    """Import tables of idx, label, predict and radius, as released code writes them. Each file is a run."""
    import_options = options.import_options()

    from rsbench.foreign.tsv_runs import read_tsv

    _import(lambda: read_tsv(paths, import_options), import_options, db, dry_run, json)


@app.command()
@o.with_option_groups
def npz(
    *,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of .npz files, or one of them.")],
    options: DescriptionOptions,
    db: o.Database = None,
    dry_run: _DryRun = False,
    json: o.Json = False,
) -> None:
    """Import .npz files of votes, or of lower bounds on the class's probability. Each file is a run."""
    import_options = options.import_options()

    from rsbench.foreign.npz_runs import read_npz

    _import(lambda: read_npz([folder], import_options), import_options, db, dry_run, json)


@app.command()
def reported(db: o.Database = None, json: o.Json = False) -> None:
    """Import the figures that papers report. They come with rsbench, and are shown in tables of their own."""
    from rsbench.report.reported import printed_figures
    from rsbench.store.store import Store

    figures = printed_figures()
    with Store.create_or_open(o.database(db)) as store:
        new = store.record_reported(figures)
    if json:
        print_json({"figures": len(figures), "new": new})
    say(
        f"{new} of {len(figures)} figures imported; see rsbench leaderboard"
        if new
        else "nothing new: all figures were imported before"
    )


def _shape(text: str) -> tuple[int, int, int]:
    sides = [side.strip() for side in text.split(",")]
    if len(sides) != 3 or not all(side.isdecimal() for side in sides):
        raise UsageError(f"--shape {text}: give channels, height and width between commas, such as 3,32,32")
    channels, height, width = map(int, sides)
    return channels, height, width


def _import(read: Callable[[], ReadResult], options: ImportOptions, db: str | None, dry_run: bool, json: bool) -> None:
    from rsbench.jobs.importing import import_files

    reading, files = import_files(read, o.database(db), dry_run=dry_run)
    if json:
        print_json(_as_json(reading, files))
    else:
        _print_lines(files)
    for reason, paths in (("skipped, no rows", reading.empty_files), ("skipped, not a table", reading.ignored_files)):
        if paths:
            more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
            say(f"{reason}: {', '.join(map(str, paths[:3]))}{more}")
    for note in dict.fromkeys(note for file in files for note in file.run.notes):
        if not any(note in warning for warning in reading.warnings):
            say(f"note: {note}")
    for warning in reading.warnings:
        say(f"warning: {warning}")
    say(_conclusion(files, options, dry_run))


def _conclusion(files: "Sequence[ImportedFile]", options: ImportOptions, dry_run: bool) -> str:
    new = [file for file in files if file.new]
    if not new:
        return f"nothing new: {'the run was' if len(files) == 1 else f'all {len(files)} runs were'} imported before"
    runs = f"{count_text(len(new), 'run')} with {sum(len(file.run.images) for file in new):,} images"
    if dry_run:
        return f"dry run: {runs} would be imported"
    before = f", {len(files) - len(new)} imported before" if len(new) < len(files) else ""
    norm = CERTIFICATES[options.certificate.name].norms[0]
    shown = f"rsbench leaderboard --dataset {options.dataset.name} --norm {norm}"
    return f"{runs} imported{before}; see {shown}"


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
