"""Whether joints' probabilities are true, and fitting a model's that they are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrnet.calibration import Calibration, Reliability, fit, reliability
from hrnet.data.people import People
from hrnet.errors import DataError
from hrnet.evaluation.predictions import NOBODY, Predictions
from hrnet.skeletons import Skeleton

FOLDS = 2


@dataclass(frozen=True)
class Judged:
    """The joints of those people for whom there is a prediction.

    Attributes:
        rows: (M,) position of each one's prediction.
        image_ids: (M,).
        found: (M, K) whether a joint is within the distance where its OKS term is 0.5.
        counted: (M, K) whether it has a label.
    """

    rows: NDArray[np.int64]
    image_ids: NDArray[np.int64]
    found: NDArray[np.bool_]
    counted: NDArray[np.bool_]


def judge(
    people: People, predictions: Predictions, matched: NDArray[np.int64], skeleton: Skeleton
) -> Judged:
    """Which joints were found.

    Args:
        matched: (P,) for each of the people the prediction that is theirs, or NOBODY.

    Raises:
        DataError: the skeleton has no sigmas.
    """
    if skeleton.sigmas is None:
        raise DataError(
            f"skeleton {skeleton.name} has no sigmas, which say how near is near enough"
        )
    have = matched != NOBODY
    rows = matched[have]
    true = people.keypoints[have]
    squared = ((predictions.keypoints[rows, :, :2] - true[..., :2]) ** 2).sum(axis=-1)
    variance = people.areas[have][:, None] * (2 * np.array(skeleton.sigmas)) ** 2
    return Judged(
        rows, people.image_ids[have], squared <= 2 * np.log(2) * variance, true[..., 2] > 0
    )


def measured_reliability(judged: Judged, probability: NDArray[np.float64]) -> Reliability:
    """Of predictions' probabilities (D, K), on the joints that have a label."""
    own = probability[judged.rows]
    return reliability(own[judged.counted], judged.found[judged.counted])


def calibrate(judged: Judged, evidence: NDArray[np.float64], fitted_on: str) -> Calibration:
    """Fitted on all.

    Args:
        evidence: (D, K, 4) of the predictions.

    Raises:
        DataError: all joints with a label were found, or none.
    """
    try:
        return fit(evidence[judged.rows], judged.found, judged.counted, fitted_on)
    except ValueError as error:
        raise DataError(f"cannot calibrate on {fitted_on}: {error}") from None


def cross_validated(judged: Judged, evidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities (D, K) of each half of the pictures by what was fitted on the other half; NaN
    for predictions that are nobody's.

    Raises:
        DataError: see `calibrate`.
    """
    probability = np.full(evidence.shape[:2], np.nan)
    pictures = np.unique(judged.image_ids)
    half = np.random.default_rng(0).permutation(len(pictures)) % FOLDS
    fold = half[np.searchsorted(pictures, judged.image_ids)]
    for number in range(FOLDS):
        others, own = fold != number, fold == number
        part = Judged(*(array[others] for array in vars(judged).values()))
        fitted = calibrate(part, evidence, "a half of the pictures")
        probability[judged.rows[own]] = fitted.probability(evidence[judged.rows[own]])
    return probability
