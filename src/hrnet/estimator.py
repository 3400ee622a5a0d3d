"""PoseEstimator: pictures -> poses."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hrnet.detection import check_boxes, whole_picture
from hrnet.errors import BoxError, ConfigError
from hrnet.geometry import crop_matrices, crop_regions, invert, transform_points, warp
from hrnet.images import Image, ImageSource, read_image
from hrnet.result import Poses
from hrnet.runtime import load_runner

Boxes = ArrayLike | None


class PoseEstimator:
    """Finds the joints of people in pictures.

        estimator = hrnet.PoseEstimator()
        poses = estimator("photo.jpg")
        poses.keypoints                     # (P, K, 2)

    Args:
        model: name of a model (`hrnet.list_models()`), a .safetensors file, or None for the
            model in the package.
        device: "auto", or PyTorch's name, such as "cpu" or "cuda:1".
        flip_test: average with the prediction for the mirrored picture: a little more accurate,
            half as fast.
        padding: factor on each box for what the network sees of it; None takes the model's own.
        batch_size: crops that go through the network at once.

    Raises:
        ConfigError: no such model or device, or a padding or batch size that is not positive.
        WeightsError: the weights file is missing or broken.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        device: str = "auto",
        flip_test: bool = False,
        padding: float | None = None,
        batch_size: int = 32,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}; it must be at least 1")
        if padding is not None and not 0 < padding < float("inf"):
            raise ConfigError(f"padding is {padding}; it must be positive, such as 1.25")
        self.runner = load_runner(model, device=device, flip_test=flip_test)
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
            boxes: (P, 4) x1, y1, x2, y2 in pixels, the people's own edges without padding; for
                a list of pictures a list of those. Without boxes the whole picture is taken as
                one person, as it is, without padding.
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
            (read_image(s, color=color), b) for s, b in zip(sources, all_boxes, strict=True)
        )
        results = [poses for _, poses in self.stream(pictures)]
        return results[0] if single else results

    def stream(self, pictures: Iterable[tuple[Image, Boxes]]) -> Iterator[tuple[Image, Poses]]:
        """The poses of any number of pictures, in order, in batches that people of neighbouring
        pictures share; no more pictures are held than a batch takes.

        Args:
            pictures: pairs of (H, W, 3) uint8 RGB and boxes or None, as in `__call__`.

        Yields:
            Each picture with its poses.
        """
        pending: list[_Pending] = []
        crops: list[Image] = []
        for image, boxes in pictures:
            item = self._prepare(image, boxes)
            pending.append(item)
            for matrix in item.matrices:
                crops.append(warp(image, matrix, self.card.input_size))
            # Pictures without people count as well, or any number of them might wait.
            if max(len(crops), len(pending)) >= self.batch_size or not crops:
                yield from self._finish(pending, crops)
                pending, crops = [], []
        yield from self._finish(pending, crops)

    def _prepare(self, image: Image, boxes: Boxes) -> "_Pending":
        height, width = image.shape[:2]
        if boxes is None:
            people, padding, source = whole_picture(width, height), 1.0, "whole"
        else:
            people, padding, source = check_boxes(boxes, width, height), self.padding, "given"
        centers, sizes = crop_regions(people, self.card.input_size, padding)
        matrices = crop_matrices(centers, sizes, self.card.input_size, unbiased=self.card.unbiased)
        return _Pending(image, people, matrices, source)

    def _finish(
        self, pending: list["_Pending"], crops: list[Image]
    ) -> Iterator[tuple[Image, Poses]]:
        size = self.batch_size
        batches = [np.stack(crops[i : i + size]) for i in range(0, len(crops), size)]
        none = np.empty((0, len(self.card.skeleton), 3), np.float32)
        points = np.concatenate([none, *(self.runner(batch) for batch in batches)])
        for item in pending:
            own, points = points[: len(item.boxes)], points[len(item.boxes) :]
            keypoints = transform_points(invert(item.matrices), own[..., :2])
            yield (
                item.image,
                Poses(
                    keypoints=keypoints.astype(np.float32),
                    scores=own[..., 2],
                    boxes=item.boxes.astype(np.float32),
                    box_scores=np.ones(len(item.boxes), np.float32),
                    skeleton=self.card.skeleton,
                    box_source=item.source,
                ),
            )


@dataclass(frozen=True)
class _Pending:
    """A picture whose crops wait for a batch."""

    image: Image
    boxes: NDArray[np.float64]
    matrices: NDArray[np.float64]
    source: str
