"""PCK: the share of joints found within a fraction of a length of the person's own."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hrnet.errors import DataError
from hrnet.skeletons import Skeleton

# The five points of COCO's face are not labelled in most data sets that PCK is used on, and a
# fraction of the torso is too coarse for them.
FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")


@dataclass(frozen=True)
class PCK:
    """Result of `pck`.

    Attributes:
        mean: percentage of all counted joints that are right.
        per_joint: the same by joint name (NaN where none is labelled).
        people, joints: how many were counted.
    """

    mean: float
    per_joint: dict[str, float]
    people: int
    joints: int


def pck(
    predicted: ArrayLike, true: ArrayLike, skeleton: Skeleton, *, threshold: float = 0.2
) -> PCK:
    """PCK with the torso's length (Yang & Ramanan, TPAMI 2013; PCK@0.2 by default).

    A joint is right if it lies closer to its label than `threshold` times the distance between
    the skeleton's `torso` joints. Counted are labelled joints other than the face's, of people
    with both torso joints labelled.

    Args:
        predicted: (P, K, >= 2) x, y in pixels.
        true: (P, K, 3) x, y in the same pixels, and v > 0 where labelled.

    Raises:
        DataError: the skeleton has no torso.
    """
    predicted = np.asarray(predicted, dtype=np.float64)
    true = np.asarray(true, dtype=np.float64)
    if skeleton.torso is None:
        raise DataError(f"skeleton {skeleton.name} names no torso, which PCK is measured by")
    a, b = (skeleton.index(name) for name in skeleton.torso)
    labelled: NDArray[np.bool_] = true[..., 2] > 0
    torso = np.linalg.norm(true[:, a, :2] - true[:, b, :2], axis=-1)
    has_torso = labelled[:, a] & labelled[:, b] & (torso > 0)
    body = np.array([name not in FACE for name in skeleton.keypoints])
    counted = labelled & has_torso[:, None] & body
    distance = np.linalg.norm(predicted[..., :2] - true[..., :2], axis=-1)
    right = counted & (distance < threshold * torso[:, None])

    with np.errstate(invalid="ignore"):
        per_joint = 100 * right.sum(axis=0) / counted.sum(axis=0)
        mean = 100 * right.sum() / np.float64(counted.sum())
    return PCK(
        mean=float(mean),
        per_joint={
            name: float(value)
            for name, value, is_body in zip(skeleton.keypoints, per_joint, body, strict=True)
            if is_body
        },
        people=int(has_torso.sum()),
        joints=int(counted.sum()),
    )
