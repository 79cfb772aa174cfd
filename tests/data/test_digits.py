"""The bundled digits."""

import numpy as np
import pytest
from sklearn.datasets import load_digits as bundled

from rsbench.data.dataset import ArrayDataset, fingerprint_arrays
from rsbench.data.digits import load_digits
from rsbench.data.registry import load_dataset
from rsbench.data.unit import unit_images


@pytest.fixture(scope="module")
def digits() -> ArrayDataset:
    return load_digits()


def test_what_it_is(digits: ArrayDataset) -> None:
    assert digits.info.name == "digits"
    assert digits.info.shape == (1, 8, 8)
    assert digits.info.classes == 10
    assert digits.info.q == 16
    assert digits.info.images == 445


def test_the_fingerprint_never_changes(digits: ArrayDataset) -> None:
    assert digits.info.fingerprint == "a195184521784ed128957c87e96c7102eb3f32c9f96f150ed5483c673231a5c6"
    assert load_dataset("digits", None).info == digits.info


def test_the_split_is_disjoint_and_whole(digits: ArrayDataset) -> None:
    training = digits.training_set()
    assert training is not None
    pixels_NCHW, labels_N = training
    assert len(labels_N) == len(pixels_NCHW) == 1352
    # No two of the 1,797 images are equal: bytes tell them apart.
    test = {image.tobytes() for image in digits.pixels(range(445))}
    train = {image.tobytes() for image in pixels_NCHW}
    every = {image.astype(np.uint8).tobytes() for image in bundled().images}
    assert len(every) == 1797
    assert not test & train
    assert test | train == every


def test_every_fourth_image_of_each_class_is_a_test_image(digits: ArrayDataset) -> None:
    totals = np.bincount(bundled().target)
    np.testing.assert_array_equal(np.bincount(digits.labels_N), totals // 4)


def test_pixels_reach_the_whole_grid(digits: ArrayDataset) -> None:
    pixels_NCHW = digits.pixels(range(445))
    assert pixels_NCHW.dtype == np.uint8
    assert (pixels_NCHW.min(), pixels_NCHW.max()) == (0, 16)
    unit_NCHW = unit_images(pixels_NCHW, 16)
    assert (unit_NCHW.min().item(), unit_NCHW.max().item()) == (0.0, 1.0)


def test_images_come_in_the_order_asked_for(digits: ArrayDataset) -> None:
    some = digits.pixels([7, 2, 7])
    np.testing.assert_array_equal(some[0], digits.pixels([7])[0])
    np.testing.assert_array_equal(some[1], digits.pixels([2])[0])
    np.testing.assert_array_equal(some[0], some[2])


def test_normalisation_is_that_of_the_training_images(digits: ArrayDataset) -> None:
    training = digits.training_set()
    assert training is not None
    unit = training[0] / 16
    (mean,), (std,) = digits.normalisation
    # Rounded to four digits.
    assert mean == pytest.approx(unit.mean(), abs=5e-5)
    assert std == pytest.approx(unit.std(), abs=5e-5)


def test_a_fingerprint_tells_grid_classes_type_shape_and_content_apart() -> None:
    image = np.arange(8, dtype=np.uint8)
    prints = {
        fingerprint_arrays(255, 10, image),
        fingerprint_arrays(16, 10, image),
        fingerprint_arrays(16, 9, image),
        fingerprint_arrays(None, 10, image),
        fingerprint_arrays(255, 10, image.astype(np.int64)),
        fingerprint_arrays(255, 10, image.reshape(2, 4)),
        fingerprint_arrays(255, 10, image[::-1]),
        fingerprint_arrays(255, 10, image, image),
        fingerprint_arrays(255, 10, image[:4], image[4:]),
    }
    assert len(prints) == 9


def test_a_fingerprint_does_not_depend_on_the_layout_in_memory() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert fingerprint_arrays(16, 10, image) == fingerprint_arrays(16, 10, np.asfortranarray(image))
