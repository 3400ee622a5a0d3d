"""PCK: the share of joints found within a fraction of a length of the person's own; its area."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hrnet.data.coco import Protocol
from hrnet.errors import DataError
from hrnet.evaluation.distances import (
    box_sides,
    checked_keypoints,
    distance_between,
    normalised_distances,
)
from hrnet.evaluation.figures import JointFigures
from hrnet.skeletons import Skeleton, load_skeleton

Float = NDArray[np.float64]

# The five points of COCO's face are not labelled in most data sets that PCK is used on, and a
# fraction of the torso is too coarse for them.
FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")

# 0, 0.01, ..., 0.5: MPII's, and those of every curve here. Not rounded, as in the official code.
THRESHOLDS = np.arange(0, 0.5 + 0.01, 0.01)

# The rows of MPII's table, and the joints that are not in it.
MPII_PARTS = {
    "Head": ("head_top",),
    "Shoulder": ("left_shoulder", "right_shoulder"),
    "Elbow": ("left_elbow", "right_elbow"),
    "Wrist": ("left_wrist", "right_wrist"),
    "Hip": ("left_hip", "right_hip"),
    "Knee": ("left_knee", "right_knee"),
    "Ankle": ("left_ankle", "right_ankle"),
}
MPII_LEFT_OUT = ("pelvis", "thorax")


@dataclass(frozen=True)
class PCK(JointFigures):
    """Figures that say which share of joints is near enough.

    Attributes:
        thresholds: distances in the unit of the protocol.
        curve: the headline at each of them; of `auc`, the shares of which the headline is the mean.
    """

    thresholds: tuple[float, ...]
    curve: tuple[float, ...]


def pck(
    predicted: ArrayLike, true: ArrayLike, skeleton: Skeleton, *, threshold: float = 0.2
) -> PCK:
    """PCK with the torso's length (Yang & Ramanan, TPAMI 2013; PCK@0.2 by default), in per cent.

    A joint is right if it lies closer to its label than `threshold` times the distance between
    the skeleton's `torso` joints. Counted are labelled joints other than the face's, of people
    with both torso joints labelled; the headline is the share of all of them.

    Args:
        predicted: (P, K, 2 or 3) x, y in pixels.
        true: (P, K, 3) x, y in the same pixels, and v > 0 where labelled.

    Raises:
        DataError: the skeleton has no torso, or the arrays do not fit each other or it.
    """
    if skeleton.torso is None:
        raise DataError(f"skeleton {skeleton.name} names no torso, which PCK is measured by")
    predicted, true = checked_keypoints(predicted, true, skeleton)
    a, b = (skeleton.index(name) for name in skeleton.torso)
    torso = distance_between(true, a, b)
    distances = normalised_distances(predicted, true, torso, skeleton)
    distances, names = _without(distances, skeleton, FACE)
    return _share(
        {f"PCK@{threshold:g}": _pooled(distances < threshold, distances)},
        per_joint=_per_joint(distances < threshold, distances),
        curve=[_pooled(distances < t, distances) for t in THRESHOLDS],
        distances=distances,
        names=names,
        protocol=f"per cent of joints, but the face's, closer than {threshold:g} of the torso "
        f"({' to '.join(skeleton.torso)})",
    )


def box_pck(
    predicted: ArrayLike,
    true: ArrayLike,
    boxes: ArrayLike,
    skeleton: Skeleton,
    *,
    threshold: float = 0.2,
) -> PCK:
    """PCK by the longer side of the box, as MMPose's PCKAccuracy, in per cent.

    A joint is right if it lies closer to its label than `threshold` times that length. The
    headline is the mean of the joints' shares, however often each is labelled.

    Args:
        predicted: (P, K, 2 or 3) x, y in pixels.
        true: (P, K, 3) x, y in the same pixels, and v > 0 where labelled.
        boxes: (P, 4) x1, y1, x2, y2 as annotated, without padding.
        skeleton: names of the joints.
        threshold: 0.2 is MMPose's for hands, 0.05 for animals.

    Raises:
        DataError: the arrays do not fit each other or the skeleton.
    """
    sides = box_sides(boxes).max(axis=1)
    name = f"PCK@{threshold:g}"
    return _mean_of_joints(predicted, true, sides, skeleton, name, threshold, "box's longer side")


def head_pck(
    predicted: ArrayLike,
    true: ArrayLike,
    head_sizes: ArrayLike,
    skeleton: Skeleton,
    *,
    threshold: float = 0.5,
) -> PCK:
    """PCK by the size of the head, as MMPose's PCKAccuracy; for MPII see `mpii_pckh`.

    As `box_pck`, but for `head_sizes`: (P,) in pixels; people whose size is NaN are not counted.
    """
    name = f"PCKh@{threshold:g}"
    return _mean_of_joints(
        predicted, true, head_sizes, skeleton, name, threshold, "size of the head"
    )


def mpii_pckh(
    predicted: ArrayLike,
    true: ArrayLike,
    head_sizes: ArrayLike,
    *,
    protocol: Protocol = "official",
) -> PCK:
    """MPII's table of PCKh (Andriluka et al., CVPR 2014), in per cent.

    Means are of all labelled joints but pelvis and thorax. The two public programs differ where a
    distance is just the threshold, which the official one (`lib/dataset/mpii.py`) takes for right,
    and in what they print as PCKh@0.1: it is at 0.11 in the official one, at 0.1 in MMPose.

    Args:
        predicted: (P, 16, 2 or 3) x, y in pixels.
        true: (P, 16, 3) x, y in the same pixels, and v > 0 where labelled.
        head_sizes: (P,) 0.6 of the diagonal of the head's box, in pixels.
        protocol: which of the two.

    Returns:
        Figures PCKh@0.5, PCKh@0.1, Head, Shoulder, Elbow, Wrist, Hip, Knee and Ankle.

    Raises:
        DataError: the arrays do not fit each other or MPII's 16 joints.
    """
    skeleton = load_skeleton("mpii16")
    distances = normalised_distances(predicted, true, head_sizes, skeleton)
    distances, names = _without(distances, skeleton, MPII_LEFT_OUT)
    official = protocol == "official"
    right = np.less_equal if official else np.less
    tenth = THRESHOLDS[11 if official else 10]
    per_joint = _per_joint(right(distances, 0.5), distances)
    by_name = dict(zip(names, per_joint, strict=True))
    figures = {
        "PCKh@0.5": _pooled(right(distances, 0.5), distances),
        "PCKh@0.1": _pooled(right(distances, tenth), distances),
    }
    for part, joints in MPII_PARTS.items():
        figures[part] = sum(by_name[joint] for joint in joints) / len(joints)
    return _share(
        figures,
        per_joint=per_joint,
        curve=[_pooled(right(distances, t), distances) for t in THRESHOLDS],
        distances=distances,
        names=names,
        protocol=f"per cent of joints, but pelvis and thorax, {'at most' if official else 'under'} "
        f"0.5 of the head's size away; PCKh@0.1 is at {tenth:g}",
    )


def auc(
    predicted: ArrayLike,
    true: ArrayLike,
    skeleton: Skeleton,
    *,
    pixels: float = 30.0,
    steps: int = 20,
) -> PCK:
    """Area under the curve of PCK over distances from 0 to `pixels`, from 0 to 1, as MMPose's AUC.

    The mean of PCK (itself a mean of the joints' shares) at 0, 1 / steps, ... of `pixels`, without
    the last.

    Args:
        predicted: (P, K, 2 or 3) x, y in pixels.
        true: (P, K, 3) x, y in the same pixels, and v > 0 where labelled.
        skeleton: names of the joints.

    Raises:
        DataError: the arrays do not fit each other or the skeleton.
    """
    distances = normalised_distances(predicted, true, pixels, skeleton)
    thresholds = np.arange(steps) / steps
    shares = [_per_joint(distances < t, distances) / 100 for t in thresholds]
    curve = [_mean(share) for share in shares]
    return _share(
        {"AUC": float(np.mean(curve))},
        per_joint=np.mean(shares, axis=0),
        curve=curve,
        distances=distances,
        names=skeleton.keypoints,
        protocol=f"share of joints closer than 0 to {pixels:g} pixels, in {steps} steps",
        thresholds=thresholds * pixels,
    )


def _mean_of_joints(
    predicted: ArrayLike,
    true: ArrayLike,
    lengths: ArrayLike,
    skeleton: Skeleton,
    name: str,
    threshold: float,
    length: str,
) -> PCK:
    distances = normalised_distances(predicted, true, lengths, skeleton)
    per_joint = _per_joint(distances < threshold, distances)
    return _share(
        {name: _mean(per_joint)},
        per_joint=per_joint,
        curve=[_mean(_per_joint(distances < t, distances)) for t in THRESHOLDS],
        distances=distances,
        names=skeleton.keypoints,
        protocol=f"mean over joints of the per cent closer than {threshold:g} of the {length}",
    )


def _share(
    figures: dict[str, float],
    *,
    per_joint: Float,
    curve: list[float],
    distances: Float,
    names: tuple[str, ...],
    protocol: str,
    thresholds: Float = THRESHOLDS,
) -> PCK:
    counted = ~np.isnan(distances)
    return PCK(
        figures=figures,
        per_joint=dict(zip(names, per_joint.tolist(), strict=True)),
        people=int(counted.any(axis=1).sum()),
        joints=int(counted.sum()),
        protocol=protocol,
        thresholds=tuple(np.round(thresholds, 6).tolist()),
        curve=tuple(curve),
    )


def _without(
    distances: Float, skeleton: Skeleton, names: tuple[str, ...]
) -> tuple[Float, tuple[str, ...]]:
    """Distances and names of the joints that are not among `names`."""
    kept = [i for i, name in enumerate(skeleton.keypoints) if name not in names]
    return distances[:, kept], tuple(skeleton.keypoints[i] for i in kept)


def _pooled(right: NDArray[np.bool_], distances: Float) -> float:
    """Per cent of the counted joints, whichever they are; NaN where there is none."""
    with np.errstate(invalid="ignore"):
        return float(100 * right.sum() / np.float64((~np.isnan(distances)).sum()))


def _per_joint(right: NDArray[np.bool_], distances: Float) -> Float:
    """(K,) the same for each joint."""
    with np.errstate(invalid="ignore"):
        return np.asarray(100 * right.sum(axis=0) / (~np.isnan(distances)).sum(axis=0))


def _mean(per_joint: Float) -> float:
    """Of the joints that are labelled anywhere; NaN where none is."""
    known = per_joint[~np.isnan(per_joint)]
    return float(known.mean()) if len(known) else float("nan")
