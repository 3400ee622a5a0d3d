"""What happens around a run: checkpoints, progress, pictures."""

import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from hrnet.data.batches.loading import Batch
from hrnet.drawing import contact_sheet, draw_poses
from hrnet.files import atomic_write
from hrnet.images import write_image
from hrnet.skeletons import Skeleton


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints that are whole at every moment. Lightning writes them into the system's folder
    for temporary files and moves them, which on another file system is a copy."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write beside, then rename."""
        with atomic_write(path) as temporary:
            torch.save(checkpoint, temporary)


class StepCheckpoint(ModelCheckpoint):
    """last.ckpt, by the clock: not between the batches of a step, whose gradients a checkpoint
    does not hold, and not just before a measurement, which a run resumed from it would leave out
    (unless every step is measured after).

    Args:
        folder: for last.ckpt.
        minutes: between two of them.
        validate_every: steps between measurements.
    """

    # Several processes have to agree on the time, and a GPU waits while they do. They begin with
    # the first step.
    STEPS_TO_AGREE = 10

    def __init__(self, folder: Path, minutes: float, validate_every: int) -> None:
        self.validate_every = validate_every
        super().__init__(
            dirpath=folder,
            filename="last",
            train_time_interval=timedelta(minutes=minutes),
            enable_version_counter=False,
        )

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """Save, where it is time to."""
        if (args[-1] + 1) % trainer.accumulate_grad_batches:
            return
        step = trainer.global_step
        if step % self.validate_every == 0 and self.validate_every > 1:
            return
        if trainer.world_size == 1 or step % self.STEPS_TO_AGREE == 1:
            super().on_train_batch_end(trainer, *args)


class RunProgress(pl.Callback):
    """On a terminal a bar with the time that is left; elsewhere a line a minute. What was measured
    is a line in either case.

    Args:
        steps: of the whole run.
        measure: what is measured, by its name in the logs,
        measure_in_words: and on the screen.
    """

    def __init__(self, steps: int, measure: str, measure_in_words: str) -> None:
        self.steps = steps
        self.measure = measure
        self.measure_in_words = measure_in_words
        self.best = -np.inf

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Open the bar."""
        console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
        self.bar = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.description}"),
            console=console,
            disable=not (trainer.is_global_zero and console.is_terminal),
            transient=True,
        )
        self.bar.start()
        self.task = self.bar.add_task("", total=self.steps, completed=trainer.global_step)
        self.started = self.said = time.monotonic()
        self.first = trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """Move the bar, or say how far it is."""
        now = time.monotonic()
        # Not at every step: to read the loss is to wait for the GPU.
        if not trainer.is_global_zero or now - self.said < (60 if self.bar.disable else 0.5):
            return
        self.said = now
        step = trainer.global_step
        loss = f"loss {trainer.callback_metrics['loss']:.4g}"
        self.bar.update(self.task, completed=step, description=loss)
        if self.bar.disable and step > self.first:
            pace = (now - self.started) / (step - self.first)
            left = timedelta(seconds=round((self.steps - step) * pace))
            self._say(f"step {step} of {self.steps}, {loss}, {pace:.2f} s a step, {left} left")

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Say what was measured."""
        value = float(trainer.callback_metrics[self.measure])
        self.best = max(self.best, value)
        if trainer.is_global_zero:
            measured = f"{self.measure_in_words} {value:.1f} (the best is {self.best:.1f})"
            self._say(f"step {trainer.global_step}: {measured}")

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Take the bar away."""
        self.bar.stop()

    def on_exception(
        self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Take the bar away."""
        if hasattr(self, "bar"):  # there is none before the first step
            self.bar.stop()

    def _say(self, line: str) -> None:
        self.bar.console.print(line)

    def state_dict(self) -> dict[str, Any]:
        """Kept in checkpoints."""
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The best before an interruption."""
        self.best = state["best"]


class ValidationPictures(pl.Callback):
    """At each measurement a sheet of the first people, as predicted and as labelled, side by side:
    a file in the log, and an image in TensorBoard.

    Args:
        folder: for step_N.jpg.
        skeleton: of the keypoints.
    """

    PEOPLE = 12

    def __init__(self, folder: Path, skeleton: Skeleton) -> None:
        self.folder = folder
        self.skeleton = skeleton

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        outputs: Tensor | Mapping[str, Any] | None,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw the first batch."""
        if batch_idx > 0 or not trainer.is_global_zero or not isinstance(outputs, Tensor):
            return
        predicted = outputs[: self.PEOPLE].float().cpu().numpy()
        crops, points, visible = (t[: self.PEOPLE].cpu().numpy() for t in batch)
        if len(crops) == 0:
            return
        sheet = prediction_sheet(crops, predicted, points, visible, self.skeleton)
        keep_sheet(trainer, sheet, self.folder, "predicted and labelled")


def keep_sheet(trainer: pl.Trainer, sheet: np.ndarray, folder: Path, title: str) -> None:
    """A sheet (H, W, 3) of a measurement as `folder`/step_N.jpg, and as an image in TensorBoard."""
    write_image(folder / f"step_{trainer.global_step}.jpg", sheet)
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(title, sheet, trainer.global_step, dataformats="HWC")


def prediction_sheet(
    crops: np.ndarray,
    predicted: np.ndarray,
    points: np.ndarray,
    visible: np.ndarray,
    skeleton: Skeleton,
) -> np.ndarray:
    """Each crop (N, H, W, 3) twice: with the joints predicted (N, K, 3), and as labelled (N, K, 2)
    where it is (N, K)."""
    pictures, captions = [], []
    for crop, found, point, seen in zip(crops, predicted, points, visible, strict=True):
        everything = np.ones((1, len(point)), np.float32)
        pictures.append(draw_poses(crop, found[None, :, :2], everything, skeleton))
        pictures.append(draw_poses(crop, point[None], seen[None].astype(np.float32), skeleton))
        captions += ["predicted", "labelled"]
    return contact_sheet(pictures, captions, columns=6)
