"""The labelled people of a data set."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hrnet.errors import DataError
from hrnet.skeletons import Skeleton

# What a file's pixels are of a picture that its EXIF data turn: those stored, as COCO's tools have
# it, or those of the picture turned upright.
Orient = Literal["stored", "exif"]

# For people whose file gives no area: about what a person covers of the box, as MMPose has it.
AREA_OF_BOX = 0.53
MARGIN = 0.12  # of boxes around joints, as a share of their extent's longer side


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
    head_sizes: NDArray[np.float64] | None = None
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
            head_sizes=None if self.head_sizes is None else self.head_sizes[index],
        )

    def of_skeleton(self, skeleton: Skeleton, where: object) -> "People":
        """These people with the skeleton's keypoints, in its order. What the file has beyond them
        is left out; a file that names none must have as many.

        Args:
            where: what to call the data in an error.

        Raises:
            DataError: a keypoint of the skeleton is missing.
        """
        names = self.names or list(skeleton.keypoints)
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


def extent_boxes(keypoints: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes (P, 4) around labelled joints (P, K, 3): their extent and 12 % of its longer side on
    all sides; NaN where nothing is labelled."""
    points = np.where(keypoints[..., 2:] > 0, keypoints[..., :2], np.nan)
    with np.errstate(all="ignore"):
        low = np.fmin.reduce(points, axis=1)
        high = np.fmax.reduce(points, axis=1)
    margin = MARGIN * (high - low).max(axis=1, keepdims=True)
    return np.concatenate([low - margin, high + margin], axis=1)
