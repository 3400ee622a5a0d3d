"""How far joints lie from their labels: in pixels (EPE), or by a length of the face (NME)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hrnet.errors import DataError
from hrnet.evaluation.figures import JointFigures
from hrnet.skeletons import Skeleton

Float = NDArray[np.float64]


def checked_keypoints(
    predicted: ArrayLike, true: ArrayLike, skeleton: Skeleton
) -> tuple[Float, Float]:
    """Predicted and true keypoints as float64 arrays.

    Raises:
        DataError: they are not (P, K, 2 or 3) and (P, K, 3) with the skeleton's K.
    """
    predicted, true = np.asarray(predicted, dtype=np.float64), np.asarray(true, dtype=np.float64)
    expected = (len(true) if true.ndim else 0, len(skeleton))
    for name, array, last in (("true", true, (3,)), ("predicted", predicted, (2, 3))):
        if array.ndim != 3 or array.shape[:2] != expected or array.shape[2] not in last:
            raise DataError(
                f"{name} keypoints have shape {array.shape}; with {expected[0]} people and the "
                f"{len(skeleton)} keypoints of {skeleton.name} it must be {(*expected, last[-1])}"
            )
    return predicted, true


def normalised_distances(
    predicted: ArrayLike, true: ArrayLike, lengths: ArrayLike, skeleton: Skeleton
) -> Float:
    """Distances of joints from their labels, divided by a length of the person's own.

    Args:
        predicted: (P, K, 2 or 3) x, y in pixels.
        true: (P, K, 3) x, y in the same pixels, and v > 0 where labelled.
        lengths: (P,) in pixels, or one for all.
        skeleton: of the K keypoints.

    Returns:
        (P, K) float64; NaN where nothing is labelled, or the length is not over 0 (or is NaN).

    Raises:
        DataError: the arrays do not fit each other or the skeleton, or a joint that is labelled
            was predicted at NaN or infinity.
    """
    predicted, true = checked_keypoints(predicted, true, skeleton)
    lengths = np.asarray(lengths, dtype=np.float64)
    if lengths.shape not in ((), (len(true),)):
        raise DataError(
            f"lengths have shape {lengths.shape}; for {len(true)} people it must be {(len(true),)}"
        )
    lengths = np.broadcast_to(lengths, len(true))
    counted = (true[..., 2] > 0) & (lengths > 0)[:, None]
    if not np.isfinite(predicted[counted][:, :2]).all():
        raise DataError(
            "a predicted keypoint is not finite; leave such people out, or give a point"
        )
    distances = np.full(counted.shape, np.nan)
    pixels = np.linalg.norm(predicted[..., :2] - true[..., :2], axis=-1)
    distances[counted] = (pixels / np.where(lengths > 0, lengths, 1)[:, None])[counted]
    return distances


def epe(predicted: ArrayLike, true: ArrayLike, skeleton: Skeleton) -> JointFigures:
    """End-point error: the mean distance of labelled joints in pixels, as MMPose's EPE.

    Args:
        predicted: (P, K, 2 or 3) x, y in pixels.
        true: (P, K, 3) x, y in the same pixels, and v > 0 where labelled.
        skeleton: names of the joints.

    Raises:
        DataError: the arrays do not fit each other or the skeleton.
    """
    distances = normalised_distances(predicted, true, 1, skeleton)
    return _mean_distance("EPE", distances, skeleton, "mean distance of joints in pixels")


def nme(
    predicted: ArrayLike,
    true: ArrayLike,
    skeleton: Skeleton,
    *,
    lengths: ArrayLike | None = None,
) -> JointFigures:
    """Normalised mean error of faces: the mean distance of labelled joints, in per cent of a
    length of the face, as in MMPose and in HRNet-Facial-Landmark-Detection.

    Args:
        predicted: (P, K, 2 or 3) x, y in pixels.
        true: (P, K, 3) x, y in the same pixels, and v > 0 where labelled.
        skeleton: its `interocular` gives the length: the distance between the outer corners of the
            eyes, which is that of 300-W, COFW, WFLW and COCO-WholeBody. Faces with one of them
            unlabelled are not counted.
        lengths: (P,) in pixels, instead; for AFLW `box_lengths`.

    Raises:
        DataError: neither a length nor a skeleton with `interocular` is given, or the arrays do not
            fit each other or the skeleton.
    """
    predicted, true = checked_keypoints(predicted, true, skeleton)
    if lengths is not None:
        by = "a length of its own"
    elif skeleton.interocular is not None:
        a, b = (skeleton.index(name) for name in skeleton.interocular)
        lengths = distance_between(true, a, b)
        by = f"the distance from {' to '.join(skeleton.interocular)}"
    else:
        raise DataError(
            f"skeleton {skeleton.name} has no interocular distance to measure NME by; give lengths"
        )
    distances = 100 * normalised_distances(predicted, true, lengths, skeleton)
    return _mean_distance(
        "NME", distances, skeleton, f"mean distance of joints in per cent of {by}"
    )


def box_lengths(boxes: ArrayLike) -> Float:
    """(P,) the square root of each box's area, by which AFLW's NME is measured; boxes (P, 4) are
    x1, y1, x2, y2 in pixels."""
    return np.asarray(np.sqrt(box_sides(boxes).prod(axis=1)))


def box_sides(boxes: ArrayLike) -> Float:
    """(P, 2) width and height of boxes (P, 4) x1, y1, x2, y2; 0 where they are turned round.

    Raises:
        DataError: they have another shape.
    """
    corners = np.asarray(boxes, dtype=np.float64)
    if corners.ndim != 2 or corners.shape[1] != 4:
        raise DataError(f"boxes have shape {corners.shape}; it must be (people, 4)")
    return np.maximum(corners[:, 2:] - corners[:, :2], 0)


def distance_between(true: Float, a: int, b: int) -> Float:
    """(P,) the distance between two joints of true keypoints (P, K, 3); NaN where one of the two is
    not labelled."""
    pixels = np.linalg.norm(true[:, a, :2] - true[:, b, :2], axis=-1)
    return np.where((true[:, [a, b], 2] > 0).all(axis=1), pixels, np.nan)


def _mean_distance(name: str, distances: Float, skeleton: Skeleton, protocol: str) -> JointFigures:
    counted = ~np.isnan(distances)
    total = np.where(counted, distances, 0)
    with np.errstate(invalid="ignore"):
        mean = total.sum() / np.float64(counted.sum())
        per_joint = total.sum(axis=0) / counted.sum(axis=0)
    return JointFigures(
        figures={name: float(mean)},
        per_joint=dict(zip(skeleton.keypoints, per_joint.tolist(), strict=True)),
        people=int(counted.any(axis=1).sum()),
        joints=int(counted.sum()),
        protocol=protocol,
    )
