"""LabelMe's JSON files, one a picture: shapes of the type "point" with a label, of which those with
one `group_id` are somebody, and a rectangle of that group is the box."""

from pathlib import Path
from typing import Any

from hrnet.data.tools.labels import Export, LabelledPicture, Somebody
from hrnet.errors import DataError
from hrnet.tables import MALFORMED, read_json

ADVICE = "give everybody's points a group_id"


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
    for file, table in tables.items():
        try:
            name = (file.parent.relative_to(source) / str(table["imagePath"])).as_posix()
            said = table.get("imageWidth"), table.get("imageHeight")
            size = None if said == (None, None) else (int(said[0]), int(said[1]))
            pictures.append(LabelledPicture(name, str(file), _people(table, str(file)), size))
        except MALFORMED as error:
            raise DataError(
                f"{file} is no file of LabelMe's ({type(error).__name__}: {error})"
            ) from error
    return Export({"train": pictures}, source)


def _people(table: dict[str, Any], where: str) -> list[Somebody]:
    people: dict[Any, Somebody] = {}
    for shape in table["shapes"]:
        group = shape.get("group_id")
        if shape["shape_type"] == "point":
            ((x, y),) = shape["points"]
            somebody = people.setdefault(group, Somebody())
            somebody.mark(str(shape["label"]), x, y, 2, where, ADVICE)
    for shape in table["shapes"]:
        if shape["shape_type"] == "rectangle":
            (x1, y1), (x2, y2) = shape["points"]
            box = min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)
            people.setdefault(shape.get("group_id"), Somebody()).box = box
    return list(people.values())
