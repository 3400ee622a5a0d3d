"""Where a pose model runs. One interface: crops in, points out, both as arrays."""

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hrnet.zoo import load_model
from hrnet.zoo.card import ModelCard


class Runner(Protocol):
    """A loaded model, and the file that its weights came from (None for random ones)."""

    card: ModelCard
    weights: Path | None
    device: str

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Crops (N, H, W, 3) uint8 RGB of the card's input size -> (N, K, 3) x, y in crop pixels
        and score."""
        ...


def load_runner(
    model: str | Path | None = None,
    *,
    weights: str | Path | None = "default",
    device: str = "auto",
    flip_test: bool = False,
) -> Runner:
    """A model ready to run; `model` and `weights` as in `hrnet.create_model`.

    Raises:
        ConfigError: no such model or device.
        WeightsError: the weights are missing, broken, or do not fit.
        DownloadError: the weights cannot be fetched.
    """
    from hrnet.runtime.torch import TorchRunner

    pose_model, card, file = load_model(model, weights=weights, flip_test=flip_test)
    return TorchRunner(pose_model, card, file, device)
