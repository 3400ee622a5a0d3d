"""Our own detector: the network that finds joints, with another last layer, on whole pictures."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hrnet.detection.boxes import suppress
from hrnet.detection.card import DetectorCard, read_detector_card
from hrnet.errors import WeightsError
from hrnet.runtime.session import Session

MULTIPLE = 32  # of pixels each way, that all of the network's branches fit


class HRNetDetector:
    """People found by a `hrnet.detection_model.DetectionModel`; see
    `hrnet.detection.detector.Detector`.

    Pictures are scaled to the card's input size, whatever their shape, black below or at the right
    up to the next multiple of 32 pixels.

    Args:
        card: what it is.
        session: pictures (N, H, W, 3) uint8 RGB -> (N, P, 5) boxes and scores.
    """

    padding: float | None = None
    batch_size = 1

    def __init__(self, card: DetectorCard, session: Session) -> None:
        self.name = card.name
        self.card = card
        self.threshold = card.threshold
        self.session = session

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float64]]:
        """See `hrnet.detection.detector.Detector`."""
        return [self._find(image) for image in images]

    def _find(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        height, width = image.shape[:2]
        small, scale = fitted(image, self.card.input_size)
        rows, columns = (-(-n // MULTIPLE) * MULTIPLE for n in small.shape[:2])
        canvas = np.zeros((1, rows, columns, 3), np.uint8)
        canvas[0, : small.shape[0], : small.shape[1]] = small
        (found,) = self.session(canvas)
        found = found[0][found[0, :, 4] > self.threshold].astype(np.float64)
        boxes = found[:, :4] / np.tile(scale, 2)
        boxes = np.clip(boxes, 0, np.tile([width - 1, height - 1], 2))
        found = np.column_stack([boxes, found[:, 4]])
        found = found[(boxes[:, 2:] - boxes[:, :2] >= 1).all(axis=1)]
        return found[suppress(found[:, :4], found[:, 4], self.card.overlap)]


def fitted(image: NDArray[np.uint8], longer: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A picture (H, W, 3) with its longer side of so many pixels; the factors on x and y."""
    height, width = image.shape[:2]
    scale = longer / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR  # which does not average
    small = np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)
    return small, np.array([size[0] / width, size[1] / height])


def load_detector(file: Path, device: str = "auto") -> HRNetDetector:
    """A detector's weights file, ready.

    Args:
        device: "auto", or PyTorch's name.

    Raises:
        WeightsError: the file is missing or broken, or not a detector's.
        ConfigError: its card is not valid, or there is no such device.
    """
    card = read_detector_card(file)
    if card is None:
        raise WeightsError(f"{file} is no detector of hrnet's: it carries no detector's card")
    # Here alone PyTorch is loaded, if a detector needs it.
    from hrnet.detection_model import load_detection_model
    from hrnet.runtime.torch_session import TorchSession

    return HRNetDetector(card, TorchSession(load_detection_model(card.network, file), device))
