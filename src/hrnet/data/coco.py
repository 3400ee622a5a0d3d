"""Reading annotation files in COCO's keypoint format.

COCO itself, CrowdPose, AP-10K and most data sets of hands and faces come in it, each with its own
keypoints. COCO-WholeBody adds lists of its own beside a person's 17 keypoints; models of the whole
body, of hands and of faces find theirs there.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hrnet.data.annotations import keypoint_names, locate_pictures, used_categories
from hrnet.data.people import (
    CROWD,
    EMPTY,
    NO_BOX,
    NOT_FINITE,
    NOWHERE,
    UNLABELLED,
    People,
    box_fault,
    joint_boxes,
)
from hrnet.errors import DataError
from hrnet.similarity import AREA_OF_BOX
from hrnet.skeletons import Skeleton, named_twice, skeleton_of_category
from hrnet.tables import MALFORMED, read_json

# Whose conventions to follow where the public programs differ.
Protocol = Literal["official", "mmpose"]

# The scale of data sets that give a centre and a scale instead of a box is in units of 200 pixels.
SCALE_UNIT = 200

WHOLEBODY_SKELETON = "coco_wholebody133"
WHOLEBODY = ("foot", "face", "lefthand", "righthand")
WHOLEBODY_PARTS = {"hand21": ("lefthand", "righthand"), "face_coco_wholebody68": ("face",)}


def read_coco(
    file: str | Path,
    images: str | Path | None = None,
    *,
    skeleton: Skeleton | None = None,
    protocol: Protocol = "official",
) -> People:
    """People with at least one labelled joint, without crowds, of a COCO keypoint file. Who is left
    out is counted by reason.

    Where an annotation has a `center` and a `scale`, as WFLW, 300W and AFLW do, its box is the
    square of 200 * scale pixels about the centre. Where it has neither these nor a box that can be
    used (none, one that is not finite, or of which no more than a pixel's width or height is in the
    picture), the box is that of its joints, see `hrnet.data.people.joint_boxes`, and so is its area
    unless the file has one above 0. (The official code and MMPose leave such people out.)

    Args:
        file: the JSON file.
        images: folder of the pictures; by default `images` beside the file, or the file's own
            folder if there is none.
        skeleton: whose keypoints to give: columns come in its order. By default the file's own.
        protocol: how boxes are clipped to their pictures. "official" (`lib/dataset/coco.py`) makes
            them a pixel narrower and lower first; "mmpose" does not. (The official code leaves out
            people whose area is 0, too.)

    Raises:
        DataError: the file is missing, not JSON, or not in COCO's keypoint format; or it lacks
            keypoints of the skeleton; or a number of a person is none or an id no whole number.
    """
    file = Path(file)
    content = read_json(file, "annotation file")
    try:
        located = locate_pictures(file, content["images"], images)
        folder, content = located.folder, {**content, "images": located.images}
        # Without categories the skeleton says what the keypoints are.
        names = keypoint_names(content) if content.get("categories") or skeleton is None else []
        rows, left_out = _rows(content, file, skeleton, protocol)
        annotations, places, points, boxes, areas, faults = (
            zip(*rows, strict=True) if rows else [()] * 6
        )
        joints = _joints(content, skeleton, names)
        people = People(
            files=[folder / picture["file_name"] for picture in places],
            boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
            keypoints=np.array(points, dtype=np.float64).reshape(
                len(rows), -1 if rows else len(joints), 3
            ),
            areas=np.array(areas, dtype=np.float64),
            image_ids=np.array([a["image_id"] for a in annotations], dtype=np.int64),
            annotation_ids=np.array([a["id"] for a in annotations], dtype=np.int64),
            names=joints,
            box_faults=np.array(faults, dtype=np.str_),
            left_out=dict(left_out),
            head_sizes=_head_sizes(annotations),
            pictures_found=located.how,
        )
        # Machine-made labels (WholeBody's hands and faces) have a confidence in the place of v.
        v = people.keypoints[..., 2]
        v[v > 0] = np.clip(v[v > 0], 1, 2)
        v[~(v > 0)] = 0
        if np.isnan(people.areas).any():
            raise ValueError("an area is not a number")
        if joints and people.keypoints.shape[1] != len(joints):
            raise ValueError(
                f"people have {people.keypoints.shape[1]} keypoints, and the category {len(joints)}"
            )
    except MALFORMED as error:
        raise DataError(
            f"{file} is not in COCO's keypoint format ({type(error).__name__}: {error}); it needs "
            "images, annotations with bbox and keypoints, and a category with keypoints"
        ) from error
    return people if skeleton is None else people.of_skeleton(skeleton, file)


def pictures_and_categories(
    file: str | Path, images: str | Path | None = None
) -> tuple[dict[int, Path], set[int]]:
    """All pictures of an annotation file by their id, those without people as well, and the ids of
    its categories.

    Args:
        images: folder of the pictures, see `read_coco`.

    Raises:
        DataError: the file is missing, not JSON, or lists none.
    """
    file = Path(file)
    content = read_json(file, "annotation file")
    try:
        located = locate_pictures(file, content["images"], images)
        pictures = {int(p["id"]): located.folder / p["file_name"] for p in located.images}
        return pictures, {int(category["id"]) for category in content["categories"]}
    except MALFORMED as error:
        raise DataError(
            f"{file} is not in COCO's keypoint format ({type(error).__name__}: {error}); it needs "
            "images with id and file_name, and categories with id"
        ) from None


def skeleton_in(file: str | Path) -> Skeleton:
    """The skeleton that the category of a file's people describes, see `skeleton_of_category`.

    Raises:
        DataError: the file is missing or broken, or its category names no keypoints.
    """
    file = Path(file)
    content = read_json(file, "annotation file")
    try:
        names = keypoint_names(content)  # one list, whichever of the categories it is of
        skeleton = skeleton_of_category(used_categories(content)[0])
    except MALFORMED as error:
        raise DataError(
            f"{file} is not in COCO's keypoint format ({type(error).__name__}: {error}); it needs "
            "a category with keypoints"
        ) from error
    if twice := named_twice(names):
        raise DataError(
            f"{file}: the keypoint {twice!r} is named twice; give each a name of its own"
        )
    if skeleton is None:
        raise DataError(f"{file} names no keypoints; give a skeleton as a TOML file")
    return skeleton


def _rows(
    content: Any, file: Path, skeleton: Skeleton | None, protocol: Protocol
) -> tuple[list[tuple[Any, ...]], Counter[str]]:
    """Annotation, picture, keypoints, box, area, and what is wrong with the file's own box, of each
    who is labelled; and how many are left out, by reason."""
    pictures = {picture["id"]: picture for picture in content["images"]}
    rows = []
    left_out: Counter[str] = Counter()
    for annotation in content["annotations"]:
        try:
            picture = pictures[annotation["image_id"]]
            if annotation.get("iscrowd", 0):
                left_out[CROWD] += 1
                continue
            for keypoints, bbox in _instances(annotation, skeleton):
                if not any(keypoints[2::3]):
                    left_out[UNLABELLED] += 1
                    continue
                _check_numbers(annotation, keypoints)
                box, fault = _file_box(annotation, bbox, picture, protocol)
                if fault:
                    box = _joint_box(keypoints, picture)
                if np.isnan(box).any():
                    left_out[NOWHERE] += 1
                    continue
                area = annotation.get("area")
                if area is None or (fault and not area > 0):
                    area = AREA_OF_BOX * (box[2:] - box[:2]).prod()
                rows.append((annotation, picture, keypoints, box, area, fault))
        except MALFORMED as error:
            raise DataError(
                f"{file}: annotation {annotation.get('id')} cannot be read "
                f"({type(error).__name__}: {error}); hrnet data check says what is wrong with "
                "it and with others"
            ) from error
    return rows, left_out


def _joints(content: Any, skeleton: Skeleton | None, names: list[str]) -> list[str]:
    """What the columns that `_instances` gives are called."""
    if skeleton is not None and skeleton.name in (*WHOLEBODY_PARTS, WHOLEBODY_SKELETON):
        return list(skeleton.keypoints) if has_wholebody(content) else names
    return names


def has_wholebody(content: Any) -> bool:
    """Whether an annotation file's content is COCO-WholeBody's."""
    return any(f"{WHOLEBODY[0]}_kpts" in annotation for annotation in content["annotations"])


def _head_sizes(annotations: Sequence[dict[str, Any]]) -> NDArray[np.float64] | None:
    """Of MPII, as `hrnet data prepare mpii` writes them; NaN for those who have none."""
    sizes = [annotation.get("head_size", math.nan) for annotation in annotations]
    return None if np.isnan(sizes).all() else np.array(sizes, dtype=np.float64)


def _instances(
    annotation: dict[str, Any], skeleton: Skeleton | None
) -> Iterator[tuple[list[float], Any]]:
    """Keypoints and box of what an annotation is to label for models of this skeleton: none where
    it does not."""
    if skeleton is not None and f"{WHOLEBODY[0]}_kpts" in annotation:
        if skeleton.name in WHOLEBODY_PARTS:
            for part in WHOLEBODY_PARTS[skeleton.name]:
                valid = annotation[f"{part}_valid"]
                yield annotation[f"{part}_kpts"] if valid else [], annotation.get(f"{part}_box")
            return
        if skeleton.name == WHOLEBODY_SKELETON:
            parts = [annotation[f"{part}_kpts"] for part in WHOLEBODY]
            yield sum(parts, list(annotation["keypoints"])), annotation.get("bbox")
            return
    yield annotation.get("keypoints") or [], annotation.get("bbox")


def _check_numbers(annotation: dict[str, Any], keypoints: list[float]) -> None:
    """Refuse what would be taken for another number, or spoil figures and training unseen."""
    for key in ("id", "image_id"):
        if int(annotation[key]) != annotation[key]:  # "7" and 7.5, which NumPy would make 7
            raise ValueError(f"its {key} {annotation[key]!r} is no whole number")
    if not np.isfinite([*map(float, keypoints)]).all():
        raise ValueError("a number of its keypoints is not finite")


def _file_box(
    annotation: dict[str, Any], bbox: Any, picture: dict[str, Any], protocol: Protocol
) -> tuple[NDArray[np.float64], str]:
    """x1, y1, x2, y2 as the file has it, within the picture; and what keeps it from being used."""
    nothing = np.full(4, math.nan)
    if "center" in annotation and "scale" in annotation:
        center = np.array(annotation["center"], dtype=np.float64)
        half = np.array(annotation["scale"], dtype=np.float64) * SCALE_UNIT / 2
        box = np.concatenate([center - half, center + half])
        if not np.isfinite(box).all():
            return nothing, NOT_FINITE
        return box, "" if (half > 0).all() else EMPTY
    if bbox is None or bbox == []:
        return nothing, NO_BOX
    x, y, w, h = map(float, bbox)
    fault = box_fault((x, y, w, h), picture["width"], picture["height"])
    right, bottom = picture["width"] - 1.0, picture["height"] - 1.0
    if protocol == "official":
        x1, y1 = max(0.0, x), max(0.0, y)
        x2, y2 = min(right, x1 + max(0.0, w - 1)), min(bottom, y1 + max(0.0, h - 1))
    else:
        (x1, x2), (y1, y2) = np.clip([x, x + w], 0, right), np.clip([y, y + h], 0, bottom)
    return np.array([x1, y1, x2, y2]), fault


def _joint_box(keypoints: list[float], picture: dict[str, Any]) -> NDArray[np.float64]:
    """See `joint_boxes`."""
    size = np.array([[picture["width"], picture["height"]]], dtype=np.float64)
    return joint_boxes(np.reshape(np.array(keypoints, dtype=np.float64), (1, -1, 3)), size)[0]
