"""LabelMe's JSON files, one a picture: shapes of the type "point" with a label, of which those with
one `group_id` are somebody, and a rectangle of that group is the box; a point without one is of the
rectangle without one that holds it."""

from collections import Counter
from pathlib import Path
from typing import Any

from hrnet.data.tools.labels import Box, Export, LabelledPicture, Somebody, holder
from hrnet.errors import DataError
from hrnet.tables import MALFORMED, read_json

ADVICE = "give everybody's points a group_id, or draw a rectangle around everybody"


def read_labelme(source: Path) -> Export:
    """A folder of JSON files, with the pictures in it or below.

    Raises:
        DataError: there are no such files, or it is not clear whose a point is.
    """
    files = sorted(source.glob("**/*.json"))
    tables = {file: read_json(file, "LabelMe file") for file in files}
    tables = {f: t for f, t in tables.items() if isinstance(t, dict) and "shapes" in t}
    if not tables:
        raise DataError(f"{source} has no JSON files of LabelMe's, which have shapes")
    pictures = []
    left_out: Counter[str] = Counter()
    for file, table in tables.items():
        try:
            name = (file.parent.relative_to(source) / str(table["imagePath"])).as_posix()
            said = table.get("imageWidth"), table.get("imageHeight")
            size = None if said == (None, None) else (int(said[0]), int(said[1]))
            pictures.append(LabelledPicture(name, str(file), _people(table, str(file)), size))
            kinds = (str(shape["shape_type"]) for shape in table["shapes"])
            left_out.update(f"shapes: {k}" for k in kinds if k not in ("point", "rectangle"))
        except MALFORMED as error:
            raise DataError(
                f"{file} is no file of LabelMe's ({type(error).__name__}: {error})"
            ) from error
    return Export({"train": pictures}, source, left_out=left_out)


def _people(table: dict[str, Any], where: str) -> list[Somebody]:
    boxes: dict[str, Box] = {}
    for number, shape in enumerate(table["shapes"]):
        if shape["shape_type"] == "rectangle":
            group = shape.get("group_id")
            owner = f"box {number}" if group is None else f"group {group}"
            if owner in boxes:
                raise DataError(f"{where}: {owner} has two rectangles")
            (x1, y1), (x2, y2) = shape["points"]
            boxes[owner] = min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)
    free = {key: box for key, box in boxes.items() if key.startswith("box")}
    people = {key: Somebody(box=box) for key, box in boxes.items()}
    for shape in table["shapes"]:
        if shape["shape_type"] == "point":
            ((x, y),) = shape["points"]
            label, group = str(shape["label"]), shape.get("group_id")
            owner = f"group {group}"
            if group is None:
                owner = holder(float(x), float(y), free, f"{where}: {label}")
            people.setdefault(owner, Somebody()).mark(label, x, y, 2, where, ADVICE)
    return list(people.values())
