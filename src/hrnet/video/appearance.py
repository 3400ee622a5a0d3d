"""What people look like: the colours along their limbs.

As in Comaniciu, Ramesh, Meer (Kernel-Based Object Tracking, PAMI 2003), a look is a histogram of
colours, and how unlike two are is the distance made of their Bhattacharyya coefficient. Colours are
CIELAB's, and each counts in the bins on both sides of it, so that a little more light changes
little; lightness, which changes most as somebody walks, has few bins.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from hrnet.images import Image
from hrnet.result import Poses

Float = NDArray[np.float64]

SHAPE = np.array([4, 12, 12])  # bins of L, a, b
LOWEST, HIGHEST = np.array([0.0, -64, -64]), np.array([100.0, 64, 64])  # the middles of the last
BINS = int(SHAPE.prod())
# A limb is looked at in so many places, each of so many pixels a side, which are this part of the
# longer side of the person's box apart.
PLACES, SIDE, STEP = 8, 3, 0.012


def looks_of(image: Image, poses: Poses, certain: NDArray[np.bool_]) -> Float:
    """Histograms of people in a picture.

    Args:
        image: (H, W, 3) uint8 RGB.
        poses: (P people with K joints), in its pixels.
        certain: (P, K) the joints that count; a limb does where both of its ends do.

    Returns:
        (P, BINS), each of sum 1, or NaN of who has no limb in the picture.
    """
    limbs = np.array(poses.skeleton.limb_indices, np.int64).reshape(-1, 2)
    whose, limb = np.nonzero(certain[:, limbs].all(axis=2))
    ends = poses.keypoints[whose[:, None], limbs[limb]].astype(np.float64)
    share = ((np.arange(PLACES) + 0.5) / PLACES)[:, None]
    along = ends[:, None, 0] + share * (ends[:, 1] - ends[:, 0])[:, None]
    longer = (poses.boxes[:, 2:] - poses.boxes[:, :2]).max(axis=1, initial=0)
    around = np.indices((SIDE, SIDE)).reshape(2, -1).T - SIDE // 2
    steps = STEP * longer[whose, None, None] * around
    points = np.rint(along[:, :, None] + steps[:, None]).astype(np.int64).reshape(-1, 2)
    whose = whose.repeat(PLACES * SIDE**2)
    inside = ((points >= 0) & (points < image.shape[1::-1])).all(axis=1)
    return _histograms(image[points[inside, 1], points[inside, 0]], whose[inside], len(poses))


def unlikeness(one: Float, other: Float) -> Float:
    """(N, M) how unlike looks (N, BINS) are others (M, BINS): sqrt(1 - sum(sqrt(p q))), from 0 for
    the same to 1 for those with no colour in common; NaN where there is none."""
    return np.sqrt(np.clip(1 - np.sqrt(one) @ np.sqrt(other).T, 0, None))


def _histograms(pixels: Image, whose: NDArray[np.int64], people: int) -> Float:
    """(people, BINS) of pixels (N, 3) RGB, each of the one of that number."""
    counts = np.zeros(people * BINS)
    if len(pixels):
        lab = cv2.cvtColor(pixels[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
        place = (lab - LOWEST) / (HIGHEST - LOWEST) * (SHAPE - 1)
        low = np.clip(place, 0, SHAPE - 2).astype(np.int64)
        above = np.clip(place - low, 0, 1)
        for corner in np.ndindex(2, 2, 2):
            cell = np.ravel_multi_index(tuple((low + corner).T), tuple(SHAPE))
            weight = np.where(corner, above, 1 - above).prod(axis=1)
            counts += np.bincount(whose * BINS + cell, weight, len(counts))
    histograms = counts.reshape(people, BINS)
    with np.errstate(invalid="ignore"):
        return histograms / histograms.sum(axis=1, keepdims=True)
