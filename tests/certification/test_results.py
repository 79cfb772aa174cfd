"""Votes → the rows of a run."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rsbench.certification.results import certify_chunks, group_by_devices
from rsbench.records import Chunk, ChunkVotes, Votes
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.votes_format import decode_votes
from tests.fixtures.untrained import INFO, spec

LABELS_N = np.arange(40) % 4

# Vote rows: selection, the first 100, all 250. Images: a clear class 1; a class 2 that loses its lead; a tie.
COUNTS_NRK = np.array(
    [
        [[0, 20, 0, 0], [0, 100, 0, 0], [0, 248, 0, 2]],
        [[0, 0, 20, 0], [20, 0, 80, 0], [150, 0, 100, 0]],
        [[10, 10, 0, 0], [50, 50, 0, 0], [125, 125, 0, 0]],
    ]
)
CHUNK_VOTES = ChunkVotes(
    Chunk(2, (5, 6, 9)), Votes(COUNTS_NRK, (100, 250)), seconds=1.0, devices=frozenset({"cpu"}), batches=13
)


def test_rows_are_in_the_order_of_the_chunk() -> None:
    rows = certify_chunks(spec(), INFO, LABELS_N, [CHUNK_VOTES])
    assert rows.index_N.tolist() == [5, 6, 9]
    assert rows.label_N.tolist() == [1, 2, 1]
    assert rows.votes is not None
    np.testing.assert_array_equal(decode_votes(rows.votes), COUNTS_NRK)


def test_an_abstention_has_no_class_and_radius_zero_and_counts_as_wrong() -> None:
    rows = certify_chunks(spec(), INFO, LABELS_N, [CHUNK_VOTES])
    assert rows.predicted_N.tolist() == [1, -1, -1]
    assert rows.radius_N[0] > 0
    assert rows.radius_N[1:].tolist() == [0.0, 0.0]
    assert rows.correct_N.tolist() == [True, False, False]


@pytest.mark.parametrize("method", ["cohen", "uniform", "ssn"])
def test_radii_come_from_the_declared_certificate(method: str) -> None:
    run = spec(method)
    rows = certify_chunks(run, INFO, LABELS_N, [CHUNK_VOTES])
    verdicts = CERTIFICATES[run.certificate].certify(
        COUNTS_NRK[:, 0], COUNTS_NRK[:, 2], run.measure, failure_probability=0.001
    )
    assert rows.radius_N.tolist() == verdicts.radius_N.tolist()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"n": 251}, r"must sum to \(20, 100, 251\)"),
        ({"method": "dssn"}, r"must sum to \(0, 27\)"),
    ],
)
def test_votes_of_another_specification_raise(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        certify_chunks(spec(**changes), INFO, LABELS_N, [CHUNK_VOTES])


def test_votes_for_other_classes_than_those_of_the_dataset_raise() -> None:
    with pytest.raises(ValueError, match="the votes are of 4 classes, but the dataset has 10"):
        certify_chunks(spec(), replace(INFO, classes=10), LABELS_N, [CHUNK_VOTES])


@pytest.mark.parametrize("method", ["cohen", "uniform", "ssn"])
def test_the_row_of_an_image_does_not_depend_on_other_chunks(method: str) -> None:
    other = replace(CHUNK_VOTES, chunk=Chunk(0, (1, 2, 3)), votes=Votes(COUNTS_NRK[::-1], (100, 250)))
    together = certify_chunks(spec(method), INFO, LABELS_N, [CHUNK_VOTES, other])
    apart = [certify_chunks(spec(method), INFO, LABELS_N, [chunk]) for chunk in (CHUNK_VOTES, other)]
    for name in ("index_N", "label_N", "predicted_N", "radius_N"):
        assert getattr(together, name).tolist() == [value for rows in apart for value in getattr(rows, name)]
    assert together.votes == (apart[0].votes or ()) + (apart[1].votes or ())


def test_chunks_are_grouped_by_the_devices_that_voted_on_them() -> None:
    elsewhere = replace(CHUNK_VOTES, devices=frozenset({"another"}))
    both = replace(CHUNK_VOTES, devices=frozenset({"another", "cpu"}))
    assert group_by_devices([CHUNK_VOTES, elsewhere, CHUNK_VOTES, both]) == {
        CHUNK_VOTES.devices: [CHUNK_VOTES, CHUNK_VOTES], elsewhere.devices: [elsewhere], both.devices: [both],
    }  # fmt: skip


@pytest.mark.parametrize("row", [0, 1, 2])
def test_too_many_votes_in_any_vote_row_raise(row: int) -> None:
    counts_NRK = COUNTS_NRK.copy()
    counts_NRK[1, row, 3] += 1
    wrong = replace(CHUNK_VOTES, votes=Votes(counts_NRK, (100, 250)))
    with pytest.raises(ValueError, match=r"must sum to \(20, 100, 250\)"):
        certify_chunks(spec(), INFO, LABELS_N, [CHUNK_VOTES, wrong])


def test_an_enumerated_run_never_abstains() -> None:
    counts_NRK = np.array([[[0] * 4, [0, 27, 0, 0]], [[0] * 4, [13, 0, 14, 0]]])
    counted = ChunkVotes(Chunk(0, (0, 1)), Votes(counts_NRK, (27,)), seconds=1.0, devices=frozenset({"cpu"}), batches=1)
    rows = certify_chunks(spec("dssn"), INFO, LABELS_N, [counted])
    # Class 1 beats class 0, which wins ties, by (27 − 0 − 1)/2 = 13 steps of 1/16.
    assert rows.predicted_N.tolist() == [1, 2]
    assert rows.radius_N.tolist() == [13 / 16, 0.0]
    assert rows.correct_N.tolist() == [False, False]
