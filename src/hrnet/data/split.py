"""One annotation file into two that share no picture."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrnet.data.annotations import (
    link_pictures,
    locate_pictures,
    read_annotations,
    write_annotations,
)
from hrnet.errors import ConfigError, DataError
from hrnet.tables import MALFORMED


def split(
    file: str | Path,
    first: str | Path,
    second: str | Path,
    *,
    fraction: float,
    seed: int = 0,
    images: str | Path | None = None,
) -> tuple[int, int]:
    """Divide a data set by pictures: all people of a picture go the same way.

    Everything else in the file goes into both. Pictures are linked where a part is written to
    another folder than the file's, see `link_pictures`.

    Args:
        fraction: share of the pictures that goes to `second`, at least one.
        seed: of the choice; the same file and seed give the same parts.
        images: folder of the pictures; by default `images` beside the file, or its own.

    Returns:
        Numbers of pictures in `first` and in `second`.

    Raises:
        DataError: the file is no annotation file, or its people and pictures do not fit.
        ConfigError: the fraction leaves a part empty, or two of the three files are the same.
    """
    file, parts = Path(file), (Path(first), Path(second))
    if len({path.resolve() for path in (file, *parts)}) < 3:
        raise ConfigError("the file to split and the two to write must be three different files")
    content = read_annotations(file)
    located = locate_pictures(file, content["images"], images)
    folder, content["images"] = located.folder, located.images
    chosen = _choose(file, content["images"], fraction, seed)
    name = file.absolute().parent.name
    write_annotations(
        {
            part: _part(content, keep, link_pictures(part.parent, {folder: name})[folder])
            for part, keep in zip(parts, (~chosen, chosen), strict=True)
        }
    )
    return int((~chosen).sum()), int(chosen.sum())


def _choose(
    file: Path, pictures: list[dict[str, Any]], fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Which pictures go to the second part."""
    # A picture that is listed twice must not come into both parts.
    names = np.array([str(picture.get("file_name")) for picture in pictures])
    unique, which = np.unique(names, return_inverse=True)
    if not 0 < fraction < 1 or len(unique) < 2:
        raise ConfigError(
            f"a fraction of {fraction:g} of the {len(unique)} pictures in {file} cannot be split "
            "off; give a fraction between 0 and 1, and a file with two pictures or more"
        )
    count = min(max(1, round(fraction * len(unique))), len(unique) - 1)
    taken = np.zeros(len(unique), dtype=bool)
    taken[np.random.default_rng(seed).permutation(len(unique))[:count]] = True
    return np.asarray(taken[which])


def _part(content: dict[str, Any], keep: NDArray[np.bool_], prefix: str) -> dict[str, Any]:
    try:
        ids = {picture["id"] for picture in content["images"]}
        pictures = [
            {**picture, "file_name": prefix + picture["file_name"]}
            for picture, kept in zip(content["images"], keep, strict=True)
            if kept
        ]
        kept_ids = {picture["id"] for picture in pictures}
        if any(person["image_id"] not in ids for person in content["annotations"]):
            raise ValueError("a person's picture is not listed")
        people = [p for p in content["annotations"] if p["image_id"] in kept_ids]
    except MALFORMED as error:
        raise DataError(
            f"people and pictures do not fit together ({type(error).__name__}: {error}); "
            "hrnet data check says where"
        ) from error
    return {**content, "images": pictures, "annotations": people}
