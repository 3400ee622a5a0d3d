"""Where a prepared data set's pictures are: in `images` beside its annotation file, as the readers
expect, or beside the file itself. Pictures that lie elsewhere are linked, not copied."""

import os
from collections.abc import Mapping
from pathlib import Path

from hrnet.errors import ConfigError, DataError, ImageError
from hrnet.headers import read_header

BEGINNING = 1 << 16  # bytes of a picture file that mostly hold its size


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


def picture_size(file: Path) -> tuple[int, int]:
    """Width and height of a picture file as stored, by its header.

    Raises:
        ImageError: the file is missing or no picture.
    """
    try:
        with file.open("rb") as stream:
            start = stream.read(BEGINNING)
            header = read_header(start)
            if header is not None and header.size is None:  # a long preamble
                header = read_header(start + stream.read())
    except FileNotFoundError:
        raise ImageError(f"there is no picture {file}") from None
    if header is None or header.size is None:
        raise ImageError(f"{file} is not a picture, or its size cannot be read")
    return header.size
