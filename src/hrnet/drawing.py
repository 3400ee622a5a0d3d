"""Points and limbs onto pictures."""

import cv2
import numpy as np
from numpy.typing import NDArray

from hrnet.skeletons import Colour, Skeleton

SUBPIXEL_BITS = 4  # OpenCV draws at fixed-point coordinates with this many binary places


def draw_poses(
    image: NDArray[np.uint8],
    keypoints: NDArray[np.float32],
    scores: NDArray[np.float32],
    skeleton: Skeleton,
    *,
    threshold: float = 0.2,
) -> NDArray[np.uint8]:
    """A copy of the picture with everybody's limbs and joints.

    Colours tell the person's left (of the skeleton's `colours`) from the right. Lines are as
    thick as the person is large.

    Args:
        image: (H, W, 3) uint8 RGB.
        keypoints: (P, K, 2) x, y in pixels.
        scores: (P, K); joints below `threshold` are left out, with their limbs.
    """
    canvas = image.copy()
    for points, visible in zip(keypoints, scores >= threshold, strict=True):
        if not visible.any():
            continue
        extent = np.ptp(points[visible], axis=0).max()
        thickness = int(np.clip(round(extent / 70), 1, 12))
        for a, b in skeleton.limb_indices:
            if visible[a] and visible[b]:
                colour = _limb_colour(skeleton, a, b)
                ends = _fixed_point(points[a]), _fixed_point(points[b])
                cv2.line(canvas, *ends, colour, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
        radius = (thickness + 1) << SUBPIXEL_BITS
        for k in np.flatnonzero(visible):
            center = _fixed_point(points[k])
            colour = getattr(skeleton.colours, skeleton.side(skeleton.keypoints[k]))
            outline = radius + (1 << SUBPIXEL_BITS)
            cv2.circle(canvas, center, outline, (255, 255, 255), -1, cv2.LINE_AA, SUBPIXEL_BITS)
            cv2.circle(canvas, center, radius, colour, -1, cv2.LINE_AA, SUBPIXEL_BITS)
    return canvas


def _limb_colour(skeleton: Skeleton, a: int, b: int) -> Colour:
    """The colour of the side that both ends are on; a middle joint takes the other end's side."""
    sides = {skeleton.side(skeleton.keypoints[i]) for i in (a, b)} - {"middle"}
    colour: Colour = getattr(skeleton.colours, sides.pop() if len(sides) == 1 else "middle")
    return colour


def _fixed_point(point: NDArray[np.float32]) -> tuple[int, int]:
    # Far outside is as good as a little outside, and does not overflow OpenCV's integers.
    x, y = np.clip(point, -10_000, 30_000) * (1 << SUBPIXEL_BITS)
    return round(float(x)), round(float(y))
