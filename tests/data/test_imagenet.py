"""The validation photographs of ImageNet: a tree of small synthetic ones, and real ones on machines that have them."""

import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, Resize

from rsbench.data.imagenet import ImageNet
from rsbench.data.registry import load_dataset
from rsbench.errors import DataError

FIRST, SECOND, LAST = "n00000000", "n00000001", "n00000999"


def picture(seed: int, size: tuple[int, int], kind: str) -> bytes:
    """A synthetic photograph of random tiles."""
    generator = np.random.default_rng(seed)
    tiles = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(tiles).resize(size).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A thousand classes with one photograph each, except two in the first and three in the last."""
    root = tmp_path_factory.mktemp("imagenet")
    small = picture(0, (8, 6), "PNG")
    for rank in range(1000):
        folder = root / "val" / f"n{rank:08d}"
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes(small)
    (root / "val" / FIRST / "b.JPEG").write_bytes(picture(1, (300, 280), "JPEG"))
    (root / "val" / LAST / "b.jpg").write_bytes(picture(2, (40, 500), "JPEG"))
    (root / "val" / LAST / "c.Png").write_bytes(picture(3, (500, 300), "PNG"))
    (root / "val" / LAST / "notes.txt").write_text("no photograph")
    (root / "val" / "README").write_text("no class")
    return root


@pytest.fixture
def copy(tree: Path, tmp_path: Path) -> Path:
    """A copy of the tree, made of links, for a test to damage."""
    shutil.copytree(tree, tmp_path / "copy", copy_function=lambda a, b: Path(b).hardlink_to(a))
    return tmp_path / "copy"


@pytest.fixture(scope="module")
def synthetic(tree: Path) -> ImageNet:
    return ImageNet(tree)


def test_labels_are_the_rank_of_the_folder(synthetic: ImageNet) -> None:
    assert synthetic.info.images == 1003
    assert synthetic.info.classes == 1000
    assert synthetic.info.q == 255
    assert synthetic.labels_N.dtype == np.int64
    assert synthetic.labels_N[:3].tolist() == [0, 0, 1]
    assert synthetic.labels_N[-4:].tolist() == [998, 999, 999, 999]
    np.testing.assert_array_equal(np.unique(synthetic.labels_N), np.arange(1000))


def test_photographs_have_the_shape_that_the_network_takes(synthetic: ImageNet) -> None:
    pixels_NCHW = synthetic.pixels([1002, 1, 0])
    assert pixels_NCHW.shape == (3, 3, 224, 224)
    assert pixels_NCHW.dtype == np.uint8
    np.testing.assert_array_equal(pixels_NCHW[1], synthetic.pixels([1])[0])


def test_preprocessing_is_that_of_torchvision(tree: Path, synthetic: ImageNet) -> None:
    usual = Compose([Resize(256), CenterCrop(224)])
    for index, name in ((1, f"{FIRST}/b.JPEG"), (1001, f"{LAST}/b.jpg"), (1002, f"{LAST}/c.Png")):
        with Image.open(tree / "val" / name) as photograph:
            expected = np.asarray(usual(photograph.convert("RGB")))
        np.testing.assert_array_equal(synthetic.pixels([index])[0], expected.transpose(2, 0, 1))


def test_grey_and_transparent_photographs_become_rgb(copy: Path) -> None:
    for name, mode in (("a.png", "L"), ("b.JPEG", "CMYK")):
        file = copy / "val" / FIRST / name
        file.unlink()
        Image.new(mode, (30, 20)).save(file)
    assert ImageNet(copy).pixels([0, 1]).shape == (2, 3, 224, 224)


def test_a_photograph_of_more_than_8_bits_is_refused(copy: Path) -> None:
    """Pillow would make every value above 255 white."""
    file = copy / "val" / FIRST / "a.png"
    file.unlink()
    Image.fromarray(np.full((20, 30), 1000, dtype=np.uint16)).save(file)
    with pytest.raises(DataError, match=r"a\.png cannot be decoded \(its mode I;16 has more than 8 bits per value"):
        ImageNet(copy).pixels([0])


def test_the_fingerprint_covers_names_and_bytes(copy: Path, synthetic: ImageNet) -> None:
    assert ImageNet(copy).info.fingerprint == synthetic.info.fingerprint
    (copy / "val" / SECOND / "a.png").rename(copy / "val" / SECOND / "z.png")
    renamed = ImageNet(copy).info.fingerprint
    (copy / "val" / SECOND / "z.png").unlink()
    (copy / "val" / SECOND / "a.png").write_bytes(picture(9, (8, 6), "PNG"))
    assert len({synthetic.info.fingerprint, renamed, ImageNet(copy).info.fingerprint}) == 3


def test_a_missing_tree_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no folder .*--data-root"):
        load_dataset("imagenet", tmp_path)


def test_an_incomplete_tree_is_refused(copy: Path) -> None:
    shutil.rmtree(copy / "val" / SECOND)
    with pytest.raises(DataError, match="999 class folders where ImageNet has 1000"):
        ImageNet(copy)


def test_an_additional_folder_is_refused(copy: Path) -> None:
    (copy / "val" / "extra").mkdir()
    with pytest.raises(DataError, match="1001 class folders"):
        ImageNet(copy)


def test_an_empty_class_is_refused(copy: Path) -> None:
    (copy / "val" / SECOND / "a.png").unlink()
    with pytest.raises(DataError, match=f"1 of the 1000 class folders .*{SECOND}"):
        ImageNet(copy)


def enormous() -> bytes:
    """A photograph whose header says 65,535 pixels each way (after FFC0: a length, the bits, height, width)."""
    content = bytearray(picture(1, (300, 280), "JPEG"))
    size = content.index(b"\xff\xc0") + 5
    content[size : size + 4] = b"\xff" * 4
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [b"", b"no photograph", picture(1, (300, 280), "JPEG")[:2000], b"\x89PNG\r\n\x1a\n", enormous()],
    ids=["empty", "text", "cut", "begun", "enormous"],
)
def test_a_photograph_that_cannot_be_decoded_is_named(copy: Path, content: bytes) -> None:
    file = copy / "val" / SECOND / "a.png"
    file.unlink()
    file.write_bytes(content)
    data = ImageNet(copy)
    with pytest.raises(DataError, match=rf"{SECOND}.a\.png cannot be decoded"):
        data.pixels([2])
    assert data.pixels([0]).shape == (1, 3, 224, 224)


def test_real_photographs(photographs: Path) -> None:
    data = ImageNet(photographs)
    np.testing.assert_array_equal(data.labels_N, np.arange(1000))
    pixels_NCHW = data.pixels(range(0, 1000, 100))
    # Their short side is 256 already, so the preprocessing is the centre crop alone.
    with Image.open(sorted((photographs / "val").iterdir())[300] / "a.JPEG") as photograph:
        crop = photograph.convert("RGB").crop((16, 16, 240, 240))
    np.testing.assert_array_equal(pixels_NCHW[3], np.asarray(crop).transpose(2, 0, 1))
    # Photographs, not noise: the mean of a thousand pixels by channel is near the usual one.
    mean, _ = data.normalisation
    np.testing.assert_allclose(pixels_NCHW.mean(axis=(0, 2, 3)) / 255, mean, atol=0.15)
