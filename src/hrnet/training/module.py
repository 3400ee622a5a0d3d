"""The training step, for PyTorch Lightning."""

from collections import defaultdict
from collections.abc import Callable

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
from hrnet.training.recipe import TrainingConfig
from hrnet.zoo.card import ModelCard

# From the picture to the head, as the network computes them; names of its attributes.
PARTS = (
    ("conv1", "bn1", "conv2", "bn2"),
    ("layer1", "transition1"),
    ("stage2", "transition2"),
    ("stage3", "transition3"),
    ("stage4",),
    ("head", "final_layer"),
)


def layer_depth(name: str) -> int:
    """How far from the head a parameter of `HighResolutionNet` is: 0, the head's own, to 5."""
    attribute = name.partition(".")[0]
    return next(depth for depth, part in enumerate(reversed(PARTS)) if attribute in part)


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
        """The recipe's optimiser, with rates that change at every step: a group of parameters for
        each that differs, which without `layer_decay` and `head_first_steps` are two."""
        config = self.config
        groups: defaultdict[tuple[float, int, bool], list[Tensor]] = defaultdict(list)
        for name, parameter in self.model.network.named_parameters():
            depth = layer_depth(name)
            rate = config.learning_rate * config.layer_decay**depth
            start = config.head_first_steps if depth else 0
            decays = parameter.ndim > 1  # all but batch norm's factors and biases
            groups[rate, start, decays].append(parameter)
        kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[config.optimizer]
        optimizer = kind(
            [
                {
                    "params": parameters,
                    "lr": rate,
                    "weight_decay": config.weight_decay if decays else 0.0,
                }
                for (rate, _, decays), parameters in groups.items()
            ],
            fused=True,  # one pass over the weights, on CPU and GPU alike
        )

        def factor(start: int) -> Callable[[int], float]:
            return lambda step: config.rate(step, self.steps, start=start)

        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, [factor(start) for _, start, _ in groups]
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }
