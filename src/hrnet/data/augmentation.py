"""Where a training crop is taken: one random affine map for picture and points."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrnet.geometry import crop_matrices, crop_regions
from hrnet.skeletons import Skeleton

HALF_BODY_PADDING = 1.5


@dataclass(frozen=True)
class Augmentation:
    """Random changes of the crop; the defaults are the paper's for COCO.

    Attributes:
        flip: probability of mirroring.
        rotation: standard deviation in degrees, cut at twice that.
        rotation_probability: how often to rotate at all.
        scale: standard deviation of the factor on the region's size, cut at once that.
        half_body: probability of cropping to the upper or lower body of somebody with more than
            `half_body_min_joints` labelled joints.
        truncation: probability of keeping only a part of the person's box, as where somebody is
            cut by the picture's edge or hidden behind a table: half the time what lies beyond
            goes black and its joints unlabelled. Not in the paper; for data with whole bodies
            only.
    """

    flip: float = 0.5
    rotation: float = 45.0
    rotation_probability: float = 0.6
    scale: float = 0.35
    half_body: float = 0.3
    half_body_min_joints: int = 8
    truncation: float = 0.0


@dataclass(frozen=True)
class Crop:
    """A crop to take: its affine map (2, 3), whether it mirrors, and the part of the picture
    (x1, y1, x2, y2 in whole pixels, x2 and y2 excluded) that stays, or None for all of it."""

    matrix: NDArray[np.float64]
    flip: bool
    kept: tuple[int, int, int, int] | None


def random_crop(
    rng: np.random.Generator,
    augmentation: Augmentation,
    box: NDArray[np.float64],
    keypoints: NDArray[np.float64],
    skeleton: Skeleton,
    input_size: tuple[int, int],
    *,
    padding: float,
    unbiased: bool,
) -> Crop:
    """Draw a crop of one person: box (4,), keypoints (K, 3) with v in the last column."""
    kept = None
    if rng.random() < augmentation.truncation:
        box, kept = _truncate(rng, box, keypoints)
    elif rng.random() < augmentation.half_body:
        half = _half_body(rng, augmentation, keypoints, skeleton)
        if half is not None:
            box, padding = half, HALF_BODY_PADDING

    centers, sizes = crop_regions(box, input_size, padding)
    spread = augmentation.scale
    sizes = sizes * np.clip(rng.normal(1, spread), 1 - spread, 1 + spread)
    rotation = 0.0
    if rng.random() < augmentation.rotation_probability:
        limit = 2 * augmentation.rotation
        rotation = np.clip(rng.normal(0, augmentation.rotation), -limit, limit)
    flip = bool(rng.random() < augmentation.flip)
    matrix = crop_matrices(
        centers, sizes, input_size, rotation=rotation, flip=flip, unbiased=unbiased
    )[0]
    return Crop(matrix, flip, kept)


def _half_body(
    rng: np.random.Generator,
    augmentation: Augmentation,
    keypoints: NDArray[np.float64],
    skeleton: Skeleton,
) -> NDArray[np.float64] | None:
    """The extent of the upper (69 % of the time, as in the official code) or lower body."""
    labelled = keypoints[:, 2] > 0
    if not skeleton.upper_body or labelled.sum() <= augmentation.half_body_min_joints:
        return None
    is_upper = np.isin(skeleton.keypoints, skeleton.upper_body)
    upper, lower = (keypoints[labelled & part, :2] for part in (is_upper, ~is_upper))
    chosen = upper if rng.normal() < 0.5 and len(upper) > 2 else lower if len(lower) > 2 else upper
    if len(chosen) < 2:
        return None
    # The official code centres on the joints' mean; the region still spans their extent.
    extent = chosen.max(axis=0) - chosen.min(axis=0)
    center = chosen.mean(axis=0)
    return np.concatenate([center - extent / 2, center + extent / 2])


def _truncate(
    rng: np.random.Generator, box: NDArray[np.float64], keypoints: NDArray[np.float64]
) -> tuple[NDArray[np.float64], tuple[int, int, int, int] | None]:
    """A part of the box that still has three labelled joints, and what to keep of the picture."""
    # Which edge moves in: mostly the bottom one, as people's legs are cut most often.
    edge = rng.choice(4, p=[0.15, 0.15, 0.15, 0.55])
    share = rng.uniform(0.3, 0.8)
    part = box.copy()
    extent = box[2:] - box[:2]
    part[edge] += (1 if edge < 2 else -1) * (1 - share) * extent[edge % 2]
    points = keypoints[keypoints[:, 2] > 0, :2]
    inside = ((points >= part[:2]) & (points <= part[2:])).all(axis=1)
    if inside.sum() < 3:
        return box, None
    if rng.random() < 0.5:
        return part, None
    kept = [0, 0, np.iinfo(np.int32).max, np.iinfo(np.int32).max]
    kept[edge] = max(0, round(part[edge])) + (edge >= 2)
    return part, (kept[0], kept[1], kept[2], kept[3])
