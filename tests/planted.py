"""A small data set without faults, to plant faults in."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hrnet.skeletons import load_skeleton

COCO = load_skeleton("coco17")

# Somebody who faces the camera: the person's left is on the picture's right.
FACING = {
    "nose": (50, 20), "left_eye": (54, 16), "right_eye": (46, 16), "left_ear": (58, 18),
    "right_ear": (42, 18), "left_shoulder": (68, 40), "right_shoulder": (32, 40),
    "left_elbow": (76, 62), "right_elbow": (24, 62), "left_wrist": (80, 84),
    "right_wrist": (20, 84), "left_hip": (60, 90), "right_hip": (40, 90), "left_knee": (62, 122),
    "right_knee": (38, 122), "left_ankle": (62, 150), "right_ankle": (38, 150),
}  # fmt: skip


def facing(shift: float = 0.0) -> np.ndarray:
    """(17, 3) keypoints, all visible."""
    return np.array([[x + shift, y + shift, 2] for x, y in map(FACING.get, COCO.keypoints)])


def data_set(folder: Path, people: int = 12) -> dict[str, Any]:
    """The content of a faultless annotation file; its pictures, 120 x 180, one a person, are
    written to `folder`/images."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for number in range(1, people + 1):
        picture = np.full((180, 120, 3), 5 * number, np.uint8)
        cv2.imwrite(str(folder / "images" / f"{number}.jpg"), picture)
        images.append({"id": number, "file_name": f"{number}.jpg", "width": 120, "height": 180})
        keypoints = facing(shift=number / 2)
        annotations.append(
            {
                "id": 100 + number,
                "image_id": number,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [10, 5, 100, 165],
                "area": 8000.0,
                "num_keypoints": 17,
                "keypoints": keypoints.ravel().tolist(),
            }
        )
    category = {"id": 1, "name": "person", "keypoints": list(COCO.keypoints)}
    return {"images": images, "annotations": annotations, "categories": [category]}


def tagged(jpeg: bytes, orientation: int) -> bytes:
    """The JPEG with EXIF data of an orientation from 1 to 8."""
    exif = (
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([orientation]) + bytes(7)
    )
    return jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif + jpeg[2:]


def write(folder: Path, content: Any, name: str = "people.json") -> Path:
    file = folder / name
    file.write_text(json.dumps(content))
    return file
