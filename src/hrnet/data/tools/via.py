"""VGG Image Annotator, version 1 and 2: a project, its annotations exported as JSON, or as CSV.

Regions are points and rectangles with attributes of the annotator's own choosing: one of these is
the point's name, another one perhaps says whose it is.
"""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

from hrnet.data.tools.labels import Box, Export, LabelledPicture, Somebody, holder
from hrnet.errors import DataError
from hrnet.tables import MALFORMED, read_json

# What annotators call these attributes, the first that all points have counting.
NAMES = ("keypoint", "joint", "landmark", "part", "bodypart", "point", "name", "label", "class")
PEOPLE = ("person", "instance", "individual", "animal", "object", "group", "group_id", "id")
VISIBLE = ("visibility", "visible", "v")

ADVICE = "draw a rectangle around everybody, or give the points an attribute person"


def read_via(source: Path) -> Export:
    """A JSON or CSV file, with the pictures in its folder or below.

    Raises:
        DataError: it is no such export, it is not clear which attribute is a point's name, or whose
            a point is.
    """
    try:
        table = _from_csv(source) if source.suffix.lower() == ".csv" else _from_json(source)
        regions = [region for _, own in table for region in own]
        points = [a for shape, a in regions if shape["name"] == "point"]
        if not points:
            raise ValueError("no region is a point")
        name, person = _attribute(points, NAMES), _attribute(points, PEOPLE)
        if name is None:
            known = sorted({key for attributes in points for key in attributes})
            if len(known) != 1:
                raise ValueError(f"which of the attributes {', '.join(known)} is a point's name?")
            name = known[0]
        pictures = [
            LabelledPicture(file, f"{source}, {file}", _people(own, name, person, source, file))
            for file, own in table
        ]
    except MALFORMED as error:
        raise DataError(
            f"{source} is no project or export of VGG Image Annotator's with named points "
            f"({type(error).__name__}: {error})"
        ) from error
    left_out = Counter(
        f"regions: {shape['name']}"
        for shape, _ in regions
        if shape["name"] not in ("point", "rect")
    )
    guessed = [f"a point's name is its attribute {name}"]
    if person is not None:
        guessed.append(f"whose a point is, is its attribute {person}")
    return Export({"train": pictures}, source.parent, guessed=guessed, left_out=left_out)


Regions = list[tuple[dict[str, Any], dict[str, str]]]  # shapes with attributes


def _from_json(source: Path) -> list[tuple[str, Regions]]:
    table = read_json(source, "export")
    table = table.get("_via_img_metadata", table)
    pictures = []
    for entry in table.values():
        regions = entry["regions"]
        regions = regions.values() if isinstance(regions, dict) else regions  # of version 1
        pictures.append(
            (
                str(entry["filename"]),
                [(r["shape_attributes"], _texts(r["region_attributes"])) for r in regions],
            )
        )
    return pictures


def _from_csv(source: Path) -> list[tuple[str, Regions]]:
    pictures: dict[str, Regions] = {}
    try:
        text = source.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error}") from None
    for row in csv.DictReader(text.splitlines()):
        regions = pictures.setdefault(row.get("filename") or row["#filename"], [])
        shape = json.loads(row["region_shape_attributes"])
        if shape:  # a picture without regions has a row of its own
            regions.append((shape, _texts(json.loads(row["region_attributes"]))))
    return list(pictures.items())


def _texts(attributes: dict[str, Any]) -> dict[str, str]:
    """What was filled in; checkboxes, which are {option: true}, are left alone."""
    return {
        str(key): str(value).strip()
        for key, value in attributes.items()
        if not isinstance(value, dict) and str(value).strip()
    }


def _attribute(points: list[dict[str, str]], known: tuple[str, ...]) -> str | None:
    """The attribute of all points that is called as one of those known."""
    shared = set.intersection(*(set(attributes) for attributes in points))
    by_name = {key.casefold().replace(" ", ""): key for key in shared}
    return next((by_name[name] for name in known if name in by_name), None)


def _people(
    regions: Regions, name: str, person: str | None, source: Path, file: str
) -> list[Somebody]:
    where = f"{source}, {file}"
    boxes: dict[str, Box] = {}
    for number, (shape, attributes) in enumerate(regions):
        if shape["name"] == "rect":
            x, y, width, height = (float(shape[key]) for key in ("x", "y", "width", "height"))
            key = attributes.get(person, f"box {number}") if person else f"box {number}"
            boxes[key] = x, y, x + width, y + height
    people = {key: Somebody(box=box) for key, box in boxes.items()}
    for shape, attributes in regions:
        if shape["name"] == "point":
            if name not in attributes or (person and person not in attributes):
                raise DataError(f"{where}: a point at {shape['cx']}, {shape['cy']} has no {name}")
            x, y, label = float(shape["cx"]), float(shape["cy"]), attributes[name]
            key = attributes[person] if person else holder(x, y, boxes, f"{where}: {label}")
            visible = next((attributes[k] for k in attributes if k.casefold() in VISIBLE), "2")
            v = int(visible) if visible in ("0", "1", "2") else 2
            if v > 0:
                people.setdefault(key, Somebody()).mark(label, x, y, v, where, ADVICE)
    return list(people.values())
