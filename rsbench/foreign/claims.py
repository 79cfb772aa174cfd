"""What whoever imports says of the files, and what came of reading them."""

from dataclasses import dataclass
from pathlib import Path

from rsbench.errors import UsageError
from rsbench.foreign.known_datasets import ImportedDataset
from rsbench.methods import METHODS
from rsbench.records import ImportedRun
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import Certificate


@dataclass(frozen=True)
class Claims:
    """What is said of all files of an import. None is what the files must say themselves."""

    dataset: ImportedDataset
    method: str
    certificate: Certificate
    family: str
    sigma: float | None = None
    n_select: int | None = None
    n_estimate: int | None = None
    failure_probability: float | None = None

    def __post_init__(self) -> None:
        if self.sigma is not None and not 0.0 < self.sigma < float("inf"):
            raise UsageError(f"--sigma {self.sigma:g}: a standard deviation must be greater than 0")
        for flag, votes in (("--n0", self.n_select), ("--n", self.n_estimate)):
            if votes is not None and not 1 <= votes < 2**31:
                raise UsageError(f"{flag} {votes}: give a number of votes from 1 to {2**31 - 1}")
        if self.failure_probability is not None and not 0.0 < self.failure_probability < 1.0:
            raise UsageError(f"--alpha {self.failure_probability:g}: give a number between 0 and 1, such as 0.001")
        if self.enumerated and (self.n_select or self.n_estimate or self.failure_probability):
            raise UsageError(f"certificate {self.certificate.name} draws no votes: leave out --n0, --n and --alpha")
        if self.enumerated and self.dataset.q is None:
            raise UsageError(f"certificate {self.certificate.name} needs pixels on a grid k/q: say it with --q")

    @property
    def enumerated(self) -> bool:
        """Whether every noisy copy was visited, so that there is no n and no α."""
        return self.family == "deterministic-splitting"


@dataclass(frozen=True, eq=False)
class Reading:
    """The runs of some files. `empty`: files without a row. `passed_over`: files of a folder that are no tables.

    `warnings`: what contradicts the claims, a line each, naming the files.
    """

    runs: tuple[ImportedRun, ...]
    empty: tuple[Path, ...] = ()
    passed_over: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()


def certificate_and_family(method: str, certificate: str | None, family: str | None) -> tuple[Certificate, str]:
    """The certificate behind the radii and the measure that they are of.

    A method of ours brings both. Of another method the certificate must be told, and the measure where the
    certificate holds for several. Raises UsageError when one is missing, unknown, or they do not go together.
    """
    ours = METHODS.get(method)
    name = certificate or (ours.certificate if ours else None)
    if name is None:
        raise UsageError(
            f"--method {method} is none of {', '.join(METHODS)}: say with --certificate which theorem its radii are "
            f"of: {', '.join(CERTIFICATES)}"
        )
    if name not in CERTIFICATES:
        raise UsageError(f"--certificate {name}: choose from {', '.join(CERTIFICATES)}")
    found = CERTIFICATES[name]
    if ours and family and family != ours.family:
        raise UsageError(f"--measure {family}: {method} smooths with {ours.family} noise; leave it out")
    holds = tuple(found.threat_models)
    chosen = ours.family if ours else family or (holds[0] if len(holds) == 1 else None)
    if chosen is None:
        raise UsageError(
            f"certificate {name} holds for {' and '.join(holds)} smoothing: say with --measure which it was"
        )
    try:
        found.check_measure(chosen)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return found, chosen
