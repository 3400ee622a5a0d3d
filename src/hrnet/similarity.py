"""OKS between poses, non-maximum suppression by it, and matching by likeness."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hrnet.skeletons import Skeleton

Float = NDArray[np.float64]

# For skeletons without sigmas: between COCO's for shoulders and for hips.
TYPICAL_SIGMA = 0.09
# Of the area of its box, about what a person covers, as MMPose has it.
AREA_OF_BOX = 0.53
# The OKS over which two poses are one, in the published configurations.
SAME = 0.9
# Of 13,566 pairs of people in a picture of COCO, by the annotators' joints, 39 are more alike, and
# 26 of these over 0.6. The boxes' F1 on pictures set aside is the same, but for chance, from 0.3 to
# 0.5, with the packaged detector and with YOLOX-nano.
ALIKE = 0.35


def oks(
    predicted: ArrayLike,
    true: ArrayLike,
    areas: ArrayLike,
    sigmas: ArrayLike,
    *,
    labelled: ArrayLike | None = None,
) -> Float:
    """Object keypoint similarity of every pose with every other.

    The mean over joints of exp(-d^2 / (2 area (2 sigma)^2)), d being the distance in pixels
    (https://cocodataset.org/#keypoints-eval; Ronchi & Perona, ICCV 2017).

    Args:
        predicted: (P, K, >= 2) x, y in pixels.
        true: (G, K, >= 2) in the same pixels.
        areas: (G,) of the true people in square pixels, or (P, G) of pairs.
        sigmas: (K,) the joints' constants.
        labelled: (G, K) bool, the joints that count; by default all.

    Returns:
        (P, G) float64 from 0 to 1, NaN where a true person has no labelled joint.
    """
    found = np.asarray(predicted, dtype=np.float64)[:, None, :, :2]
    target = np.asarray(true, dtype=np.float64)[None, :, :, :2]
    squared = ((found - target) ** 2).sum(axis=-1)
    counted = np.ones(target.shape[1:3], bool) if labelled is None else np.asarray(labelled, bool)
    return mean_similarity(squared, np.asarray(areas), np.asarray(sigmas), counted)


def mean_similarity(
    squared: Float, areas: Float, sigmas: Float, counted: NDArray[np.bool_]
) -> Float:
    """OKS (..., G) of squared distances (..., G, K); areas (..., G), sigmas (K,) and which joints
    count (G, K) as in `oks`."""
    similar = np.where(counted, _of_joints(squared, areas, sigmas), 0)
    with np.errstate(invalid="ignore"):
        return np.asarray(similar.sum(axis=-1) / counted.sum(axis=-1))


def _of_joints(squared: Float, areas: Float, sigmas: Float) -> Float:
    """OKS's terms (..., G, K), see `mean_similarity`."""
    # As in pycocotools, an area of nothing does not divide by zero.
    extent = areas[..., None] + np.spacing(1)
    return np.asarray(np.exp(-squared / (2 * extent * (2 * sigmas) ** 2)))


def sigmas_of(skeleton: Skeleton) -> Float:
    """(K,) a skeleton's sigmas, or a typical one for each joint where it has none."""
    return np.array(skeleton.sigmas or [TYPICAL_SIGMA] * len(skeleton))


def likest_pairs(likeness: Float, least: float) -> list[tuple[int, int]]:
    """Rows and columns of (N, M) that belong together: the likest pair first, each row and column
    once, as long as a pair is at least so alike."""
    left, pairs = likeness.copy(), []
    while left.size and left.max() >= least:
        row, column = np.unravel_index(left.argmax(), left.shape)
        pairs.append((int(row), int(column)))
        left[row], left[:, column] = -np.inf, -np.inf
    return pairs


def oks_nms(
    keypoints: ArrayLike,
    scores: ArrayLike,
    areas: ArrayLike,
    sigmas: ArrayLike,
    *,
    threshold: float = SAME,
) -> NDArray[np.int64]:
    """Non-maximum suppression among the poses of one picture.

    From the best score down, a pose suppresses the worse ones whose OKS with it is over the
    threshold; the area of a pair is the mean of the two (`lib/nms/nms.py` of the official code).

    Args:
        keypoints: (P, K, >= 2) x, y in pixels.
        scores: (P,) of the poses.
        areas: (P,) in square pixels.
        sigmas: (K,) the joints' constants.
        threshold: of the OKS; the default is that of the published configurations.

    Returns:
        Positions of the poses that stay, best first.
    """
    areas = np.asarray(areas, dtype=np.float64)
    pairs = (areas[:, None] + areas[None]) / 2
    over = oks(keypoints, keypoints, pairs, sigmas) > threshold
    return _best_of_alike(over, np.asarray(scores))


def found_once(
    keypoints: ArrayLike,
    scores: ArrayLike,
    boxes: ArrayLike,
    sigmas: ArrayLike,
    probability: ArrayLike | None,
) -> NDArray[np.int64]:
    """Which poses of a picture are different people: of somebody found twice, the better one.

    By `oks_nms`; and where probabilities say which joints are seen, somebody found as a whole and
    as a half, whose other joints are guesses, is one as well: each joint counts by the product of
    its two probabilities, the area of a pair is the smaller one, and poses over ALIKE are one
    person's, joints in common counted as three at least.

    Args:
        keypoints: (P, K, >= 2) x, y in pixels.
        scores: (P,) of the poses.
        boxes: (P, >= 4) x1, y1, x2, y2.
        sigmas: (K,) the joints' constants.
        probability: (P, K) of the joints, or None.

    Returns:
        Positions of the poses that stay, best first.
    """
    corners = np.asarray(boxes, dtype=np.float64)
    areas = AREA_OF_BOX * np.prod(corners[:, 2:4] - corners[:, :2], axis=1)
    if probability is None:
        return oks_nms(keypoints, scores, areas, sigmas)
    points, sure = np.asarray(keypoints, np.float64)[..., :2], np.asarray(probability, np.float64)
    squared = ((points[:, None] - points[None]) ** 2).sum(axis=-1)
    spreads = np.asarray(sigmas, dtype=np.float64)
    pairs = (areas[:, None] + areas[None]) / 2
    over = _of_joints(squared, pairs, spreads).mean(axis=-1) > SAME
    both = sure[:, None] * sure[None]
    seen = both * _of_joints(squared, np.minimum(areas[:, None], areas[None]), spreads)
    alike = seen.sum(axis=-1) > ALIKE * np.maximum(both.sum(axis=-1), 3)
    return _best_of_alike(alike | over, np.asarray(scores))


def _best_of_alike(alike: NDArray[np.bool_], scores: NDArray[np.floating]) -> NDArray[np.int64]:
    """From the best score down, whoever is not like (P, P) one that stays."""
    suppressed = np.zeros(len(scores), dtype=bool)
    kept = []
    # Of equal scores the later one comes first, as in the official code.
    for i in np.argsort(scores, kind="stable")[::-1]:
        if not suppressed[i]:
            kept.append(i)
            suppressed |= alike[i]
    return np.array(kept, dtype=np.int64)
