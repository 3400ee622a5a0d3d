"""Data sets: reading, checking and preparing them, and their people as batches of crops."""

from dataclasses import replace
from pathlib import Path

from hrnet.data.coco import BoxCleaning, read_coco
from hrnet.data.mpii import is_mpii, read_mpii
from hrnet.data.people import Orient, People
from hrnet.skeletons import Skeleton


def read_people(
    file: str | Path,
    skeleton: Skeleton,
    images: str | Path | None = None,
    *,
    cleaning: BoxCleaning = "official",
    orient: Orient = "stored",
) -> People:
    """The labelled people of an annotation file, with the skeleton's keypoints, in its order.

    Args:
        file: JSON in COCO's keypoint format, or in the form that MPII has in the official code.
        images: folder of the pictures; by default `images` beside the file, or the file's own.
        cleaning: of boxes, see `hrnet.data.coco.read_coco`; MPII's are not cleaned by anybody.
        orient: what the file's pixels are, see `People`.

    Raises:
        DataError: the file is missing or broken, or lacks keypoints of the skeleton.
    """
    if is_mpii(file):
        people = read_mpii(file, images).of_skeleton(skeleton, file)
    else:
        people = read_coco(file, images, skeleton=skeleton, cleaning=cleaning)
    return replace(people, orient=orient)
