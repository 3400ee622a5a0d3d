"""Annotation files in COCO's format as they stand: nothing cleaned, nothing left out."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hrnet.data.coco import read_json
from hrnet.errors import DataError
from hrnet.files import atomic_write

Entry = dict[str, Any]


def read_raw(file: str | Path) -> dict[str, Any]:
    """The content of an annotation file: a dictionary with the lists `images`, `annotations` and
    `categories`, all of dictionaries; nothing else is sure.

    Raises:
        DataError: the file is missing, not JSON, or lacks these.
    """
    file = Path(file)
    content = read_json(file)
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
