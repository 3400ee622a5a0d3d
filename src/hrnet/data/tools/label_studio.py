"""Label Studio's JSON: a list of tasks, each a picture with annotations, whose results are regions
in per cent of the picture as shown: points (`keypointlabels`) and boxes (`rectanglelabels`).

Points of several people are told apart by the box that is their parent (`parentID`), or that they
are related to, or that alone holds them; without boxes there can be one person a picture.
"""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from hrnet.data.annotations import link_pictures
from hrnet.data.tools.labels import Instance, Labels, moved, read_to_export, write_labels
from hrnet.errors import ConfigError, DataError
from hrnet.files import atomic_write
from hrnet.images import size_and_orientation
from hrnet.images.finding import find_pictures
from hrnet.images.orientation import to_upright, turned_size
from hrnet.skeletons import Skeleton, skeleton_of_names
from hrnet.tables import MALFORMED, read_json

Region = dict[str, Any]

TASKS = "tasks.json"
CONFIG = "labels.xml"


def prepare_label_studio(
    source: str | Path, out: str | Path, skeleton: Skeleton | None = None
) -> dict[Path, list[str]]:
    """Write `train.json` and `skeleton.toml`.

    Args:
        source: the exported JSON file, with the pictures in its folder or below.
        out: folder to write to; the pictures are linked.
        skeleton: what the points are; by default the labels that were used, as they come.

    Returns:
        The files, and what was taken for granted in each.

    Raises:
        DataError: it is no such export, a picture is not there, or it is not clear whose a point
            is.
        ImageError: a picture is none.
    """
    file = Path(source)
    tasks = read_json(file, "export")
    try:
        results = [_results(task) for task in tasks]
        names = [_picture_name(task) for task in tasks]
        used = dict.fromkeys(_label(r) for rs in results for r in rs if r.get("type") == KEYPOINT)
        if not used:
            raise ValueError("no result is of the type keypointlabels")
    except MALFORMED as error:
        raise DataError(
            f"{file} is no JSON export of Label Studio's with keypoints "
            f"({type(error).__name__}: {error})"
        ) from error
    points = skeleton or skeleton_of_names("own", list(used))
    if unknown := [name for name in used if name not in points.keypoints]:
        raise DataError(f"{file} has the label {unknown[0]!r}, which skeleton {points.name} lacks")
    found = find_pictures(names, file.parent, trees=[file.absolute().parent])
    guessed = [] if skeleton else ["the order of the points is that in which they come"]
    labels = Labels(points, guessed=guessed)
    for i, (task, regions) in enumerate(zip(tasks, results, strict=True)):
        picture = found.paths[i]
        if picture is None:
            why = found.refused.get(i, f"there is no picture {names[i]}")
            raise DataError(f"{file}, task {task.get('id')}: {why}")
        where = f"{file}, task {task.get('id')}"
        try:
            people = _people(regions, points, picture, where)
        except MALFORMED as error:
            raise DataError(f"{where}: {type(error).__name__}: {error}") from error
        labels.pictures.setdefault(picture, []).extend(people)
    return write_labels({"train": labels}, Path(out))


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


def _results(task: dict[str, Any]) -> list[Region]:
    """Of the last annotation that was not cancelled."""
    annotations = [a for a in task.get("annotations") or () if not a.get("was_cancelled")]
    return list(annotations[-1]["result"]) if annotations else []


def _picture_name(task: dict[str, Any]) -> str:
    data = task["data"]
    texts = [data[key] for key in ("image", "img") if key in data] or list(data.values())
    return str(next(text for text in texts if isinstance(text, str)))


def _label(region: Region) -> str:
    (label,) = region["value"][region["type"]]
    return str(label)


def _people(regions: list[Region], skeleton: Skeleton, picture: Path, where: str) -> list[Instance]:
    if not regions:
        return []
    if any(region.get("image_rotation") for region in regions):
        raise DataError(f"{where}: the picture was turned by hand, which cannot be undone here")
    size, orientation = size_and_orientation(picture)
    shown = turned_size(size, orientation)
    stated = {(r["original_width"], r["original_height"]) for r in regions if "original_width" in r}
    of_stored = stated == {size} and size != shown
    scale = np.array(size if of_stored else shown, np.float64) / 100

    boxes: dict[str, NDArray[np.float64]] = {}
    for region in regions:
        if region.get("type") == RECTANGLE:
            value = region["value"]
            if value.get("rotation"):
                raise DataError(f"{where}: a box is turned; draw it upright")
            corner = np.array([value["x"], value["y"]], np.float64)
            extent = np.array([value["width"], value["height"]], np.float64)
            boxes[str(region["id"])] = np.concatenate([corner * scale, (corner + extent) * scale])
    points = {key: np.zeros((len(skeleton), 3)) for key in [*boxes] or [""]}
    related = dict(_relations(regions))
    for region in regions:
        if region.get("type") != KEYPOINT:
            continue
        name, value = _label(region), region["value"]
        place = np.array([value["x"], value["y"]], np.float64) * scale
        owner = str(region.get("parentID") or related.get(str(region.get("id"))) or "")
        if owner not in points:
            owner = _holder(place, boxes, f"{where}: {name}")
        joint = points[owner][skeleton.index(name)]
        if joint[2] > 0:
            raise DataError(
                f"{where}: {name} is labelled twice for one person; draw a box around everybody"
            )
        joint[:] = *place, 2
    people = [Instance(own, boxes.get(key)) for key, own in points.items() if own[:, 2].any()]
    if of_stored:  # back to the picture as shown, in which all labels are taken
        people = [moved(person, to_upright, orientation, size) for person in people]
    return people


def _relations(regions: list[Region]) -> Iterator[tuple[str, str]]:
    """Both ways."""
    for region in regions:
        if region.get("type") == "relation":
            yield str(region["from_id"]), str(region["to_id"])
            yield str(region["to_id"]), str(region["from_id"])


def _holder(place: NDArray[np.float64], boxes: dict[str, NDArray[np.float64]], what: str) -> str:
    """The one box that holds a point."""
    if not boxes:
        return ""
    holding = [key for key, b in boxes.items() if (b[:2] <= place).all() and (place <= b[2:]).all()]
    if len(holding) != 1:
        raise DataError(
            f"{what} is in {len(holding)} boxes, and says of none that it is its parent; it is not "
            "clear whose it is"
        )
    return holding[0]


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
