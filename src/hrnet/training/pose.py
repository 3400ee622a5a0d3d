"""Training pose models."""

import math
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import DataLoader

from hrnet.data.batches.loading import Batch, ChunkSampler, CropDataset, TrainingBatches
from hrnet.data.batches.plan import Augmentation
from hrnet.data.people import People
from hrnet.evaluation.evaluate import Evaluation, evaluate
from hrnet.training.callbacks import ValidationPictures
from hrnet.training.module import PoseTraining
from hrnet.training.recipe import Recipe, augmentation_of
from hrnet.training.sources import flip_tested, images_folder, read_recipe_people
from hrnet.training.start import load_start
from hrnet.training.task import Task
from hrnet.zoo.build import build_model, save_model


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

    def module(self, steps: int) -> pl.LightningModule:
        """See `Task`."""
        return PoseTraining(self.model, self.recipe.model, self.recipe.training, steps)

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
        count = math.ceil(math.ceil(len(keys) / processes) / self.recipe.training.batch_size)
        batches = np.array_split(keys[process::processes], count)
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
