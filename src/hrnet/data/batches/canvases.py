"""Whole pictures as training batches for a detector: each sample is a square canvas with one
picture, or parts of four, at a random scale and place, and the boxes of the people on it."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from hrnet.data.batches.pixels import change_tones
from hrnet.data.batches.plan import CanvasAugmentation
from hrnet.data.boxed_pictures import BoxedPictures
from hrnet.images import read_stored

# What a person's box must have left in the canvas to be looked for: a share of its area, and
# pixels either way. Less than that is ignored.
LEAST_SHARE, LEAST_SIDE = 0.3, 6.0

Float = NDArray[np.float64]
Keys = NDArray[np.int64]


class CanvasBatch(NamedTuple):
    """N canvases.

    Attributes:
        pictures: (N, S, S, 3) uint8 RGB.
        boxes: (N, P, 4) float32 people's edges in pixels; NaN for nobody.
        ignored: (N, Q, 4) float32 regions in which people may be; NaN for none.
    """

    pictures: Tensor
    boxes: Tensor
    ignored: Tensor


class CanvasDataset(Dataset[CanvasBatch]):
    """Canvases, asked for many at a time by keys (N, 2) of draw and picture: a canvas depends on
    seed, draw and picture alone, however many workers there are.

    Args:
        sources: the pictures of each, numbered through.
        augmentation: how they are drawn.
        seed: of that.
    """

    def __init__(
        self,
        sources: Sequence[BoxedPictures],
        augmentation: CanvasAugmentation,
        *,
        seed: int = 0,
    ) -> None:
        self.files = [(f, source.orient) for source in sources for f in source.files]
        self.boxes = [boxes for source in sources for boxes in source.boxes]
        self.ignored = [boxes for source in sources for boxes in source.ignored]
        self.size = augmentation.size
        self.augmentation = augmentation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, keys: Keys) -> CanvasBatch:
        """Raises `ImageError` with the file's name for a picture that cannot be read."""
        pictures = np.zeros((len(keys), self.size, self.size, 3), np.uint8)
        boxes, ignored = [], []
        for canvas, (draw, number) in zip(pictures, keys.tolist(), strict=True):
            rng = np.random.default_rng((self.seed, draw, number))
            own, passed = self._draw(canvas, number, rng)
            boxes.append(own)
            ignored.append(passed)
        tensors = pictures, padded(boxes), padded(ignored)
        return CanvasBatch(*map(torch.from_numpy, tensors))

    def _draw(
        self, canvas: NDArray[np.uint8], number: int, rng: np.random.Generator
    ) -> tuple[Float, Float]:
        """Paint a canvas, in place; people's boxes on it, and regions to ignore."""
        whole = 0, 0, self.size, self.size
        tiles = [(whole, number)]
        if rng.random() < self.augmentation.mosaic:
            x, y = np.rint(self.size * rng.uniform(0.3, 0.7, 2)).astype(int).tolist()
            columns, rows = ((0, x), (x, self.size)), ((0, y), (y, self.size))
            rectangles = [(x1, y1, x2, y2) for y1, y2 in rows for x1, x2 in columns]
            others = rng.integers(len(self), size=3).tolist()
            order = rng.permutation(4)
            tiles = list(zip([rectangles[i] for i in order], [number, *others], strict=True))
        boxes, ignored = zip(*(self._paint(canvas, *tile, rng) for tile in tiles), strict=True)
        change = 1 + self.augmentation.color * rng.uniform(-1, 1, 4)
        tones = np.array([[change[0], *(change[1:] * change[1:].mean())]])
        change_tones(canvas[None], tones)
        return np.concatenate(boxes), np.concatenate(ignored)

    def _paint(
        self,
        canvas: NDArray[np.uint8],
        tile: tuple[int, int, int, int],
        number: int,
        rng: np.random.Generator,
    ) -> tuple[Float, Float]:
        """One picture into a rectangle of the canvas, at a random scale and place."""
        low, high = np.log(self.augmentation.scale)
        x1, y1, x2, y2 = tile
        longer = max(x2 - x1, y2 - y1) * np.exp(rng.uniform(low, high))
        flip, place = rng.random() < self.augmentation.flip, rng.random(2)
        file, orient = self.files[number]
        image, _ = read_stored(file, orient=orient == "exif")
        height, width = image.shape[:2]
        image, reduced = _reduced(image, max(width, height) / longer)
        scale = longer / max(width, height)
        free = np.array([x2 - x1, y2 - y1]) - scale * np.array([width, height])
        offset = np.array([x1, y1]) + place * free  # of the picture's corner; it may be outside
        # Edges are mapped by scale and offset; the centres of pixels lie half a pixel further.
        step = scale * reduced
        sign, start = (-1.0, offset[0] + scale * width) if flip else (1.0, offset[0])
        matrix = np.array(
            [
                [sign * step, 0.0, start - x1 + sign * step / 2 - 0.5],
                [0.0, step, offset[1] - y1 + step / 2 - 0.5],
            ]
        )
        painted = cv2.warpAffine(image, matrix, (x2 - x1, y2 - y1), flags=cv2.INTER_LINEAR)
        canvas[y1:y2, x1:x2] = painted[..., :3]
        linear, shift = np.array([sign, 1.0]) * scale, np.array([start, offset[1]])

        def moved(boxes: Float) -> Float:
            corners = np.sort(boxes.reshape(-1, 2, 2) * linear + shift, axis=1)
            return np.asarray(corners.reshape(-1, 4))

        people = moved(self.boxes[number])
        inside, ignored = _clip(people, tile), _clip(moved(self.ignored[number]), tile)
        sides = inside[:, 2:] - inside[:, :2]
        share = sides.prod(axis=1) / np.maximum((people[:, 2:] - people[:, :2]).prod(axis=1), 1e-9)
        found = (share >= LEAST_SHARE) & (sides >= LEAST_SIDE).all(axis=1)
        rest = ~found & (sides > 0).all(axis=1)
        return inside[found], np.concatenate([inside[rest], ignored])


def _reduced(image: NDArray[np.uint8], shrink: float) -> tuple[NDArray[np.uint8], float]:
    """The picture with a half, a quarter, ... of its pixels a side, averaged, so that it is shrunk
    by less than two in warping, which does not average; and by how much that was."""
    height, width = image.shape[:2]
    factor = 2 ** int(np.clip(np.log2(max(shrink, 1.0)), 0, 6))
    if factor == 1 or min(height, width) < factor:
        return image, 1.0
    height, width = height // factor * factor, width // factor * factor
    size = width // factor, height // factor
    small = cv2.resize(image[:height, :width], size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), float(factor)


def _clip(boxes: Float, tile: tuple[int, int, int, int]) -> Float:
    low, high = np.tile(tile[:2], 2), np.tile(tile[2:], 2)
    return np.clip(boxes, low, high)


def padded(boxes: Sequence[Float]) -> NDArray[np.float32]:
    """Boxes (P, 4) of each of N pictures as (N, most, 4): NaN where one has fewer; at least one."""
    most = max([1, *map(len, boxes)])
    padded = np.full((len(boxes), most, 4), np.nan, np.float32)
    for row, own in zip(padded, boxes, strict=True):
        row[: len(own)] = own
    return padded
