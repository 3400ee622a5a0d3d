"""Reading annotation files in COCO's keypoint format.

COCO itself, CrowdPose, AP-10K and most data sets of hands and faces come in it, each with its own
keypoints. COCO-WholeBody adds lists of its own beside a person's 17 keypoints; models of the whole
body, of hands and of faces find theirs there.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hrnet.data.annotations import keypoint_names, pictures_folder, used_categories
from hrnet.data.people import AREA_OF_BOX, People
from hrnet.errors import DataError
from hrnet.skeletons import Skeleton, skeleton_of_category
from hrnet.tables import read_json

BoxCleaning = Literal["official", "mmpose"]

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
    cleaning: BoxCleaning = "official",
) -> People:
    """People with at least one labelled joint, without crowds, of a COCO keypoint file.

    Where an annotation has a `center` and a `scale`, as WFLW, 300W and AFLW do, its box is the
    square of 200 * scale pixels about the centre.

    Args:
        file: the JSON file.
        images: folder of the pictures; by default `images` beside the file, or the file's own
            folder if there is none.
        skeleton: whose keypoints to give: columns come in its order. By default the file's own.
        cleaning: how boxes are clipped to their pictures. "official" (`lib/dataset/coco.py`) makes
            them a pixel narrower and lower first; "mmpose" does not. What is empty then is left
            out (the official code keeps boxes that are one pixel wide, and leaves out people
            whose area is 0).

    Raises:
        DataError: the file is missing, not JSON, or not in COCO's keypoint format; or it lacks
            keypoints of the skeleton; or a number of a person is none or an id no whole number.
    """
    file = Path(file)
    folder = pictures_folder(file, images)
    content = read_json(file, "annotation file")
    try:
        pictures = {picture["id"]: picture for picture in content["images"]}
        # Without categories the skeleton says what the keypoints are.
        names = keypoint_names(content) if content.get("categories") or skeleton is None else []
        rows = []
        for annotation in content["annotations"]:
            try:
                picture = pictures[annotation["image_id"]]
                for keypoints, bbox in _instances(annotation, skeleton):
                    if annotation.get("iscrowd", 0) or not any(keypoints[2::3]):
                        continue
                    _check_numbers(annotation, keypoints, bbox)
                    box = _clean_box(annotation, bbox, picture, cleaning)
                    if box is not None:
                        rows.append((annotation, picture, keypoints, box))
            except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
                raise DataError(
                    f"{file}: annotation {annotation.get('id')} cannot be read "
                    f"({type(error).__name__}: {error}); hrnet data check says what is wrong with "
                    "it and with others"
                ) from error
        boxes = np.array([box for *_, box in rows], dtype=np.float64).reshape(-1, 4)
        extents = boxes[:, 2:] - boxes[:, :2]
        areas = [a.get("area") for a, *_ in rows]
        joints = _joints(content, skeleton, names)
        people = People(
            files=[folder / picture["file_name"] for _, picture, *_ in rows],
            boxes=boxes,
            keypoints=np.array([keypoints for *_, keypoints, _ in rows], dtype=np.float64).reshape(
                len(rows), -1 if rows else len(joints), 3
            ),
            areas=np.array(
                [
                    AREA_OF_BOX * extent.prod() if area is None else area
                    for area, extent in zip(areas, extents, strict=True)
                ],
                dtype=np.float64,
            ),
            image_ids=np.array([a["image_id"] for a, *_ in rows], dtype=np.int64),
            annotation_ids=np.array([a["id"] for a, *_ in rows], dtype=np.int64),
            names=joints,
            head_sizes=_head_sizes([a for a, *_ in rows]),
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
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
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
    folder = pictures_folder(file, images)
    content = read_json(file, "annotation file")
    try:
        pictures = {int(p["id"]): folder / p["file_name"] for p in content["images"]}
        return pictures, {int(category["id"]) for category in content["categories"]}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{file} is not in COCO's keypoint format ({type(error).__name__}: {error}); it needs "
            "images with id and file_name, and categories with id"
        ) from None


def read_skeleton(file: str | Path) -> Skeleton:
    """The skeleton that the category of a file's people describes, see `skeleton_of_category`.

    Raises:
        DataError: the file is missing or broken, or its category names no keypoints.
    """
    file = Path(file)
    content = read_json(file, "annotation file")
    try:
        keypoint_names(content)  # one list, whichever of the categories it is of
        skeleton = skeleton_of_category(used_categories(content)[0])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{file} is not in COCO's keypoint format ({type(error).__name__}: {error}); it needs "
            "a category with keypoints"
        ) from error
    if skeleton is None:
        raise DataError(f"{file} names no keypoints; give a skeleton as a TOML file")
    return skeleton


def _joints(content: Any, skeleton: Skeleton | None, names: list[str]) -> list[str]:
    """What the columns that `_instances` gives are called."""
    if skeleton is not None and skeleton.name in (*WHOLEBODY_PARTS, WHOLEBODY_SKELETON):
        return list(skeleton.keypoints) if has_wholebody(content) else names
    return names


def has_wholebody(content: Any) -> bool:
    """Whether an annotation file's content is COCO-WholeBody's."""
    return any(f"{WHOLEBODY[0]}_kpts" in annotation for annotation in content["annotations"])


def _head_sizes(annotations: list[dict[str, Any]]) -> NDArray[np.float64] | None:
    """Of MPII, as `hrnet data prepare mpii` writes them; NaN for those who have none."""
    sizes = [annotation.get("head_size", math.nan) for annotation in annotations]
    return None if np.isnan(sizes).all() else np.array(sizes, dtype=np.float64)


def _instances(
    annotation: dict[str, Any], skeleton: Skeleton | None
) -> Iterator[tuple[list[float], list[float]]]:
    """Keypoints and box of what an annotation labels for models of this skeleton."""
    if skeleton is not None and f"{WHOLEBODY[0]}_kpts" in annotation:
        if skeleton.name in WHOLEBODY_PARTS:
            for part in WHOLEBODY_PARTS[skeleton.name]:
                if annotation[f"{part}_valid"]:
                    yield annotation[f"{part}_kpts"], annotation[f"{part}_box"]
            return
        if skeleton.name == WHOLEBODY_SKELETON:
            parts = [annotation[f"{part}_kpts"] for part in WHOLEBODY]
            yield sum(parts, list(annotation["keypoints"])), annotation["bbox"]
            return
    yield annotation.get("keypoints") or [], annotation["bbox"]


def _check_numbers(annotation: dict[str, Any], keypoints: list[float], bbox: list[float]) -> None:
    """Refuse what would be taken for another number, or spoil figures and training unseen."""
    for key in ("id", "image_id"):
        if int(annotation[key]) != annotation[key]:  # "7" and 7.5, which NumPy would make 7
            raise ValueError(f"its {key} {annotation[key]!r} is no whole number")
    if not np.isfinite([*map(float, bbox), *map(float, keypoints)]).all():
        raise ValueError("a number of its bbox or keypoints is not finite")


def _clean_box(
    annotation: dict[str, Any], bbox: list[float], picture: dict[str, Any], cleaning: BoxCleaning
) -> NDArray[np.float64] | None:
    """x1, y1, x2, y2 inside the picture, or None for a box that is empty."""
    if "center" in annotation and "scale" in annotation:
        center = np.array(annotation["center"], dtype=np.float64)
        half = np.array(annotation["scale"], dtype=np.float64) * SCALE_UNIT / 2
        return np.concatenate([center - half, center + half])
    x, y, w, h = map(float, bbox)
    right, bottom = picture["width"] - 1.0, picture["height"] - 1.0
    if cleaning == "official":
        x1, y1 = max(0.0, x), max(0.0, y)
        x2, y2 = min(right, x1 + max(0.0, w - 1)), min(bottom, y1 + max(0.0, h - 1))
    else:
        (x1, x2), (y1, y2) = np.clip([x, x + w], 0, right), np.clip([y, y + h], 0, bottom)
    return np.array([x1, y1, x2, y2]) if x2 > x1 and y2 > y1 else None
