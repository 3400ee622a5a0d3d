"""YOLOX (Ge, Liu, Wang, Li, Sun: YOLOX: Exceeding YOLO Series in 2021, arXiv:2107.08430), as its
authors export it to ONNX."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hrnet.detection.boxes import suppress
from hrnet.detection.card import SecondLook
from hrnet.errors import WeightsError
from hrnet.runtime.onnx_session import OnnxSession
from hrnet.runtime.openvino_session import OpenVINOSession

STRIDES = (8, 16, 32)
GREY = 114  # what fills up the network's input
PERSON = 0  # of COCO's 80 classes

Float = NDArray[np.float32]


class Yolox:
    """People found by a YOLOX network; see `hrnet.detection.detector.Detector`.

    Pictures are scaled to fit the network's input, grey below or at the right, and go in as BGR
    from 0 to 255. The output (N, A, 5 + C) holds for each of A places a box (centre, width,
    height), the probability that something is there, and that it is of each of C classes. Boxes
    are in pixels of the input or, as in the official releases, relative to their places on grids
    of the strides 8, 16 and 32, the size as a logarithm: relative ones are small numbers.

    Args:
        session: the network; of 80 classes, the first is people, or of one.
        file: what it is from.
        name: what results call it.
        threshold: of the score, both probabilities' product.
        overlap: intersection over union above which the box with the lower score goes.

    Raises:
        WeightsError: it is no such network.
    """

    padding: float | None = None
    batch_size = 1
    second_look: SecondLook | None = None

    def __init__(
        self,
        session: OnnxSession | OpenVINOSession,
        file: Path,
        name: str,
        *,
        threshold: float = 0.3,
        overlap: float = 0.6,
    ) -> None:
        self.name = name
        self.threshold = threshold
        self.overlap = overlap
        self.session = session
        shape = self.session.shapes[0]
        if len(self.session.shapes) != 1 or len(shape) != 4 or shape[1] != 3 or None in shape[2:]:
            raise WeightsError(
                f"{file} is no YOLOX network: its input is {shape}, not (N, 3, H, W)"
            )
        self.height, self.width = int(shape[2] or 0), int(shape[3] or 0)
        grids = [
            np.stack(np.meshgrid(np.arange(self.width // s), np.arange(self.height // s)), axis=2)
            for s in STRIDES
        ]
        self._places = np.concatenate([grid.reshape(-1, 2) for grid in grids]).astype(np.float32)
        lengths = [len(grid) * grid.shape[1] for grid in grids]
        self._strides = np.repeat(np.array(STRIDES, np.float32), lengths)[:, None]
        (output, *_) = self.session(np.zeros((1, 3, self.height, self.width), np.float32))
        if output.ndim != 3 or output.shape[1] != len(self._places) or output.shape[2] < 6:
            raise WeightsError(
                f"{file} is no YOLOX network: its output is {output.shape}, not (N, "
                f"{len(self._places)}, 5 + classes)"
            )

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float64]]:
        """See `hrnet.detection.detector.Detector`."""
        return [self._find(image) for image in images]

    def _find(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        height, width = image.shape[:2]
        scale = min(self.width / width, self.height / height)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        canvas = np.full((self.height, self.width, 3), GREY, np.uint8)
        canvas[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
        network_input = canvas[None, :, :, ::-1].transpose(0, 3, 1, 2)
        (output, *_) = self.session(np.ascontiguousarray(network_input, dtype=np.float32))
        found = self._decode(output[0])
        scales = np.array([width / size[0], height / size[1]] * 2)
        boxes = found[:, :4] * scales  # as COCO's annotations, that it was trained on
        boxes = np.clip(boxes, 0, np.tile([width - 1, height - 1], 2))
        has_inside = (boxes[:, 2:] - boxes[:, :2] >= 1).all(axis=1)
        return np.column_stack([boxes, found[:, 4]])[has_inside]

    def _decode(self, output: Float) -> NDArray[np.float64]:
        """(P, 5) boxes x1, y1, x2, y2 in pixels of the input, and scores, best first."""
        scores = output[:, 4] * output[:, 5 + PERSON]
        likely = scores > self.threshold
        centres, sizes = output[:, :2], output[:, 2:4]
        if np.abs(output[:, :4]).max() < STRIDES[-1]:  # relative
            centres = (centres + self._places) * self._strides
            sizes = np.exp(sizes) * self._strides
        boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2, scores[:, None]], axis=1)
        found = boxes[likely].astype(np.float64)
        found[:, 4] = found[:, 4].clip(0, 1)
        return found[suppress(found[:, :4], found[:, 4], self.overlap)]
