"""Cards of our own detectors: everything that a weights file alone does not say."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from hrnet.zoo.card import DETECTOR_KEY, Card, read_card_of

Float = NDArray[np.float64]
Shares = NDArray[np.floating]  # from 0 to 1
LEAST_HEIGHT = 0.05  # those fitted on are hardly smaller


class SecondLook(BaseModel):
    """How probable it is that a box is somebody's, from the detector's score, from how probable the
    joints are that a pose model finds there, and from its height: a logistic function, fitted with
    the packaged pose model on people of whom neither has learnt.

    Attributes:
        candidates: the detector's score from where a box is looked at again.
        threshold: of the probability.
        box, joints: weights of the logit of the score, and of the joints' mean probability.
        height: weight of the logarithm of the box's height, as a share of the picture's longer
            side. Whoever is smaller than `LEAST_HEIGHT` is as somebody of that height.
        constant: what is added.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    candidates: float = Field(gt=0, lt=1)
    threshold: float = Field(gt=0, lt=1)
    box: float
    joints: float
    height: float
    constant: float

    def probability(
        self, scores: Shares, joints: Shares, boxes: Float, longer: int | NDArray[np.int64]
    ) -> Float:
        """(P,), see `signs_of_somebody`."""
        weights = np.array([self.box, self.joints, self.height, self.constant])
        logit = signs_of_somebody(scores, joints, boxes, longer) @ weights
        return np.asarray(1 / (1 + np.exp(-logit)))


def signs_of_somebody(
    scores: Shares, joints: Shares, boxes: Float, longer: int | NDArray[np.int64]
) -> Float:
    """(P, 4) what `SecondLook` weighs, see there; the last is always 1.

    Args:
        scores: (P,) the boxes'.
        joints: (P, K) the joints' probabilities.
        boxes: (P, >= 4) x1, y1, x2, y2 in pixels.
        longer: side of the picture in pixels; (P,) where there are several pictures.
    """
    height = np.log(((boxes[:, 3] - boxes[:, 1]) / longer).clip(LEAST_HEIGHT, 1))
    return np.column_stack(
        [_logit(scores), _logit(joints.mean(axis=1)), height, np.ones(len(scores))]
    )


def _logit(share: Shares) -> Float:
    inside = share.astype(np.float64).clip(1e-4, 1 - 1e-4)
    return np.asarray(np.log(inside / (1 - inside)))


class DetectorCard(Card):
    """A person detector: architecture, input, what it takes for a person, and where it comes from.

    Attributes:
        input_size: the longer side of its input in pixels: pictures are brought to it.
        threshold: of the score, from which on somebody is there.
        second_look: for pose models that know how probable joints are; None for none.
        overlap: intersection over union above which the box with the lower score goes.
    """

    input_size: int = Field(default=384, ge=64, le=4096, multiple_of=32)
    threshold: float = Field(default=0.3, ge=0, le=1)
    overlap: float = Field(default=0.6, ge=0, le=1)
    second_look: SecondLook | None = None


def read_detector_card(file: Path) -> DetectorCard | None:
    """The card in a detector's weights file, see `hrnet.zoo.card.read_card_of`."""
    return read_card_of(DetectorCard, DETECTOR_KEY, file)
