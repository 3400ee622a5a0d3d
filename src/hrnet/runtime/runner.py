"""A pose model ready to run: crops in, points out."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hrnet.runtime.session import Session
from hrnet.zoo import ModelCard, find_model


@dataclass(frozen=True)
class PoseRunner:
    """A loaded pose model, and the file that its weights came from (None for random ones)."""

    card: ModelCard
    weights: Path | None
    session: Session

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Crops (N, H, W, 3) uint8 RGB of the card's input size -> (N, K, 4) x, y in crop pixels,
        score and expected similarity, see `hrnet.model.PoseModel`."""
        (points,) = self.session(crops)
        return points


def load_runner(
    model: str | Path | None = None,
    *,
    weights: str | Path | None = "default",
    device: str = "auto",
    flip_test: bool = False,
) -> PoseRunner:
    """A model ready to run; `model` and `weights` as in `hrnet.create_model`.

    Raises:
        ConfigError: no such model or device.
        WeightsError: the weights are missing, broken, or do not fit.
        DownloadError: the weights cannot be fetched.
    """
    found = find_model(model)
    file, card = found.weights(weights), found.card
    if weights != "default":  # probabilities were fitted on the model's own
        card = card.model_copy(update={"calibration": None})
    # Here alone PyTorch is loaded, if the model is one for it.
    from hrnet.runtime.torch_session import TorchSession
    from hrnet.zoo.build import build_model

    pose_model = build_model(card, file, flip_test=flip_test)
    return PoseRunner(card, file, TorchSession(pose_model, device))
