"""Pictures with boxes around people, to train a detector on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrnet.data.annotations import locate_pictures, read_annotations
from hrnet.data.people import CROWD, Orient, box_fault
from hrnet.errors import DataError
from hrnet.geometry import intersections_over_unions
from hrnet.tables import MALFORMED

Float = NDArray[np.float64]

# Of a detector's box and a labelled one: their intersection over union from where they are one
# person, and up to where they are two.
SAME, OTHER = 0.5, 0.3
SURE = 0.5  # the score from where a detector's box is a label


@dataclass(frozen=True)
class BoxedPictures:
    """The N pictures of an annotation file, those without people as well.

    Attributes:
        files: path of each.
        boxes: of each (P, 4) people's edges x1, y1, x2, y2 in pixels.
        ignored: of each (Q, 4) regions in which people may be of whom nothing is known.
        left_out: how many of the file's people are in neither, by reason.
        orient: what the pixels are, see `hrnet.data.people.People`.
    """

    files: list[Path]
    boxes: list[Float]
    ignored: list[Float]
    left_out: dict[str, int]
    orient: Orient = "stored"

    def __len__(self) -> int:
        return len(self.files)

    def select(self, mask: NDArray[np.bool_]) -> "BoxedPictures":
        """The pictures for which `mask` (N,) is true."""
        index = np.flatnonzero(mask).tolist()
        return replace(
            self,
            files=[self.files[i] for i in index],
            boxes=[self.boxes[i] for i in index],
            ignored=[self.ignored[i] for i in index],
        )

    def counts(self) -> dict[str, Any]:
        """For reports, see `hrnet.data.people.in_words`."""
        return {"people": sum(map(len, self.boxes)), "left_out": self.left_out}


def read_boxed_pictures(
    file: str | Path, images: str | Path | None = None, *, orient: Orient = "stored"
) -> BoxedPictures:
    """The pictures of a file in COCO's format, with the boxes of its annotations, whatever else
    these label; those that are crowds are ignored regions. A file with several categories, of which
    one is `person`, is of these alone.

    Args:
        images: folder of the pictures, see `hrnet.data.coco.read_coco`.

    Raises:
        DataError: the file is missing, or not in COCO's format.
    """
    file = Path(file)
    content = read_annotations(file)
    try:
        located = locate_pictures(file, content["images"], images)
        number = {picture["id"]: i for i, picture in enumerate(located.images)}
        if len(number) < len(located.images):
            raise ValueError("two pictures have the same id")
        if not number:
            raise ValueError("there are no pictures")
        people = {c["id"] for c in content["categories"] if c.get("name") == "person"}
        boxes: list[list[list[float]]] = [[] for _ in number]
        ignored: list[list[list[float]]] = [[] for _ in number]
        left_out: dict[str, int] = {}
        for annotation in content["annotations"]:
            if people and annotation["category_id"] not in people:
                continue
            i = number[annotation["image_id"]]
            width, height = located.images[i]["width"], located.images[i]["height"]
            x, y, w, h = map(float, annotation["bbox"])
            if fault := box_fault((x, y, w, h), width, height):
                left_out[fault] = left_out.get(fault, 0) + 1
                continue
            edges = np.clip([x, y, x + w, y + h], 0, [width, height] * 2).tolist()
            (ignored if annotation.get("iscrowd") else boxes)[i].append(edges)
            if annotation.get("iscrowd"):
                left_out[CROWD] = left_out.get(CROWD, 0) + 1
        return BoxedPictures(
            files=[located.folder / picture["file_name"] for picture in located.images],
            boxes=[_array(own) for own in boxes],
            ignored=[_array(own) for own in ignored],
            left_out=left_out,
            orient=orient,
        )
    except MALFORMED as error:
        raise DataError(
            f"{file} is not in COCO's format ({type(error).__name__}: {error}); it needs images "
            "with their sizes, and annotations with bbox"
        ) from None


def add_others(
    pictures: BoxedPictures, detected: Sequence[Float], *, sure: float = SURE
) -> tuple[BoxedPictures, dict[str, int]]:
    """People whom the labels leave out, from a detector's boxes: those that it is sure of become
    labels, and others regions to ignore.

    Args:
        detected: of each picture (D, 5) boxes with scores.
        sure: the score from where one is a label; infinite for none.

    Returns:
        The pictures, and how many people were put in and regions ignored.
    """
    boxes, ignored = [], []
    counts = {"people put in": 0, "regions ignored": 0}
    for own, passed, found in zip(pictures.boxes, pictures.ignored, detected, strict=True):
        likeness = intersections_over_unions(found, own).max(axis=1, initial=0.0)
        is_other = (likeness < OTHER) & (found[:, 4] >= sure)
        unsure = (likeness < SAME) & ~is_other
        boxes.append(np.concatenate([own, found[is_other, :4]]))
        ignored.append(np.concatenate([passed, found[unsure, :4]]))
        counts["people put in"] += int(is_other.sum())
        counts["regions ignored"] += int(unsure.sum())
    return replace(pictures, boxes=boxes, ignored=ignored), counts


def _array(boxes: list[list[float]]) -> Float:
    return np.array(boxes, np.float64).reshape(-1, 4)
