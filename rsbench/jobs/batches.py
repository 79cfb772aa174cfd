"""How much work the chunks of a run are."""

from collections.abc import Sequence

from rsbench.certification.plan import batch_count
from rsbench.records import Chunk
from rsbench.specs import CertificationSpec


def votes(spec: CertificationSpec, chunks: Sequence[Chunk]) -> int:
    """Noisy copies that vote."""
    return spec.passes_per_image * sum(len(chunk.indices) for chunk in chunks)


def batches(spec: CertificationSpec, chunks: Sequence[Chunk]) -> int:
    """Batches that go through the network: the last one of a chunk is filled up."""
    return sum(batch_count(spec, len(chunk.indices)) for chunk in chunks)
