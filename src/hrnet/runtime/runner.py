"""A pose model ready to run: crops in, points out."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hrnet.errors import ConfigError, WeightsError
from hrnet.runtime.execution import Execution
from hrnet.runtime.opening import open_file, open_model
from hrnet.runtime.session import Session
from hrnet.zoo import ModelCard, find_model
from hrnet.zoo.card import DETECTOR_KEY, FLIP_TEST_KEY, POSE_KEY, card_in
from hrnet.zoo.find import EXPORTED
from hrnet.zoo.sources import named_file

if TYPE_CHECKING:
    from hrnet.model import PoseModel


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

    @property
    def runs(self) -> str:
        """What it runs in, where, and in which precision: "openvino on cpu in bf16"."""
        return f"{self.session.provider} on {self.session.device} in {self.session.precision}"

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Crops (N, H, W, 3) uint8 RGB of the card's input size -> (N, K, 4) x, y in crop pixels,
        score and expected similarity, see `hrnet.model.PoseModel`."""
        (points,) = self.session(crops)
        return points


def load_runner(
    model: str | Path | None = None,
    *,
    weights: str | Path | None = "default",
    flip_test: bool = False,
    execution: Execution,
) -> PoseRunner:
    """A model ready to run.

    Args:
        model: as in `hrnet.create_model`, or a file that `hrnet export` wrote, which runs without
            PyTorch.
        weights: as in `hrnet.create_model`; an exported file has its own.
        flip_test: an exported file has it or has not.
        execution: where it is to run.

    Raises:
        ConfigError: no such model, device or runtime; or an exported file is to run in another way
            than it was exported for.
        WeightsError: the weights are missing, broken, or do not fit.
        DownloadError: the weights cannot be fetched.
    """
    exported = named_file(str(model), EXPORTED) if str(model).endswith(EXPORTED) else None
    if exported is not None:
        return _exported(exported, weights, flip_test, execution)
    found = find_model(model)
    file, card = found.weights(weights), found.card
    if weights != "default":  # probabilities were fitted on the model's own
        card = card.model_copy(update={"calibration": None})

    def make() -> "PoseModel":
        from hrnet.zoo.build import build_model

        return build_model(card, file, flip_test=flip_test)

    about = f"{card.to_json()} {flip_test}"
    session = open_model(make, card.input_size, file, about, execution)
    return PoseRunner(card, file, session, flip_test)


def _exported(
    file: Path, weights: str | Path | None, flip_test: bool, execution: Execution
) -> PoseRunner:
    session = open_file(file, execution)
    card = card_in(ModelCard, POSE_KEY, session.metadata, file)
    if card is None:
        what = "a detector" if DETECTOR_KEY in session.metadata else "no pose model of hrnet's"
        raise WeightsError(f"{file} is {what}; give a file that hrnet export wrote of a pose model")
    if weights != "default":
        raise ConfigError(f"{file} has its own weights; leave out others, or export those")
    has_flip_test = session.metadata.get(FLIP_TEST_KEY) == "true"
    if flip_test and not has_flip_test:
        raise ConfigError(f"{file} was exported without the flip test; export it with --flip-test")
    return PoseRunner(card, file, session, has_flip_test)
