"""From people to an annotation file, for data sets that come in other formats."""

from typing import Any

import numpy as np

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
