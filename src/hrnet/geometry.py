"""Boxes, crops, and the one affine map between a picture and a network input.

Coordinates are those of COCO annotations and of the official HRNet code: (0, 0) is the centre of
the top-left pixel. A box is x1, y1, x2, y2 in pixels. Sizes are (width, height).

Two conventions lay the padded box onto the crop:

- biased (official HRNet, DarkPose): the box of width w maps to [0, W], so a pixel of the box
  becomes W / w pixels of the crop; heatmap cells are `W / heatmap width` crop pixels apart.
- unbiased (UDP; Huang et al., *The Devil is in the Details*, CVPR 2020): the box maps to
  [0, W - 1], from the centre of the first pixel to the centre of the last, so that a flipped
  picture has exactly flipped coordinates.
"""

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]
Image = NDArray[np.uint8]


def box_areas(boxes: Float) -> Float:
    """(N,) square pixels of boxes (N, >= 4)."""
    return np.asarray(np.prod(boxes[:, 2:4] - boxes[:, :2], axis=1))


def shared_areas(one: Float, other: Float) -> Float:
    """(N, M) square pixels that boxes (N, >= 4) have in common with others (M, >= 4)."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:4], other[None, :, 2:4])
    return np.asarray(np.clip(high - low, 0, None).prod(axis=2))


def intersections_over_unions(one: Float, other: Float) -> Float:
    """(N, M) of boxes (N, >= 4) with others (M, >= 4): 0 for two of no area."""
    shared = shared_areas(one, other)
    union = box_areas(one)[:, None] + box_areas(other)[None] - shared
    return np.asarray(shared / np.maximum(union, 1e-9))


def crop_regions(
    boxes: ArrayLike, input_size: tuple[int, int], padding: float = 1.25
) -> tuple[Float, Float]:
    """The region of the picture that the network sees of each box.

    The box is widened or heightened, about its centre, to the aspect ratio of the input, then
    enlarged.

    Args:
        boxes: (P, 4) x1, y1, x2, y2 in pixels.
        input_size: (width, height) of the network's input in pixels.
        padding: factor of enlargement; 1.25 is what all published models were trained with.

    Returns:
        Centres (P, 2) and sizes (P, 2) as width, height, in pixels of the picture.
    """
    corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 2, 2)
    centers = corners.mean(axis=1)
    width, height = (corners[:, 1] - corners[:, 0]).T
    aspect = input_size[0] / input_size[1]
    sizes = np.stack([np.maximum(width, height * aspect), np.maximum(height, width / aspect)], 1)
    return centers, sizes * padding


def crop_matrices(
    centers: ArrayLike,
    sizes: ArrayLike,
    input_size: tuple[int, int],
    *,
    rotation: ArrayLike = 0.0,
    flip: ArrayLike = False,
    unbiased: bool = False,
) -> Float:
    """Affine maps from the picture to crops of `input_size`.

    Args:
        centers: (P, 2) centre of each region in the picture.
        sizes: (P, 2) width and height of each region before rotation.
        input_size: (width, height) of the crop.
        rotation: (P,) or scalar, degrees; the region turns counter-clockwise as seen on screen
            for negative angles, as in the official code.
        flip: (P,) or scalar; mirror the crop left to right: pixel x becomes W - 1 - x.
        unbiased: UDP's convention instead of the official one (see the module's docstring).

    Returns:
        (P, 2, 3): crop point = matrix @ (x, y, 1).
    """
    centers = np.asarray(centers, dtype=np.float64).reshape(-1, 2)
    sizes = np.asarray(sizes, dtype=np.float64).reshape(-1, 2)
    extent = np.asarray(input_size, dtype=np.float64) - (1.0 if unbiased else 0.0)
    # The official map keeps one scale, taken from the width; with the aspect ratio of the input
    # (which `crop_regions` sees to) the two agree.
    scale = extent / sizes if unbiased else np.repeat(extent[:1] / sizes[:, :1], 2, axis=1)
    angle = np.deg2rad(np.broadcast_to(np.asarray(rotation, dtype=np.float64), len(centers)))
    cos, sin = np.cos(angle), np.sin(angle)

    linear = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], 1)
    linear = scale[:, :, None] * linear
    offset = extent / 2 - np.einsum("pij,pj->pi", linear, centers)
    matrices = np.concatenate([linear, offset[:, :, None]], axis=2)

    mirrored = np.broadcast_to(np.asarray(flip, dtype=bool), len(centers))
    matrices[mirrored, 0] *= -1
    matrices[mirrored, 0, 2] += input_size[0] - 1
    return matrices


def transform_points(matrices: ArrayLike, points: ArrayLike) -> Float:
    """Apply affine maps (..., 2, 3) to points (..., K, 2)."""
    matrices, points = np.asarray(matrices), np.asarray(points)
    moved = np.einsum("...ij,...kj->...ki", matrices[..., :2], points)
    return moved + matrices[..., None, :, 2]


def invert(matrices: ArrayLike) -> Float:
    """Inverse of affine maps (..., 2, 3)."""
    matrices = np.asarray(matrices, dtype=np.float64)
    (a, b, x), (c, d, y) = np.moveaxis(matrices, (-2, -1), (0, 1))
    rows = [[d, -b, b * y - d * x], [-c, a, c * x - a * y]]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1)) / (a * d - b * c)[..., None, None]


def warp(image: Image, matrix: Float, input_size: tuple[int, int]) -> Image:
    """Crop (H, W, 3) of `input_size` = (W, H), bilinear, black outside the picture."""
    crop = cv2.warpAffine(image, matrix, input_size, flags=cv2.INTER_LINEAR)
    return np.asarray(crop, dtype=np.uint8)
