"""A pose model ready to run: crops in, points out."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hrnet.errors import ConfigError, WeightsError
from hrnet.runtime.onnx_session import OnnxSession
from hrnet.runtime.session import Session
from hrnet.zoo import ModelCard, find_model
from hrnet.zoo.card import DETECTOR_KEY, FLIP_TEST_KEY, POSE_KEY, card_in
from hrnet.zoo.sources import named_file


@dataclass(frozen=True)
class PoseRunner:
    """A loaded pose model.

    Attributes:
        weights: the file that its weights came from; None for random ones.
        flip_test: whether it averages with the mirrored crop.
    """

    card: ModelCard
    weights: Path | None
    session: Session
    flip_test: bool

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
    """A model ready to run.

    Args:
        model: as in `hrnet.create_model`, or an ONNX file that `hrnet export` wrote, which runs
            without PyTorch.
        weights: as in `hrnet.create_model`; an exported file has its own.
        flip_test: an exported file has it or has not.

    Raises:
        ConfigError: no such model or device; or an exported file is to run in another way than it
            was exported for.
        WeightsError: the weights are missing, broken, or do not fit.
        DownloadError: the weights cannot be fetched.
    """
    exported = named_file(str(model), (".onnx",)) if str(model).endswith(".onnx") else None
    if exported is not None:
        return _exported(exported, weights, device, flip_test)
    found = find_model(model)
    file, card = found.weights(weights), found.card
    if weights != "default":  # probabilities were fitted on the model's own
        card = card.model_copy(update={"calibration": None})
    # Here alone PyTorch is loaded, if the model is one for it.
    from hrnet.runtime.torch_session import TorchSession
    from hrnet.zoo.build import build_model

    pose_model = build_model(card, file, flip_test=flip_test)
    return PoseRunner(card, file, TorchSession(pose_model, device), flip_test)


def _exported(file: Path, weights: str | Path | None, device: str, flip_test: bool) -> PoseRunner:
    session = OnnxSession(file)
    card = card_in(ModelCard, POSE_KEY, session.metadata, file)
    if card is None:
        what = "a detector" if DETECTOR_KEY in session.metadata else "no pose model of hrnet's"
        raise WeightsError(f"{file} is {what}; give a file that hrnet export wrote of a pose model")
    if weights != "default":
        raise ConfigError(f"{file} has its own weights; leave out others, or export those")
    if device not in ("auto", "cpu"):
        raise ConfigError(f"{file} runs on the processor; leave out the device {device}")
    has_flip_test = session.metadata.get(FLIP_TEST_KEY) == "true"
    if flip_test and not has_flip_test:
        raise ConfigError(f"{file} was exported without the flip test; export it with --flip-test")
    return PoseRunner(card, file, session, has_flip_test)
