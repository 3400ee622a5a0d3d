"""LabelMe's JSON files, one a picture: shapes of the type "point" with a label, of which those with
one `group_id` are somebody, and a rectangle of that group is the box."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrnet.data.tools.labels import Instance, Labels, write_labels
from hrnet.errors import DataError
from hrnet.images import size_and_orientation
from hrnet.images.finding import find_pictures
from hrnet.images.orientation import turned_size
from hrnet.skeletons import Skeleton, skeleton_of_names
from hrnet.tables import MALFORMED, read_json


def prepare_labelme(
    source: str | Path, out: str | Path, skeleton: Skeleton | None = None
) -> dict[Path, list[str]]:
    """Write `train.json` and `skeleton.toml`.

    Args:
        source: folder of JSON files, with the pictures in it or below.
        out: folder to write to; the pictures are linked.
        skeleton: what the points are; by default the labels that were used, as they come.

    Returns:
        The files, and what was taken for granted in each.

    Raises:
        DataError: there are no such files, a picture is not there, or it is not clear whose a
            point is.
        ImageError: a picture is none.
    """
    source = Path(source)
    files = sorted(source.glob("**/*.json"))
    tables = {file: read_json(file, "LabelMe file") for file in files}
    tables = {f: t for f, t in tables.items() if isinstance(t, dict) and "shapes" in t}
    if not tables:
        raise DataError(f"{source} has no JSON files of LabelMe's, which have shapes")
    used: dict[str, None] = {}
    names: list[str] = []
    for file, table in tables.items():
        try:
            used |= dict.fromkeys(str(shape["label"]) for shape in _shapes(table, "point"))
            below = file.parent.relative_to(source)
            names.append((below / str(table["imagePath"])).as_posix())
        except MALFORMED as error:
            raise _not_labelme(file, error) from error
    if not used:
        raise DataError(f"{source}: no shape is a point")
    own = skeleton or skeleton_of_names("own", list(used))
    if unknown := [name for name in used if name not in own.keypoints]:
        raise DataError(f"{source} has the label {unknown[0]!r}, which skeleton {own.name} lacks")
    found = find_pictures(names, source, trees=[source.absolute()])
    guessed = [] if skeleton else ["the order of the points is that in which they come"]
    labels = Labels(own, guessed=guessed)
    for i, (file, table) in enumerate(tables.items()):
        picture = found.paths[i]
        if picture is None:
            why = found.refused.get(i, f"there is no picture {table['imagePath']}")
            raise DataError(f"{file}: {why}")
        try:
            _check_size(table, picture)
            labels.pictures.setdefault(picture, []).extend(_people(table, own, file))
        except MALFORMED as error:
            raise _not_labelme(file, error) from error
    return write_labels({"train": labels}, Path(out))


def _not_labelme(file: Path, error: Exception) -> DataError:
    return DataError(f"{file} is no file of LabelMe's ({type(error).__name__}: {error})")


def _shapes(table: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [shape for shape in table["shapes"] if shape["shape_type"] == kind]


def _check_size(table: dict[str, Any], picture: Path) -> None:
    """LabelMe shows pictures upright."""
    said = table.get("imageWidth"), table.get("imageHeight")
    shown = turned_size(*size_and_orientation(picture))
    if said not in ((None, None), shown):
        raise DataError(
            f"{picture} has {shown[0]} x {shown[1]} pixels as shown, and was labelled with "
            f"{said[0]} x {said[1]}"
        )


def _people(table: dict[str, Any], skeleton: Skeleton, file: Path) -> list[Instance]:
    people: dict[Any, NDArray[np.float64]] = {}
    for shape in _shapes(table, "point"):
        ((x, y),) = shape["points"]
        name, group = str(shape["label"]), shape.get("group_id")
        joint = people.setdefault(group, np.zeros((len(skeleton), 3)))[skeleton.index(name)]
        if joint[2] > 0:
            raise DataError(
                f"{file}: {name} is labelled twice for one person; give everybody's points a "
                "group_id"
            )
        joint[:] = float(x), float(y), 2
        if not np.isfinite(joint).all():
            raise ValueError(f"{name} is at {x}, {y}")
    boxes = {}
    for shape in _shapes(table, "rectangle"):
        corners = np.array(shape["points"], np.float64).reshape(2, 2)
        boxes[shape.get("group_id")] = np.sort(corners, axis=0).ravel()
    return [Instance(own, boxes.get(group)) for group, own in people.items()]
