"""Where a pose model runs. One interface: crops in, points out, both as arrays."""

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hrnet.zoo import create_model, find_card
from hrnet.zoo.card import ModelCard


class Runner(Protocol):
    """A loaded model."""

    card: ModelCard
    device: str

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Crops (N, H, W, 3) uint8 RGB of the card's input size -> (N, K, 3) x, y in crop pixels
        and score."""
        ...


def load_runner(
    model: str | Path | None = None, *, device: str = "auto", flip_test: bool = False
) -> Runner:
    """A model ready to run, by name, from a weights file, or (None) the one in the package.

    Raises:
        ConfigError: no such model or device.
        WeightsError: the weights are missing or broken.
    """
    from hrnet.runtime.torch import TorchRunner

    return TorchRunner(create_model(model, flip_test=flip_test), find_card(model), device)
