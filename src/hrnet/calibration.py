"""From what a network says of a joint to how probable it is that the joint is there.

A heatmap's peak is no probability, and peaks of two networks do not compare. What does is the share
of joints like this one that are found. *Found* is what OKS calls half right: within the distance at
which the joint's term exp(-d^2 / (2 area (2 sigma)^2)) is 0.5, d = 2 sigma sqrt(2 ln 2 area), the
person's area in square pixels and the skeleton's sigmas. For a person of 100 x 200 pixels these are
6 pixels for an eye and 26 for a hip.

The probability is a logistic function of four pieces of evidence, with a constant for each joint
(Platt, *Probabilistic Outputs for Support Vector Machines*, 1999, with more than one input). Fitted
on labelled people, it keeps their number of found joints, whatever the network.

What was tried beside these, on the packaged model: whether the location is at the crop's border
tells nothing more. Peaks under LEAST_PEAK tell no more than it, where the similarity is known;
with their logarithm all along, or its square, probabilities are less true, or rise again where a
peak is next to nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from hrnet.similarity import AREA_OF_BOX

Float = NDArray[np.float64]

EVIDENCE = ("similarity", "peak", "size", "person")
LEAST_PEAK = 0.5
RIDGE = 1.0  # on standardised weights: as weak as one joint among thousands
LIMIT = 12.0  # of the logit


class Calibration(BaseModel):
    """A logistic function of a joint's `evidence`, in a model's card.

    Attributes:
        similarity, peak, size, person: weights of the evidence of that name.
        joints: (K,) constants.
        fitted_on: which people, in words.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    similarity: float = Field(allow_inf_nan=False)
    peak: float = Field(allow_inf_nan=False)
    size: float = Field(allow_inf_nan=False)
    person: float = Field(allow_inf_nan=False)
    joints: tuple[float, ...]
    fitted_on: str = ""

    @model_validator(mode="after")
    def _finite(self) -> "Calibration":
        if not np.isfinite(self.joints).all():
            raise ValueError("a joint's constant is not finite")
        return self

    def probability(self, evidence: Float) -> Float:
        """(P, K) from 0 to 1, of `evidence` (P, K, 4)."""
        weights = [getattr(self, name) for name in EVIDENCE]
        logit = evidence @ np.array(weights) + np.array(self.joints)
        return 1 / (1 + np.exp(-np.clip(logit, -LIMIT, LIMIT)))


def tolerances(sigmas: Sequence[float], padding: float) -> list[float]:
    """The spread that OKS allows each joint, 2 sigma times the root of the person's area, as a
    share of the root of the crop's area, for somebody whose box fills the crop but for its
    padding."""
    return [2 * sigma * AREA_OF_BOX**0.5 / padding for sigma in sigmas]


def evidence(points: NDArray[np.float32], box_shares: Float) -> Float:
    """What is known of each joint that tells whether it is found.

    Args:
        points: (P, K, 4) as a `PoseModel` gives them: x, y in crop pixels, score, similarity.
        box_shares: (P,) of the crop's area the part that the person's box covers.

    Returns:
        (P, K, 4): logit of the similarity; logarithm of the score, of LEAST_PEAK where it is lower;
        logarithm of the root of the box's share; and the mean of the person's logits.
    """
    share = points[..., 3].astype(np.float64).clip(1e-4, 1 - 1e-4)
    similarity = np.log(share / (1 - share))
    peak = np.log(points[..., 2].astype(np.float64).clip(LEAST_PEAK, 10))
    size = 0.5 * np.log(box_shares.clip(1e-4))[:, None]
    person = similarity.mean(axis=1, keepdims=True)
    return np.stack(np.broadcast_arrays(similarity, peak, size, person), axis=-1)


def fit(
    evidence: Float, found: NDArray[np.bool_], counted: NDArray[np.bool_], fitted_on: str = ""
) -> Calibration:
    """The calibration under which the joints that were found are likeliest.

    Newton's method, with a weak pull of all weights to zero, so that a joint that is always found
    has a constant, and one that nobody has the others' mean.

    Args:
        evidence: (P, K, 4).
        found: (P, K) which joints were found.
        counted: (P, K) which have a label.
        fitted_on: which people, in words.

    Raises:
        ValueError: all counted joints were found, or none.
    """
    joints = evidence.shape[1]
    shares = found[counted].mean() if counted.any() else 0.0
    if not 0 < shares < 1:
        raise ValueError("there must be joints that were found and joints that were not")
    inputs = evidence[counted]
    mean, deviation = inputs.mean(axis=0), inputs.std(axis=0) + 1e-6
    which = np.broadcast_to(np.arange(joints), counted.shape)[counted]
    columns = np.concatenate(
        [(inputs - mean) / deviation, np.ones((len(inputs), 1)), np.eye(joints)[which]], axis=1
    )
    target = found[counted].astype(np.float64)
    weights = np.zeros(columns.shape[1])
    pull = np.full(len(weights), RIDGE)
    pull[len(EVIDENCE)] = 0  # the joints' mean is free
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(columns @ weights, -LIMIT, LIMIT)))
        gradient = columns.T @ (p - target) + pull * weights
        curvature = (columns * (p * (1 - p))[:, None]).T @ columns + np.diag(pull + 1e-9)
        step = np.linalg.solve(curvature, gradient)
        weights -= step
        if np.abs(step).max() < 1e-8:
            break
    scaled = weights[: len(EVIDENCE)] / deviation
    constants = weights[len(EVIDENCE)] + weights[len(EVIDENCE) + 1 :] - scaled @ mean
    return Calibration(
        **dict(zip(EVIDENCE, np.round(scaled, 4).tolist(), strict=True)),
        joints=tuple(np.round(constants, 4).tolist()),
        fitted_on=fitted_on,
    )


class Reliability(NamedTuple):
    """How probabilities and what was found go together, by bins of equal width.

    Attributes:
        probability: (B,) mean of each bin; NaN where it is empty.
        found: (B,) share of its joints that were found; NaN likewise.
        counts: (B,) joints.
        error: expected calibration error: the mean over joints of their bin's distance between the
            two (Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017).
    """

    probability: Float
    found: Float
    counts: NDArray[np.int64]
    error: float


def reliability(probability: Float, found: NDArray[np.bool_], bins: int = 10) -> Reliability:
    """Of joints (N,) with their probability whether they were found."""
    which = np.minimum((probability * bins).astype(np.int64), bins - 1)
    counts = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(which, probability, bins) / counts
        share = np.bincount(which, found.astype(np.float64), bins) / counts
    apart = np.abs(mean - share)
    error = float(np.nansum(apart * counts) / max(1, counts.sum()))
    return Reliability(mean, share, counts, error)
