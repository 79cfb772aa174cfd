"""Specifications: frozen, validated records of work to be done. The fingerprint of a specification identifies the work.

A measure is called exact or enumerated if certification evaluates every split, so that there is no sampling and no α.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, model_validator

from rsbench.families import FAMILIES

Device = Literal["cpu", "cuda"]
Procedure = Literal["one-versus-rest", "top-two"]
PROCEDURES: tuple[Procedure, ...] = get_args(Procedure)
Precision = Literal["fp32", "tf32", "bf16", "fp16"]
# How noise is keyed, and in which arithmetic it is drawn. "enumerated" draws none: every split is evaluated. The last
# value was written by early releases. Their runs can be read, but not continued.
Noise = Literal["philox4x32-float", "philox4x32-grid", "enumerated", "philox-block100-float32"]

_ADDED_LATER: Mapping[str, Any] = {"added_later": True}


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no spaces, so that equal values give equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def added_later(default: Any) -> Any:
    """Declare a field of a `Spec` that earlier releases did not have.

    At `default`, which must describe what those releases did, the field is left out of the canonical JSON. So a new
    field never changes the fingerprint of an old specification.
    """
    return Field(default=default, json_schema_extra=dict(_ADDED_LATER))


class Spec(BaseModel):
    """A frozen record whose canonical JSON is the same on every machine and in every process."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    def canonical_json(self) -> str:
        """Return the text that is hashed and stored. Fields that were added later are left out at their defaults."""
        return canonical_json(self._canonical_fields())

    def fingerprint(self) -> str:
        """Return the SHA-256 of the canonical JSON, in hexadecimal."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the spec whose canonical JSON is `text`. Raises pydantic.ValidationError, a ValueError, for others."""
        # JSON has no tuples, so this is less strict than the constructor.
        return cls.model_validate_json(text)

    def _canonical_fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = self.model_dump(mode="json")
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if field.json_schema_extra == _ADDED_LATER and value == field.default:
                del fields[name]
            elif isinstance(value, Spec):
                fields[name] = value._canonical_fields()
        return fields


class MeasureSpec(Spec):
    """Which smoothing measure makes the noisy copies."""

    family: str
    """Name of a `rsbench.families.Family`. A family that is not registered here can be read, but not drawn."""

    sigma: float = Field(gt=0)
    """Standard deviation of the noise, in units of the pixel range.

    Deterministic splitting is defined by `levels`; its sigma is only the label that the user gave, and `levels` is
    never derived from it again.
    """

    levels: int | None = Field(default=None, ge=2)
    """L, the number of splits that an exact measure evaluates; None for a measure that is sampled."""

    offsets_seed: int | None = Field(default=None, ge=0, lt=2**32)
    """Seed of the offsets v of deterministic splitting; None for other measures."""

    @model_validator(mode="after")
    def _check_levels(self) -> Self:
        family = FAMILIES.get(self.family)
        enumerated = self.levels is not None if family is None else family.is_enumerated
        if enumerated != (self.levels is not None) or enumerated != (self.offsets_seed is not None):
            raise ValueError("levels and offsets_seed must be given for an exact measure, and only for one")
        return self

    @property
    def is_enumerated(self) -> bool:
        """Whether certification evaluates every split, so that there is no sampling and no α."""
        return self.levels is not None

    @property
    def half_width(self) -> float:
        """λ = √3·σ, the half-width of a uniform distribution of standard deviation σ."""
        return math.sqrt(3.0) * self.sigma


def deterministic_levels(sigma: float, q: int) -> int:
    """Return L = ⌊2λq⌋ with λ = √3·σ, the number of splits that DSSN evaluates (Levine & Feizi 2021, section 4.1)."""
    return math.floor(2.0 * math.sqrt(3.0) * sigma * q)


class SampleBudget(Spec):
    """How many votes are drawn for each image, and how probable a wrong certified radius may be."""

    n_select: int = Field(ge=1)
    """n0, the number of votes that select the class."""

    n_estimate: int = Field(ge=1)
    """n, the number of independent votes that bound the probability of the selected class."""

    failure_probability: float = Field(gt=0, lt=1)
    """α: the certified radius of an image is wrong with probability at most α, one-sided."""


# Earlier releases wrote into a `TrainingSpec` the name of a method, which followed from measure and objective. The
# canonical JSON of these pairs still contains it, so that their fingerprints do not change.
_TRAINING_NAMES = {
    ("gaussian", "noise-augmentation"): "cohen",
    ("uniform", "noise-augmentation"): "uniform",
    ("splitting", "noise-augmentation"): "ssn",
    ("deterministic-splitting", "noise-augmentation"): "dssn",
}


class TrainingSpec(Spec):
    """One trial of a sweep: everything that the trained weights depend on.

    Neither a method's name nor its certificate is part of it, nor a σ that is chosen at certification: methods that
    share measure, objective and training σ share their checkpoints.
    """

    objective: str
    """Name of the training objective, see `rsbench.training.objectives`."""

    objective_options: dict[str, bool | int | float | str] = added_later({})
    """The objective's parameters that differ from its defaults."""

    dataset: str
    dataset_fingerprint: str
    architecture: str
    measure: MeasureSpec
    seed: int = Field(ge=0, lt=2**32)
    """Seed of the initial weights, the order of the images, the training noise, and DSSN's offsets."""

    device: Device
    epochs: int = Field(ge=1)
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=0.05, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0)
    noise: Literal["philox4x32-float"] = "philox4x32-float"

    @model_validator(mode="wrap")
    @classmethod
    def _read_method(cls, fields: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        """Accept the method's name in the canonical JSON, if it is the one that follows from measure and objective."""
        if not isinstance(fields, Mapping) or "method" not in fields:
            return validate(fields)
        spec = validate({name: value for name, value in fields.items() if name != "method"})
        if fields["method"] != spec.legacy_method:
            raise ValueError(f"method is {fields['method']!r}, but measure and objective imply {spec.legacy_method!r}")
        return spec

    @property
    def legacy_method(self) -> str | None:
        """The method's name in the canonical JSON; None if earlier releases lacked the measure or the objective."""
        return _TRAINING_NAMES.get((self.measure.family, self.objective))

    def _canonical_fields(self) -> dict[str, Any]:
        fields = super()._canonical_fields()
        return fields if self.legacy_method is None else fields | {"method": self.legacy_method}


def normalisation_text(mean: tuple[float, ...], std: tuple[float, ...]) -> str:
    """A normalisation in a form that `--normalisation` takes."""
    if not any(mean) and set(std) == {1.0}:
        return "none"
    return "/".join(",".join(repr(value) for value in values) for values in (mean, std))


class CheckpointHeader(Spec):
    """What a base classifier is and how it was trained: all that is needed to use it besides the weights."""

    format: Literal[1] = 1
    architecture: str
    classes: int
    shape: tuple[int, int, int]
    """C, H, W of an image."""

    mean: tuple[float, ...]
    """Subtracted from each channel by the first layer."""

    std: tuple[float, ...]
    """Divides each channel in the first layer."""

    dataset: str
    dataset_fingerprint: str
    method: str
    """Name of the training, see `rsbench.methods.Method.training`."""

    measure: MeasureSpec
    """The measure that the weights were trained on."""

    seed: int | None = None
    """Training seed; None for an external checkpoint."""

    training_fingerprint: str | None = None
    """Fingerprint of the `TrainingSpec`; None for an external checkpoint."""


class CertificationSpec(Spec):
    """One certification run: what can change a vote, and what the run declares beforehand."""

    method: str
    """The method's name on the board."""

    checkpoint_sha256: str
    dataset: str
    dataset_fingerprint: str
    images: str
    """Canonical text of the certified indices, see `rsbench.data.subset`."""

    measure: MeasureSpec
    certificate: str
    procedure: Procedure = added_later("one-versus-rest")
    """How votes become bounds on the class probabilities."""

    budget: SampleBudget | None
    """None for an exact measure."""

    seed: int = Field(ge=0, lt=2**32)
    """Seed of the noise of the votes."""

    batch_size: int = Field(ge=1)
    """Noisy copies per batch. The copies that share a batch affect the last bits of each other's logits."""

    chunk_images: int = Field(ge=1)
    """Images of a chunk. A batch never spans two chunks, so this too decides which copies share a batch."""

    device: Device
    noise: Noise
    precision: Precision = "fp32"
    """Arithmetic of the network. tf32: fp32 with TensorFloat-32 matrix products; bf16 and fp16: autocast."""

    channels_last: bool = added_later(False)
    """Whether the channels of a pixel are adjacent in memory."""

    torch_compile: bool = added_later(False)
    mixed_devices: bool = added_later(False)
    """Whether chunks may come from several kinds of device, which need not give the same votes."""

    @model_validator(mode="after")
    def _check_budget(self) -> Self:
        if self.measure.is_enumerated != (self.budget is None):
            raise ValueError("a sampled measure needs a budget, an enumerated one has none")
        if self.noise != "philox-block100-float32" and (self.noise == "enumerated") != (self.budget is None):
            raise ValueError("noise is drawn for a sampled measure, and only for it")
        family = FAMILIES.get(self.measure.family)
        if self.noise == "philox4x32-grid" and family is not None and not family.supports_integer_noise:
            raise ValueError(f"{self.measure.family} noise cannot be drawn as integers")
        return self

    @property
    def on_grid(self) -> bool:
        """Whether noisy copies are computed in integers, from images on the grid k/q."""
        return self.uses_integer_noise or self.budget is None

    @property
    def uses_integer_noise(self) -> bool:
        """Whether the noise is drawn as integers, so that certificates are about images on the grid."""
        return self.noise == "philox4x32-grid"

    @property
    def passes_per_image(self) -> int:
        """Forward passes, and so votes, per image."""
        if self.budget is None:
            assert self.measure.levels is not None  # noqa: S101 - the validators tie levels to the missing budget
            return self.measure.levels
        return self.budget.n_select + self.budget.n_estimate

    # `ImportSpec` has the same properties, so that callers can treat both specifications alike.

    @property
    def family(self) -> str:
        """Name of the measure's family."""
        return self.measure.family

    @property
    def sigma(self) -> float:
        """σ that the run certifies with."""
        return self.measure.sigma

    @property
    def n_select(self) -> int | None:
        """n0; None for an exact measure."""
        return None if self.budget is None else self.budget.n_select

    @property
    def n_estimate(self) -> int | None:
        """n; None for an exact measure."""
        return None if self.budget is None else self.budget.n_estimate

    @property
    def failure_probability(self) -> float | None:
        """α; None for an exact measure."""
        return None if self.budget is None else self.budget.failure_probability

    @property
    def noise_seed(self) -> int | None:
        """Seed of the noise of the votes."""
        return self.seed


class ImportSpec(Spec):
    """A run that was computed elsewhere, as its file and the person who imports it describe it."""

    source: Literal["tsv", "npz"]
    content_sha256: str
    """SHA-256 of the file that the rows came from."""

    method: str
    dataset: str
    dataset_fingerprint: str
    images: str
    """Canonical text of the certified indices, see `rsbench.data.subset`."""

    family: str
    """Name of the measure's family."""

    sigma: float = Field(gt=0)
    """σ of the run. If σ was chosen for each image, this is the σ from which the choice started."""

    levels: int | None = Field(default=None, ge=2)
    """L of an exact measure, else None."""

    certificate: str
    procedure: Procedure = "one-versus-rest"
    n_select: int | None = Field(default=None, ge=1)
    """n0; None for an exact measure, and if it is not known."""

    n_estimate: int | None = Field(default=None, ge=1)
    """n; None for an exact measure."""

    failure_probability: float | None = Field(default=None, gt=0, lt=1)
    """α; None for an exact measure."""

    data_dependent: bool = False
    """Whether σ was chosen for each image."""

    radius_text: str | None = None
    """How the radii were printed, if they were read from text."""

    @property
    def measure(self) -> MeasureSpec:
        """The measure. The offsets of an imported run are not known, and no certificate needs them."""
        offsets_seed = None if self.levels is None else 0
        return MeasureSpec(family=self.family, sigma=self.sigma, levels=self.levels, offsets_seed=offsets_seed)

    @property
    def uses_integer_noise(self) -> bool:
        """False, because it is not known how the noise of an imported run was drawn."""
        return False

    @property
    def noise_seed(self) -> int | None:
        """None, because the noise of an imported run cannot be drawn again."""
        return None


RunSpec = CertificationSpec | ImportSpec
"""The specification of a stored run."""


def run_spec_from_json(text: str) -> RunSpec:
    """Return the specification of a stored run. Raises ValueError when `text` is neither kind of specification."""
    # Only an `ImportSpec` has this key, and quotes inside a value are escaped, so a search of the text is reliable.
    # Parsing the JSON twice would slow down the board.
    kind: type[CertificationSpec] | type[ImportSpec] = ImportSpec if '"source":' in text else CertificationSpec
    return kind.from_json(text)


class SweepSpec(Spec):
    """A grid of trials, each to be trained and then certified."""

    methods: tuple[str, ...] = Field(min_length=1)
    dataset: str
    dataset_fingerprint: str
    architecture: str
    sigmas: tuple[float, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field(min_length=1)
    epochs: int = Field(ge=1)
    images: str
    budget: SampleBudget | None
    """None if all measures are exact."""
