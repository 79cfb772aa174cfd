"""The choice of images, and its canonical text."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsbench.data.subset import canonical, choose_images, indices_of
from rsbench.errors import UsageError


@pytest.mark.parametrize(
    ("text", "images", "chosen"),
    [
        ("all", 4, (0, 1, 2, 3)),
        ("first:3", 10, (0, 1, 2)),
        ("first:4", 4, (0, 1, 2, 3)),
        ("every:1", 3, (0, 1, 2)),
        ("every:4", 10, (0, 4, 8)),
        ("every:99", 10, (0,)),
    ],
)
def test_every_form_chooses_its_images(text: str, images: int, chosen: tuple[int, ...]) -> None:
    assert choose_images(text, images) == chosen


def test_an_index_file_chooses_its_images(tmp_path: Path) -> None:
    file = tmp_path / "indices.txt"
    file.write_text("7\n0\n\n3\n")
    assert choose_images(str(file), 8) == (0, 3, 7)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("first:0", "positive"),
        ("first:", "positive"),
        ("first", "positive"),
        ("first:-2", "positive"),
        ("first:two", "positive"),
        ("first:1.5", "positive"),
        ("first:11", "only 10 images"),
        ("every:0", "positive"),
        ("every:", "positive"),
        ("last:3", "no such form and no such file"),
        ("", "no such form and no such file"),
        ("nowhere.txt", "no such form and no such file"),
    ],
)
def test_unknown_forms_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        choose_images(text, 10)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "the file is empty"),
        ("\n \n", "the file is empty"),
        ("1\n10\n", "not an index"),
        ("-1", "not an index"),
        ("one", "not an index"),
        ("1.0", "not an index"),
        ("3\n1\n3\n", "twice"),
    ],
)
def test_invalid_index_files_are_refused(tmp_path: Path, content: str, complaint: str) -> None:
    file = tmp_path / "indices.txt"
    file.write_text(content)
    with pytest.raises(UsageError, match=complaint):
        choose_images(str(file), 10)


@given(st.sets(st.integers(0, 10**6), min_size=1, max_size=40))
def test_canonical_text_round_trips(chosen: set[int]) -> None:
    indices = tuple(sorted(chosen))
    assert tuple(indices_of(canonical(indices))) == indices


@given(st.integers(0, 1000), st.integers(1, 50), st.integers(1, 40))
def test_the_text_of_a_progression_is_short(start: int, step: int, count: int) -> None:
    indices = tuple(range(start, start + step * count, step))
    assert tuple(indices_of(canonical(indices))) == indices
    assert canonical(indices).count(":") == 2


def test_equal_choices_have_the_same_text(tmp_path: Path) -> None:
    file = tmp_path / "indices.txt"
    file.write_text("0 4 8")
    assert canonical(choose_images("every:4", 9)) == canonical(choose_images(str(file), 9)) == "0:9:4"


def test_the_text_of_some_choices() -> None:
    assert canonical((5,)) == "5:6:1"
    assert canonical((0, 1, 2)) == "0:3:1"
    assert canonical((0, 1, 5)) == "0,1,5"
