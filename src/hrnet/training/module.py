"""A pose model's training step, for PyTorch Lightning."""

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor

from hrnet.data.batches.loading import Batch
from hrnet.evaluation.pck import box_pck, pck
from hrnet.model import PoseModel
from hrnet.training.distributed import gather_arrays, mean_over_processes
from hrnet.training.losses import LOSSES
from hrnet.training.optimising import optimizers
from hrnet.training.recipe import TrainingConfig
from hrnet.zoo.card import ModelCard


class PoseTraining(pl.LightningModule):
    """Trains a `PoseModel`'s network on batches of people; targets are drawn on the device.

    Args:
        model: what is trained.
        card: what it is.
        config: how to train.
        steps: optimiser steps in all.
    """

    def __init__(
        self, model: PoseModel, card: ModelCard, config: TrainingConfig, steps: int
    ) -> None:
        super().__init__()
        self.steps = steps
        self.model = model
        model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # not in the stubs
        self.skeleton = card.skeleton
        self.box_size = np.array(card.input_size) / card.padding
        self.config = config
        self.loss = LOSSES[config.loss]
        self._predicted: list[Tensor] = []
        self._true: list[Tensor] = []

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The loss of one batch."""
        crops, points, visible = batch
        height, width = crops.shape[1:3]
        targets, weights = self.model.codec.encode(points, visible, (width, height))
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
