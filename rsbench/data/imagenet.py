"""The validation photographs of ImageNet-1k, in the usual folder tree `val/<wnid>/*.JPEG`."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from torchvision.transforms.functional import center_crop, resize

from rsbench.data.dataset import IMAGENET_NORMALISATION, ImageDataset, Pixels
from rsbench.errors import DataError
from rsbench.records import DatasetInfo

CLASSES = 1000
RESIZE = 256
CROP = 224
_SUFFIXES = frozenset({".jpeg", ".jpg", ".png"})


class ImageNet(ImageDataset):
    """Photographs resized to a short side of 256 (bilinear, antialiased) and centre-cropped to 224, pixels k/255.

    The class of a photograph is the rank of its folder among the thousand sorted folders. The fingerprint covers the
    names and bytes of all files and the preprocessing. Every construction reads the whole tree to hash it.
    """

    default_images = "every:100"
    default_n = 100_000
    default_architecture = "resnet50"
    normalisation = IMAGENET_NORMALISATION
    published_normalisation = IMAGENET_NORMALISATION

    def __init__(self, root: Path) -> None:
        photographs = _photographs_by_class(root / "val")
        self._files = [file for files in photographs for file in files]
        self.labels_N = np.repeat(np.arange(CLASSES), [len(files) for files in photographs])
        self.info = DatasetInfo(
            name="imagenet",
            fingerprint=_fingerprint(root, self._files),
            images=len(self._files),
            classes=CLASSES,
            shape=(3, CROP, CROP),
            q=255,
        )

    def _load(self, indices: Sequence[int]) -> Pixels:
        return np.stack([_decode(self._files[index]) for index in indices])


def _photographs_by_class(val: Path) -> list[list[Path]]:
    if not val.is_dir():
        raise DataError(f"there is no folder {val}: name the folder that holds val/<wnid>/*.JPEG with --data-root")
    folders = sorted(f for f in val.iterdir() if f.is_dir())
    if len(folders) != CLASSES:
        raise DataError(
            f"{val} has {len(folders)} class folders where ImageNet has {CLASSES}: the label of a class is the rank of "
            "its folder, so labels would be wrong; add the missing folders or remove the others"
        )
    photographs = [sorted(f for f in folder.iterdir() if f.suffix.lower() in _SUFFIXES) for folder in folders]
    empty = [folder.name for folder, files in zip(folders, photographs, strict=True) if not files]
    if empty:
        raise DataError(
            f"{len(empty)} of the {CLASSES} class folders in {val} hold no photograph (the first is {empty[0]}): "
            "add the missing files"
        )
    return photographs


def _fingerprint(root: Path, files: list[Path]) -> str:
    """Return the SHA-256 over the preprocessing and the path and content of each file, in order."""

    def file_digest(file: Path) -> bytes:
        return file.relative_to(root).as_posix().encode() + hashlib.sha256(file.read_bytes()).digest()

    digest = hashlib.sha256(f"imagenet|resize={RESIZE}|crop={CROP}|q=255".encode())
    with ThreadPoolExecutor() as pool:
        for part in pool.map(file_digest, files):
            digest.update(part)
    return digest.hexdigest()


def _decode(file: Path) -> npt.NDArray[np.uint8]:
    try:
        with Image.open(file) as photograph:
            if photograph.mode.startswith(("I", "F")):
                # Pillow would clip every value at 255.
                raise ValueError(f"its mode {photograph.mode} has more than 8 bits per value")
            image = photograph.convert("RGB")
    # A damaged header can announce an enormous image.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{file} cannot be decoded ({error}): replace it with an intact file in 8-bit grey or RGB"
        ) from error
    crop = center_crop(resize(image, [RESIZE]), [CROP])
    return np.asarray(crop, dtype=np.uint8).transpose(2, 0, 1)
