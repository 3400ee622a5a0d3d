"""PoseEstimator: pictures -> poses."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hrnet.detection import check_boxes, whole_picture
from hrnet.errors import BoxError, ConfigError
from hrnet.geometry import crop_matrices, crop_regions, invert, transform_points, warp
from hrnet.images import Image, ImageSource, read_image
from hrnet.result import Poses
from hrnet.runtime.runner import load_runner

Boxes = ArrayLike | None
MAX_HELD = 50_000_000  # pixels of the pictures in a batch: 150 MB, where photographs are large


class PoseEstimator:
    """Finds the joints of people in pictures.

        estimator = hrnet.PoseEstimator()
        poses = estimator("photo.jpg")
        poses.keypoints                     # (P, K, 2)

    Args:
        model: name of a model (`hrnet.list_models()`); a weights file that carries its card, or a
            published one under its published name; "hf:owner/name"; or None for the model in the
            package.
        weights: "default" for the model's own, fetched where need be; None for random ones; or a
            file, URL or "hf:owner/name" that fits the model.
        device: "auto", or PyTorch's name, such as "cpu" or "cuda:1".
        flip_test: average with the prediction for the mirrored picture: a little more accurate,
            half as fast.
        padding: factor on each box for what the network sees of it; None takes the model's own.
        batch_size: crops that go through the network at once.

    Raises:
        ConfigError: no such model or device, or a padding or batch size that is not positive.
        WeightsError: the weights are missing, broken, or do not fit.
        DownloadError: the weights cannot be fetched.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        weights: str | Path | None = "default",
        device: str = "auto",
        flip_test: bool = False,
        padding: float | None = None,
        batch_size: int = 32,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}; it must be at least 1")
        if padding is not None and not 0 < padding < float("inf"):
            raise ConfigError(f"padding is {padding}; it must be positive, such as 1.25")
        self.runner = load_runner(model, weights=weights, device=device, flip_test=flip_test)
        self.card = self.runner.card
        self.flip_test = flip_test
        self.padding = self.card.padding if padding is None else padding
        self.batch_size = batch_size

    @overload
    def __call__(
        self,
        source: list[Any],
        boxes: Sequence[Boxes] | None = None,
        *,
        color: Literal["rgb", "bgr"] = "rgb",
    ) -> list[Poses]: ...
    @overload
    def __call__(
        self, source: ImageSource, boxes: Boxes = None, *, color: Literal["rgb", "bgr"] = "rgb"
    ) -> Poses: ...
    def __call__(self, source: Any, boxes: Any = None, *, color: Any = "rgb") -> Any:
        """The poses of the people in one picture, or in each of a list of pictures.

        Args:
            source: path, encoded bytes, PIL image, or array (H, W, 3) uint8; or a list of such.
            boxes: (P, 4) x1, y1, x2, y2 in pixels, the people's own edges without padding, or
                (P, 5) with a score from 0 to 1; for a list of pictures a list of those. Without
                boxes the whole picture is taken as one person, as it is, without padding.
            color: order of an array's channels; "bgr" for what OpenCV reads.

        Raises:
            ImageError: a picture is missing or broken.
            BoxError: a box is empty, not finite, or outside the picture; or there are boxes for
                more or fewer pictures than given.
        """
        single = not isinstance(source, list)
        sources = [source] if single else source
        all_boxes = [boxes] if single else ([None] * len(sources) if boxes is None else boxes)
        if len(all_boxes) != len(sources):
            raise BoxError(
                f"there are {len(sources)} pictures and boxes for {len(all_boxes)}; give boxes "
                "or None for each"
            )
        pictures = (
            self.prepare(read_image(s, color=color), b)
            for s, b in zip(sources, all_boxes, strict=True)
        )
        results = [poses for _, poses in self.stream(pictures)]
        return results[0] if single else results

    def prepare(self, image: Image, boxes: Boxes = None, *, key: Any = None) -> "Picture":
        """A picture for `stream`, its boxes checked.

        Args:
            image: (H, W, 3) uint8 RGB.
            boxes: as in `__call__`.
            key: anything by which to know the picture again.

        Raises:
            BoxError: as in `__call__`.
        """
        height, width = image.shape[:2]
        if boxes is None:
            people, padding, source = whole_picture(width, height), 1.0, "whole"
            scores = np.ones(1)
        else:
            people, scores = check_boxes(boxes, width, height)
            padding, source = self.padding, "given"
        centers, sizes = crop_regions(people, self.card.input_size, padding)
        matrices = crop_matrices(centers, sizes, self.card.input_size, unbiased=self.card.unbiased)
        return Picture(image, people, scores, source, matrices, self.card.input_size, key)

    def stream(self, pictures: Iterable["Picture"]) -> Iterator[tuple["Picture", Poses]]:
        """The poses of any number of pictures, in order, in batches that people of neighbouring
        pictures share; no more pictures are held than a batch takes, and fewer large ones.

        Args:
            pictures: as `prepare` makes them. What goes wrong with one of many is thus for the
                caller to handle.

        Yields:
            Each picture with its poses.
        """
        pending: list[Picture] = []
        people = pixels = 0
        for picture in pictures:
            pending.append(picture)
            people += len(picture.boxes)
            pixels += picture.image.shape[0] * picture.image.shape[1]
            # Pictures without people count as well, or any number of them might wait.
            if max(people, len(pending)) >= self.batch_size or not people or pixels >= MAX_HELD:
                yield from self._finish(pending)
                pending, people, pixels = [], 0, 0
        yield from self._finish(pending)

    def _finish(self, pictures: list["Picture"]) -> Iterator[tuple["Picture", Poses]]:
        crops = (crop for picture in pictures for crop in picture.crops())
        points = np.empty((0, len(self.card.skeleton), 3), np.float32)
        while batch := list(islice(crops, self.batch_size)):
            points = np.concatenate([points, self.runner(np.stack(batch))])
        for picture in pictures:
            own, points = points[: len(picture.boxes)], points[len(picture.boxes) :]
            keypoints = transform_points(invert(picture.matrices), own[..., :2])
            yield (
                picture,
                Poses(
                    keypoints=keypoints.astype(np.float32),
                    scores=own[..., 2],
                    boxes=picture.boxes.astype(np.float32),
                    box_scores=picture.box_scores.astype(np.float32),
                    skeleton=self.card.skeleton,
                    box_source=picture.box_source,
                ),
            )


@dataclass(frozen=True)
class Picture:
    """A picture and where its P people are, as `PoseEstimator.prepare` makes it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        boxes: (P, 4) float64 x1, y1, x2, y2.
        box_scores: (P,) float64.
        box_source: see `Poses`.
        matrices: (P, 2, 3) affine maps from the picture to crops.
        input_size: (width, height) of crops in pixels.
        key: the caller's.
    """

    image: Image
    boxes: NDArray[np.float64]
    box_scores: NDArray[np.float64]
    box_source: str
    matrices: NDArray[np.float64]
    input_size: tuple[int, int]
    key: Any = None

    def crops(self) -> Iterator[Image]:
        """What the network sees of each person: (H, W, 3) uint8 RGB of the input's size."""
        for matrix in self.matrices:
            yield warp(self.image, matrix, self.input_size)
