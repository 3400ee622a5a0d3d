"""A training run: from a recipe to a weights file."""

import json
import logging
import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from torch.utils.data import DataLoader

from hrnet.data import read_people
from hrnet.data.augmentation import Augmentation
from hrnet.data.crops import Batch, ChunkSampler, CropDataset, TrainingBatches
from hrnet.data.people import People
from hrnet.errors import ConfigError, DataError
from hrnet.files import atomic_write
from hrnet.training.module import PoseTraining
from hrnet.training.recipe import RECIPES, DataSource, Recipe
from hrnet.zoo import find_weights
from hrnet.zoo.loading import load_weights
from hrnet.zoo.weights import build_model, save_model


def train(recipe: Recipe, out: str | Path, *, resume: bool = False) -> Path:
    """Train as the recipe says.

    Args:
        out: folder for checkpoints, the log (`log/from_step_0/metrics.csv`), the resolved recipe
            (`recipe.json`) and the weights.
        resume: go on from the last checkpoint in `out`.

    Returns:
        The weights file: float16 safetensors that carry the model card.

    Raises:
        ConfigError: there is nothing to resume.
        DataError: annotation files that are missing or do not fit the model's skeleton.
    """
    out = Path(out)
    config, card = recipe.training, recipe.model
    checkpoint = out / "checkpoints" / "last.ckpt"
    if resume and not checkpoint.is_file():
        raise ConfigError(f"there is no checkpoint {checkpoint} to resume from")
    training, held_out = _people(recipe)

    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # no tips and adverts
    pl.seed_everything(config.seed, verbose=False)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    model = build_model(card)
    if config.start_from is not None:
        load_weights(model.network, find_weights(config.start_from), head=config.start_head)
    model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # not in the stubs
    samples_per_step = config.batch_size * config.accumulate
    steps = config.steps or math.ceil(
        (config.epochs or 1) * _epoch_size(recipe, training) / samples_per_step
    )
    module = PoseTraining(model, card, config, steps)

    out.mkdir(parents=True, exist_ok=True)
    with atomic_write(out / "recipe.json") as temporary:
        temporary.write_text(recipe.model_dump_json(by_alias=True, indent=1), encoding="utf-8")
    done = _steps_done(checkpoint) if resume else 0
    trainer = pl.Trainer(
        max_steps=steps,
        accumulate_grad_batches=config.accumulate,
        precision=config.precision,
        val_check_interval=config.validate_every * config.accumulate,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=20,
        logger=CSVLogger(out, name="log", version=f"from_step_{done}"),
        enable_model_summary=False,
        callbacks=_callbacks(recipe, checkpoint.parent, best=bool(held_out)),
    )
    trainer.fit(
        module,
        _training_batches(recipe, training, start=done * samples_per_step),
        _held_out_loader(recipe, held_out) if held_out else None,
        ckpt_path=str(checkpoint) if resume else None,
        weights_only=True,
    )
    weights = out / f"{card.name}.safetensors"
    save_model(model.network, card, weights)
    return weights


def _callbacks(recipe: Recipe, folder: Path, *, best: bool) -> list[pl.Callback]:
    """Checkpoints last.ckpt, by the clock, and best.ckpt, of the best measurement; the average."""
    config = recipe.training
    callbacks: list[pl.Callback] = [
        _StepCheckpoint(
            dirpath=folder,
            filename="last",
            train_time_interval=timedelta(minutes=config.checkpoint_minutes),
            enable_version_counter=False,
        )
    ]
    if best:
        callbacks.append(
            ModelCheckpoint(
                dirpath=folder,
                filename="best",
                monitor="pck",
                mode="max",
                enable_version_counter=False,
            )
        )
    if config.ema is not None:
        callbacks.append(EMAWeightAveraging(decay=config.ema))
    return callbacks


class _StepCheckpoint(ModelCheckpoint):
    """Not between the batches of a step, whose gradients a checkpoint does not hold."""

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if (args[-1] + 1) % trainer.accumulate_grad_batches == 0:
            super().on_train_batch_end(trainer, *args)


def _epoch_size(recipe: Recipe, people: list[People]) -> int:
    sources = recipe.data.sources
    return sum(source.repeat * len(part) for source, part in zip(sources, people, strict=True))


def _people(recipe: Recipe) -> tuple[list[People], list[People]]:
    """Each source's people: those to train on, those to measure on."""

    def read(source: DataSource) -> People:
        file = Path(recipe.data.root, source.file)
        return read_people(file, recipe.model.skeleton, source.images, cleaning=source.cleaning)

    held_out_ids: dict[str, list[int]] = {}
    if recipe.data.held_out is not None:
        held_out_ids = json.loads((RECIPES / recipe.data.held_out).read_text())
    training, measured = [], [read(source) for source in recipe.data.validation]
    for source in recipe.data.sources:
        people = read(source)
        held = np.isin(people.annotation_ids, held_out_ids.get(source.file, []))
        training.append(people.select(~held))
        if held.any():
            measured.append(people.select(held))
    if not any(map(len, training)):
        files = ", ".join(source.file for source in recipe.data.sources)
        raise DataError(f"there are no people with labelled keypoints to train on in {files}")
    return training, [people for people in measured if len(people)]


def _training_batches(recipe: Recipe, people: list[People], start: int) -> TrainingBatches:
    sources = recipe.data.sources
    augmentations = [
        Augmentation(**recipe.augmentation.model_dump(), truncation=source.truncation)
        for source in sources
    ]
    dataset = _dataset(recipe, list(zip(people, augmentations, strict=True)))
    sampler = ChunkSampler(
        dataset.pictures,
        np.repeat([source.repeat for source in sources], [len(part) for part in people]),
        recipe.training.batch_size,
        seed=recipe.training.seed,
        start=start,
    )
    return TrainingBatches(dataset, sampler, recipe.training.batch_size, recipe.data.workers)


def _held_out_loader(recipe: Recipe, people: list[People]) -> DataLoader[Batch]:
    dataset = _dataset(recipe, [(part, None) for part in people])
    keys = np.stack([np.zeros(len(dataset), np.int64), np.arange(len(dataset))], axis=1)
    size = recipe.training.batch_size
    return DataLoader(
        dataset,
        sampler=[keys[start : start + size] for start in range(0, len(keys), size)],
        batch_size=None,
    )


def _dataset(recipe: Recipe, sources: list[tuple[People, Augmentation | None]]) -> CropDataset:
    return CropDataset(
        sources,
        recipe.model.skeleton,
        recipe.model.input_size,
        padding=recipe.model.padding,
        unbiased=recipe.model.unbiased,
        seed=recipe.training.seed,
    )


def _steps_done(checkpoint: Path) -> int:
    return int(torch.load(checkpoint, map_location="cpu", weights_only=True)["global_step"])
