"""`rsbench verify`: recompute images of a sealed run."""

import secrets
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from rsbench.cli import options as o
from rsbench.cli.output import print_json, say
from rsbench.cli.progress import ProgressLine
from rsbench.errors import MismatchError, UsageError
from rsbench.report.numbers import count_text

if TYPE_CHECKING:
    from rsbench.jobs.verify import Difference, Verification


def verify(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The start of a run's fingerprint, at least 4 digits.")],
    sample: Annotated[int, typer.Option(help="Number of images to draw.")] = 20,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the draw.", show_default="a new one, which is printed")
    ] = None,
    workers: o.Workers = None,
    data_root: o.DataRoot = None,
    db: o.Database = None,
    json: o.Json = False,
) -> None:
    """Recompute random images of a run and compare their votes.

    Images that share batches with a drawn one are recomputed and compared too. The exit code is 4 if votes differ.
    """
    if sample < 1:
        raise UsageError(f"--sample must be at least 1 (got {sample})")
    if seed is not None and seed < 0:
        raise UsageError(f"--seed must be at least 0 (got {seed})")
    draw_seed = secrets.randbelow(2**32) if seed is None else seed
    o.check_workers(workers)

    from rsbench.jobs.verify import verify_run
    from rsbench.store.store import Store

    with Store.open_existing(o.database(db)) as store:
        result = verify_run(
            store, o.home(), store.run(run), sample=sample, seed=draw_seed, data_root=data_root, workers=workers,
            listener=ProgressLine(),
        )  # fmt: skip
    if json:
        print_json(_as_json(result, draw_seed))
    else:
        for difference in result.differences:
            print(_text(difference))
    name = result.run.fingerprint[:12]
    if result.differences:
        changes = f" Changed since then: {'; '.join(result.changes)}." if result.changes else ""
        raise MismatchError(
            f"{len(result.differences)} of {count_text(result.recomputed, 'image')} of run {name} have other votes now "
            f"(--seed {draw_seed}).{changes}"
        )
    say(
        f"{count_text(len(result.sampled), 'image')} drawn (--seed {draw_seed}), {result.recomputed:,} recomputed on "
        f"{result.provenance.device}: all votes are those of run {name}"
    )


def _text(difference: "Difference") -> str:
    return f"image {difference.image}: stored {_votes(difference.stored)}; now {_votes(difference.recomputed)}"


def _votes(rows: list[list[int]]) -> str:
    """Selection and full estimation votes of the classes that have any."""
    selection, estimation = rows[0], rows[-1]
    voted = [label for label in range(len(estimation)) if selection[label] or estimation[label]]
    return ", ".join(f"class {label}: {selection[label]} + {estimation[label]}" for label in voted)


def _as_json(result: "Verification", seed: int) -> dict[str, object]:
    return {
        "run": result.run.fingerprint,
        "seed": seed,
        "sampled": list(result.sampled),
        "recomputed": result.recomputed,
        "differences": [asdict(difference) for difference in result.differences],
        "device": result.provenance.device,
        "changes": list(result.changes),
    }
