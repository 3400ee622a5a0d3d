"""Points and limbs onto pictures, and pictures onto a sheet."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hrnet.errors import ImageError
from hrnet.skeletons import Skeleton

FAINT = 0.4  # of a limb's colour is left where one of its ends is a ring
SUBPIXEL_BITS = 4  # OpenCV draws at fixed-point coordinates with this many binary places

# Of a contact sheet, in pixels: a cell's longer side, the line of text below it, the space between
# cells, and all cells' pictures together, for which cells become smaller where there are many.
CELL, CAPTION, GAP, SHEET = 256, 18, 6, 24_000_000


def draw_poses(
    image: NDArray[np.uint8],
    keypoints: NDArray[np.float32],
    scores: NDArray[np.float32],
    skeleton: Skeleton,
    *,
    threshold: float = 0.2,
    hollow: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """A copy of the picture with everybody's limbs and joints.

    Colours tell the person's left (of the skeleton's `colours`) from the right. Lines are as
    thick as the person is large.

    Args:
        image: (H, W, 3) uint8 RGB.
        keypoints: (P, K, 2) x, y in pixels.
        scores: (P, K); joints below `threshold` are left out, with their limbs.
        hollow: (P, K) joints to be drawn as rings, with faint limbs, such as occluded ones; None
            for no one.
    """
    shown = scores >= threshold
    doubted = shown & (False if hollow is None else hollow)
    people = [
        _Person(_fixed_points(points), _thickness(points[visible]), visible, rings)
        for points, visible, rings in zip(keypoints, shown, doubted, strict=True)
        if visible.any()
    ]
    canvas = image.copy()
    if doubted.any():
        _draw_limbs(canvas, people, skeleton, faint=True)
        canvas = np.asarray(cv2.addWeighted(canvas, FAINT, image, 1 - FAINT, 0), np.uint8)
    _draw_limbs(canvas, people, skeleton, faint=False)
    for person in people:
        radius = (person.thickness + 1) << SUBPIXEL_BITS
        for k in np.flatnonzero(person.shown):
            center, colour = person.places[k], skeleton.keypoint_colours[k]
            outline = radius + (1 << SUBPIXEL_BITS)
            cv2.circle(canvas, center, outline, (255, 255, 255), -1, cv2.LINE_AA, SUBPIXEL_BITS)
            cv2.circle(canvas, center, radius, colour, -1, cv2.LINE_AA, SUBPIXEL_BITS)
            if person.doubted[k]:
                white = (255, 255, 255)
                cv2.circle(canvas, center, radius // 2, white, -1, cv2.LINE_AA, SUBPIXEL_BITS)
    return canvas


class _Person(NamedTuple):
    """Somebody with at least one joint to draw: of all joints the places, which are shown, and
    which of these are doubted; and how thick lines are, in pixels."""

    places: list[tuple[int, int]]
    thickness: int
    shown: NDArray[np.bool_]
    doubted: NDArray[np.bool_]


def _draw_limbs(
    canvas: NDArray[np.uint8], people: list[_Person], skeleton: Skeleton, *, faint: bool
) -> None:
    """Those between joints that are shown: with an end that is doubted, or without."""
    for places, thickness, shown, doubted in people:
        for (a, b), colour in zip(skeleton.limb_indices, skeleton.limb_colours, strict=True):
            if shown[a] and shown[b] and (doubted[a] or doubted[b]) == faint:
                cv2.line(
                    canvas, places[a], places[b], colour, thickness, cv2.LINE_AA, SUBPIXEL_BITS
                )


def _thickness(points: NDArray[np.float32]) -> int:
    """Of the lines of somebody with such joints (J, 2), in pixels."""
    return int(np.clip(round(np.ptp(points, axis=0).max() / 70), 1, 12))


def contact_sheet(
    pictures: Sequence[NDArray[np.uint8]], captions: Sequence[str], *, columns: int = 6
) -> NDArray[np.uint8]:
    """Pictures in a white grid, row by row, each with a line of text below it.

    All cells are equal, as wide for their height as the widest and the highest picture together;
    a picture is scaled to fit into its cell, whole and undistorted. The grid's cells have at most
    24 million pixels, however many pictures there are.

    Args:
        pictures: (H, W, 3) uint8 RGB each, of any sizes.
        captions: one a picture; what is longer than its cell is cut, and letters other than
            ASCII's become question marks, as OpenCV has no others.
        columns: cells in a row.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ImageError: there are no pictures.
    """
    if not pictures:
        raise ImageError("there are no pictures to make a sheet of")
    side = min(CELL, int((SHEET / len(pictures)) ** 0.5))
    widest, highest = (max(p.shape[axis] for p in pictures) for axis in (1, 0))
    longer = max(widest, highest)
    width = max(round(side * widest / longer), side // 2, 1)  # there is to be room for the caption
    height = max(round(side * highest / longer), 1)
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    step_x, step_y = width + GAP, height + CAPTION + GAP
    sheet = np.full((GAP + rows * step_y, GAP + columns * step_x, 3), 255, np.uint8)
    for i, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left, top = GAP + i % columns * step_x, GAP + i // columns * step_y
        scale = min(width / picture.shape[1], height / picture.shape[0])
        w, h = (max(1, round(scale * length)) for length in picture.shape[1::-1])
        scaled = cv2.resize(
            picture, (w, h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        )
        x, y = left + (width - w) // 2, top + (height - h) // 2
        sheet[y : y + h, x : x + w] = scaled
        _write_caption(sheet, caption, (left, top + height + CAPTION - 5), width)
    return sheet


def _write_caption(
    sheet: NDArray[np.uint8], text: str, position: tuple[int, int], width: int
) -> None:
    """Write as much of the text as fits into `width`, from its bottom left corner on."""
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.4
    text = "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
    shown = text
    while shown and cv2.getTextSize(shown, font, size, 1)[0][0] > width:
        text = text[:-1]
        shown = text and f"{text}..."
    cv2.putText(sheet, shown, position, font, size, (0, 0, 0), 1, cv2.LINE_AA)


def _fixed_points(points: NDArray[np.float32]) -> list[tuple[int, int]]:
    # Far outside is as good as a little outside, and does not overflow OpenCV's integers.
    places = np.rint(np.clip(points, -10_000, 30_000).astype(np.float64) * (1 << SUBPIXEL_BITS))
    return [(x, y) for x, y in places.astype(int).tolist()]
