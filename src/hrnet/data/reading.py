"""Reading annotation files, whichever format they are in."""

from dataclasses import replace
from pathlib import Path

from hrnet.data.coco import Protocol, read_coco, skeleton_in
from hrnet.data.mpii import is_mpii, read_mpii
from hrnet.data.people import Orient, People
from hrnet.skeletons import Skeleton, load_skeleton


def read_people(
    file: str | Path,
    skeleton: Skeleton,
    images: str | Path | None = None,
    *,
    protocol: Protocol = "official",
    orient: Orient = "stored",
) -> People:
    """The labelled people of an annotation file, with the skeleton's keypoints, in its order.

    Args:
        file: JSON in COCO's keypoint format, or in the form that MPII has in the official code.
        images: folder of the pictures; by default `images` beside the file, or the file's own.
        protocol: whose boxes, see `hrnet.data.coco.read_coco`; MPII's are the same in all.
        orient: what the file's pixels are, see `People`.

    Raises:
        DataError: the file is missing or broken, or lacks keypoints of the skeleton.
        ImageError: the size of a picture of MPII's that is needed cannot be read.
    """
    if is_mpii(file):
        people = read_mpii(file, images).of_skeleton(skeleton, file)
    else:
        people = read_coco(file, images, skeleton=skeleton, protocol=protocol)
    return replace(people, orient=orient)


def read_skeleton(file: str | Path) -> Skeleton:
    """The skeleton that an annotation file itself describes; MPII's list has MPII's.

    Raises:
        DataError: the file is missing or broken, or names no keypoints.
    """
    return load_skeleton("mpii16") if is_mpii(file) else skeleton_in(file)
