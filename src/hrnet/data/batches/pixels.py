"""What a `CropPlan` does to pixels, step by step."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hrnet.data.batches.plan import CropPlan
from hrnet.data.people import Orient
from hrnet.images import read_stored


def cut_crops(
    plan: CropPlan,
    pictures: Sequence[tuple[Path, Orient]],
    input_size: tuple[int, int],
    *,
    reducible: NDArray[np.bool_],
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Cut crops from pictures, each of which is read once for all of its crops.

    Args:
        pictures: of each of the N crops, the file and how it is read.
        input_size: (width, height) of crops.
        reducible: (N,) whether a crop may be cut from a picture that is read smaller.

    Returns:
        Crops (N, H, W, 3) uint8 RGB, and where (N, H, W) no picture is, which is black.

    Raises:
        ImageError: a picture cannot be read.
    """
    width, height = input_size
    crops = np.empty((len(pictures), height, width, 3), np.uint8)
    blank = np.ones((len(pictures), height, width), np.bool_)
    crop = np.empty((height, width, 4), np.uint8)
    # How many times smaller the picture may be. It keeps two pixels to a pixel of the crop, as
    # reducing averages and warping does not: nearer to it, training crops would be smoother
    # than those of prediction.
    shrinks = 0.5 / np.sqrt(np.abs(np.linalg.det(plan.matrices[..., :2])))
    # Each crop's own, in the powers of two that there are: who else is loaded with it must
    # not change it.
    factors = 2 ** np.log2(np.where(reducible, shrinks, 1.0).clip(1, 8)).astype(np.int64)
    rows_of: dict[tuple[Path, Orient, int], list[int]] = {}
    for row, ((file, orient), factor) in enumerate(zip(pictures, factors.tolist(), strict=True)):
        rows_of.setdefault((file, orient, factor), []).append(row)
    for (file, orient, factor), rows in rows_of.items():
        image, shrink = read_stored(file, factor, orient=orient == "exif")
        for row in rows:
            part, matrix = _kept_part(image, shrink, plan.matrices[row], plan.kept[row])
            if part.size == 0:  # the picture is smaller than its annotations say
                crops[row] = 0
                continue
            cv2.warpAffine(part, matrix, input_size, dst=crop, flags=cv2.INTER_LINEAR)
            cv2.cvtColor(crop, cv2.COLOR_RGBA2RGB, dst=crops[row])
            np.equal(crop[..., 3], 0, out=blank[row])
    return crops, blank


def erase(
    crops: NDArray[np.uint8], blank: NDArray[np.bool_], rectangles: NDArray[np.int64]
) -> None:
    """Blacken rectangles (N, 4) of crops (N, H, W, 3) and mark them as blank (N, H, W), in place;
    empty ones do nothing."""
    for row in np.flatnonzero(rectangles.any(axis=1)).tolist():
        x1, y1, x2, y2 = rectangles[row]
        crops[row, y1:y2, x1:x2] = 0
        blank[row, y1:y2, x1:x2] = True


def lower_resolution(crops: NDArray[np.uint8], shrinks: NDArray[np.float64]) -> None:
    """Draw crops (N, H, W, 3) from as many times fewer crops a side, in place."""
    height, width = crops.shape[1:3]
    for row in np.flatnonzero(shrinks != 1).tolist():
        size = (max(1, round(width / shrinks[row])), max(1, round(height / shrinks[row])))
        small = cv2.resize(crops[row], size, interpolation=cv2.INTER_AREA)
        crops[row] = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def change_tones(crops: NDArray[np.uint8], tones: NDArray[np.float64]) -> None:
    """Put every channel of crops (N, H, W, 3) through its curve, in place."""
    changed = np.flatnonzero((tones != 1).any(axis=1))
    if len(changed) == 0:
        return
    levels = np.linspace(0, 1, 256)[:, None]
    for row in changed.tolist():
        curves = 255 * levels ** tones[row, 0] * tones[row, 1:]
        table = np.rint(curves.clip(0, 255)).astype(np.uint8)
        crops[row] = cv2.LUT(crops[row], table[None])


def _kept_part(
    image: NDArray[np.uint8], shrink: int, matrix: NDArray[np.float64], kept: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """What stays of a picture that was read at 1 / `shrink` of its size, and the map from there."""
    x1, y1, x2, y2 = kept.tolist()
    x, y = max(0, -(-x1 // shrink)), max(0, -(-y1 // shrink))
    if shrink == 1 and x == y == 0:
        return image[:y2, :x2], matrix
    # The reduced pixel r of this part, in the whole picture: shrink * (r + x) + (shrink - 1) / 2.
    linear, offset = matrix[:, :2], matrix[:, 2]
    offset = offset + linear @ (shrink * np.array([x, y]) + (shrink - 1) / 2)
    part = image[y : y2 // shrink, x : x2 // shrink]
    return part, np.concatenate([shrink * linear, offset[:, None]], axis=1)
