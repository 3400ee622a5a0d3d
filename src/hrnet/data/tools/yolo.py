"""YOLO-pose, as Ultralytics and Roboflow have it: `data.yaml`, and a text file a picture with a
line for everybody: class, box (centre, width, height), then x, y and perhaps v of every point, all
as shares of the picture as shown, that is turned upright by its EXIF data."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hrnet.data.tools.exporting import read_to_export
from hrnet.data.tools.labels import Export, Instance, LabelledPicture, Somebody, with_pairs
from hrnet.errors import ConfigError, DataError
from hrnet.files import atomic_write
from hrnet.images.sources import SUFFIXES
from hrnet.skeletons import Skeleton, load_skeleton, skeleton_of_names
from hrnet.tables import MALFORMED, read_yaml

PARTS = ("train", "val", "test")


def read_yolo(source: Path) -> Export:
    """`data.yaml`, or its folder: the parts `train`, `val` and `test`, whichever there are.

    Raises:
        DataError: there is no such data set, or a line is not of its form.
    """
    file = source / "data.yaml" if source.is_dir() else source
    table = read_yaml(file)
    try:
        joints, numbers = (int(value) for value in table["kpt_shape"])
        if joints < 1 or numbers not in (2, 3):
            raise ValueError(f"kpt_shape is {table['kpt_shape']}")
        skeleton, guessed = _skeleton(table, joints)
        parts: dict[str, list[LabelledPicture]] = {}
        for name in PARTS:
            if table.get(name):
                pictures = [
                    LabelledPicture(
                        str(picture.absolute()),
                        str(file),
                        _people(picture, skeleton, numbers),
                        shares=True,
                    )
                    for picture in _pictures(file, table, table[name])
                ]
                if pictures:
                    parts[name] = pictures
    except MALFORMED as error:
        raise DataError(
            f"{file} is no YOLO-pose data set ({type(error).__name__}: {error}); it needs "
            "kpt_shape, such as [17, 3], and train or val"
        ) from error
    if not parts:
        raise DataError(f"{file} names no pictures that are there under train, val or test")
    return Export(parts, file.absolute().parent, skeleton, numbered=True, guessed=guessed)


def export_yolo(file: str | Path, out: str | Path, images: str | Path | None = None) -> int:
    """Write a data set in COCO's format as YOLO-pose: `data.yaml`, `labels`, and links to the
    pictures in `images`, all of it as `train` and `val`.

    Returns:
        How many people.

    Raises:
        ConfigError: `out` holds a data set already.
        DataError, ImageError: the file or a picture is missing or broken.
    """
    file, out = Path(file), Path(out)
    if (out / "data.yaml").exists():
        raise ConfigError(f"{out} holds a data set already; name another folder")
    data = read_to_export(file, images)
    for picture in data.pictures:
        name, size = picture["file_name"], data.shown_sizes[picture["id"]]
        lines = [_line(person, size) for person in data.people[picture["id"]]]
        link = out / "images" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to((data.folder / name).resolve())
        with atomic_write((out / "labels" / name).with_suffix(".txt")) as temporary:
            temporary.write_text("".join(lines), encoding="utf-8")
    with atomic_write(out / "data.yaml") as temporary:
        temporary.write_text(_yaml(data.skeleton), encoding="utf-8")
    return len(data)


def _skeleton(table: dict[str, Any], joints: int) -> tuple[Skeleton, list[str]]:
    """What the points are, and what of it the file does not say."""
    flip = table.get("flip_idx")
    order = None if not flip else [int(i) for i in flip]
    if order is not None and sorted(order) != list(range(joints)):
        raise ValueError(f"flip_idx is no order of {joints} points")
    named = table.get("kpt_names")
    if isinstance(named, dict):
        named = list(named.values())
    if isinstance(named, list) and named and isinstance(named[0], list):
        named = named[0]  # of the first class
    coco = load_skeleton("coco17")
    if named is None and joints == len(coco) and order == coco.flip_order.tolist():
        return coco, ["the points are COCO's 17, by their number and flip_idx"]
    guessed = []
    classes = table.get("names") or []
    if len(classes) > 1:
        guessed.append(f"its {len(classes)} classes are taken for one")
    if named is None:
        named = [f"point_{number}" for number in range(1, joints + 1)]
        guessed.append("the points have no names; give them by --skeleton")
    if len(named) != joints:
        raise ValueError(f"{len(named)} kpt_names for {joints} points")
    skeleton = skeleton_of_names(_class_name(table), [str(name) for name in named])
    if order is not None:
        points = skeleton.keypoints
        pairs = [(points[i], points[j]) for i, j in enumerate(order) if i < j]
        skeleton, notes = with_pairs(skeleton, pairs)
        guessed += notes
    return skeleton, guessed


def _class_name(table: dict[str, Any]) -> str:
    names = table.get("names")
    names = list(names.values()) if isinstance(names, dict) else names
    return str(names[0]) if isinstance(names, list) and len(names) == 1 else "own"


def _pictures(file: Path, table: dict[str, Any], where: Any) -> list[Path]:
    """Of a part: of a folder, of a text file with a path a line, or of several of both."""
    root = file.parent / str(table.get("path") or "")
    if not root.is_dir():
        root = file.parent  # of another computer
    found: list[Path] = []
    for text in where if isinstance(where, list) else [where]:
        # Roboflow writes ../train/images for what lies beside the file.
        places = (root / str(text), file.parent / str(text).removeprefix("../"))
        place = next((p for p in places if p.exists()), None)
        if place is None:
            raise DataError(f"{file}: there is no {root / str(text)}")
        if place.is_dir():
            found += [Path(r, n) for r, _, names in os.walk(place, followlinks=True) for n in names]
        else:
            lines = place.read_text(encoding="utf-8").split("\n")
            found += [place.parent / line.strip() for line in lines if line.strip()]
    return sorted(p for p in found if p.suffix.lower() in SUFFIXES)


def _people(picture: Path, skeleton: Skeleton, numbers: int) -> list[Somebody]:
    """Of a picture's text file, in shares of the picture; nobody where there is none."""
    parts = list(picture.parts)
    folders = [i for i, part in enumerate(parts) if part == "images"]
    if folders:
        parts[folders[-1]] = "labels"
    file = Path(*parts).with_suffix(".txt")
    if not file.is_file():
        return []
    people = []
    expected = 5 + len(skeleton) * numbers
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        try:
            values = [float(value) for value in line.split()]
            if len(values) != expected or not np.isfinite(values).all():
                raise ValueError(f"{len(values)} numbers, not {expected}")
        except ValueError as error:
            raise DataError(f"{where}: {error}") from None
        x, y, width, height = values[1:5]
        box = x - width / 2, y - height / 2, x + width / 2, y + height / 2
        somebody = Somebody(box=box)
        for i, name in enumerate(skeleton.keypoints):
            x, y, *visible = values[5 + i * numbers : 5 + (i + 1) * numbers]
            v = int(min(2, *visible)) if visible else 2
            if v > 0 and (x, y) != (0, 0):  # which stands for no label
                somebody.mark(name, x, y, v, where, "")
        people.append(somebody)
    return people


def _line(person: Instance, shown: tuple[int, int]) -> str:
    assert person.box is not None
    scale = np.array(shown, np.float64)
    first, last = person.box.reshape(2, 2)
    box = np.concatenate([(first + last) / 2 / scale, (last - first) / scale])
    values: Sequence[str] = [f"{value:.8f}" for value in box]
    for point in person.points:
        place = point[:2] / scale if point[2] > 0 else np.zeros(2)
        values = [*values, f"{place[0]:.8f}", f"{place[1]:.8f}", str(int(point[2]))]
    return " ".join(["0", *values]) + "\n"


def _yaml(skeleton: Skeleton) -> str:
    names = "".join(f"    - {_quoted(name)}\n" for name in skeleton.keypoints)
    flip = ", ".join(map(str, skeleton.flip_order.tolist()))
    return (
        f"train: images\nval: images\n\nkpt_shape: [{len(skeleton)}, 3]\n"
        + (f"flip_idx: [{flip}]\n" if skeleton.mirrors else "")
        + f"names:\n  0: {_quoted(skeleton.name)}\nkpt_names:\n  0:\n{names}"
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # which is YAML
