"""COCO's format as tools write it for several categories: each with keypoints of its own; or, as
RectLabel has points, each a point's name, with an object a point."""

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from hrnet.data.annotations import (
    hashable,
    link_pictures,
    locate_pictures,
    pictures_folder,
    read_annotations,
    write_annotations,
)
from hrnet.data.tools.labels import (
    Box,
    Export,
    LabelledPicture,
    Prepared,
    Somebody,
    file_name,
    holder,
    write_skeleton,
)
from hrnet.errors import DataError
from hrnet.skeletons import Skeleton, skeleton_of_category, skeleton_of_names
from hrnet.tables import MALFORMED

ADVICE = "draw a box around everybody"


def read_rectlabel(source: Path) -> Export:
    """A COCO file in which every point is an object of its own: its category is its name, and its
    `segmentation` or the corner of its `bbox` the place. Larger boxes are people.

    Raises:
        DataError: it is no such file, or it is not clear whose a point is.
    """
    content = read_annotations(source)
    if any(annotation.get("keypoints") for annotation in content["annotations"]):
        raise DataError(
            f"{source} has keypoints, not a point an object: it is read as it is, or by hrnet data "
            "prepare categories"
        )
    try:
        names = {hashable(c["id"]): str(c["name"]) for c in content["categories"]}
        objects = defaultdict(list)
        for annotation in content["annotations"]:
            objects[hashable(annotation["image_id"])].append(annotation)
        pictures = []
        for image in content["images"]:
            where = f"{source}, {image['file_name']}"
            people = _people(objects[hashable(image["id"])], names, where)
            size = int(image["width"]), int(image["height"])
            pictures.append(LabelledPicture(str(image["file_name"]), where, people, size))
    except MALFORMED as error:
        raise DataError(
            f"{source} has not a point an object ({type(error).__name__}: {error})"
        ) from error
    people = [person for picture in pictures for person in picture.people]
    points = [n for n in names.values() if any(n in person.points for person in people)]
    if not points:
        raise DataError(f"{source} has no object of a pixel, which would be a point")
    return Export({"train": pictures}, pictures_folder(source), skeleton_of_names("own", points))


def _people(objects: list[dict[str, Any]], names: dict[Any, str], where: str) -> list[Somebody]:
    boxes: dict[str, Box] = {}
    points: list[tuple[str, float, float]] = []
    for annotation in objects:
        x, y, width, height = (float(value) for value in annotation["bbox"])
        if width > 1 or height > 1:
            boxes[f"box {len(boxes)}"] = x, y, x + width, y + height
            continue
        place = annotation.get("segmentation") or [[x, y]]
        if len(place) != 1 or len(place[0]) != 2:
            raise ValueError(f"annotation {annotation.get('id')} has several places")
        x, y = map(float, place[0])
        points.append((names[hashable(annotation["category_id"])], x, y))
    people = {key: Somebody(box=box) for key, box in boxes.items()}
    for label, x, y in points:
        owner = holder(x, y, boxes, f"{where}: {label}")
        people.setdefault(owner, Somebody()).mark(label, x, y, 2, where, ADVICE)
    return list(people.values())


def prepare_categories(source: Path, out: Path) -> Prepared:
    """Write NAME.json and NAME.toml of each category that somebody with keypoints is of.

    Raises:
        DataError: it is no such file, a category does not say what its points are, or two have one
            name.
    """
    content = read_annotations(source)
    located = locate_pictures(source, content["images"])
    people = defaultdict(list)
    left_out: Counter[str] = Counter()
    for annotation in content["annotations"]:
        if annotation.get("keypoints"):
            people[hashable(annotation.get("category_id"))].append(annotation)
        else:
            left_out["objects without keypoints"] += 1
    files: dict[Path, dict[str, Any]] = {}
    skeletons: dict[Path, Skeleton] = {}
    for category in content["categories"]:
        own = people.pop(hashable(category.get("id")), [])
        if not own:
            continue
        name = file_name(str(category.get("name")))
        if (skeleton := skeleton_of_category(category)) is None:
            raise DataError(
                f"{source}: category {name} has no names of its keypoints, or one twice"
            )
        if out / f"{name}.json" in files:
            raise DataError(f"{source}: two categories are called {name}")
        files[out / f"{name}.json"] = {"annotations": own, "categories": [category]}
        skeletons[out / f"{name}.json"] = skeleton
    if people:
        raise DataError(
            f"{source}: somebody is of category {next(iter(people))}, which is not listed"
        )
    if not files:
        raise DataError(f"{source} has nobody with keypoints")
    if not all(isinstance(image.get("file_name"), str) for image in located.images):
        raise DataError(f"{source}: a picture has no file_name")
    prefix = link_pictures(out, {located.folder: located.folder.absolute().name})[located.folder]
    images = [{**image, "file_name": prefix + image["file_name"]} for image in located.images]
    write_annotations({file: {"images": images, **content} for file, content in files.items()})
    tomls = {file: file.with_suffix(".toml") for file in files}
    for file, toml in tomls.items():
        write_skeleton(toml, skeletons[file])
    return Prepared(tomls, [], dict(left_out), located.how)
