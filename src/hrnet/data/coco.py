"""Reading annotation files in COCO's keypoint format."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from hrnet.data.people import People
from hrnet.errors import DataError


def read_coco(file: str | Path, images: str | Path | None = None) -> People:
    """People with at least one labelled joint, without crowds, of a COCO keypoint file.

    Boxes are clipped to the picture and empty ones dropped by the official rule
    (`lib/dataset/coco.py`), which makes them a pixel narrower and lower.

    Args:
        file: the JSON file.
        images: folder of the pictures; by default `images` beside the file.

    Raises:
        DataError: the file is missing, not JSON, or not in COCO's keypoint format.
    """
    file = Path(file)
    folder = Path(images) if images is not None else file.parent / "images"
    content = _read_json(file)
    try:
        pictures = {picture["id"]: picture for picture in content["images"]}
        names = [str(name) for name in content["categories"][0]["keypoints"]]
        rows = [
            (a, pictures[a["image_id"]])
            for a in content["annotations"]
            if not a.get("iscrowd", 0) and any(a["keypoints"][2::3])
        ]
        rows = [(a, picture) for a, picture in rows if _clean_box(a["bbox"], picture) is not None]
        people = People(
            files=[folder / picture["file_name"] for _, picture in rows],
            boxes=np.array([_clean_box(a["bbox"], p) for a, p in rows]).reshape(-1, 4),
            keypoints=np.array([a["keypoints"] for a, _ in rows], dtype=np.float64).reshape(
                -1, len(names), 3
            ),
            areas=np.array([a["area"] for a, _ in rows], dtype=np.float64),
            image_ids=np.array([a["image_id"] for a, _ in rows], dtype=np.int64),
            annotation_ids=np.array([a["id"] for a, _ in rows], dtype=np.int64),
            names=names,
        )
        if np.isnan(people.areas).any():
            raise ValueError("an area is not a number")
        return people
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise DataError(
            f"{file} is not in COCO's keypoint format ({type(error).__name__}: {error}); it needs "
            "images, annotations with bbox, area and keypoints, and a category with keypoints"
        ) from error


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"there is no annotation file {file}") from None
    except (OSError, ValueError, RecursionError) as error:  # not JSON, not UTF-8, too deep
        raise DataError(f"{file} cannot be read as JSON: {error}") from error


def _clean_box(bbox: list[float], picture: dict[str, Any]) -> list[float] | None:
    """x1, y1, x2, y2 inside the picture, or None for a box that is empty."""
    x, y, w, h = bbox
    x1, y1 = max(0.0, x), max(0.0, y)
    x2 = min(picture["width"] - 1.0, x1 + max(0.0, w - 1))
    y2 = min(picture["height"] - 1.0, y1 + max(0.0, h - 1))
    return [x1, y1, x2, y2] if x2 > x1 and y2 > y1 else None
