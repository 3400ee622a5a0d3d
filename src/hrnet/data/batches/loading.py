"""People as training and evaluation batches: crops, points in crop pixels, what is labelled.

Most of a sample's cost is the picture's decoding. An epoch therefore goes through the pictures in
random order, in chunks of several batches: a chunk is loaded at once, decoding each picture once
for all of its people there, who are then shuffled among the chunk's batches. The price is that
people of one picture meet in the same chunk, not anywhere in the epoch.
"""

import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from hrnet.data.batches.canvases import CanvasBatch
from hrnet.data.batches.pixels import change_tones, cut_crops, erase, lower_resolution
from hrnet.data.batches.plan import (
    Augmentation,
    CropPlan,
    plain_plan,
    random_numbers,
    random_plan,
)
from hrnet.data.people import Orient, People
from hrnet.errors import ImageError
from hrnet.geometry import transform_points
from hrnet.skeletons import Skeleton

CHUNK = 128  # samples a chunk, at least a batch: 19 MB at 256x192

Keys = NDArray[np.int64]


class Batch(NamedTuple):
    """N people.

    Attributes:
        crops: (N, H, W, 3) uint8 RGB.
        points: (N, K, 2) float32 x, y in crop pixels.
        visible: (N, K) bool, whether a joint is labelled and in the crop's part of the picture.
    """

    crops: Tensor
    points: Tensor
    visible: Tensor


Samples = TypeVar("Samples", Batch, CanvasBatch)


class CropDataset(Dataset[Batch]):
    """Crops of people, asked for many at a time by keys (N, 2) of draw and person, so that the
    random crop depends on seed, draw and person alone, however many workers there are.

    Args:
        sources: the people of each, numbered through, and how to draw their crops; None crops the
            padded box.
        skeleton: what their keypoints are.
        input_size: (width, height) of crops.
        padding: factor on the boxes.
        unbiased: UDP's crop convention, see `hrnet.geometry`.
        seed: of the random crops.
    """

    def __init__(
        self,
        sources: Sequence[tuple[People, Augmentation | None]],
        skeleton: Skeleton,
        input_size: tuple[int, int],
        *,
        padding: float = 1.25,
        unbiased: bool = False,
        seed: int = 0,
    ) -> None:
        people = [part for part, _ in sources]
        self.augmentations = [augmentation for _, augmentation in sources]
        self.source = np.repeat(np.arange(len(people)), [len(part) for part in people])
        self.boxes = np.concatenate([part.boxes for part in people]).astype(np.float64)
        self.keypoints = np.concatenate([part.keypoints for part in people])
        numbers: dict[tuple[Path, Orient], int] = {}
        self.pictures = np.array(
            [
                numbers.setdefault((file, part.orient), len(numbers))
                for part in people
                for file in part.files
            ]
        )  # of each person, a number
        self.files = list(numbers)
        self.skeleton = skeleton
        self.input_size = input_size
        self.padding = padding
        self.unbiased = unbiased
        self.seed = seed

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, keys: Keys) -> Batch:
        """Raises `ImageError` with the file's name for a picture that cannot be read."""
        draws, people = keys.T
        plan = self._plan(draws, people)
        keypoints = self.keypoints[people]
        visible = keypoints[..., 2] > 0
        x1y1, x2y2 = plan.kept[:, None, :2], plan.kept[:, None, 2:]
        visible &= ((keypoints[..., :2] >= x1y1) & (keypoints[..., :2] < x2y2)).all(axis=2)
        points = transform_points(plan.matrices, keypoints[..., :2]).astype(np.float32)
        points[plan.flips] = points[plan.flips][:, self.skeleton.flip_order]
        visible[plan.flips] = visible[plan.flips][:, self.skeleton.flip_order]
        crops, blank = self._cut(plan, people)
        erase(crops, blank, plan.erased)
        self._show_others(crops, blank, plan.behind)
        lower_resolution(crops, plan.shrinks)
        change_tones(crops, plan.tones)
        return Batch(*(torch.from_numpy(array) for array in (crops, points, visible)))

    def _plan(self, draws: Keys, people: Keys) -> CropPlan:
        plan = self._plain_plan(people)
        for source, augmentation in enumerate(self.augmentations):
            rows = np.flatnonzero(self.source[people] == source)
            if augmentation is None or len(rows) == 0:
                continue
            drawn = random_plan(
                random_numbers(self.seed, draws[rows], people[rows]),
                augmentation,
                self.boxes[people[rows]],
                self.keypoints[people[rows]],
                self.skeleton,
                self.input_size,
                padding=self.padding,
                unbiased=self.unbiased,
            )
            for whole, part in zip(plan, drawn, strict=True):
                whole[rows] = part
        return plan

    def _plain_plan(self, people: Keys) -> CropPlan:
        return plain_plan(
            self.boxes[people], self.input_size, padding=self.padding, unbiased=self.unbiased
        )

    def _cut(self, plan: CropPlan, people: Keys) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """The plan's crops, and where they are blank. What is evaluated has to equal prediction,
        and is cut from the whole picture."""
        pictures = [self.files[picture] for picture in self.pictures[people]]
        is_random = np.array([a is not None for a in self.augmentations])[self.source[people]]
        return cut_crops(plan, pictures, self.input_size, reducible=is_random)

    def _show_others(
        self, crops: NDArray[np.uint8], blank: NDArray[np.bool_], behind: NDArray[np.float64]
    ) -> None:
        """Fill what is blank (N, H, W) with the crops of others, where that was drawn."""
        rows = np.flatnonzero((behind >= 0) & blank.any(axis=(1, 2)))
        if len(rows) == 0:
            return
        others = (behind[rows] * len(self)).astype(np.int64)
        shown, _ = self._cut(self._plain_plan(others), others)
        crops[rows] = np.where(blank[rows, ..., None], shown, crops[rows])


class ChunkSampler(Sampler[Keys]):
    """Keys of a `CropDataset` in chunks, without end: epoch after epoch, each in an order of its
    own that depends on seed, epoch and batch size alone.

    Where several processes train together, each takes its part of every batch of all of them.

    Args:
        pictures: (P,) number of each person's picture.
        repeats: (P,) how often an epoch takes each person; every time is another draw.
        batch_size: of all processes together; a chunk is a multiple of it.
        seed: of the order.
        start: samples to pass over, to go on where an earlier run stopped; whole batches.
        process: which of the `processes` takes its part.
    """

    def __init__(
        self,
        pictures: Keys,
        repeats: Keys,
        batch_size: int,
        *,
        seed: int,
        start: int = 0,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        person = np.repeat(np.arange(len(pictures)), repeats)
        draw = np.concatenate([np.arange(repeat) for repeat in repeats])
        self.keys = np.stack([draw, person], axis=1)
        self.draws_per_epoch = int(repeats.max())
        # What stays together: people of one picture in the same draw.
        self.groups = draw * (pictures.max() + 1) + pictures[person]
        self.chunk_size = batch_size * max(1, CHUNK // batch_size)
        self.seed = seed
        self.start = start
        self.process = process
        self.parts = processes, batch_size // processes

    def __iter__(self) -> Iterator[Keys]:
        chunk, skip = divmod(self.start, self.chunk_size)
        epoch, offset = divmod(chunk * self.chunk_size, len(self.keys))
        order = self._order(epoch)
        while True:
            parts: list[Keys] = []  # one of each epoch, so that epochs do not mix
            missing = self.chunk_size
            while missing:
                part = order[offset : offset + missing]
                parts.append(np.random.default_rng((self.seed, epoch, 1 + chunk)).permutation(part))
                missing -= len(part)
                offset += len(part)
                if offset == len(order):
                    epoch, offset = epoch + 1, 0
                    order = self._order(epoch)
            batches = np.concatenate(parts)[skip:].reshape(-1, *self.parts, 2)
            yield batches[:, self.process].reshape(-1, 2)
            chunk, skip = chunk + 1, 0

    def _order(self, epoch: int) -> Keys:
        rng = np.random.default_rng((self.seed, epoch, 0))
        rank = rng.permutation(self.groups.max() + 1)[self.groups]
        order = self.keys[np.argsort(rank, kind="stable")]
        return order + np.array([epoch * self.draws_per_epoch, 0])


class TrainingBatches(Generic[Samples]):
    """Batches of a data set, loaded in chunks by `workers` processes, or by this one.

    Iterating raises ImageError for a picture that cannot be read, with its file's name.
    """

    def __init__(
        self, dataset: Dataset[Samples], chunks: Iterable[Keys], batch_size: int, workers: int = 0
    ) -> None:
        self.batch_size = batch_size
        self.chunks: DataLoader[Samples | ImageError] = DataLoader(
            _ErrorsReturned[Samples](dataset),
            sampler=chunks,
            batch_size=None,
            num_workers=workers,
            worker_init_fn=_start_worker,
        )

    def __iter__(self) -> Iterator[Samples]:
        for chunk in self.chunks:
            if isinstance(chunk, ImageError):
                raise chunk
            for start in range(0, len(chunk[0]), self.batch_size):
                yield type(chunk)(*(tensor[start : start + self.batch_size] for tensor in chunk))


class _ErrorsReturned(Dataset[Samples | ImageError]):
    """Errors as values: one raised in a worker would come with the worker's traceback as text."""

    def __init__(self, dataset: Dataset[Samples]) -> None:
        self.dataset: Dataset[Samples] = dataset

    def __getitem__(self, keys: Keys) -> Samples | ImageError:
        try:
            return self.dataset[keys]
        except ImageError as error:
            return error


def _start_worker(worker: int) -> None:
    # Not 1, which waits for OpenCV's other threads to end: a forked process does not have them.
    cv2.setNumThreads(0)
    # Sent to all, as SLURM does, it is the training process's to report; PyTorch would call it an
    # error of the worker.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
