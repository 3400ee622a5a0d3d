"""What finds people in pictures."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hrnet.detection.boxes import whole_picture
from hrnet.detection.card import SecondLook


class Detector(Protocol):
    """Finds the people in pictures, many at a time.

    Attributes:
        name: what results call the source of their boxes.
        padding: factor on its boxes for what the pose network sees; None for the pose model's own.
        batch_size: pictures that it likes to get at once.
        threshold: of the score: boxes below are left out.
        second_look: what says with the joints found who is somebody; None where the score alone
            does.
    """

    threshold: float
    second_look: SecondLook | None
    name: str
    padding: float | None
    batch_size: int

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float64]]:
        """For each picture (H, W, 3) uint8 RGB boxes (P, 5): x1, y1, x2, y2 in pixels, score."""
        ...


class WholePicture:
    """Takes every picture as one person who fills it; see `Detector`."""

    name = "whole"
    padding: float | None = 1.0
    batch_size = 1
    threshold = 0.0
    second_look: SecondLook | None = None

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float64]]:
        """See `Detector`."""
        boxes = (whole_picture(image.shape[1], image.shape[0]) for image in images)
        return [np.append(box, [[1.0]], axis=1) for box in boxes]
