"""Curves of a sealed run that are computed while somebody looks, beside its own. Nothing here is stored."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rsbench.errors import UsageError
from rsbench.methods import place_of
from rsbench.records import CurveRecord, NewCurve, RunRecord, Standing, StepCurve
from rsbench.report.annotations import ranked
from rsbench.report.configuration import curve_of, seed_of
from rsbench.report.recertification import Recertifiable, checked_question, recertifiable
from rsbench.specs import PROCEDURES
from rsbench.store.store import Store
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.recertification import (
    Ballots,
    Question,
    ballots_of,
    images_at_once,
    recertify,
    recertify_ballots,
    standing_of,
)

__all__ = ["PROCEDURES", "Asked", "LiveRun", "askable_runs", "first_choice", "open_live_run"]

ALPHAS = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 5e-4, 2e-4, 1e-4, 5e-5, 2e-5, 1e-5, 5e-6, 2e-6, 1e-6)

# Votes of a run that are kept decoded, in numbers of 8 bytes. Larger runs are read anew for each question.
MOST_KEPT = 8_000_000


@dataclass(frozen=True, eq=False)
class LiveRun:
    """A sealed run that can be asked again. `own`: its own curve. `kept`: its votes, None where they are too many."""

    known: Recertifiable
    own: StepCurve
    kept: tuple[Ballots, ...] | None
    location: str

    @property
    def run(self) -> RunRecord:
        """The run with its own curve."""
        return self.known.run

    @property
    def exact(self) -> bool:
        """Whether every noisy copy is visited, so that there is no other bound, n or α to ask for."""
        return self.known.declared.failure_probability is None

    @property
    def exact_text(self) -> str:
        """Why nothing else can be asked of an exact run."""
        own = self.known.declared
        return (
            f"Run {self.run.fingerprint[:12]} is exact: {own.certificate} counts all {own.n:,} votes of an image, and "
            f"is the only certificate for {self.run.family}. There is no other bound, n or α to ask for."
        )

    @property
    def alphas(self) -> list[float]:
        """The failure probabilities to choose from, the run's own among them, from the largest on."""
        own = self.known.declared.failure_probability
        return sorted({*ALPHAS, *(() if own is None else (own,))}, reverse=True)

    def certificates(self, norm: str) -> list[str]:
        """The certificates to choose from that hold in a norm; the run's own is the first."""
        own = self.known.declared.certificate
        names = [name for name in self.known.certificates if norm in CERTIFICATES[name].norms]
        return sorted((name for name in names if self.why_not(name) is None), key=lambda name: name != own)

    def why_not(self, certificate: str) -> str | None:
        """Why one of the certificates for the run's noise cannot be had here, None where it can."""
        if CERTIFICATES[certificate].looks_at_images:
            return f"{certificate} looks at the pixels of the images, which are not here: use rsbench recertify"
        return self.known.refusal(certificate)

    def left_out(self, norm: str) -> list[str]:
        """Why the other certificates for the run's noise and norm cannot be had here, a line each."""
        names = (name for name in self.known.certificates if norm in CERTIFICATES[name].norms)
        return [reason for name in names if (reason := self.why_not(name)) is not None]

    def ask(
        self, certificate: str, *, procedure: str | None = None, n: int | None = None, alpha: float | None = None
    ) -> "Asked":
        """The curve under another certificate, n or α.

        Raises UsageError when no vote could certify anything, StoreError when the votes cannot be read.
        """
        bounds = next((known for known in PROCEDURES if known == procedure), None)
        question = checked_question(
            self.known, certificate=certificate, procedure=bounds, n=n, failure_probability=alpha
        )  # fmt: skip
        standing, facts = standing_of(question, self.known.declared), self.known
        if self.kept is not None:
            curve = recertify_ballots(self.kept, question, standing, measure=facts.measure, dataset=self.run.dataset)
        else:
            with Store.open_existing(self.location) as store:
                blocks = store.image_blocks(self.run.id, images_at_once(self.run.dataset.classes))
                curve = recertify(blocks, question, standing, measure=facts.measure, dataset=self.run.dataset)
        return Asked(self, question, standing, curve)


@dataclass(frozen=True, eq=False)
class Asked:
    """A curve that was asked for, and its standing beside the run's own."""

    live: LiveRun
    question: Question
    standing: Standing
    curve: NewCurve

    @property
    def is_own(self) -> bool:
        """Whether this is what the run declared itself."""
        return self.question == self.live.known.declared

    @property
    def steps(self) -> StepCurve:
        """The whole curve."""
        return StepCurve(*np.unique(self.curve.radii, return_counts=True))

    def kept_as(self, runs: Sequence[RunRecord]) -> CurveRecord | None:
        """The curve of the store that says the same, if one of `runs` brings it."""
        wanted = self.question
        for run in runs:
            curve = curve_of(run)
            told = (curve.certificate, curve.procedure, curve.n, curve.failure_probability)
            same = told == (wanted.certificate, wanted.procedure, wanted.n, wanted.failure_probability)
            if run.fingerprint == self.live.run.fingerprint and same:
                return curve
        return None

    def command(self, database: str | None = None) -> str:
        """What keeps the curve in the store; `database`: how a shell names it, where it is not found by itself."""
        own, asked = self.live.known.declared, self.question
        words = ["rsbench", "recertify", self.live.run.fingerprint[:12], "--certificate", asked.certificate]
        if asked.procedure != own.procedure:
            words += ["--bounds", asked.procedure]
        if asked.n != own.n:
            words += ["--n", str(asked.n)]
        if asked.failure_probability not in (None, own.failure_probability):
            words += ["--alpha", repr(asked.failure_probability)]
        return shlex.join([*words, *(["--db", database] if database else [])])


def askable_runs(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs to choose from, each once with its own curve: by data set, method, σ and seed. None is withheld."""
    own = [run for run in ranked(runs) if curve_of(run).is_primary]
    return sorted(
        own,
        key=lambda run: (
            run.dataset.name, place_of(run.method), run.sigma, seed_of(run) or 0, run.fingerprint,
        ),
    )  # fmt: skip


def first_choice(runs: Sequence[RunRecord]) -> RunRecord:
    """The first of the runs that can be asked for something else, or the first."""
    others = (run for run in runs if run.tier != "imported-radii" and run.failure_probability is not None)
    return next(others, runs[0])


def open_live_run(location: str, run: RunRecord, *, most_kept: int = MOST_KEPT) -> LiveRun:
    """Read a run's votes, and keep them unless they are more than `most_kept` numbers.

    Raises UsageError when nothing can be asked of the run, StoreError when it cannot be read.
    """
    with Store.open_existing(location) as store:
        try:
            known = recertifiable(store, run)
        except UsageError as error:
            raise UsageError(str(error)[0].upper() + str(error)[1:]) from error
        own, classes = store.step_curves([curve_of(run).id])[curve_of(run).id], run.dataset.classes
        kept = None
        if run.image_count * (1 + len(known.prefixes)) * classes <= most_kept:
            kept = tuple(map(ballots_of, store.image_blocks(run.id, images_at_once(classes))))
    return LiveRun(known, own, kept, location)
