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
    run: Annotated[str, typer.Argument(help="The start of a run's fingerprint, at least 4 digits.")],
    sample: Annotated[int, typer.Option(help="How many images to draw.")] = 20,
    seed: Annotated[int | None, typer.Option(help="Of the draw of images (default: a new one, which is told).")] = None,
    workers: o.Workers = None,
    data_root: o.DataRoot = None,
    db: o.Database = None,
    json: o.Json = False,
) -> None:
    """Recompute random images of a sealed run from its specification and compare their votes with the stored ones.

    Images that share batches with a drawn one are recomputed and compared too. Exit 4 where votes differ.
    """
    if sample < 1:
        raise UsageError(f"--sample {sample}: draw at least 1 image")
    if seed is not None and seed < 0:
        raise UsageError(f"--seed {seed}: give a whole number ≥ 0")
    drawn = secrets.randbelow(2**32) if seed is None else seed
    asked = o.check_workers(workers)

    from rsbench.jobs.verify import verify_run
    from rsbench.store.store import Store

    with Store.open_existing(o.database(db)) as store:
        found = verify_run(
            store, o.home(), store.run(run), sample=sample, seed=drawn, data_root=data_root,
            workers=o.default_workers("cpu") if asked is None else asked, listener=ProgressLine(),
        )  # fmt: skip
    if json:
        print_json(_as_json(found, drawn))
    else:
        for difference in found.differences:
            print(_told(difference))
    if found.differences:
        apart = f" It was computed with {'; '.join(found.there)}." if found.there else ""
        raise MismatchError(
            f"{len(found.differences)} of {count_text(found.recomputed, 'image')} of run {found.run.fingerprint[:12]} "
            f"have other votes now (--seed {drawn}).{apart}"
        )
    say(
        f"{count_text(len(found.sampled), 'image')} drawn (--seed {drawn}), {found.recomputed:,} recomputed on "
        f"{found.here.device}: every vote of run {found.run.fingerprint[:12]} is the stored one"
    )


def _told(difference: "Difference") -> str:
    return f"image {difference.image}: stored {_votes(difference.stored)}; now {_votes(difference.recomputed)}"


def _votes(rows: list[list[int]]) -> str:
    """Selection and full estimation votes of the classes that have any."""
    selection, estimation = rows[0], rows[-1]
    voted = [name for name in range(len(estimation)) if selection[name] or estimation[name]]
    return ", ".join(f"class {name}: {selection[name]} + {estimation[name]}" for name in voted)


def _as_json(found: "Verification", seed: int) -> dict[str, object]:
    return {
        "run": found.run.fingerprint,
        "seed": seed,
        "sampled": list(found.sampled),
        "recomputed": found.recomputed,
        "differences": [asdict(difference) for difference in found.differences],
        "device": found.here.device,
        "computed_otherwise": list(found.there),
    }
