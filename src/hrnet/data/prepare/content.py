"""From people to an annotation file, for data sets that come in other formats."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hrnet.data.people import People
from hrnet.images import size_and_orientation
from hrnet.skeletons import Skeleton


def coco_content(
    people: People, names: list[str], description: str, skeleton: Skeleton
) -> dict[str, Any]:
    """People as the content of an annotation file. `hrnet.data.coco.read_coco` makes the same of
    it, but for boxes beyond the picture, which it clips.

    Args:
        names: what each person's picture is to be called in the file.
        skeleton: of their keypoints.

    Raises:
        ImageError: a picture is missing, or is none.
    """
    images: dict[str, dict[str, Any]] = {}
    annotations = []
    for i, name in enumerate(names):
        if name not in images:
            (width, height), _ = size_and_orientation(people.files[i])
            image_id = int(people.image_ids[i])
            images[name] = {"id": image_id, "file_name": name, "width": width, "height": height}
        x1, y1, x2, y2 = people.boxes[i].tolist()
        keypoints = people.keypoints[i] * (people.keypoints[i, :, 2:] > 0)
        annotation = {
            "id": int(people.annotation_ids[i]),
            "image_id": images[name]["id"],
            "category_id": 1,
            "iscrowd": 0,
            # Readers make boxes a pixel narrower and lower, as the official code does.
            "bbox": [round(value, 2) for value in (x1, y1, x2 - x1 + 1, y2 - y1 + 1)],
            "area": round(float(people.areas[i]), 1),
            "num_keypoints": int((keypoints[:, 2] > 0).sum()),
            "keypoints": [
                value
                for x, y, v in keypoints.tolist()
                for value in (round(x, 2), round(y, 2), int(v))
            ],
        }
        if people.head_sizes is not None and not np.isnan(people.head_sizes[i]):
            annotation["head_size"] = round(float(people.head_sizes[i]), 3)
        annotations.append(annotation)
    return {
        "info": {"description": description},
        "images": list(images.values()),
        "annotations": annotations,
        "categories": [skeleton.to_category()],
    }


class LabelledBoxes(NamedTuple):
    """A picture with the boxes of its people, and no joints.

    Attributes:
        name: what it is to be called in the file.
        size: width and height in pixels.
        boxes: (P, 4) edges x1, y1, x2, y2 in pixels.
        crowds: (P,) which of them count neither way.
    """

    name: str
    size: tuple[int, int]
    boxes: NDArray[np.float64]
    crowds: NDArray[np.bool_]


def boxes_content(pictures: Sequence[LabelledBoxes], description: str) -> dict[str, Any]:
    """Pictures and their people's boxes as the content of an annotation file, to train a detector
    on."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (name, (width, height), boxes, crowds) in enumerate(pictures, 1):
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for (x1, y1, x2, y2), is_crowd in zip(boxes.tolist(), crowds.tolist(), strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "iscrowd": int(is_crowd),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                }
            )
    return {
        "info": {"description": description},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}],
    }
