"""Boxes of people: what one must be."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hrnet.errors import BoxError
from hrnet.geometry import box_areas, shared_areas
from hrnet.tables import MALFORMED

LARGEST = 1e7  # pixels; far beyond any picture, and far from where single precision overflows
SMALLEST = 1e-3  # pixels; results are rounded to as much
ROUNDING = 1e-3  # that a detector's score may be over 1 by


def whole_picture(width: int, height: int) -> NDArray[np.float64]:
    """(1, 4): the box of a person who fills the picture."""
    # A picture one pixel wide or high still needs a box with an inside.
    return np.array([[0.0, 0.0, max(width - 1.0, 1.0), max(height - 1.0, 1.0)]])


def check_boxes(
    boxes: ArrayLike, width: int, height: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Boxes (P, 4) float64 x1, y1, x2, y2, and their scores (P,) float64: 1, or the fifth column.
    Boxes may reach beyond the picture, as detectors' often do.

    Scores may be over 1 by rounding, see `checked_score`.

    Raises:
        BoxError: not four or five finite numbers a box, an empty box, one wholly outside the
            picture, or a score that is not between 0 and 1.
    """
    try:
        array = np.asarray(boxes, dtype=np.float64)
    except MALFORMED:
        raise BoxError("boxes must be numbers: x1, y1, x2, y2 a person") from None
    if array.size == 0:
        return np.empty((0, 4)), np.empty(0)
    if array.ndim != 2 or array.shape[1] not in (4, 5):
        raise BoxError(
            f"boxes have shape {array.shape}; they must be (P, 4): x1, y1, x2, y2, or (P, 5) with "
            "a score"
        )
    array, scores = array[:, :4], array[:, 4].copy() if array.shape[1] == 5 else np.ones(len(array))
    for i, (x1, y1, x2, y2) in enumerate(array):
        box = f"box {i} ({x1:g}, {y1:g}, {x2:g}, {y2:g})"
        if not (np.abs(array[i]) < LARGEST).all():  # nor is NaN
            raise BoxError(f"{box} is not four finite numbers below {LARGEST:,.0f}")
        if x2 - x1 < SMALLEST or y2 - y1 < SMALLEST:
            raise BoxError(f"{box} is empty; it must be x1, y1, x2, y2 with x1 < x2 and y1 < y2")
        if x2 < 0 or y2 < 0 or x1 > width - 1 or y1 > height - 1:
            raise BoxError(f"{box} lies outside the picture of {width} x {height} pixels")
        scores[i] = checked_score(scores[i], box)
    return array, scores


def suppress(
    boxes: NDArray[np.float64], scores: NDArray[np.float64], overlap: float
) -> NDArray[np.int64]:
    """Non-maximum suppression: positions of the boxes (P, 4) that stay, best score (P,) first. From
    the best down, a box suppresses those whose intersection over union with it is over `overlap`.
    """
    order = np.argsort(-scores, kind="stable")
    areas = box_areas(boxes)
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        shared = shared_areas(boxes[best, None], boxes[rest])[0]
        order = rest[shared <= overlap * (areas[best] + areas[rest] - shared)]
    return np.array(kept, dtype=np.int64)


def checked_score(score: Any, whose: str) -> float:
    """A box's score from 0 to 1; what is over 1 by rounding is 1.

    Raises:
        BoxError: it is another number, or none; with `whose` it is.
    """
    number = float(score)
    if not 0 <= number <= 1 + ROUNDING:
        raise BoxError(f"{whose}: the score {number!r} is not between 0 and 1")
    return min(1.0, number)
