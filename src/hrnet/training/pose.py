"""Training pose models."""

from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.utils.data import DataLoader

from hrnet.data.batches.loading import Batch, ChunkSampler, CropDataset, TrainingBatches
from hrnet.data.batches.plan import Augmentation
from hrnet.data.people import People
from hrnet.errors import ConfigError
from hrnet.evaluation.evaluate import Evaluation, evaluate
from hrnet.evaluation.pck import box_pck, pck
from hrnet.model import PoseModel
from hrnet.runtime.torch_session import fold_batch_norms
from hrnet.training.callbacks import ValidationPictures
from hrnet.training.distributed import gather_arrays, mean_over_processes
from hrnet.training.losses import LOSSES, distilled
from hrnet.training.optimising import optimizers
from hrnet.training.recipe import Recipe, TrainingConfig, augmentation_of
from hrnet.training.sources import flip_tested, images_folder, read_recipe_people
from hrnet.training.start import load_start
from hrnet.training.task import Task, shares
from hrnet.zoo import find_model
from hrnet.zoo.build import build_model, create_model, save_model
from hrnet.zoo.card import ModelCard


class PoseTask(Task):
    """See `Task`.

    Args:
        out: the run's folder, where predictions for relabelling are kept.
        device: Lightning's name, for these predictions.

    Raises:
        ConfigError, DataError, ImageError: see `read_recipe_people`.
    """

    measure = "pck"
    measure_in_words = "PCK"

    def __init__(self, recipe: Recipe, out: Path, device: str) -> None:
        self.recipe = recipe
        self.people = read_recipe_people(recipe, out, device)
        self.counts = self.people.counts
        self.remarks = (recipe.model.skeleton.mirroring,)
        self.trained_on = sum(map(len, self.people.training))
        self.measured_on = sum(map(len, self.people.measured))
        self.epoch_size = self.people.epoch_size(recipe)

    def build(self) -> None:
        """See `Task`."""
        self.model = build_model(self.recipe.model)
        self.network = self.model.network
        load_start(self.model.network, self.recipe.model, self.recipe.training)
        self.teacher = teacher(self.recipe) if self.recipe.training.distillation else None

    def module(self, steps: int) -> pl.LightningModule:
        """See `Task`."""
        recipe = self.recipe
        return PoseTraining(self.model, recipe.model, recipe.training, steps, self.teacher)

    def batches(self, start: int, process: int, processes: int) -> TrainingBatches[Batch]:
        """See `Task`."""
        recipe, people = self.recipe, self.people.training
        sources = recipe.data.sources
        augmentations = [augmentation_of(recipe, source) for source in sources]
        dataset = self._dataset(list(zip(people, augmentations, strict=True)))
        sampler = ChunkSampler(
            dataset.pictures,
            np.repeat([source.repeat for source in sources], [len(part) for part in people]),
            recipe.training.batch_size * processes,
            seed=recipe.training.seed,
            start=start,
            process=process,
            processes=processes,
        )
        return TrainingBatches(dataset, sampler, recipe.training.batch_size, recipe.data.workers)

    def measured_batches(self, process: int, processes: int) -> DataLoader[Batch]:
        """See `Task`. The last batch may be smaller, or of nobody."""
        dataset = self._dataset([(part, None) for part in self.people.measured])
        keys = np.stack([np.zeros(len(dataset), np.int64), np.arange(len(dataset))], axis=1)
        batches = shares(keys, self.recipe.training.batch_size, process, processes)
        return DataLoader(dataset, sampler=batches, batch_size=None)

    def pictures(self, folder: Path) -> list[pl.Callback]:
        """See `Task`."""
        return [ValidationPictures(folder, self.recipe.model.skeleton)]

    def save(self, file: Path) -> None:
        """See `Task`."""
        save_model(self.network, self.recipe.model, file)

    def evaluate(self, weights: Path, device: str) -> dict[str, Evaluation]:
        """See `Task`: with true boxes and, if the skeleton mirrors, the flip test."""
        return evaluate_weights(self.recipe, weights, device)

    def _dataset(self, sources: list[tuple[People, Augmentation | None]]) -> CropDataset:
        card = self.recipe.model
        return CropDataset(
            sources,
            card.skeleton,
            card.input_size,
            padding=card.padding,
            unbiased=card.unbiased,
            seed=self.recipe.training.seed,
        )


def evaluate_weights(recipe: Recipe, weights: Path, device: str) -> dict[str, Evaluation]:
    """The weights on every validation file, see `Task.evaluate`."""
    if not recipe.data.validation:
        return {}
    estimator = flip_tested(recipe, weights, device)
    return {
        source.file: evaluate(
            estimator,
            Path(recipe.data.root, source.file),
            images=images_folder(recipe, source),
            protocol=source.protocol,
            orient=source.orient,
        )
        for source in recipe.data.validation
    }


def teacher(recipe: Recipe) -> PoseModel:
    """The model that a run starts from, to predict only, with the flip test if it mirrors.

    Raises:
        ConfigError: it is not known what the weights are of, or its heatmaps are not what the
            recipe's model is to learn.
        DownloadError, WeightsError: see `hrnet.zoo.build.create_model`.
    """
    start, own = recipe.training.start_from, recipe.model
    theirs = find_model(start).card
    for what, is_same in (
        ("keypoints", theirs.skeleton.keypoints == own.skeleton.keypoints),
        ("codec", theirs.codec.kind == own.codec.kind),
        ("output, which is to be logits", theirs.output == own.output == "logits"),
    ):
        if not is_same:
            raise ConfigError(
                f"the recipe's model cannot learn from {start}, which has another {what}; leave "
                "out training.distillation"
            )
    model = create_model(start, flip_test=own.skeleton.mirrors).requires_grad_(False)
    fold_batch_norms(model.network)  # a fifth faster
    model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # not in the stubs
    return model


class PoseTraining(pl.LightningModule):
    """Trains a `PoseModel`'s network on batches of people; targets are drawn on the device.

    Args:
        model: what is trained.
        card: what it is.
        config: how to train.
        steps: optimiser steps in all.
        teacher: what gives its share of the targets, where the recipe has distillation.
    """

    def __init__(
        self,
        model: PoseModel,
        card: ModelCard,
        config: TrainingConfig,
        steps: int,
        teacher: PoseModel | None = None,
    ) -> None:
        super().__init__()
        self.steps = steps
        self.model = model
        model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # not in the stubs
        self.skeleton = card.skeleton
        self.box_size = np.array(card.input_size) / card.padding
        self.config = config
        self.loss = LOSSES[config.loss]
        self._teacher = (teacher,)  # in a tuple it is no part of the module, nor of checkpoints
        self._predicted: list[Tensor] = []
        self._true: list[Tensor] = []

    def on_fit_start(self) -> None:
        """Put the teacher where the model is."""
        (teacher,) = self._teacher
        if teacher is not None:
            teacher.to(self.device)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The loss of one batch."""
        crops, points, visible = batch
        height, width = crops.shape[1:3]
        targets, weights = self.model.codec.encode(points, visible, (width, height))
        (teacher,) = self._teacher
        if teacher is not None:
            with torch.no_grad():
                seen = teacher.heatmaps(crops)
            targets = distilled(targets, seen, self.config.distillation)
        images = self.model.normalise(crops).contiguous(memory_format=torch.channels_last)
        total, count = self.loss(self.model.network(images), targets, weights)
        # Divided by what all processes have on average, as their gradients are averaged.
        loss = total / mean_over_processes(count).clamp(min=1e-3)
        self.log("loss", loss, sync_dist=True)
        self.log("rate", self.config.learning_rate * self.config.rate(self.global_step, self.steps))
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Predict as in use, with the crops given: (N, K, 3) of x and y in the crop, and score."""
        predicted = self.model(batch.crops)[..., :3]
        self._predicted.append(predicted.cpu())
        self._true.append(torch.cat([batch.points, batch.visible[..., None]], dim=-1).cpu())
        return predicted

    def on_validation_epoch_end(self) -> None:
        """Log PCK@0.2 of all that was predicted: by the torso, or where the skeleton names none,
        by the part of the crop that a box fills."""
        predicted = gather_arrays(torch.cat(self._predicted).numpy())
        true = gather_arrays(torch.cat(self._true).numpy())
        self._predicted.clear()
        self._true.clear()
        if self.skeleton.torso is not None:
            found = pck(predicted, true, self.skeleton)
        else:
            boxes = np.array([[0, 0, *self.box_size]]).repeat(len(true), axis=0)
            found = box_pck(predicted, true, boxes, self.skeleton)
        self.log("pck", found.mean, sync_dist=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """See `hrnet.training.optimising`."""
        return optimizers(self.model.network, self.config, self.steps)
