"""What is drawn of a crop before any pixel is read: one random affine map for picture and points,
and what is to be done to the pixels.

All people of a batch are drawn at once, as arrays: one by one, drawing a crop would cost as much
as decoding a small picture.
"""

from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from hrnet.geometry import crop_matrices, crop_regions
from hrnet.skeletons import Skeleton

HALF_BODY_PADDING = 1.5
UPPER_BODY = 0.6915  # P(N(0, 1) < 0.5), by which the official code chooses
EDGES = (0.15, 0.15, 0.15, 0.55)  # left, top, right, bottom: how often truncation moves each in
SHIFTED = 0.3  # how often the region moves, as MMPose has it
TWICE = 0.3  # of those truncated, how many once more, mostly at another edge
ERASED = (0.03, 0.3)  # least and most of the crop's area, log-uniform
ERASED_RATIO = 3.0  # of width to height as shares of the crop's, at most, either way
DOWNSCALED = 0.5  # how often

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]

_EVERYTHING = (-(2**31), -(2**31), 2**31, 2**31)  # of any picture


class Augmentation(BaseModel):
    """Random changes of the crop; the defaults are the paper's for COCO.

    Attributes:
        flip: probability of mirroring; of a skeleton that does not mirror, nothing is.
        rotation: standard deviation in degrees, cut at twice that.
        rotation_probability: how often to rotate at all.
        scale: standard deviation of the factor on the region's size, cut at once that.
        half_body: probability of cropping to the upper or lower body of somebody with more than
            `half_body_min_joints` labelled joints.
        half_body_min_joints: see `half_body`.
        shift: how far the region moves at most, to each side, as a share of its size, where it does
            (30 % of the time). Not in the paper; MMPose's is 0.16.
        truncation: probability of keeping only a part of the person's box, as where somebody is
            cut by the picture's edge or hidden behind a table: half the time what lies beyond
            goes black and its joints unlabelled. Not in the paper; for data that show whole
            bodies, mostly.
        stretch: how far width and height change against each other, as a share, either way. Not in
            the paper.
        erasing: probability that a rectangle of the crop goes black, a joint in it keeping its
            label (Zhong et al., *Random Erasing Data Augmentation*, AAAI 2020).
        mosaic: probability that another person's crop shows wherever this one is black, beyond
            the picture or where truncation or erasing cut it. Not in the paper.
        downscale: how many times fewer pixels a side the crop is drawn from at most, where it is
            (half of the time), as small people are. Not in the paper.
        color: how far brightness, contrast and the balance of the channels change, as a share.
            Not in the paper.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    flip: float = Field(default=0.5, ge=0, le=1)
    rotation: float = Field(default=45.0, ge=0)
    rotation_probability: float = Field(default=0.6, ge=0, le=1)
    scale: float = Field(default=0.35, ge=0, lt=1)
    half_body: float = Field(default=0.3, ge=0, le=1)
    half_body_min_joints: int = Field(default=8, ge=0)
    shift: float = Field(default=0.0, ge=0, lt=1)
    truncation: float = Field(default=0.0, ge=0, le=1)
    stretch: float = Field(default=0.0, ge=0, lt=1)
    erasing: float = Field(default=0.0, ge=0, le=1)
    mosaic: float = Field(default=0.0, ge=0, le=1)
    downscale: float = Field(default=1.0, ge=1, le=16)
    color: float = Field(default=0.0, ge=0, lt=1)


class CanvasAugmentation(BaseModel):
    """Random changes of the canvases that a detector is trained on, see
    `hrnet.data.batches.canvases`.

    Attributes:
        flip: probability of mirroring a picture.
        size: of the canvas, each way, in pixels.
        mosaic: probability of four pictures instead of one (Bochkovskiy et al.: *YOLOv4*,
            arXiv:2004.10934).
        scale: least and most, log-uniform, of a picture's longer side as a share of the longer
            side of the rectangle that it is painted into: the canvas, or its part of it.
        color: how far brightness, contrast and the balance of the channels change, as a share.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(default=320, ge=64, le=4096, multiple_of=32)
    flip: float = Field(default=0.5, ge=0, le=1)
    mosaic: float = Field(default=0.5, ge=0, le=1)
    scale: tuple[Annotated[float, Field(gt=0.05)], Annotated[float, Field(lt=20)]] = (0.7, 1.8)
    color: float = Field(default=0.2, ge=0, lt=1)

    @model_validator(mode="after")
    def _ordered(self) -> "CanvasAugmentation":
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale is {list(self.scale)}; the least comes first")
        return self


class CropPlan(NamedTuple):
    """N crops to make.

    Attributes:
        matrices: (N, 2, 3) affine maps from picture to crop.
        flips: (N,) whether it mirrors.
        kept: (N, 4) x1, y1, x2, y2 in whole pixels, x2 and y2 excluded: the part of the picture
            that stays; far outside of it where all does.
        erased: (N, 4) x1, y1, x2, y2 in whole pixels of the crop, x2 and y2 excluded: what goes
            black; empty for nothing.
        behind: (N,) whose crop shows where this one is black, as a share of all people; -1: none.
        shrinks: (N,) how many times fewer pixels a side it is drawn from.
        tones: (N, 4) gamma, and the gains of red, green and blue after it.
    """

    matrices: Float
    flips: Bool
    kept: Int
    erased: Int
    behind: Float
    shrinks: Float
    tones: Float


class Chances(NamedTuple):
    """All chance that a crop is made of: numbers uniform in [0, 1), each (N,)."""

    truncated: Float
    truncated_edge: Float
    truncated_share: Float
    truncated_black: Float
    half_body: Float
    upper_body: Float
    normal_radius: Float  # of the two normal numbers that zoom and rotation are made of
    normal_turn: Float
    rotated: Float
    flipped: Float
    mosaic: Float
    other_person: Float
    gamma: Float
    red: Float
    green: Float
    blue: Float
    shifted: Float
    shift_x: Float
    shift_y: Float
    twice: Float  # truncated
    second_edge: Float
    second_share: Float
    second_black: Float
    stretch: Float
    erased: Float
    erased_ratio: Float
    erased_x: Float
    erased_y: Float
    downscaled: Float
    shrink: Float


NUMBERS = len(Chances._fields)


def random_numbers(seed: int, draws: Int, people: Int) -> Float:
    """(N, NUMBERS) uniform in [0, 1) that depend on seed, draw (N,) and person (N,) alone.

    SplitMix64 (Steele, Lea, Flood: *Fast Splittable Pseudorandom Number Generators*, OOPSLA 2014)
    as a hash of the three: to set up numpy's generators takes 20 us a person.
    """
    state = _mix(np.full(len(draws), seed % 2**64, dtype=np.uint64))
    state = _mix(state ^ draws.astype(np.uint64))
    state = _mix(state ^ people.astype(np.uint64))
    bits = _mix(state[:, None] + np.arange(NUMBERS, dtype=np.uint64) * _GOLDEN)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = z + _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def plain_plan(
    boxes: Float, input_size: tuple[int, int], *, padding: float, unbiased: bool
) -> CropPlan:
    """The padded boxes (N, 4) as they are."""
    matrices = crop_matrices(
        *crop_regions(boxes, input_size, padding), input_size, unbiased=unbiased
    )
    count = len(boxes)
    return CropPlan(
        matrices,
        flips=np.zeros(count, dtype=bool),
        kept=_all_kept(count),
        erased=np.zeros((count, 4), dtype=np.int64),
        behind=np.full(count, -1.0),
        shrinks=np.ones(count),
        tones=np.ones((count, 4)),
    )


def random_plan(
    numbers: Float,
    augmentation: Augmentation,
    boxes: Float,
    keypoints: Float,
    skeleton: Skeleton,
    input_size: tuple[int, int],
    *,
    padding: float,
    unbiased: bool,
) -> CropPlan:
    """Draw a crop of each person.

    Args:
        numbers: (N, NUMBERS) uniform in [0, 1), the `Chances`.
        boxes: (N, 4).
        keypoints: (N, K, 3) with v in the last column.
    """
    u = Chances(*numbers.T)
    kept = _all_kept(len(boxes))
    truncated = u.truncated < augmentation.truncation
    once = u.truncated_edge, u.truncated_share, u.truncated_black
    boxes = _truncate(*once, truncated, boxes, keypoints, kept)
    again = u.second_edge, u.second_share, u.second_black
    boxes = _truncate(*again, truncated & (u.twice < TWICE), boxes, keypoints, kept)
    halved = ~truncated & (u.half_body < augmentation.half_body)
    boxes, halved = _half_bodies(u.upper_body, halved, augmentation, boxes, keypoints, skeleton)

    centers, sizes = crop_regions(boxes, input_size, 1.0)
    sizes *= np.where(halved, HALF_BODY_PADDING, padding)[:, None]
    shifted = u.shifted < SHIFTED
    shift = 2 * np.stack([u.shift_x, u.shift_y]) - 1
    centers += (shifted * augmentation.shift * shift).T * sizes
    # Two normal numbers of two uniform ones (Box and Muller).
    radius, turn = np.sqrt(-2 * np.log1p(-u.normal_radius)), 2 * np.pi * u.normal_turn
    zoom, angle = radius * np.cos(turn), radius * np.sin(turn)
    sizes *= 1 + augmentation.scale * np.clip(zoom, -1, 1)[:, None]
    rotated = u.rotated < augmentation.rotation_probability
    rotation = np.where(rotated, augmentation.rotation * np.clip(angle, -2, 2), 0.0)
    flips = (u.flipped < augmentation.flip) & skeleton.mirrors
    matrices = crop_matrices(
        centers, sizes, input_size, rotation=rotation, flip=flips, unbiased=unbiased
    )
    matrices = _stretched(matrices, centers, augmentation.stretch, u.stretch)
    behind = np.where(u.mosaic < augmentation.mosaic, u.other_person, -1.0)
    # Gamma and gains, no offset: black stays black, as beyond a picture's edge.
    change = 1 + augmentation.color * (2 * np.stack([u.gamma, u.red, u.green, u.blue]) - 1)
    tones = np.stack([change[0], *(change[1:] * change[1:].mean(axis=0))], axis=1)
    erased = _rectangles(u, augmentation.erasing, input_size)
    downscaled = u.downscaled < DOWNSCALED
    shrinks = np.where(downscaled, augmentation.downscale**u.shrink, 1.0)
    return CropPlan(matrices, flips, kept, erased, behind, shrinks, tones)


def _stretched(matrices: Float, centers: Float, stretch: float, u: Float) -> Float:
    """The maps after the picture's width has changed by a factor and its height by the inverse,
    around the centres (N, 2), which stay where they are."""
    factor = np.sqrt(1 + stretch) ** (2 * u - 1)
    linear = matrices[..., :2] * np.stack([factor, 1 / factor], axis=1)[:, None]
    moved = np.einsum("nij,nj->ni", matrices[..., :2] - linear, centers)
    return np.concatenate([linear, (matrices[..., 2] + moved)[..., None]], axis=2)


def _rectangles(u: Chances, probability: float, input_size: tuple[int, int]) -> Int:
    """Rectangles (N, 4) inside of crops, empty where there is none."""
    least, most = ERASED
    # One number for both, whether and how large, as it is uniform below the probability as well.
    wanted = u.erased < probability
    share = least * (most / least) ** (u.erased / max(probability, 1e-9)).clip(0, 1)
    ratio = ERASED_RATIO ** (2 * u.erased_ratio - 1)
    sides = np.sqrt(share)[:, None] * np.stack([np.sqrt(ratio), 1 / np.sqrt(ratio)], axis=1)
    first = np.stack([u.erased_x, u.erased_y], axis=1) * (1 - sides)  # sides are at most 0.95
    corners = np.concatenate([first, first + sides], axis=1) * np.tile(input_size, 2)
    return np.where(wanted[:, None], np.rint(corners), 0).astype(np.int64)


def _half_bodies(
    u: Float,
    wanted: Bool,
    augmentation: Augmentation,
    boxes: Float,
    keypoints: Float,
    skeleton: Skeleton,
) -> tuple[Float, Bool]:
    """The extent of the upper (69 % of the time) or lower body in place of the box where it is
    wanted and enough is labelled; and where that is (N,)."""
    if not skeleton.upper_body:
        return boxes, np.zeros_like(wanted)
    labelled = keypoints[..., 2] > 0
    is_upper = np.isin(skeleton.keypoints, skeleton.upper_body)
    upper, lower = labelled & is_upper, labelled & ~is_upper
    take_upper = ((u < UPPER_BODY) & (upper.sum(1) > 2)) | (lower.sum(1) <= 2)
    chosen = np.where(take_upper[:, None], upper, lower)[..., None]
    points = keypoints[..., :2]
    high = np.where(chosen, points, -np.inf).max(axis=1)
    low = np.where(chosen, points, np.inf).min(axis=1)
    count = chosen.sum(axis=1)
    # The official code centres on the joints' mean; the region still spans their extent.
    center = np.where(chosen, points, 0.0).sum(axis=1) / np.maximum(count, 1)
    half = np.concatenate([center - (high - low) / 2, center + (high - low) / 2], axis=1)
    taken = (
        wanted
        & (labelled.sum(1) > augmentation.half_body_min_joints)
        & (count[:, 0] >= 2)
        & (high > low).any(axis=1)  # not all in one point
    )
    return np.where(taken[:, None], half, boxes), taken


def _truncate(
    u_edge: Float,
    u_share: Float,
    u_black: Float,
    wanted: Bool,
    boxes: Float,
    keypoints: Float,
    kept: Int,
) -> Float:
    """A part of the box, where it is wanted and three labelled joints are still inside; what is
    `kept` of the picture (N, 4) becomes less, in place."""
    if not wanted.any():
        return boxes
    # Which edge moves in: mostly the bottom one, as people's legs are cut most often.
    edge = np.searchsorted(np.cumsum(EDGES[:3]), u_edge, side="right")
    share = 0.3 + 0.5 * u_share
    row = np.arange(len(boxes))
    extent = boxes[:, 2:] - boxes[:, :2]
    parts = boxes.copy()
    parts[row, edge] += np.where(edge < 2, 1, -1) * (1 - share) * extent[row, edge % 2]
    points = keypoints[..., :2]
    inside = (keypoints[..., 2] > 0) & (
        (points >= parts[:, None, :2]) & (points <= parts[:, None, 2:])
    ).all(axis=2)
    taken = wanted & (inside.sum(axis=1) >= 3)
    black = taken & (u_black < 0.5)
    kept[black, edge[black]] = np.rint(parts[black, edge[black]]) + (edge[black] >= 2)
    return np.where(taken[:, None], parts, boxes)


def _all_kept(count: int) -> Int:
    return np.tile(np.array(_EVERYTHING, dtype=np.int64), (count, 1))
