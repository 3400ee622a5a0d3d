"""Leeds Sports Pose (Johnson & Everingham, BMVC 2010) and its extension (CVPR 2011), from the files
as published: folders with `joints.mat` and `images`.

LSP: `joints` (3, 14, 2000), x, y and a flag that is 1 where the joint is occluded; the first half
is to train on, the second to test. LSP Extended: `joints` (14, 3, 10000), x, y and a flag that is 1
where the joint is visible; others have no place. (Both README files call the flag "visibility";
in LSP it is set for one joint in fourteen, and all have a place.) Coordinates count from 1.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrnet.data.annotations import link_pictures, write_annotations
from hrnet.data.mat import read_mat
from hrnet.data.people import UNLABELLED, People, extent_boxes
from hrnet.data.prepare.content import coco_content
from hrnet.errors import DataError
from hrnet.images import size_and_orientation
from hrnet.similarity import AREA_OF_BOX
from hrnet.skeletons import load_skeleton

SKELETON = "lsp14"  # whose keypoints are in the order of joints.mat


def prepare_lsp(source: str | Path, out: str | Path) -> dict[Path, dict[str, Any]]:
    """Write `train.json` (LSP's first half, and LSP Extended) and `test.json` (LSP's second half).

    Boxes are the joints' extent and 12 % of its longer side, within the picture; areas 0.53 of
    theirs.

    Args:
        source: a folder with `joints.mat` and `images`, or with such folders.
        out: folder to write to; the pictures are linked.

    Returns:
        The files written and `hrnet.data.people.People.counts` of each.

    Raises:
        DataError: there is no such data set, or its pictures do not fit.
        ImageError: a picture cannot be read.
    """
    source, out = Path(source), Path(out)
    mats = sorted([*source.glob("joints.mat"), *source.glob("*/joints.mat")])
    if not mats:
        raise DataError(
            f"{source} holds no joints.mat, nor do its folders; give the folder that LSP or LSP "
            "Extended was unpacked to"
        )
    parts: dict[str, list[tuple[Path, NDArray[np.float64]]]] = {"train": [], "test": []}
    folders: dict[Path, str] = {}
    for mat in mats:
        keypoints, extended = _read_joints(mat)
        pictures = sorted((mat.parent / "images").glob("im*"))
        if len(pictures) != len(keypoints):
            raise DataError(
                f"{mat} has {len(keypoints)} people, and {mat.parent / 'images'} "
                f"{len(pictures)} pictures im...; there must be one for each"
            )
        rows = list(zip(pictures, keypoints, strict=True))
        half = len(rows) if extended else len(rows) // 2
        parts["train"] += rows[:half]
        parts["test"] += rows[half:]
        folders[mat.parent / "images"] = "lspet" if extended else "lsp"
    prefixes = link_pictures(out, folders)
    contents: dict[Path, dict[str, Any]] = {}
    result: dict[Path, dict[str, Any]] = {}
    first_id = 1
    for part, rows in parts.items():
        everybody = len(rows)
        rows = [(picture, points) for picture, points in rows if (points[:, 2] > 0).any()]
        if rows:
            people = _people(rows, first_id, everybody - len(rows))
            names = [prefixes[picture.parent] + picture.name for picture, _ in rows]
            description = f"Leeds Sports Pose, {part}"
            contents[out / f"{part}.json"] = coco_content(
                people, names, description, load_skeleton(SKELETON)
            )
            result[out / f"{part}.json"] = people.counts()
        first_id += len(rows)
    write_annotations(contents)
    return result


def _read_joints(file: Path) -> tuple[NDArray[np.float64], bool]:
    """Keypoints (P, 14, 3), counted from 0, with COCO's v; and whether it is LSP Extended."""
    joints = np.asarray(read_mat(file).get("joints", 0))
    if joints.ndim == 3 and joints.shape[:2] == (3, 14):
        keypoints, extended = joints.transpose(2, 1, 0).astype(np.float64), False
    elif joints.ndim == 3 and joints.shape[:2] == (14, 3):
        keypoints, extended = joints.transpose(2, 0, 1).astype(np.float64), True
    else:
        raise DataError(
            f"{file}: joints has the shape {joints.shape}; LSP's is (3, 14, N), and LSP Extended's "
            "(14, 3, N)"
        )
    flag = keypoints[..., 2] > 0
    keypoints[..., :2] -= 1
    keypoints[..., 2] = np.where(flag, 2, 0) if extended else np.where(flag, 1, 2)
    return keypoints, extended


def _people(rows: list[tuple[Path, NDArray[np.float64]]], first_id: int, unlabelled: int) -> People:
    files = [picture for picture, _ in rows]
    keypoints = np.stack([points for _, points in rows])
    last = np.array([size_and_orientation(file)[0] for file in files]) - 1
    boxes = np.clip(extent_boxes(keypoints), 0, np.tile(last, 2))
    widths, heights = (boxes[:, 2:] - boxes[:, :2]).T
    ids = np.arange(first_id, first_id + len(rows))
    return People(
        files=files,
        boxes=boxes,
        keypoints=keypoints,
        areas=AREA_OF_BOX * widths * heights,
        image_ids=ids,
        annotation_ids=ids,
        names=list(load_skeleton(SKELETON).keypoints),
        box_faults=np.full(len(rows), ""),  # the data set has no boxes at all
        left_out={UNLABELLED: unlabelled} if unlabelled else {},
    )
