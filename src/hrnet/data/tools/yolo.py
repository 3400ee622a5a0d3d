"""YOLO-pose, as Ultralytics and Roboflow have it: `data.yaml`, and a text file a picture with a
line for everybody: class, box (centre, width, height), then x, y and perhaps v of every point, all
as shares of the picture as shown, that is turned upright by its EXIF data."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hrnet.data.tools.labels import Instance, Labels, read_to_export, write_labels
from hrnet.errors import ConfigError, DataError
from hrnet.files import atomic_write
from hrnet.images import size_and_orientation
from hrnet.images.orientation import turned_size
from hrnet.images.sources import SUFFIXES
from hrnet.skeletons import Skeleton, load_skeleton, skeleton_of_names
from hrnet.tables import MALFORMED, validate

PARTS = ("train", "val", "test")


def prepare_yolo(
    source: str | Path, out: str | Path, skeleton: Skeleton | None = None
) -> dict[Path, list[str]]:
    """Write `train.json`, `val.json` and `test.json`, whichever there are, and `skeleton.toml`.

    Args:
        source: `data.yaml`, or its folder.
        out: folder to write to; the pictures are linked.
        skeleton: what the points are; by default what the file says of them.

    Returns:
        The files, and what was taken for granted in each.

    Raises:
        DataError: there is no such data set, or a line is not of its form.
        ImageError: a picture is missing, or is none.
    """
    file = Path(source) / "data.yaml" if Path(source).is_dir() else Path(source)
    table = _read_yaml(file)
    try:
        joints, numbers = (int(value) for value in table["kpt_shape"])
        if joints < 1 or numbers not in (2, 3):
            raise ValueError(f"kpt_shape is {table['kpt_shape']}")
        points, guessed = _skeleton(table, joints, skeleton)
        parts: dict[str, Labels] = {}
        for name in PARTS:
            if table.get(name):
                labels = Labels(points, guessed=list(guessed))
                for picture in _pictures(file, table, table[name]):
                    labels.pictures[picture] = _read_lines(picture, joints, numbers)
                if labels.pictures:
                    parts[name] = labels
    except MALFORMED as error:
        raise DataError(
            f"{file} is no YOLO-pose data set ({type(error).__name__}: {error}); it needs "
            "kpt_shape, such as [17, 3], and train or val"
        ) from error
    if not parts:
        raise DataError(f"{file} names no pictures that are there under train, val or test")
    return write_labels(parts, Path(out))


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


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        import yaml  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        raise ConfigError("YOLO's data.yaml needs pyyaml: pip install 'hrnet[data]'") from None
    try:
        table = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"there is no file {file}") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{file} cannot be read as YAML: {reason}") from None
    if not isinstance(table, dict):
        raise DataError(f"{file} is no YOLO-pose data set; it needs kpt_shape, and train or val")
    return table


def _skeleton(
    table: dict[str, Any], joints: int, given: Skeleton | None
) -> tuple[Skeleton, list[str]]:
    """What the points are, and what of it the file does not say."""
    flip = table.get("flip_idx")
    order = None if not flip else [int(i) for i in flip]
    if order is not None and sorted(order) != list(range(joints)):
        raise ValueError(f"flip_idx is no order of {joints} points")
    if given is not None:
        if len(given) != joints:
            raise ValueError(
                f"skeleton {given.name} has {len(given)} points, and kpt_shape {joints}"
            )
        return given, []
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
        by_name = {frozenset(pair) for pair in skeleton.pairs}
        pairs = [
            (skeleton.keypoints[i], skeleton.keypoints[j]) for i, j in enumerate(order) if i < j
        ]
        if {frozenset(pair) for pair in pairs} != by_name:
            guessed.append("pairs are from flip_idx: look which of each is the left one")
            table_of = {**skeleton.to_dict(), "pairs": [list(pair) for pair in pairs]}
            table_of["on_axis"] = not pairs
            skeleton = validate(Skeleton, table_of, "skeleton")
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


def _read_lines(picture: Path, joints: int, numbers: int) -> list[Instance]:
    parts = list(picture.parts)
    folders = [i for i, part in enumerate(parts) if part == "images"]
    if folders:
        parts[folders[-1]] = "labels"
    file = Path(*parts).with_suffix(".txt")
    if not file.is_file():
        return []  # a picture of nobody
    size, orientation = size_and_orientation(picture)
    scale = np.array(turned_size(size, orientation), np.float64)
    instances = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            values = np.array(line.split(), np.float64)
            if len(values) != 5 + joints * numbers or not np.isfinite(values).all():
                raise ValueError(f"{len(values)} numbers, not {5 + joints * numbers}")
        except ValueError as error:
            raise DataError(f"{file}, line {number}: {error}") from None
        centre, half = values[1:3] * scale, values[3:5] * scale / 2
        points = np.zeros((joints, 3))
        given = values[5:].reshape(joints, numbers)
        points[:, :2] = given[:, :2] * scale
        points[:, 2] = given[:, 2].clip(0, 2) if numbers == 3 else 2.0
        points[(given[:, :2] == 0).all(axis=1), 2] = 0  # which stands for no label
        instances.append(Instance(points, np.concatenate([centre - half, centre + half])))
    return instances


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
