"""What a run trains: all that differs between joints and boxes."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader

from hrnet.evaluation.evaluate import Evaluation


def shares(
    keys: NDArray[np.int64], batch_size: int, process: int, processes: int
) -> list[NDArray[np.int64]]:
    """A process's part of keys (N, ...) in batches of at most `batch_size`: every key is one
    process's, and all have as many batches, of which the last may be smaller, or empty."""
    most = math.ceil(len(keys) / processes)
    return np.array_split(keys[process::processes], math.ceil(most / batch_size))


class Task(ABC):
    """A network to train, the data, and what is measured.

    Attributes:
        measure: what is measured while training, in per cent: its name in the logs.
        measure_in_words: the same for people.
        network: what is trained, once it was built.
        counts: of each file, see `hrnet.data.people.in_words`.
        remarks: what else there is to say of the data.
        trained_on, measured_on: how many people.
        epoch_size: how many samples go by before everything was there.
    """

    measure: ClassVar[str]
    measure_in_words: ClassVar[str]
    network: nn.Module
    counts: dict[str, Any]
    remarks: tuple[str, ...] = ()
    trained_on: int
    measured_on: int
    epoch_size: int

    @abstractmethod
    def build(self) -> None:
        """Make the network, with the weights that the recipe starts from."""

    @abstractmethod
    def module(self, steps: int) -> pl.LightningModule:
        """What trains the network, as its `model.network`, in so many optimiser steps."""

    @abstractmethod
    def batches(self, start: int, process: int, processes: int) -> Iterable[Any]:
        """Batches to train on without end, after `start` samples of all processes together."""

    @abstractmethod
    def measured_batches(self, process: int, processes: int) -> DataLoader[Any]:
        """A process's part of those to measure on: everybody once, in one process or another; all
        have as many batches."""

    @abstractmethod
    def pictures(self, folder: Path) -> list[pl.Callback]:
        """What draws pictures at each measurement."""

    @abstractmethod
    def save(self, file: Path) -> None:
        """Write the network with its card."""

    @abstractmethod
    def evaluate(self, weights: Path, device: str) -> dict[str, Evaluation]:
        """Figures of a weights file on the recipe's validation files, by file; on a device by
        Lightning's name."""
