"""MPII Human Pose (Andriluka et al., CVPR 2014): the JSON files that go with the official HRNet.

They, and the .mat file as published, hold for each person a centre and a scale, which is the
person's height over 200 pixels; places count from 1. The official code (`lib/dataset/mpii.py`)
moves the centre down by 15 times the scale, so as not to cut off feet, and takes 1.25 x 200 x scale
pixels about it. Boxes here are 200 x scale pixels about that centre, so that the usual padding of
1.25 gives the same region.

PCKh measures in 0.6 of the diagonal of the head's box.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrnet.data.annotations import pictures_folder
from hrnet.data.coco import SCALE_UNIT
from hrnet.data.mat import read_mat
from hrnet.data.people import (
    NO_PLACE,
    NOWHERE,
    UNLABELLED,
    People,
    extent_boxes,
    joint_boxes,
)
from hrnet.errors import DataError
from hrnet.images import size_and_orientation
from hrnet.similarity import AREA_OF_BOX
from hrnet.skeletons import load_skeleton
from hrnet.tables import MALFORMED, read_json

HEAD = 0.6  # SC_BIAS of the official evaluation


@dataclass(frozen=True)
class MPIIPerson:
    """One person as the files say it, places counted from 1."""

    picture: str
    center: tuple[float, float]
    scale: float
    keypoints: NDArray[np.float64]  # (16, 3) x, y, v
    head_size: float = math.nan


def read_mpii(file: str | Path, images: str | Path | None = None) -> People:
    """People with at least one labelled joint of a JSON file as the official HRNet uses it
    (`annot/train.json`, `annot/valid.json`): a list of people with image, center (-1, -1 where
    there is none), scale, joints and joints_vis. Whether a labelled joint is visible it does not
    say: v is 2. Who is left out is counted by reason.

    Boxes are not clipped to the picture, as the official code does not. That of somebody without a
    place or a scale is the square about the box of their joints, see
    `hrnet.data.people.joint_boxes`, for which their picture is looked at. Areas are 0.53 of the box
    around the joints. Annotation ids are positions in the list. Head sizes are read from
    `gt_valid.mat` (for `valid.json`; `gt_` and the file's name for others) where that is beside the
    file; they are 0.6 of the diagonal of the head's box.

    Args:
        images: folder of the pictures; by default `images` beside the file or beside its folder,
            or the file's own.

    Raises:
        DataError: the file, or the .mat file beside it, is broken or another one.
        ImageError: the picture of somebody without a place is missing, or is none.
        ModuleNotFoundError: there are head sizes to read, and scipy is not installed.
    """
    file = Path(file)
    above = file.absolute().parent.parent / "images"
    folder = pictures_folder(file, images)
    if images is None and folder == file.parent and above.is_dir():
        folder = above
    rows = read_json(file, "annotation file")
    if rows == []:
        raise DataError(f"{file} is an empty list; there is nobody to read")
    try:
        people = [_from_json(row) for row in rows]
    except MALFORMED as error:
        raise DataError(
            f"{file} is not in MPII's JSON format ({type(error).__name__}: {error}); it needs a "
            "list of people with image, center, scale, 16 joints and joints_vis"
        ) from error
    heads = file.with_name(f"gt_{file.stem}.mat")
    head_sizes = _head_sizes(heads, len(people)) if heads.is_file() else None
    return mpii_people(people, folder, head_sizes)


def is_mpii(file: str | Path) -> bool:
    """Whether a JSON file is a list, as MPII's are, and not an object, as COCO's are."""
    try:
        with Path(file).open(encoding="utf-8-sig") as stream:
            return stream.read(1000).lstrip()[:1] == "["
    except (OSError, ValueError):  # what reads it will say
        return False


def mpii_people(
    people: list[MPIIPerson], folder: Path, head_sizes: NDArray[np.float64] | None
) -> People:
    """Those with a labelled joint, places counted from 0; see `read_mpii`.

    Args:
        folder: of their pictures.
        head_sizes: (P,) in pixels, or None.
    """
    keypoints = np.array([p.keypoints for p in people]).reshape(-1, 16, 3)
    labelled = keypoints[..., 2] > 0
    keypoints = (keypoints - [1, 1, 0]) * labelled[..., None]
    scales = np.array([p.scale for p in people])
    centers = np.array([p.center for p in people]).reshape(-1, 2)
    somebody = labelled.any(axis=1)
    placed = (centers[:, 0] != -1) & (scales > 0)
    centers = centers + np.stack([0 * scales, 15 * scales], axis=1) - 1
    half = SCALE_UNIT / 2 * scales[:, None]
    lost = np.flatnonzero(somebody & ~placed)
    sizes = np.array(
        [size_and_orientation(folder / people[i].picture)[0] for i in lost], dtype=np.float64
    )
    low, high = np.hsplit(joint_boxes(keypoints[lost], sizes.reshape(-1, 2)), 2)
    centers[lost], half[lost] = (low + high) / 2, (high - low).max(axis=1, keepdims=True) / 2
    nowhere = np.isnan(half[:, 0])
    left_out = {UNLABELLED: int((~somebody).sum()), NOWHERE: int(nowhere.sum())}
    extent = extent_boxes(keypoints)
    widths, heights = (extent[:, 2:] - extent[:, :2]).T
    pictures = {name: i for i, name in enumerate(dict.fromkeys(p.picture for p in people))}
    everyone = People(
        files=[folder / p.picture for p in people],
        boxes=np.concatenate([centers - half, centers + half], axis=1),
        keypoints=keypoints,
        areas=np.maximum(AREA_OF_BOX * widths * heights, 1),  # of a single joint too
        image_ids=np.array([pictures[p.picture] for p in people], dtype=np.int64),
        annotation_ids=np.arange(len(people)),
        names=list(load_skeleton("mpii16").keypoints),
        box_faults=np.where(placed, "", NO_PLACE),
        left_out={reason: count for reason, count in left_out.items() if count},
        head_sizes=head_sizes,
    )
    return everyone.select(somebody & ~nowhere)


def _from_json(row: dict[str, Any]) -> MPIIPerson:
    joints = np.array(row["joints"], dtype=np.float64).reshape(16, 2)
    v = 2.0 * (np.array(row["joints_vis"], dtype=np.float64).reshape(16, 1) > 0)
    (x, y), scale = map(float, row["center"]), float(row["scale"])
    if not np.isfinite([x, y, scale, *joints.ravel()]).all():
        raise ValueError("a place or a scale is not a number")
    return MPIIPerson(str(row["image"]), (x, y), scale, np.hstack([joints, v]))


def _head_sizes(file: Path, people: int) -> NDArray[np.float64]:
    boxes = np.asarray(read_mat(file).get("headboxes_src", 0))
    if boxes.shape == (2, 2) and people == 1:  # a single person's axis is gone
        boxes = boxes[..., None]
    if boxes.shape != (2, 2, people):
        raise DataError(
            f"{file}: headboxes_src has the shape {boxes.shape}; for the people in the JSON file "
            f"beside it, it is to be (2, 2, {people})"
        )
    corners = boxes.astype(np.float64)
    return np.asarray(HEAD * np.linalg.norm(corners[1] - corners[0], axis=0))
