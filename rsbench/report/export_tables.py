"""Frames as files that other programs read: Parquet and CSV, in full precision."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
import pandas as pd

from rsbench.records import ImageColumns, RunRecord

TABLE_SUFFIXES = (".parquet", ".csv")


def images_frame(runs: Sequence[tuple[RunRecord, ImageColumns]]) -> pd.DataFrame:
    """One line an image, the runs one after the other.

    `predicted` is missing where the smoothed classifier abstained, `sigma` where σ was not chosen for the image.
    """
    frames = [
        pd.DataFrame(
            {
                "run": run.fingerprint,
                "index": images.index_N,
                "label": images.label_N,
                "predicted": pd.array(images.predicted_N, dtype="Int64"),
                "radius": images.radius_N,
                "sigma": np.full(len(images), np.nan) if images.sigma_N is None else images.sigma_N,
            }
        )
        for run, images in runs
    ]
    frame = pd.concat(frames, ignore_index=True)
    frame.loc[frame["predicted"] < 0, "predicted"] = pd.NA
    return frame


def table_bytes(frame: pd.DataFrame, suffix: str) -> bytes:
    """A frame as a file with one of the TABLE_SUFFIXES. Floats are as exact in CSV as they are in the frame."""
    if suffix == ".csv":
        return frame.to_csv(index=False, lineterminator="\n").encode()
    content = BytesIO()
    frame.to_parquet(content, engine="pyarrow", index=False)
    return content.getvalue()
