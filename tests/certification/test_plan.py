"""How a run is divided into chunks, batches and prefixes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsbench.certification.plan import all_chunks, batch_count, default_chunk_images, spec_prefixes, vote_prefixes
from rsbench.data.subset import canonical
from tests.fixtures.untrained import spec


@pytest.mark.parametrize(
    ("n", "prefixes"),
    [
        (1, (1,)),
        (99, (99,)),
        (100, (100,)),
        (101, (100, 101)),
        (250, (100, 250)),
        (1000, (100, 1000)),
        (100_000, (100, 1000, 10_000, 100_000)),
        (100_001, (100, 1000, 10_000, 100_000, 100_001)),
    ],
)
def test_prefixes_of_known_n(n: int, prefixes: tuple[int, ...]) -> None:
    assert vote_prefixes(n) == prefixes


@given(st.integers(1, 10**9))
def test_prefixes_are_powers_of_ten_and_n(n: int) -> None:
    prefixes = vote_prefixes(n)
    assert list(prefixes) == sorted(set(prefixes))
    assert prefixes[-1] == n
    assert prefixes[:-1] == tuple(10 ** (2 + i) for i in range(len(prefixes) - 1))


def test_an_enumerated_run_has_its_levels_as_only_prefix() -> None:
    assert spec_prefixes(spec("dssn", 0.5)) == (27,)
    assert spec_prefixes(spec("cohen", n=250)) == (100, 250)


@given(st.sets(st.integers(0, 500), min_size=1, max_size=60), st.integers(1, 20))
def test_chunks_contain_every_image_once_and_in_order(chosen: set[int], size: int) -> None:
    indices = tuple(sorted(chosen))
    chunks = all_chunks(spec(images=canonical(indices), chunk_images=size))
    assert [i for chunk in chunks for i in chunk.indices] == list(indices)
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    assert all(len(chunk.indices) == size for chunk in chunks[:-1])
    assert 1 <= len(chunks[-1].indices) <= size


def test_chunks_are_created_on_access() -> None:
    chunks = all_chunks(spec(images=f"0:{10**9}:1", chunk_images=7))
    assert len(chunks) == 142_857_143
    assert chunks[-1].indices == (999_999_994, 999_999_995, 999_999_996, 999_999_997, 999_999_998, 999_999_999)
    assert chunks[2:0:-1] == [chunks[2], chunks[1]]


@pytest.mark.parametrize(
    ("passes", "images"), [(27, 500), (131, 500), (132, 496), (1100, 59), (10_100, 6), (65_537, 1), (10**6, 1)]
)
def test_a_chunk_fills_sixty_four_batches(passes: int, images: int) -> None:
    assert default_chunk_images(1024, passes) == images


@given(st.integers(1, 2000), st.integers(1, 100_000))
def test_little_of_a_full_chunk_is_padding(batch_size: int, passes: int) -> None:
    images = default_chunk_images(batch_size, passes)
    run = spec(n=passes, batch_size=batch_size, chunk_images=images)
    batches = batch_count(run, images)
    padding = batches * batch_size - images * run.passes_per_image
    assert 0 <= padding < batch_size
    # 64 batches; an image that no longer fits leaves at most half of them empty.
    assert batches >= 32 or images == 500 or padding == 0 or passes > 32 * batch_size
