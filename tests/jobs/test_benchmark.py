"""What is measured: parts of a run that stand for the whole of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsbench.jobs.benchmark import shortened
from rsbench.jobs.speeds import MeasuredSpeed, run_time
from rsbench.specs import CertificationSpec
from tests.fixtures.untrained import spec


def cases() -> st.SearchStrategy[tuple[CertificationSpec, int]]:
    """Runs, sampled and enumerated, and votes that they should be shortened to."""
    sampled = st.builds(
        lambda n, batch, chunk: spec("cohen", n=n, batch_size=batch, chunk_images=chunk),
        st.integers(10, 5000), st.integers(1, 700), st.integers(1, 50),
    )  # fmt: skip
    enumerated = st.builds(lambda sigma: spec("dssn", sigma, batch_size=64), st.floats(0.1, 50.0))
    return st.tuples(sampled | enumerated, st.integers(1, 100_000))


@given(cases())
def test_a_part_of_a_run_is_of_its_kind_and_no_longer_than_it_must_be(case: tuple[CertificationSpec, int]) -> None:
    whole, votes = case
    part = shortened(whole, votes)
    # What the specification refuses, such as a budget of nothing, would have been refused here.
    assert CertificationSpec.from_json(part.canonical_json()) == part
    assert part.chunk_images <= whole.chunk_images
    assert part.passes_per_image <= whole.passes_per_image
    if part.passes_per_image < whole.passes_per_image:
        assert part.chunk_images == 1
        assert part.passes_per_image % whole.batch_size == 0
        assert part.passes_per_image <= max(2, votes, whole.batch_size)
    assert part.model_copy(
        update={"budget": whole.budget, "measure": whole.measure, "chunk_images": whole.chunk_images}
    ) == whole  # fmt: skip


@pytest.mark.parametrize(("device", "gpu_hours"), [("cpu", None), ("cuda", 40 * 270 / 5.0 / 3600)])
def test_a_run_takes_its_votes_at_that_speed(device: str, gpu_hours: float | None) -> None:
    speed = MeasuredSpeed("a device", 10.0, 5.0, 0.5, {}, 0.0, 1, None)
    run = spec(n=250, device=device)
    assert run_time(run, speed, 0).seconds == pytest.approx(40 * 270 / 5.0)
    two = run_time(run, speed, 2)
    assert (two.images, two.votes, two.workers) == (40, 40 * 270, 2)
    assert two.seconds == pytest.approx(40 * 270 / 10.0)
    assert two.gpu_hours == pytest.approx(gpu_hours)
    # 40 images in 5 chunks of 8 are 5 · 34 batches, and no more workers than those have work.
    assert run_time(run, speed, 64).workers == 64
    assert run_time(run, speed, 1000).workers == 170
