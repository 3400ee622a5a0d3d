"""What all tools' labels become: an annotation file in COCO's format, and a skeleton."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrnet.data.annotations import (
    Entry,
    link_pictures,
    locate_pictures,
    read_annotations,
    write_annotations,
)
from hrnet.data.coco import skeleton_in
from hrnet.data.people import extent_boxes
from hrnet.errors import DataError
from hrnet.files import atomic_write
from hrnet.images import size_and_orientation, to_stored
from hrnet.images.orientation import to_upright, turned_size
from hrnet.similarity import AREA_OF_BOX
from hrnet.skeletons import Skeleton
from hrnet.tables import MALFORMED

Move = Callable[[NDArray[np.floating], int, tuple[int, int]], NDArray[np.floating]]


@dataclass
class Instance:
    """Somebody labelled, in the pixels of the picture as shown.

    Attributes:
        points: (K, 3) x, y and v: 0 not labelled, 1 occluded, 2 visible.
        box: x1, y1, x2, y2, or None where the tool has none: made around the points.
    """

    points: NDArray[np.float64]
    box: NDArray[np.float64] | None = None


@dataclass
class Labels:
    """One part of what a tool exported.

    Attributes:
        pictures: each with who is in it.
        skeleton: what the points are.
        guessed: what the export does not say and was taken for granted, in words.
    """

    skeleton: Skeleton
    pictures: dict[Path, list[Instance]] = field(default_factory=dict)
    guessed: list[str] = field(default_factory=list)


def moved(instance: Instance, move: Move, orientation: int, size: tuple[int, int]) -> Instance:
    """With labelled points and box between the stored picture and the upright one.

    Args:
        move: `to_upright` or `to_stored`.
        size: (width, height) of the picture as stored.
    """
    points, box = instance.points.copy(), None
    labelled = points[:, 2] > 0
    points[labelled, :2] = move(points[labelled, :2], orientation, size)
    if instance.box is not None:
        corners = move(instance.box.reshape(2, 2), orientation, size)
        box = np.sort(corners, axis=0).ravel().astype(np.float64)
    return Instance(points, box)


@dataclass(frozen=True)
class Exported:
    """A data set in COCO's format, to be written as a tool has it.

    Attributes:
        skeleton: of the file.
        folder: of the pictures.
        pictures: their entries, with `file_name` the path below the folder.
        shown_sizes: by picture's id, (width, height) as shown.
        people: by picture's id, those with a labelled joint who are no crowd.
    """

    skeleton: Skeleton
    folder: Path
    pictures: list[Entry]
    shown_sizes: dict[Any, tuple[int, int]]
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


def write_labels(parts: dict[str, Labels], out: Path) -> dict[Path, list[str]]:
    """Write OUT/NAME.json of each part and OUT/skeleton.toml; pictures are linked.

    Returns:
        The files, and what was taken for granted in each.

    Raises:
        ImageError: a picture is missing, or is none.
    """
    pictures = [picture for part in parts.values() for picture in part.pictures]
    folder = Path(os.path.commonpath([picture.absolute().parent for picture in pictures]))
    prefix = link_pictures(out, {folder: folder.name})[folder]
    contents = {
        out / f"{name}.json": _content(part, folder, prefix) for name, part in parts.items()
    }
    write_annotations(contents)
    skeleton = next(iter(parts.values())).skeleton
    with atomic_write(out / "skeleton.toml") as temporary:
        temporary.write_text(skeleton_toml(skeleton), encoding="utf-8")
    return {out / f"{name}.json": part.guessed for name, part in parts.items()}


def _content(labels: Labels, folder: Path, prefix: str) -> dict[str, Any]:
    images: list[Entry] = []
    annotations: list[Entry] = []
    for file, instances in labels.pictures.items():
        size, orientation = size_and_orientation(file)
        name = prefix + file.absolute().relative_to(folder).as_posix()
        width, height = size
        images.append({"id": len(images) + 1, "file_name": name, "width": width, "height": height})
        for instance in instances:
            points = instance.points * (instance.points[:, 2:] > 0)
            box = instance.box
            if box is None:
                box = extent_boxes(points[None])[0]
                box = np.clip(box, 0, np.tile(turned_size(size, orientation), 2))
            stored = moved(Instance(points, box), to_stored, orientation, size)
            points, box = stored.points, stored.box
            assert box is not None
            x1, y1, x2, y2 = np.nan_to_num(box).tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": len(images),
                    "category_id": 1,
                    "iscrowd": 0,
                    "bbox": [round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)],
                    "area": round(AREA_OF_BOX * (x2 - x1) * (y2 - y1), 3),
                    "num_keypoints": int((points[:, 2] > 0).sum()),
                    "keypoints": [round(value, 4) for value in points.ravel().tolist()],
                }
            )
    category = {**labels.skeleton.to_category(), "name": labels.skeleton.name}
    return {"images": images, "annotations": annotations, "categories": [category]}


def skeleton_toml(skeleton: Skeleton) -> str:
    """A skeleton's file, to look over and complete."""

    lines = [
        "schema = 1",
        f"name = {_row(skeleton.name)}",
        f"keypoints = {_row(skeleton.keypoints)}",
    ]
    lines += [
        "# What changes places in a mirrored picture, the person's left first.",
        f"pairs = {_row(skeleton.pairs)}",
        "# Lines to draw.",
        f"limbs = {_row(skeleton.limbs)}",
    ]
    if skeleton.sigmas is None:
        lines.append("# sigmas = [...], for OKS: hrnet data sigmas measures them")
    else:
        lines.append(f"sigmas = {list(skeleton.sigmas)}")
    return "\n".join(lines) + "\n"


def _row(values: Any) -> str:
    return json.dumps(values, ensure_ascii=False)  # of text and lists of it, TOML is the same
