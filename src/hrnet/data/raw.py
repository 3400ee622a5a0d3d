"""Annotation files in COCO's format as they stand: nothing cleaned, nothing left out."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hrnet.errors import ConfigError, DataError
from hrnet.files import atomic_write
from hrnet.skeletons import Skeleton, list_skeletons, load_skeleton
from hrnet.tables import read_table, validate

Entry = dict[str, Any]


def read_raw(file: str | Path) -> dict[str, Any]:
    """The content of an annotation file: a dictionary with the lists `images`, `annotations` and
    `categories`, all of dictionaries; nothing else is sure.

    Raises:
        DataError: the file is missing, not JSON, or lacks these.
    """
    file = Path(file)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"there is no annotation file {file}") from None
    except (OSError, ValueError, RecursionError) as error:  # not JSON, not UTF-8, too deep
        raise DataError(f"{file} cannot be read as JSON: {error}") from error
    for key in ("images", "annotations", "categories"):
        entries = content.get(key) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise DataError(
                f"{file} is no annotation file in COCO's format: it needs an object with the lists "
                f"images, annotations and categories, and {key} is no list of objects"
            )
    return dict(content)


def write_raw(contents: dict[Path, dict[str, Any]]) -> None:
    """Write annotation files, by path: whole, and all or none of them."""
    with ExitStack() as stack:
        for file, content in contents.items():
            temporary = stack.enter_context(atomic_write(file))
            temporary.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")


def named_skeleton(name: str) -> Skeleton:
    """A skeleton of the package by name, or a TOML file by path.

    Raises:
        ConfigError: there is no such skeleton, or the file holds none.
    """
    if name.endswith(".toml"):
        return validate(Skeleton, read_table(Path(name)), f"skeleton {name}")
    return load_skeleton(name)


def category_skeleton(category: Entry) -> Skeleton | None:
    """What a category says of its keypoints: the package's skeleton with the same names in the
    same order, or one made of the category's own names and `skeleton`, whose pairs are the names
    that differ by "left" and "right" alone. None where it has no usable names.
    """
    names = category.get("keypoints")
    if not isinstance(names, list) or not names or len(set(map(str, names))) != len(names):
        return None
    keypoints = tuple(str(name) for name in names)
    for name in list_skeletons():
        if load_skeleton(name).keypoints == keypoints:
            return load_skeleton(name)
    pairs = [
        (name, name.replace("left", "right"))
        for name in keypoints
        if "left" in name and name.replace("left", "right") in keypoints
    ]
    table = {"schema": 1, "name": "own", "keypoints": keypoints, "pairs": pairs}
    try:
        limbs = [(keypoints[a - 1], keypoints[b - 1]) for a, b in category.get("skeleton", [])]
        return validate(Skeleton, {**table, "limbs": limbs}, "the category")
    except (ConfigError, IndexError, TypeError, ValueError):  # lines are all it is used for
        return validate(Skeleton, table, "the category")
