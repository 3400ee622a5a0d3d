"""Running a pose model in PyTorch."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hrnet.errors import ConfigError
from hrnet.model import PoseModel
from hrnet.zoo.card import ModelCard


class TorchRunner:
    """See `hrnet.runtime.Runner`.

    Args:
        weights: the file that the model's weights came from, or None.
        device: "auto" (CUDA, then Apple's MPS, then the CPU) or a name of PyTorch's.

    Raises:
        ConfigError: there is no such device here.
    """

    def __init__(
        self, model: PoseModel, card: ModelCard, weights: Path | None, device: str = "auto"
    ) -> None:
        self.card = card
        self.weights = weights
        self.device = _pick_device() if device == "auto" else device
        try:
            self.model = model.eval().to(self.device)
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # not in the stubs
            torch.zeros(1).to(self.device).cpu()  # "meta" takes a model, and gives nothing back
        except (RuntimeError, AssertionError, ImportError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(f"the model cannot run on device {device!r}: {reason}") from None

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `hrnet.runtime.Runner`."""
        with torch.inference_mode():
            points: NDArray[np.float32] = (
                self.model(torch.from_numpy(crops).to(self.device)).cpu().numpy()
            )
        return points


def _pick_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
