"""A data set in COCO's format, to be written as a tool has it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hrnet.data.annotations import Entry, locate_pictures, read_annotations
from hrnet.data.coco import skeleton_in
from hrnet.data.tools.labels import Instance, Size, moved
from hrnet.errors import DataError
from hrnet.images import size_and_orientation
from hrnet.images.orientation import to_upright, turned_size
from hrnet.skeletons import Skeleton
from hrnet.tables import MALFORMED


@dataclass(frozen=True)
class Exported:
    """What is to be written.

    Attributes:
        skeleton: of the file.
        folder: of the pictures.
        pictures: their entries, with `file_name` the path below the folder.
        shown_sizes: by picture's id, (width, height) as shown.
        people: by picture's id, those with a labelled joint who are no crowd, in the pixels of the
            picture as shown.
    """

    skeleton: Skeleton
    folder: Path
    pictures: list[Entry]
    shown_sizes: dict[Any, Size]
    people: dict[Any, list[Instance]]

    def __len__(self) -> int:
        return sum(map(len, self.people.values()))


def read_to_export(file: Path, images: str | Path | None) -> Exported:
    """Raises DataError, ImageError: the file or a picture is missing or broken."""
    skeleton, content = skeleton_in(file), read_annotations(file)
    located = locate_pictures(file, content["images"], images)
    try:
        shapes = {
            picture["id"]: size_and_orientation(located.folder / picture["file_name"])
            for picture in located.images
        }
        people: dict[Any, list[Instance]] = {id_: [] for id_ in shapes}
        for person in content["annotations"]:
            if person.get("iscrowd") or not any(person.get("keypoints", [])[2::3]):
                continue
            size, orientation = shapes[person["image_id"]]
            points = np.reshape(np.array(person["keypoints"], np.float64), (len(skeleton), 3))
            x, y, width, height = (float(value) for value in person["bbox"])
            stored = Instance(points, np.array([x, y, x + width, y + height]))
            people[person["image_id"]].append(moved(stored, to_upright, orientation, size))
    except MALFORMED as error:
        raise DataError(
            f"{file} cannot be exported ({type(error).__name__}: {error}); hrnet data check says "
            "what is wrong with it"
        ) from error
    sizes = {id_: turned_size(*shape) for id_, shape in shapes.items()}
    return Exported(skeleton, located.folder, located.images, sizes, people)
