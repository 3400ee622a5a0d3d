"""Annotation files in COCO's format as they stand: nothing cleaned, nothing left out; and where
their pictures are: in `images` beside the file, or beside the file itself. Pictures that lie
elsewhere are linked, not copied."""

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hrnet.errors import ConfigError, DataError
from hrnet.files import atomic_write
from hrnet.images.finding import find_pictures
from hrnet.tables import read_json

Entry = dict[str, Any]


def read_annotations(file: str | Path) -> dict[str, Any]:
    """The content of an annotation file: a dictionary with the lists `images`, `annotations` and
    `categories`, all of dictionaries; nothing else is sure.

    Raises:
        DataError: the file is missing, not JSON, or lacks these.
    """
    file = Path(file)
    content = read_json(file, "annotation file")
    for key in ("images", "annotations", "categories"):
        entries = content.get(key) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise DataError(
                f"{file} is no annotation file in COCO's format: it needs an object with the lists "
                f"images, annotations and categories, and {key} is no list of objects"
            )
    return dict(content)


def write_annotations(contents: dict[Path, dict[str, Any]]) -> None:
    """Write annotation files, by path: whole, and all or none of them."""
    with ExitStack() as stack:
        for file, content in contents.items():
            temporary = stack.enter_context(atomic_write(file))
            temporary.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")


def used_categories(content: Any) -> list[dict[str, Any]]:
    """The categories that there are people of; all, if there are none of any. Of these only those
    with keypoints, if there are: tools export labels of other things beside them."""
    used = {hashable(annotation.get("category_id")) for annotation in content["annotations"]}
    categories = content["categories"]
    categories = [c for c in categories if hashable(c.get("id")) in used] or categories
    return [c for c in categories if c.get("keypoints")] or categories


def hashable(value: Any) -> Any:
    """An id that may be of any kind, to look up."""
    return str(value) if isinstance(value, (list, dict)) else value


def keypoint_names(content: Any) -> list[str]:
    """The keypoints that the categories in use share.

    Raises:
        ValueError: they have different ones.
    """
    lists = {
        tuple(str(name) for name in category.get("keypoints", ()))
        for category in used_categories(content)
    }
    if len(lists) != 1:
        raise ValueError(f"the categories have {len(lists)} different lists of keypoints")
    return list(lists.pop())


def pictures_folder(file: Path, images: str | Path | None = None) -> Path:
    """Where a file's pictures are: `images`; else `images` beside it, or its own folder."""
    if images is not None:
        return Path(images)
    beside = file.parent / "images"
    return beside if beside.is_dir() else file.parent


@dataclass(frozen=True)
class Located:
    """An annotation file's pictures, found.

    Attributes:
        folder: that all of them are below.
        images: the file's entries, with `file_name` the path below the folder; one of a picture
            that was not found has the name that it had.
        how: how many were found in another way than by their path, by the way.
        refused: by position, why a picture that might be meant is not taken.
    """

    folder: Path
    images: list[Entry]
    how: dict[str, int]
    refused: dict[int, str]


def locate_pictures(
    file: Path, entries: list[Entry], images: str | Path | None = None, *, refuse: bool = True
) -> Located:
    """Find the pictures of an annotation file's `images`.

    A name is the path below `pictures_folder`, or is looked up, see `hrnet.images.finding`: below
    `images`, or else below the file's own folder and, of a file in a folder `annotations`, below
    that one's.

    Args:
        entries: whatever they hold; a name that is no text stays.
        images: the folder of the pictures.
        refuse: raise an error where a picture that might be meant is not taken.

    Raises:
        DataError: a name fits several pictures, or one of another size, or another name's.
    """
    folder = pictures_folder(file, images)
    trees = [folder] if images is not None else _trees(file)
    named = [i for i, entry in enumerate(entries) if isinstance(entry.get("file_name"), str)]
    names = [entries[i]["file_name"] for i in named]
    found = find_pictures(
        names, folder, trees=trees, sizes=[_listed_size(entries[i]) for i in named]
    )
    refused = {named[i]: why for i, why in found.refused.items()}
    if refused and refuse:
        raise DataError(
            f"{file}: {next(iter(refused.values()))}; give the folder of the pictures, or put "
            "their paths into the file"
        )
    if not found.how:  # the usual case, in which nothing changes
        return Located(folder, entries, {}, refused)
    root = Path(os.path.commonpath([folder.absolute(), *(tree.absolute() for tree in trees)]))
    located = list(entries)
    for i, name, path in zip(named, names, found.paths, strict=True):
        below = os.path.relpath((path or folder / name).absolute(), root)
        located[i] = {**entries[i], "file_name": Path(below).as_posix()}
    return Located(root, located, dict(found.how), refused)


def _trees(file: Path) -> list[Path]:
    own = file.absolute().parent
    return [own, own.parent] if own.name.casefold() in ("annotations", "labels") else [own]


def _listed_size(entry: Entry) -> tuple[int, int] | None:
    width, height = entry.get("width"), entry.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None


def link_pictures(out: Path, folders: Mapping[Path, str]) -> dict[Path, str]:
    """Make the pictures of folders reachable below `out`/images, by links unless they are there.

    Pictures that lie in `out` itself stay as they are: readers find them there as long as there is
    no `images`, which would also hide them from the files that are there already.

    Args:
        out: folder of the annotation file to come.
        folders: with the names of their links in `out`/images; a number follows where another
            folder has the name.

    Returns:
        What to put before the names of each folder's pictures: "" or "name/".

    Raises:
        DataError: there is no such folder.
        ConfigError: `out`/images is another data set's, itself a link or a file; or pictures of one
            folder lie in `out` itself, and those of another one need `images`.
    """
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"there is no folder of pictures {folder}")
    images = out / "images"
    if not os.path.lexists(images):
        inside = [folder for folder in folders if folder.resolve() == out.resolve()]
        if len(inside) == len(folders):
            return dict.fromkeys(folders, "")
        if inside:
            raise ConfigError(
                f"there are pictures in {out} itself, which a folder images there would hide; give "
                "another folder to write to"
            )
    return {folder: _link(images, folder, name) for folder, name in folders.items()}


def _link(images: Path, folder: Path, name: str) -> str:
    real = folder.resolve()
    if images.is_dir() and real.is_relative_to(images.resolve()):
        inside = real.relative_to(images.resolve()).as_posix()
        return "" if inside == "." else f"{inside}/"
    if images.is_symlink() or (images.exists() and not images.is_dir()):
        raise ConfigError(f"{images} leads to other pictures; give another folder to write to")
    images.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        link = images / (name if number == 1 else f"{name}_{number}")
        if link.is_symlink() and link.resolve() == real:
            return f"{link.name}/"
        if not os.path.lexists(link):
            link.symlink_to(os.path.relpath(real, images.resolve()), target_is_directory=True)
            return f"{link.name}/"
        number += 1
