"""Label Studio's JSON: a list of tasks, each a picture with annotations, whose results are regions
in per cent of the picture as shown: points (`keypointlabels`) and boxes (`rectanglelabels`).

Points of several people are told apart by the box that is their parent (`parentID`), or that they
are related to; those of a picture that are tied to none beside such are one more person's. Where no
point is tied, each is of the one box that holds it; without boxes there is one person a picture.
"""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from hrnet.data.annotations import link_pictures
from hrnet.data.tools.exporting import read_to_export
from hrnet.data.tools.labels import (
    Box,
    Export,
    Instance,
    LabelledPicture,
    Size,
    Somebody,
    holder,
)
from hrnet.errors import ConfigError, DataError
from hrnet.files import atomic_write
from hrnet.skeletons import Skeleton
from hrnet.tables import MALFORMED, read_json

Region = dict[str, Any]

TASKS = "tasks.json"
CONFIG = "labels.xml"


def read_label_studio(source: Path) -> Export:
    """The exported JSON file, with the pictures in its folder or below.

    Raises:
        DataError: it is no such export, or it is not clear whose a point is.
    """
    tasks = read_json(source, "export")
    pictures = []
    left_out: Counter[str] = Counter()
    try:
        results = [_results(task) for task in tasks]
        names = [_picture_name(task) for task in tasks]
    except MALFORMED as error:
        raise DataError(
            f"{source} is no JSON export of Label Studio's ({type(error).__name__}: {error})"
        ) from error
    for task, name, regions in zip(tasks, names, results, strict=True):
        where = f"{source}, task {task.get('id')}"
        others = len(_annotations(task)) - 1
        left_out["annotations before the last one of their task"] += max(0, others)
        if regions is None:
            left_out["tasks that nobody labelled"] += 1
            continue
        kinds = (str(region.get("type")) for region in regions)
        left_out.update(f"regions: {kind}" for kind in kinds if kind not in READ)
        try:
            pictures.append(
                LabelledPicture(name, where, _people(regions, where), _size(regions), shares=True)
            )
        except MALFORMED as error:
            raise DataError(f"{where}: {type(error).__name__}: {error}") from error
    return Export({"train": pictures}, source.parent, left_out=left_out)


def export_label_studio(file: str | Path, out: str | Path, images: str | Path | None = None) -> int:
    """Write a data set in COCO's format as tasks to import, with its labels as predictions to
    correct: `tasks.json`, the labelling interface `labels.xml`, and links to the pictures, for
    Label Studio's local files (LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT being `out`).

    Returns:
        How many people.

    Raises:
        ConfigError: `out` holds tasks already.
        DataError, ImageError: the file or a picture is missing or broken.
    """
    file, out = Path(file), Path(out)
    if (out / TASKS).exists():
        raise ConfigError(f"{out} holds tasks already; name another folder")
    data = read_to_export(file, images)
    prefix = link_pictures(out, {data.folder: file.absolute().parent.name})[data.folder]
    folder = "images/" if (out / "images").is_dir() else ""
    number = count(1)
    tasks = []
    for picture in data.pictures:
        size = data.shown_sizes[picture["id"]]
        regions: list[Region] = []
        for person in data.people[picture["id"]]:
            regions += _regions(person, data.skeleton, next(number), size)
        name = f"/data/local-files/?d={folder}{prefix}{picture['file_name']}"
        tasks.append({"data": {"image": name}, "predictions": [{"result": regions}]})
    with atomic_write(out / TASKS) as temporary:
        temporary.write_text(json.dumps(tasks), encoding="utf-8")
    with atomic_write(out / CONFIG) as temporary:
        temporary.write_text(_config(data.skeleton), encoding="utf-8")
    return len(data)


KEYPOINT, RECTANGLE = "keypointlabels", "rectanglelabels"
READ = (KEYPOINT, RECTANGLE, "relation")
BOX = ("x", "y", "width", "height")
ADVICE = "draw a box around everybody"


def _results(task: dict[str, Any]) -> list[Region] | None:
    """Of the last annotation; None where there is none."""
    annotations = _annotations(task)
    return list(annotations[-1]["result"]) if annotations else None


def _annotations(task: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that were not cancelled."""
    return [a for a in task.get("annotations") or () if not a.get("was_cancelled")]


def _picture_name(task: dict[str, Any]) -> str:
    data = task["data"]
    texts = [data[key] for key in ("image", "img") if key in data] or list(data.values())
    return str(next(text for text in texts if isinstance(text, str)))


def _label(region: Region) -> str:
    (label,) = region["value"][region["type"]]
    return str(label)


def _size(regions: list[Region]) -> Size | None:
    """That the regions state, of the picture as stored or as shown."""
    stated = {(r["original_width"], r["original_height"]) for r in regions if "original_width" in r}
    return stated.pop() if len(stated) == 1 else None


def _people(regions: list[Region], where: str) -> list[Somebody]:
    """In shares of the picture."""
    if any(region.get("image_rotation") for region in regions):
        raise DataError(f"{where}: the picture was turned by hand, which cannot be undone here")
    boxes: dict[str, Box] = {}
    for region in regions:
        if region.get("type") == RECTANGLE:
            value = region["value"]
            if value.get("rotation"):
                raise DataError(f"{where}: a box is turned; draw it upright")
            x, y, width, height = (float(value[key]) / 100 for key in BOX)
            boxes[str(region["id"])] = x, y, x + width, y + height
    people = {key: Somebody(box=box) for key, box in boxes.items()}
    owners = {
        **dict(_relations(regions)),
        **{str(r.get("id")): r.get("parentID") for r in regions if r.get("parentID")},
    }
    points = [region for region in regions if region.get("type") == KEYPOINT]
    tied = any(owners.get(str(point.get("id"))) in boxes for point in points)
    for point in points:
        label, value = _label(point), point["value"]
        x, y = float(value["x"]) / 100, float(value["y"]) / 100
        owner = str(owners.get(str(point.get("id"))) or "")
        if owner not in boxes:
            owner = "" if tied else holder(x, y, boxes, f"{where}: {label}")
        people.setdefault(owner, Somebody()).mark(label, x, y, 2, where, ADVICE)
    return list(people.values())


def _relations(regions: list[Region]) -> Iterator[tuple[str, str]]:
    """Both ways."""
    for region in regions:
        if region.get("type") == "relation":
            yield str(region["from_id"]), str(region["to_id"])
            yield str(region["to_id"]), str(region["from_id"])


def _regions(
    person: Instance, skeleton: Skeleton, number: int, shown: tuple[int, int]
) -> list[Region]:
    """Somebody's box, and points that are its children."""
    assert person.box is not None
    scale = 100 / np.array(shown, np.float64)
    first, last = person.box.reshape(2, 2)
    common = {"original_width": shown[0], "original_height": shown[1], "image_rotation": 0}
    x, y, width, height = np.concatenate([first * scale, (last - first) * scale]).tolist()
    box = {"x": x, "y": y, "width": width, "height": height, "rotation": 0}
    regions: list[Region] = [
        {
            **common,
            "id": f"person{number}",
            "type": RECTANGLE,
            "from_name": "person",
            "to_name": "image",
            "value": {**box, RECTANGLE: [skeleton.name]},
        }
    ]
    for name, point in zip(skeleton.keypoints, person.points, strict=True):
        if point[2] > 0:
            x, y = (point[:2] * scale).tolist()
            regions.append(
                {
                    **common,
                    "id": f"person{number}_{name}",
                    "parentID": f"person{number}",
                    "type": KEYPOINT,
                    "from_name": "point",
                    "to_name": "image",
                    "value": {"x": x, "y": y, "width": 0.5, KEYPOINT: [name]},
                }
            )
    return regions


def _config(skeleton: Skeleton) -> str:
    labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in skeleton.keypoints)
    return (
        '<View>\n  <Image name="image" value="$image"/>\n'
        '  <RectangleLabels name="person" toName="image">\n'
        f"    <Label value={quoteattr(skeleton.name)}/>\n  </RectangleLabels>\n"
        f'  <KeyPointLabels name="point" toName="image">\n{labels}  </KeyPointLabels>\n</View>\n'
    )
