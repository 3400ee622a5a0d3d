"""The labelled people of a data set."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hrnet.errors import DataError
from hrnet.skeletons import Skeleton, named_twice

# What a file's pixels are of a picture that its EXIF data turn: those stored, as COCO's tools have
# it, or those of the picture turned upright.
Orient = Literal["stored", "exif"]

MARGIN = 0.12  # of boxes around joints, as a share of their extent's longer side
# What the longer side of such a box is at least, as a share of its picture's shorter side: of a
# single joint, too. The boxes of 19 in 20 of COCO's labelled people are larger.
LEAST = 1 / 8

# Why people are left out,
CROWD = "marked as a crowd"
UNLABELLED = "without a labelled joint"
NOWHERE = "without a usable box and without a joint in the picture"
# and what keeps the file's own box from being used: theirs is made from their joints.
NO_BOX = "without a box"
NOT_FINITE = "with a box that is not finite"
EMPTY = "with a box of no width or height"
OUTSIDE = "with a box outside the picture"
NO_PLACE = "without a place or a scale"  # MPII's


@dataclass(frozen=True)
class People:
    """The labelled people of one annotation file, as arrays of the same length P.

    Attributes:
        files: path of each person's picture.
        boxes: (P, 4) float64 x1, y1, x2, y2 in pixels, without padding.
        keypoints: (P, K, 3) float64 x, y in pixels and v: 0 not labelled, 1 occluded, 2 visible.
        areas: (P,) float64 area of each person in square pixels, for OKS.
        image_ids, annotation_ids: (P,) int64, the file's own.
        names: the K joint names of the file's category; empty where it has none.
        box_faults: (P,) what keeps the file's own box of each from being used, so that `boxes` has
            one made from the joints; "" where it is the file's own.
        left_out: how many of the file's people are not here, by reason, whoever is selected.
        pictures_found: how many of the file's pictures were found in another way than by their
            path, by the way.
        head_sizes: (P,) float64 length of each person's head in pixels by which PCKh is measured,
            or None where the file has none.
        orient: whether pixels are those of the pictures as stored, or turned upright by their EXIF
            data: pictures are read accordingly.
    """

    files: list[Path]
    boxes: NDArray[np.float64]
    keypoints: NDArray[np.float64]
    areas: NDArray[np.float64]
    image_ids: NDArray[np.int64]
    annotation_ids: NDArray[np.int64]
    names: list[str]
    box_faults: NDArray[np.str_]
    left_out: dict[str, int] = field(default_factory=dict)
    head_sizes: NDArray[np.float64] | None = None
    pictures_found: dict[str, int] = field(default_factory=dict)
    orient: Orient = "stored"

    def __len__(self) -> int:
        return len(self.files)

    def select(self, mask: NDArray[np.bool_]) -> "People":
        """The people for whom `mask` (P,) is true."""
        index = np.flatnonzero(mask)
        return replace(
            self,
            files=[self.files[i] for i in index],
            boxes=self.boxes[index],
            keypoints=self.keypoints[index],
            areas=self.areas[index],
            image_ids=self.image_ids[index],
            annotation_ids=self.annotation_ids[index],
            box_faults=self.box_faults[index],
            head_sizes=None if self.head_sizes is None else self.head_sizes[index],
        )

    def counts(self) -> dict[str, Any]:
        """For reports: how many `people` there are, how many are `left_out` and how many have a
        `box_from_joints`, these by reason; and, where there are any, the `pictures_found` in
        another way than by their path."""
        faults = Counter(self.box_faults[self.box_faults != ""].tolist())
        counts = {"people": len(self), "left_out": self.left_out, "box_from_joints": dict(faults)}
        return counts | ({"pictures_found": self.pictures_found} if self.pictures_found else {})

    def of_skeleton(self, skeleton: Skeleton, where: object) -> "People":
        """These people with the skeleton's keypoints, in its order. What the file has beyond them
        is left out; a file that names none must have as many.

        Args:
            where: what to call the data in an error.

        Raises:
            DataError: a keypoint of the skeleton is missing.
        """
        names = self.names or list(skeleton.keypoints)
        if twice := named_twice(names):
            raise DataError(
                f"{where}: the keypoint {twice!r} is named twice; give each a name of its own"
            )
        missing = [name for name in skeleton.keypoints if name not in names]
        if missing or len(names) != self.keypoints.shape[1]:
            raise DataError(
                f"{where} has the {self.keypoints.shape[1]} keypoints "
                f"{', '.join(self.names) or '(without names)'}; skeleton {skeleton.name} has "
                f"{len(skeleton)}"
                + (f", and of these {', '.join(missing[:5])} are missing there" if missing else "")
            )
        order = [names.index(name) for name in skeleton.keypoints]
        return replace(self, keypoints=self.keypoints[:, order], names=list(skeleton.keypoints))


def in_words(counts: Mapping[str, Any]) -> str:
    """`People.counts` as text: "9 people (left out: 2 marked as a crowd, ...; box from the joints:
    1 without a box, ...)"; with the changes of `hrnet.training.relabelling` or what a detector
    added, where there were any. Other keys do not matter."""
    said = []
    for key, what in (
        ("left_out", "left out"),
        ("box_from_joints", "box from the joints"),
        ("pictures_found", "pictures"),
        ("relabelled", "relabelled"),
        ("by_detector", "by a detector"),
    ):
        if counts.get(key):
            said.append(f"{what}: " + ", ".join(f"{n} {why}" for why, n in counts[key].items()))
    return f"{counts['people']} people" + (f" ({'; '.join(said)})" if said else "")


def box_fault(box: Sequence[float], width: float, height: float) -> str:
    """What keeps a box x, y, width, height from being used in a picture of a width and height in
    pixels, or "": a number that is not finite, or a pixel and less of it in the picture."""
    x, y, w, h = box
    if not all(map(math.isfinite, box)):
        return NOT_FINITE
    if w <= 1 or h <= 1:
        return EMPTY
    if min(x + w, width) - max(x, 0) <= 1 or min(y + h, height) - max(y, 0) <= 1:
        return OUTSIDE
    return ""


def extent_boxes(
    keypoints: NDArray[np.float64], least: NDArray[np.float64] | float = 0.0
) -> NDArray[np.float64]:
    """Boxes (P, 4) around labelled joints (P, K, 3): their extent and 12 % of its longer side on
    all sides, more where the box's longer side would be shorter than `least` (P,) pixels; NaN where
    nothing is labelled."""
    points = np.where(keypoints[..., 2:] > 0, keypoints[..., :2], np.nan)
    with np.errstate(all="ignore"):
        low = np.fmin.reduce(points, axis=1)
        high = np.fmax.reduce(points, axis=1)
    longer = (high - low).max(axis=1)
    margin = np.maximum(MARGIN * longer, (least - longer) / 2)[:, None]
    return np.concatenate([low - margin, high + margin], axis=1)


def joint_boxes(keypoints: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes (P, 4) for people whose file has none that can be used: `extent_boxes` around the
    labelled joints (P, K, 3) in the picture, at least an eighth of the picture's shorter side long
    and wholly in the picture of `sizes` (P, 2) width, height; NaN where no joint is in it."""
    points = keypoints[..., :2]
    inside = ((points >= 0) & (points < sizes[:, None])).all(axis=2)
    keypoints = np.dstack([points, keypoints[..., 2] * inside])
    boxes = extent_boxes(keypoints, LEAST * sizes.min(axis=1))
    return np.clip(boxes, 0, np.tile(sizes - 1, 2))
