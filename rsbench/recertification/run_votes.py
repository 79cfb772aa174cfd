"""The votes of a stored run, and the curves that can be computed from them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from rsbench.errors import UsageError
from rsbench.recertification.curves import (
    CurveRequest,
    DecodedVotes,
    FetchCaps,
    compute_curve,
    decoded,
    images_per_block,
    standing_of,
)
from rsbench.records import ImageColumns, NewCurve, RunRecord, Standing, StepCurve
from rsbench.specs import MeasureSpec, Procedure
from rsbench.store.store import Store
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import SampledCertificate
from rsbench.theory.confidence import smallest_certifying_n
from rsbench.theory.probability_bounds import ProbabilityBounds

# `open_run_votes` holds so many vote counts of a run in memory, 8 bytes each. Larger runs are read at each computation.
MOST_COUNTS_IN_MEMORY = 8_000_000
# The caps of a photograph take a megabyte.
_IMAGES_WITH_CAPS = 64


class CertifiedVotes(ABC):
    """The votes of images that were certified, from which other curves can be requested."""

    declared: CurveRequest
    """The curve that was declared before the first vote."""

    prefixes: tuple[int, ...]
    """The values of n at which votes are kept, ascending."""

    @property
    @abstractmethod
    def measure(self) -> MeasureSpec:
        """The smoothing measure."""

    @property
    @abstractmethod
    def name(self) -> str:
        """How messages name whose votes these are."""

    @property
    def certificates(self) -> tuple[str, ...]:
        """The certificates that hold for the family of the run's measure."""
        return tuple(
            name for name, certificate in CERTIFICATES.items() if self.measure.family in certificate.threat_models
        )

    def objection(self, certificate: str) -> str | None:
        """Return why one of `certificates` does not hold at the run's σ, or None where it does."""
        theorem = CERTIFICATES[certificate]
        if not isinstance(theorem, SampledCertificate) or theorem.looks_at_images:
            return None
        try:
            # Conditions on the scale do not depend on votes, so no row is needed.
            theorem.radius(ProbabilityBounds.one_versus_rest([]), getattr(self.measure, theorem.scale))
        except ValueError as error:
            return str(error)
        return None

    def request(
        self,
        *,
        certificate: str | None = None,
        procedure: Procedure | None = None,
        n: int | None = None,
        failure_probability: float | None = None,
    ) -> CurveRequest:
        """Return a valid request. What is not given is as the run declared it.

        Raises UsageError when the certificate is unknown or does not hold for the run's noise, when n is not a declared
        prefix, or when no image could be certified.
        """
        name = certificate or self.declared.certificate
        theorem, choices = CERTIFICATES.get(name), ", ".join(self.certificates)
        if theorem is None:
            raise UsageError(
                f"{self.name}: certificate {name!r} is not known here: choose from {choices}, or load the plugin that "
                "registers it with --plugin"
            )
        if name not in self.certificates:
            raise UsageError(
                f"{name} does not hold for the {self.measure.family} noise of {self.name}: it needs "
                f"{theorem.condition}; choose from {choices}"
            )
        if (objection := self.objection(name)) is not None:
            raise UsageError(f"{self.name}: {objection}")
        if n is not None and n not in self.prefixes:
            raise UsageError(f"{self.name} has no votes at n = {n:,}: choose from {', '.join(map(str, self.prefixes))}")
        if not isinstance(theorem, SampledCertificate):
            if failure_probability is not None or procedure not in (None, self.declared.procedure):
                raise UsageError(f"{self.name} is exact and has neither --alpha nor --bounds: leave them out")
            return replace(self.declared, certificate=name, failure_probability=None)
        alpha = self.declared.failure_probability if failure_probability is None else failure_probability
        if alpha is None or not 0.0 < alpha < 1.0:
            raise UsageError(f"--alpha {alpha}: give a number between 0 and 1, such as 0.001")
        request = CurveRequest(name, procedure or self.declared.procedure, n or self.declared.n, alpha)
        if request.procedure == "one-versus-rest" and request.n < (smallest := smallest_certifying_n(alpha)):
            raise UsageError(
                f"--n {request.n} certifies no image at --alpha {alpha:g}: the smallest n that can is {smallest}"
            )
        return request


@dataclass(frozen=True, eq=False)
class RunVotes(CertifiedVotes):
    """The votes of a sealed run. Create it with `run_votes` or `open_run_votes`."""

    run: RunRecord
    declared: CurveRequest
    """The curve that the run's specification declares."""

    prefixes: tuple[int, ...]
    """The values of n at which votes are stored, ascending."""

    read_blocks: Callable[[int], Iterable[ImageColumns]]
    """Reads the images with their encoded votes, so many at a time."""

    decoded_blocks: tuple[DecodedVotes, ...] | None = None
    """All votes in memory; None where they are read at each computation."""

    @property
    def measure(self) -> MeasureSpec:
        """The smoothing measure of the run."""
        return self.run.spec.measure

    @property
    def name(self) -> str:
        """How messages name the run."""
        return f"run {self.run.fingerprint[:12]}"

    def compute(
        self, request: CurveRequest, *, statement: str | None = None, caps: FetchCaps | None = None
    ) -> "CurveResult":
        """Compute the curve of a request that `request` returned.

        statement: where the choices of the request were fixed before the votes, in the words of whoever states it now.
        It is used if the curve is otherwise exploratory. caps: needed by certificates that look at the images.
        Raises StoreError when the votes cannot be read.
        """
        standing: Standing = standing_of(request, self.declared)
        stated = statement if standing == "exploratory" else None
        if self.decoded_blocks is not None and caps is None:
            blocks: Iterable[DecodedVotes] = self.decoded_blocks
        else:
            size = images_per_block(self.run.dataset.classes)
            blocks = map(decoded, self.read_blocks(size if caps is None else min(size, _IMAGES_WITH_CAPS)))
        curve = compute_curve(
            blocks,
            request,
            "stated-afterwards" if stated else standing,
            measure=self.measure,
            dataset=self.run.dataset,
            caps=caps,
        )
        return CurveResult(self, request, curve, stated)


@dataclass(frozen=True, eq=False)
class CurveResult:
    """A curve that was computed from the votes of a run."""

    votes: RunVotes
    request: CurveRequest
    curve: NewCurve
    statement: str | None
    """Where the choices had been fixed; None where the standing follows from the request alone."""

    @property
    def run(self) -> RunRecord:
        """The run that the votes are of."""
        return self.votes.run

    @property
    def is_declared(self) -> bool:
        """Whether this is the curve that the run's specification declares."""
        return self.request == self.votes.declared

    @property
    def step_curve(self) -> StepCurve:
        """Certified accuracy as a step function."""
        return StepCurve(*np.unique(self.curve.radii, return_counts=True))


def run_votes(store: Store, run: RunRecord) -> RunVotes:
    """Return the votes of a run. They are read at each computation, from this store, which must stay open.

    Raises UsageError when nothing can be computed: the run is not sealed, has no votes, or has a σ for each image.
    """
    name = f"run {run.fingerprint[:12]}"
    if run.curve is None:
        raise UsageError(f"{name} is not sealed: run the command that began it again")
    if run.tier == "imported-radii":
        raise UsageError(f"{name} was imported with radii only: other curves can only be computed from votes")
    first = next(store.image_blocks(run.id, 1))
    if first.sigma_N is not None:
        raise UsageError(
            f"{name} has a σ for each image: no certificate holds for it without a memory of earlier images"
        )
    prefixes = decoded(first).votes.prefixes
    declared = CurveRequest(run.certificate, run.spec.procedure, prefixes[-1], run.failure_probability)
    return RunVotes(run, declared, prefixes, lambda size: store.image_blocks(run.id, size))


def open_run_votes(location: str, run: RunRecord, *, most_counts: int = MOST_COUNTS_IN_MEMORY) -> RunVotes:
    """Return the votes of a run in the store at a location, which does not stay open.

    Up to `most_counts` vote counts are held in memory. A run with more is read at each computation.
    Raises UsageError as `run_votes` does, and StoreError when the run cannot be read.
    """

    def read_blocks(size: int) -> Iterable[ImageColumns]:
        with Store.open_existing(location) as store:
            yield from store.image_blocks(run.id, size)

    with Store.open_existing(location) as store:
        votes, classes = run_votes(store, run), run.dataset.classes
    blocks = None
    if run.image_count * (1 + len(votes.prefixes)) * classes <= most_counts:
        blocks = tuple(map(decoded, read_blocks(images_per_block(classes))))
    return replace(votes, read_blocks=read_blocks, decoded_blocks=blocks)
