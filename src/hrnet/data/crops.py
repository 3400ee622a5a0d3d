"""People as training and evaluation samples: crops, points in crop pixels, what is labelled."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from hrnet.data.augmentation import Augmentation, Crop, random_crop
from hrnet.data.people import People
from hrnet.geometry import crop_matrices, crop_regions, transform_points, warp
from hrnet.images import read_image
from hrnet.skeletons import Skeleton


class Sample(NamedTuple):
    """One person.

    Attributes:
        crop: (H, W, 3) uint8 RGB.
        points: (K, 2) float32 x, y in crop pixels.
        visible: (K,) bool, whether a joint is labelled and in the crop's part of the picture.
    """

    crop: NDArray[np.uint8]
    points: NDArray[np.float32]
    visible: NDArray[np.bool_]


class Batch(NamedTuple):
    """N people: the tensors (N, ...) of as many samples."""

    crops: Tensor
    points: Tensor
    visible: Tensor


class CropDataset(Dataset[Sample]):
    """Crops of people. Items are asked for by (draw, index), so that the random crop depends on
    seed, draw and index alone, however many workers there are.

    Args:
        people: whom to crop.
        skeleton: what their keypoints are.
        input_size: (width, height) of crops.
        augmentation: None crops the padded box.
        unbiased: UDP's crop convention, see `hrnet.geometry`.
    """

    def __init__(
        self,
        people: People,
        skeleton: Skeleton,
        input_size: tuple[int, int],
        *,
        augmentation: Augmentation | None = None,
        padding: float = 1.25,
        unbiased: bool = False,
        seed: int = 0,
    ) -> None:
        self.people = people
        self.skeleton = skeleton
        self.input_size = input_size
        self.augmentation = augmentation
        self.padding = padding
        self.unbiased = unbiased
        self.seed = seed

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        draw, index = key
        image = read_image(self.people.files[index], orient=False)
        keypoints = self.people.keypoints[index]
        crop = self._crop(np.random.default_rng((self.seed, draw, index)), index)
        visible = keypoints[:, 2] > 0
        matrix = crop.matrix
        if crop.kept is not None:
            x1, y1, x2, y2 = crop.kept
            image = image[y1:y2, x1:x2]
            visible &= (keypoints[:, :2] >= (x1, y1)).all(1) & (keypoints[:, :2] < (x2, y2)).all(1)
            # The same map, from coordinates that start at the kept part's corner.
            matrix = matrix.copy()
            matrix[:, 2] += matrix[:, :2] @ (x1, y1)
        points = transform_points(crop.matrix, keypoints[:, :2]).astype(np.float32)
        if crop.flip:
            points, visible = points[self.skeleton.flip_order], visible[self.skeleton.flip_order]
        return Sample(warp(image, matrix, self.input_size), points, visible)

    def _crop(self, rng: np.random.Generator, index: int) -> Crop:
        box = self.people.boxes[index]
        if self.augmentation is not None:
            return random_crop(
                rng,
                self.augmentation,
                box,
                self.people.keypoints[index],
                self.skeleton,
                self.input_size,
                padding=self.padding,
                unbiased=self.unbiased,
            )
        centers, sizes = crop_regions(box, self.input_size, self.padding)
        matrix = crop_matrices(centers, sizes, self.input_size, unbiased=self.unbiased)[0]
        return Crop(matrix, flip=False, kept=None)


class Mixture(Dataset[Any]):
    """Several data sets as one; items are asked for by (data set, draw, index)."""

    def __init__(self, datasets: Sequence[CropDataset]) -> None:
        self.datasets = datasets

    def __getitem__(self, key: tuple[int, int, int]) -> Sample:
        dataset, draw, index = key
        return self.datasets[dataset][draw, index]


class EndlessSampler(Sampler[tuple[int, int, int]]):
    """Keys of a `Mixture`, without end: epoch after epoch, each in an order of its own that
    depends on seed and epoch alone.

    Args:
        sizes: people in each data set.
        repeats: how often an epoch takes each person of each data set; every time is another draw.
        seed: of the order.
        start: samples to pass over, to go on where an earlier run stopped.
    """

    def __init__(
        self, sizes: Sequence[int], repeats: Sequence[int], seed: int, start: int = 0
    ) -> None:
        self.keys = np.array(
            [
                (dataset, draw, index)
                for dataset, (size, repeat) in enumerate(zip(sizes, repeats, strict=True))
                for draw in range(repeat)
                for index in range(size)
            ]
        )
        self.draws_per_epoch = max(repeats)
        self.seed = seed
        self.start = start

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        epoch, skip = divmod(self.start, len(self.keys))
        while True:
            order = np.random.default_rng((self.seed, epoch)).permutation(len(self.keys))
            for dataset, draw, index in self.keys[order[skip:]].tolist():
                yield dataset, epoch * self.draws_per_epoch + draw, index
            epoch, skip = epoch + 1, 0


def collate(samples: Sequence[Sample]) -> Batch:
    """A batch of samples."""
    crops, points, visible = (
        torch.from_numpy(np.stack(field)) for field in zip(*samples, strict=True)
    )
    return Batch(crops, points, visible)
