"""Training person detectors."""

import math
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from hrnet.data.batches.canvases import CanvasBatch, CanvasDataset, padded
from hrnet.data.batches.loading import ChunkSampler, TrainingBatches
from hrnet.data.boxed_pictures import BoxedPictures, add_others, read_boxed_pictures
from hrnet.detection.card import DetectorCard, read_detector_card
from hrnet.detection.find import detector_file, find_detector, list_detectors
from hrnet.detection.hrnet_detector import fitted
from hrnet.detection_model import (
    STRIDE,
    DetectionModel,
    DetectionNet,
    detection_targets,
    load_detection_weights,
)
from hrnet.drawing import contact_sheet
from hrnet.errors import DataError
from hrnet.evaluation.detecting import box_figures
from hrnet.evaluation.evaluate import Evaluation
from hrnet.files import atomic_write
from hrnet.images import read_image
from hrnet.network import HighResolutionNet
from hrnet.runtime.execution import Execution
from hrnet.training.callbacks import keep_sheet
from hrnet.training.detection_losses import box_loss, center_loss
from hrnet.training.distributed import gather_arrays, mean_over_processes
from hrnet.training.optimising import optimizers
from hrnet.training.recipe import BoxedSource, DetectorRecipe, RunConfig
from hrnet.training.sources import are_among, check_sources, held_out_pictures
from hrnet.training.task import Task, shares
from hrnet.zoo.build import save_weights
from hrnet.zoo.card import DETECTOR_KEY
from hrnet.zoo.find import find_weights
from hrnet.zoo.loading import load_weights

Boxes = NDArray[np.float64]
DRAWN = 12  # pictures on a sheet
GREEN, WHITE = (0, 255, 0), (255, 255, 255)
UNSURE = 0.2  # the score from where a detector's box may be somebody


class DetectionTask(Task):
    """See `Task`.

    Args:
        out: the run's folder, where the boxes of sources' `others` are kept.

    Raises:
        ConfigError: the recipe names no data, or no such detector.
        DataError, ImageError: files are missing or broken, or no people are left.
    """

    measure = "box_ap50"
    measure_in_words = "box AP50"

    def __init__(self, recipe: DetectorRecipe, out: Path) -> None:
        self.recipe = recipe
        self.counts: dict[str, Any] = {}
        check_sources(recipe.data)
        held_out = held_out_pictures(recipe.data)
        self.training: list[BoxedPictures] = []
        self.measured = [self._read(source, out)[1] for source in recipe.data.validation]
        for source in recipe.data.sources:
            learnt, measured = self._read(source, out)
            held = are_among(learnt.files, held_out)
            self.training.append(learnt.select(~held))
            self.measured.append(measured.select(held))
        self.trained_on, self.measured_on = (
            sum(len(boxes) for part in parts for boxes in part.boxes)
            for parts in (self.training, self.measured)
        )
        if self.trained_on == 0:
            files = ", ".join(source.file for source in recipe.data.sources)
            raise DataError(f"there are no people with boxes to train on in {files}")
        repeats = (source.repeat for source in recipe.data.sources)
        self.epoch_size = sum(n * len(p) for n, p in zip(repeats, self.training, strict=True))

    def _read(self, source: BoxedSource, out: Path) -> tuple[BoxedPictures, BoxedPictures]:
        """To train on, and to measure on: there a detector's boxes are no labels, but ignored."""
        root = Path(self.recipe.data.root)
        pictures = read_boxed_pictures(
            root / source.file,
            None if source.images is None else root / source.images,
            orient=source.orient,
        )
        counts = self.counts[source.file] = pictures.counts()
        if source.others is None:
            return pictures, pictures
        found = _found(pictures, source.others, out / "others")
        learnt, counts["by_detector"] = add_others(pictures, found)
        return learnt, add_others(pictures, found, sure=math.inf)[0]

    def build(self) -> None:
        """See `Task`."""
        network = DetectionNet(**self.recipe.model.network.model_dump())
        self.network = network
        if (start := self.recipe.training.start_from) is not None:
            load_start(network, start, self.recipe.model)

    def module(self, steps: int) -> pl.LightningModule:
        """See `Task`."""
        assert isinstance(self.network, DetectionNet)
        return DetectionTraining(DetectionModel(self.network), self.recipe.training, steps)

    def batches(self, start: int, process: int, processes: int) -> TrainingBatches[CanvasBatch]:
        """See `Task`."""
        config = self.recipe.training
        dataset = CanvasDataset(self.training, self.recipe.augmentation, seed=config.seed)
        repeats = [source.repeat for source in self.recipe.data.sources]
        sampler = ChunkSampler(
            np.arange(len(dataset)),
            np.repeat(repeats, [len(part) for part in self.training]),
            config.batch_size * processes,
            seed=config.seed,
            start=start,
            process=process,
            processes=processes,
        )
        return TrainingBatches(dataset, sampler, config.batch_size, self.recipe.data.workers)

    def measured_batches(self, process: int, processes: int) -> DataLoader[CanvasBatch]:
        """See `Task`. The last batch may be smaller, or of no picture."""
        dataset = WholePictures(self.measured, self.recipe.model.input_size)
        size = self.recipe.training.batch_size
        batches = shares(np.arange(len(dataset)), size, process, processes)
        return DataLoader(dataset, sampler=batches, batch_size=None)

    def pictures(self, folder: Path) -> list[pl.Callback]:
        """See `Task`."""
        return [DetectionPictures(folder, self.recipe.model.threshold)]

    def save(self, file: Path) -> None:
        """See `Task`."""
        save_weights(self.network, {DETECTOR_KEY: self.recipe.model.to_json()}, file)

    def evaluate(self, weights: Path, device: str) -> dict[str, Evaluation]:
        """Nothing: a detector's figures are `hrnet evaluate --detector`'s, of a pose model too."""
        return {}


class DetectionTraining(pl.LightningModule):
    """Trains a `DetectionModel`'s network on canvases; targets are drawn on the device.

    Args:
        model: what is trained.
        config: how to train.
        steps: optimiser steps in all.
    """

    def __init__(self, model: DetectionModel, config: RunConfig, steps: int) -> None:
        super().__init__()
        self.model = model
        model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # not in the stubs
        self.config = config
        self.steps = steps
        self._found: list[NDArray[np.float64]] = []

    def training_step(self, batch: CanvasBatch, batch_index: int) -> Tensor:
        """The loss of one batch."""
        pictures, boxes, ignored = batch
        height, width = pictures.shape[1:3]
        targets = detection_targets(boxes, ignored, (height // STRIDE, width // STRIDE))
        images = self.model.normalise(pictures).contiguous(memory_format=torch.channels_last)
        outputs = self.model.network(images)
        people = (~boxes.isnan().any(dim=2)).sum().float()
        # Divided by what all processes have on average, as their gradients are averaged.
        of_centers = center_loss(outputs, targets) / mean_over_processes(people).clamp(min=1)
        weights = mean_over_processes(targets.weights.sum())
        of_boxes = box_loss(outputs, targets) / weights.clamp(min=1e-3)
        self.log("loss", of_centers + of_boxes, sync_dist=True)
        self.log("loss_boxes", of_boxes, sync_dist=True)
        self.log("rate", self.config.learning_rate * self.config.rate(self.global_step, self.steps))
        return of_centers + of_boxes

    def validation_step(self, batch: CanvasBatch, batch_index: int) -> Tensor:
        """Find people as in use: (N, P, 5) boxes in pixels of the canvas, and scores."""
        found: Tensor = self.model(batch.pictures)
        for kind, boxes in enumerate((found, batch.boxes, batch.ignored)):
            array = boxes.double().cpu().numpy()
            for number, own in enumerate(array):
                own = own[~np.isnan(own).any(axis=1)]
                own = np.pad(own, ((0, 0), (0, 5 - own.shape[1])))
                which = np.tile([batch_index, self.global_rank, number, kind], (len(own), 1))
                self._found.append(np.hstack([which, own]))
        return found

    def on_validation_epoch_end(self) -> None:
        """Log box AP50 of all that was found."""
        rows = gather_arrays(np.concatenate([np.empty((0, 9)), *self._found]))
        self._found.clear()
        _, picture = np.unique(rows[:, :3], axis=0, return_inverse=True)
        found, labelled, ignored = (
            {n: rows[(picture == n) & (rows[:, 3] == kind), 4:] for n in range(picture.max() + 1)}
            for kind in range(3)
        )
        annotations = [
            {"image_id": n, "bbox": [x1, y1, x2 - x1, y2 - y1]}
            for n, boxes in labelled.items()
            for x1, y1, x2, y2 in boxes[:, :4].tolist()
        ]
        figures = box_figures(annotations, found, ignored, threshold=0)
        self.log("box_ap50", 100 * figures["box AP50"], sync_dist=True)
        self.log("box_ap", 100 * figures["box AP"], sync_dist=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """See `hrnet.training.optimising`."""
        return optimizers(self.model.network, self.config, self.steps)


class WholePictures(Dataset[CanvasBatch]):
    """Whole pictures in the upper left of square canvases, black beside them.

    Args:
        size: of the canvases, and of the pictures' longer side.
    """

    def __init__(self, sources: Sequence[BoxedPictures], size: int) -> None:
        self.pictures = [
            (file, source.orient, boxes, ignored)
            for source in sources
            for file, boxes, ignored in zip(source.files, source.boxes, source.ignored, strict=True)
        ]
        self.size = size

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, numbers: NDArray[np.int64]) -> CanvasBatch:
        """Raises `ImageError` with the file's name for a picture that cannot be read."""
        canvases, boxes, ignored = [], [], []
        for number in numbers.tolist():
            file, orient, own, passed = self.pictures[number]
            canvas, scale = fitted(read_image(file, orient=orient == "exif"), self.size)
            square = np.zeros((self.size, self.size, 3), np.uint8)
            square[: canvas.shape[0], : canvas.shape[1]] = canvas
            canvases.append(square)
            boxes.append(own * np.tile(scale, 2))
            ignored.append(passed * np.tile(scale, 2))
        pictures = (
            np.stack(canvases) if canvases else np.zeros((0, self.size, self.size, 3), np.uint8)
        )
        return CanvasBatch(*map(torch.from_numpy, (pictures, padded(boxes), padded(ignored))))


class DetectionPictures(pl.Callback):
    """At each measurement a sheet of the first pictures, with what was found in green and what is
    labelled in white.

    Args:
        folder: for step_N.jpg.
        threshold: of the score.
    """

    def __init__(self, folder: Path, threshold: float) -> None:
        self.folder = folder
        self.threshold = threshold

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        outputs: Any,
        batch: CanvasBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw the first batch."""
        if batch_idx > 0 or not trainer.is_global_zero or len(batch.pictures) == 0:
            return
        pictures = batch.pictures[:DRAWN].cpu().numpy().copy()
        for picture, found, labelled in zip(
            pictures, outputs.cpu(), batch.boxes.cpu(), strict=False
        ):
            known = labelled[~labelled.isnan().any(dim=1)]
            for boxes, colour in ((known, WHITE), (found[found[:, 4] > self.threshold], GREEN)):
                for x1, y1, x2, y2 in boxes[:, :4].round().int().tolist():
                    cv2.rectangle(picture, (x1, y1), (x2, y2), colour)
        sheet = contact_sheet(list(pictures), [""] * len(pictures), columns=4)
        keep_sheet(trainer, sheet, self.folder, "found and labelled")


def load_start(network: DetectionNet, start: str, card: DetectorCard) -> None:
    """Load a detector's weights, or those of a pose model: all but the head, and the last exchange
    into the lower branches, for which it has none.

    Args:
        start: a name or a file.
        card: of the network.
    """
    file = detector_file(start) if start in list_detectors() else find_weights(start)
    if read_detector_card(file) is not None:
        load_detection_weights(network, file)
        return
    pose = HighResolutionNet(**card.network.model_dump())
    load_weights(pose, file, head="skip")
    known = {n: t for n, t in pose.state_dict().items() if not n.startswith("final_layer")}
    network.load_state_dict(known, strict=False)


def _found(pictures: BoxedPictures, detector: str, cache: Path) -> list[Boxes]:
    """Of each picture (D, 5) boxes of a detector, unsure ones as well; made once, so that a resumed
    run has the same at once: the file's name says of what, and by which detector."""
    names = "\n".join([detector, pictures.orient, *map(str, pictures.files)])
    file = cache / f"{sha256(names.encode()).hexdigest()[:16]}.npz"
    if not file.is_file():
        finder = find_detector(detector, Execution(precision="fp32"))
        finder.threshold = UNSURE
        rows = [
            finder([read_image(f, orient=pictures.orient == "exif")])[0] for f in pictures.files
        ]
        with atomic_write(file) as temporary, temporary.open("wb") as stream:
            np.savez(stream, boxes=np.concatenate(rows), counts=[len(row) for row in rows])
    with np.load(file, allow_pickle=False) as kept:
        return np.split(kept["boxes"], np.cumsum(kept["counts"])[:-1])
