"""Our own detector: the network that finds joints, with another last layer, on whole pictures."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from hrnet.detection.boxes import suppress
from hrnet.detection.card import DetectorCard, read_detector_card
from hrnet.errors import ConfigError, WeightsError
from hrnet.runtime.execution import Execution
from hrnet.runtime.opening import open_model
from hrnet.runtime.session import Session

if TYPE_CHECKING:
    from hrnet.detection_model import DetectionModel

MULTIPLE = 32  # of pixels each way, that all of the network's branches fit
# Pictures that are larger than so many times the input are looked at from closer as well: in parts
# of which the longer side is TILE of the picture's, and which overlap by a third at least.
CLOSER, TILE, OVERLAP = 5, 0.6, 1 / 3
SMALL = 1 / 6  # of a part: somebody so small says that there may be more to see from closer
EDGE = 2.0  # pixels of the input from the edge of a part, where somebody is cut
ACROSS = 0.5  # overlap of boxes of one person in the whole and in parts


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

    def __init__(self, card: DetectorCard, session: Session) -> None:
        self.name = card.name
        self.card = card
        self.threshold = card.threshold
        self.second_look = card.second_look
        self.session = session
        self.batch_size = 1 if session.device == "cpu" else 8

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float64]]:
        """See `hrnet.detection.detector.Detector`."""
        whole = self._find(images)
        return [
            self._closer(image, found)
            if max(image.shape[:2]) > CLOSER * self.card.input_size
            else found
            for image, found in zip(images, whole, strict=True)
        ]

    def _closer(self, image: NDArray[np.uint8], found: NDArray[np.float64]) -> NDArray[np.float64]:
        """Those found in a large picture, and those in its quarters, which overlap; where there is
        somebody small among them, in the quarters of that quarter, and so on."""
        height, width = image.shape[:2]
        if max(width, height) <= 2 * self.card.input_size:
            return found
        starts, sides = [], []
        for length in (width, height):
            side = min(length, math.ceil(TILE * max(width, height)))
            sides.append(side)
            count = math.ceil((length - side) / (side * (1 - OVERLAP))) + 1 if side < length else 1
            starts.append(np.linspace(0, length - side, count).round().astype(int).tolist())
        corners = [(x, y) for y in starts[1] for x in starts[0]]
        tiles = [image[y : y + sides[1], x : x + sides[0]] for x, y in corners]
        boxes = [found]
        for (x, y), tile, own in zip(corners, tiles, self._find(tiles), strict=True):
            small = (own[:, 3] - own[:, 1]) < SMALL * max(sides)
            if small.any():
                own = self._closer(np.ascontiguousarray(tile), own)
            # Who is cut by an edge that is not the picture's own is found whole elsewhere.
            low, high = own[:, :2], own[:, 2:4]
            limit = np.array(sides) - 1
            edge = EDGE * max(1.0, max(sides) / self.card.input_size)
            cut = ((low < edge) & (np.array([x, y]) > 0)) | (
                (high > limit - edge) & (np.array([x, y]) + sides < np.array([width, height]))
            )
            boxes.append((own + np.array([x, y, x, y, 0.0]))[~cut.any(axis=1)])
        together = np.concatenate(boxes)
        return together[suppress(together[:, :4], together[:, 4], ACROSS)]

    def _find(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float64]]:
        """Those found in pictures as they are; several of one size go through the network at once,
        as many as it likes."""
        found: list[NDArray[np.float64]] = [np.empty((0, 5))] * len(images)
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for number, image in enumerate(images):
            by_shape.setdefault(image.shape[:2], []).append(number)
        for numbers in by_shape.values():
            for start in range(0, len(numbers), self.batch_size):
                batch = numbers[start : start + self.batch_size]
                rows = self._run([images[number] for number in batch])
                for number, own in zip(batch, rows, strict=True):
                    found[number] = own
        return found

    def _run(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float64]]:
        """Of pictures of one size."""
        height, width = images[0].shape[:2]
        small, scales = zip(*(fitted(image, self.card.input_size) for image in images), strict=True)
        rows, columns = (-(-n // MULTIPLE) * MULTIPLE for n in small[0].shape[:2])
        canvases = np.zeros((len(images), rows, columns, 3), np.uint8)
        for canvas, own in zip(canvases, small, strict=True):
            canvas[: own.shape[0], : own.shape[1]] = own
        (outputs,) = self.session(canvases)
        everybody = []
        for found in outputs.astype(np.float64):
            boxes = found[:, :4] / np.tile(scales[0], 2)
            boxes = np.clip(boxes, 0, np.tile([width - 1, height - 1], 2))
            has_inside = (boxes[:, 2:] - boxes[:, :2] >= 1).all(axis=1)
            kept = has_inside & (found[:, 4] > self.threshold)
            own = np.column_stack([boxes, found[:, 4]])[kept]
            everybody.append(own[suppress(own[:, :4], own[:, 4], self.card.overlap)])
        return everybody


def fitted(image: NDArray[np.uint8], longer: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A picture (H, W, 3) with its longer side of so many pixels; the factors on x and y."""
    height, width = image.shape[:2]
    scale = longer / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR  # which does not average
    small = np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)
    return small, np.array([size[0] / width, size[1] / height])


def load_detector(file: Path, execution: Execution) -> HRNetDetector:
    """A detector's weights file, ready.

    Raises:
        WeightsError: the file is missing or broken, or not a detector's.
        ConfigError: its card is not valid, or there is no such device or runtime.
    """
    card = read_detector_card(file)
    if card is None:
        raise WeightsError(f"{file} is no detector of hrnet's: it carries no detector's card")

    def make() -> "DetectionModel":
        from hrnet.detection_model import load_detection_model

        return load_detection_model(card.network, file)

    try:
        session = open_model(make, (card.input_size,) * 2, file, card.to_json(), execution)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ConfigError(
            f"the detector {card.name} needs PyTorch, which is not here; give one that hrnet "
            "export --detector auto wrote, or boxes"
        ) from None
    return HRNetDetector(card, session)
