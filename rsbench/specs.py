"""What to do: frozen, validated specifications whose fingerprint is the identity of the work."""

import hashlib
import json
import math
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Family = Literal["gaussian", "uniform", "splitting", "deterministic-splitting"]
# Those whose noise can be made of whole numbers, for images on a grid.
GRID_FAMILIES = ("uniform", "splitting")
Precision = Literal["fp32", "tf32", "bf16", "fp16"]
# How noise is keyed, and in which arithmetic. The last is that of early runs, and is drawn no more.
Noise = Literal["philox4x32-float", "philox4x32-grid", "enumerated", "philox-block100-float32"]


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values are equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


class Spec(BaseModel):
    """A frozen record. Two equal specs have one fingerprint, on every machine and in every process."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    def canonical_json(self) -> str:
        """JSON with sorted keys and no spaces: the text that is hashed and stored."""
        return canonical_json(self.model_dump(mode="json"))

    def fingerprint(self) -> str:
        """sha256 of the canonical JSON, in hexadecimal."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The spec whose `canonical_json` is `text` (JSON has no tuples, hence not strict)."""
        return cls.model_validate_json(text)


class MeasureSpec(Spec):
    """Which law makes the noisy copies.

    `sigma` is the nominal standard deviation that the user named. For deterministic splitting the integer `levels` is
    what counts, and sigma is only its label: levels is never derived again from a rounded sigma.
    """

    family: Family
    sigma: float = Field(gt=0)
    levels: int | None = Field(default=None, ge=2)
    offsets_seed: int | None = Field(default=None, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _levels_belong_to_deterministic_splitting(self) -> Self:
        deterministic = self.family == "deterministic-splitting"
        if deterministic != (self.levels is not None) or deterministic != (self.offsets_seed is not None):
            raise ValueError("levels and offsets_seed belong to deterministic splitting, and only to it")
        return self

    @property
    def half_width(self) -> float:
        """λ = √3·σ, the half-width of a uniform law of standard deviation σ."""
        return math.sqrt(3.0) * self.sigma


def deterministic_levels(sigma: float, q: int) -> int:
    """L = ⌊2λq⌋ with λ = √3·σ: how many splits DSSN enumerates (Levine & Feizi 2021, §4.1)."""
    return math.floor(2.0 * math.sqrt(3.0) * sigma * q)


class SampleBudget(Spec):
    """How many votes are drawn for each image, and with which probability its certificate may be wrong."""

    n_select: int = Field(ge=1)
    n_estimate: int = Field(ge=1)
    failure_probability: float = Field(gt=0, lt=1)


class TrainingSpec(Spec):
    """One trial of a sweep: everything that the trained weights depend on."""

    method: str
    objective: Literal["noise-augmentation"]
    dataset: str
    dataset_fingerprint: str
    architecture: str
    measure: MeasureSpec
    seed: int = Field(ge=0, lt=2**32)
    device: Literal["cpu", "cuda"]
    epochs: int = Field(ge=1)
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=0.05, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0)
    noise: Literal["philox4x32-float"] = "philox4x32-float"


# Fields of a certification that not all stored ones have.
_ADDED_LATER = ("channels_last", "torch_compile", "mixed_devices")


class CertificationSpec(Spec):
    """One certification run: everything that can change a vote, and the certificate that was declared beforehand.

    `images` is the canonical text of the chosen indices (see `rsbench.data.subset`). Images are cut into chunks of
    `chunk_images` in that order, and the noisy copies of a chunk are packed into batches of `batch_size`: both change
    which batch a copy stands in, so both belong to the identity. `budget` is None where the law is enumerated.
    `noise`, `precision` (tf32: fp32 with TensorFloat-32 sums; bf16 and fp16: autocast), `channels_last` and
    `torch_compile` name the arithmetic. `mixed_devices`: chunks may come from devices of several kinds, which need not
    give the same bytes.
    """

    method: str
    checkpoint_sha256: str
    dataset: str
    dataset_fingerprint: str
    images: str
    measure: MeasureSpec
    certificate: str
    budget: SampleBudget | None
    seed: int = Field(ge=0, lt=2**32)
    batch_size: int = Field(ge=1)
    chunk_images: int = Field(ge=1)
    device: Literal["cpu", "cuda"]
    noise: Noise
    precision: Precision = "fp32"
    channels_last: bool = False
    torch_compile: bool = False
    mixed_devices: bool = False

    @model_validator(mode="after")
    def _budget_belongs_to_sampling(self) -> Self:
        if (self.measure.family == "deterministic-splitting") != (self.budget is None):
            raise ValueError("a sampled measure needs a budget, an enumerated one has none")
        if self.noise != "philox-block100-float32" and (self.noise == "enumerated") != (self.budget is None):
            raise ValueError("noise is drawn for a sampled measure, and only for it")
        if self.noise == "philox4x32-grid" and self.measure.family not in GRID_FAMILIES:
            raise ValueError("integer noise is for the uniform and the splitting measure")
        return self

    def canonical_json(self) -> str:
        """As of every spec, but without what was added later and says what it always was.

        So a run of an earlier release keeps its fingerprint.
        """
        fields = type(self).model_fields
        later = {name for name in _ADDED_LATER if getattr(self, name) == fields[name].default}
        return canonical_json(self.model_dump(mode="json", exclude=later))

    @property
    def on_grid(self) -> bool:
        """Whether copies are made in whole numbers, of images on a grid k/q."""
        return self.noise == "philox4x32-grid" or self.budget is None

    @property
    def passes_per_image(self) -> int:
        """Noisy copies of one image that go through the network."""
        if self.budget is None:
            assert self.measure.levels is not None  # noqa: S101 - the validators tie levels to the missing budget
            return self.measure.levels
        return self.budget.n_select + self.budget.n_estimate


class ImportSpec(Spec):
    """A run that others computed, as its file and whoever imports it tell it.

    `content_sha256` is of the file that the rows came from. The budget is None where the law is enumerated, and n0
    where nobody told it. `data_dependent`: σ was chosen for each image, and `sigma` is where the choice began.
    `radius_text` says how the radii were printed, where they were printed at all.
    """

    source: Literal["tsv", "npz"]
    content_sha256: str
    method: str
    dataset: str
    dataset_fingerprint: str
    images: str
    family: Family
    sigma: float = Field(gt=0)
    levels: int | None = Field(default=None, ge=2)
    certificate: str
    procedure: Literal["one-versus-rest", "top-two"] = "one-versus-rest"
    n_select: int | None = Field(default=None, ge=1)
    n_estimate: int | None = Field(default=None, ge=1)
    failure_probability: float | None = Field(default=None, gt=0, lt=1)
    data_dependent: bool = False
    radius_text: str | None = None


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
