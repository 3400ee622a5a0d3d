"""How a stored picture is turned upright, and where its points then are.

EXIF's orientation, 1 to 8, says it of every format. Here it is taken apart: stored columns run from
right to left (2, 3, 7, 8), stored rows from bottom to top (3, 4, 6, 7), and then rows and columns
change places (5 to 8).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

UPRIGHT = 1

_COLUMNS, _ROWS, _SWAPPED = {2, 3, 7, 8}, {3, 4, 6, 7}, {5, 6, 7, 8}
_FLIP_CODE = {(True, False): 1, (False, True): 0, (True, True): -1}


def turn_upright(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """A stored picture (H, W, C) of an orientation from 1 to 8, as it is to be looked at; exact."""
    flip = orientation in _COLUMNS, orientation in _ROWS
    turned = cv2.flip(image, _FLIP_CODE[flip]) if any(flip) else image
    turned = cv2.transpose(turned) if orientation in _SWAPPED else turned
    return np.asarray(turned, dtype=np.uint8)


def turned_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """(width, height) of the upright picture by that of the stored one, and the other way round."""
    return size[::-1] if orientation in _SWAPPED else size


def to_upright(
    points: NDArray[np.floating], orientation: int, size: tuple[int, int]
) -> NDArray[np.floating]:
    """Points of the stored picture in the upright one.

    Nothing is renamed: in a mirrored picture (2, 4, 5, 7) a left hand stays the left one.

    Args:
        points: (..., 2) x, y in pixels; (0, 0) is the centre of the top-left one.
        orientation: 1 to 8.
        size: (width, height) of the picture as stored.
    """
    flipped = _flip(points, orientation, size)
    return flipped[..., ::-1] if orientation in _SWAPPED else flipped


def to_stored(
    points: NDArray[np.floating], orientation: int, size: tuple[int, int]
) -> NDArray[np.floating]:
    """Points of the upright picture in the stored one: `to_upright` undone."""
    swapped = points[..., ::-1] if orientation in _SWAPPED else points
    return _flip(swapped, orientation, size)


def _flip(
    points: NDArray[np.floating], orientation: int, size: tuple[int, int]
) -> NDArray[np.floating]:
    flipped = points.copy()
    for axis, turned in enumerate((_COLUMNS, _ROWS)):
        if orientation in turned:
            flipped[..., axis] = size[axis] - 1 - flipped[..., axis]
    return flipped
