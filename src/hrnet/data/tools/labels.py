"""What all tools' exports become: an annotation file in COCO's format, and a skeleton.

A tool's reader gives an `Export`: people's points by the tool's own labels. Finding the pictures,
turning labels to lie on the stored pixels, boxes and writing are the same for all.
"""

import json
import math
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrnet.data.annotations import Entry, link_pictures, write_annotations
from hrnet.data.people import joint_boxes
from hrnet.errors import ConfigError, DataError
from hrnet.files import atomic_write
from hrnet.images import size_and_orientation, to_stored
from hrnet.images.finding import find_pictures
from hrnet.images.orientation import to_upright, turned_size
from hrnet.similarity import AREA_OF_BOX, sigmas_of
from hrnet.skeletons import Skeleton, skeleton_of_names
from hrnet.tables import validate

Move = Callable[[NDArray[np.floating], int, tuple[int, int]], NDArray[np.floating]]
Box = tuple[float, float, float, float]
Size = tuple[int, int]

IN_ORDER = "the order of the points is that in which they come"
NO_POINTS = "boxes without a point"


@dataclass
class Somebody:
    """Somebody's points as a tool has them.

    Attributes:
        points: by the tool's label: x, y and v (1 occluded, 2 visible).
        box: x1, y1, x2, y2, or None where the tool has none.
    """

    points: dict[str, tuple[float, float, int]] = field(default_factory=dict)
    box: Box | None = None

    def mark(self, label: str, x: Any, y: Any, v: int, where: str, advice: str) -> None:
        """Add a point.

        Args:
            where: for messages.
            advice: how to tell the tool's people apart.

        Raises:
            DataError: the point is there already.
            ValueError, TypeError: x or y is no number.
        """
        if label in self.points:
            raise DataError(f"{where}: {label} is labelled twice for one person; {advice}")
        place = float(x), float(y)
        if not all(map(math.isfinite, place)):
            raise ValueError(f"{label} is at {x}, {y}")
        self.points[label] = (*place, v)


@dataclass
class LabelledPicture:
    """A picture and who is in it.

    Attributes:
        name: as the tool names it.
        where: for messages: the file, and where in it.
        people: in pixels, or, with `shares`, in shares of the width and the height.
        size: (width, height) that the tool lists, of the picture as stored or as shown: which of
            these says what the labels are of. None: as shown.
    """

    name: str
    where: str
    people: list[Somebody]
    size: Size | None = None
    shares: bool = False


@dataclass
class Export:
    """What a tool exported.

    Attributes:
        parts: pictures by the name of the file to write, such as "train".
        folder: that the pictures are in or below.
        extract: writes the pictures into a folder, where they are frames and not files.
        skeleton: what the points are, where the export says it; else by the labels, as they come.
        numbered: the labels are but the points' places in the skeleton.
        guessed: what the export does not say and is taken for granted, in words.
        left_out: how many of what.
    """

    parts: dict[str, list[LabelledPicture]]
    folder: Path
    skeleton: Skeleton | None = None
    extract: Callable[[Path], None] | None = None
    numbered: bool = False
    guessed: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Prepared:
    """What was written.

    Attributes:
        files: annotation files, and to each what its points are, as a TOML file to look over.
        guessed: what was taken for granted, in words.
        left_out: how many of what.
        found: how many pictures were found in another way than by their path, by the way.
    """

    files: dict[Path, Path]
    guessed: list[str]
    left_out: dict[str, int]
    found: dict[str, int]


@dataclass
class Instance:
    """Somebody labelled.

    Attributes:
        points: (K, 3) x, y in pixels and v: 0 not labelled, 1 occluded, 2 visible.
        box: x1, y1, x2, y2 in pixels, or None.
    """

    points: NDArray[np.float64]
    box: NDArray[np.float64] | None = None


def moved(instance: Instance, move: Move, orientation: int, size: Size) -> Instance:
    """With labelled points and box between the stored picture and the upright one.

    Args:
        move: `to_upright` or `to_stored`.
        size: (width, height) of the picture as stored.
    """
    points, box = instance.points.copy(), None
    labelled = points[:, 2] > 0
    points[labelled, :2] = move(points[labelled, :2], orientation, size)
    if instance.box is not None:
        corners = move(instance.box.reshape(2, 2), orientation, size)
        box = np.sort(corners, axis=0).ravel().astype(np.float64)
    return Instance(points, box)


def with_pairs(skeleton: Skeleton, pairs: list[tuple[str, str]]) -> tuple[Skeleton, list[str]]:
    """With the pairs that a tool lists, and a word where these are not those by the names."""
    if {frozenset(pair) for pair in pairs} == {frozenset(pair) for pair in skeleton.pairs}:
        return skeleton, []
    table = {**skeleton.to_dict(), "pairs": [list(pair) for pair in pairs], "on_axis": not pairs}
    note = "which of each pair is the left one: the tool does not say"
    return validate(Skeleton, table, f"skeleton {skeleton.name}"), [note]


def file_name(text: str) -> str:
    """What a category or a video is called, as the name of a file."""
    return re.sub(r"[^\w.-]+", "_", text).strip("._") or "unnamed"


def holder(x: float, y: float, boxes: dict[str, Box], what: str) -> str:
    """The one box that holds a point; "" where there are no boxes.

    Raises:
        DataError: none does, or several.
    """
    if not boxes:
        return ""
    holding = [k for k, (x1, y1, x2, y2) in boxes.items() if x1 <= x <= x2 and y1 <= y <= y2]
    if len(holding) != 1:
        raise DataError(
            f"{what} is in {len(holding)} boxes, and says of none that it belongs there; it is not "
            "clear whose it is: let everybody's box hold all of their points, or tie them together"
        )
    return holding[0]


def write_export(export: Export, source: Path, out: Path, skeleton: Skeleton | None) -> Prepared:
    """Write OUT/NAME.json of each part and OUT/skeleton.toml; pictures are linked.

    Args:
        source: for messages.
        skeleton: what the points are, by their names; by default as the export says.

    Raises:
        DataError: nobody has a point, a label is not the skeleton's, a picture is not there or
            of another size than the export says, or it has two different lists of labels.
        ImageError: a picture is none.
    """
    pictures = [picture for part in export.parts.values() for picture in part]
    own, guessed = _skeleton(export, pictures, source, skeleton)
    folder = export.folder if export.extract is None else _extracted(export.extract, out)
    found = find_pictures(
        [picture.name for picture in pictures],
        folder,
        trees=[folder.absolute()],
        sizes=[None if picture.shares else picture.size for picture in pictures],
    )
    for i, picture in enumerate(pictures):
        if found.paths[i] is None:
            why = found.refused.get(i, f"there is no picture {picture.name}")
            raise DataError(f"{picture.where}: {why}")
    files = dict(zip(map(id, pictures), found.paths, strict=True))
    left_out = Counter(export.left_out)
    contents: dict[str, dict[Path, list[Instance]]] = {}
    for name, part in export.parts.items():
        content = contents.setdefault(name, {})
        first: dict[Path, LabelledPicture] = {}
        for picture in part:
            file = files[id(picture)]
            assert file is not None
            before = first.setdefault(file, picture)
            if before is not picture:
                if before.people != picture.people:
                    raise DataError(
                        f"{picture.where}: {file} has other labels already, at {before.where}"
                    )
                left_out["pictures listed again"] += 1
                continue
            content[file] = _instances(picture, file, own)
            left_out[NO_POINTS] += sum(not person.points for person in picture.people)
    written = _write(contents, own, out)
    toml = out / "skeleton.toml"
    write_skeleton(toml, own)
    return Prepared(dict.fromkeys(written, toml), guessed, dict(+left_out), dict(found.how))


def _skeleton(
    export: Export, pictures: Sequence[LabelledPicture], source: Path, given: Skeleton | None
) -> tuple[Skeleton, list[str]]:
    """What the points are, and what of it is taken for granted."""
    people = (person for picture in pictures for person in picture.people)
    used = dict.fromkeys(label for person in people for label in person.points)
    if not used:
        raise DataError(f"{source} has no labelled point")
    if given is None:
        if export.skeleton is None:
            return skeleton_of_names("own", list(used)), [*export.guessed, IN_ORDER]
        own = export.skeleton
    else:
        own = given
        if export.numbered:
            assert export.skeleton is not None
            if len(given) != len(export.skeleton):
                raise DataError(
                    f"skeleton {given.name} has {len(given)} points, and {source} "
                    f"{len(export.skeleton)}"
                )
            names = dict(zip(export.skeleton.keypoints, given.keypoints, strict=True))
            for picture in pictures:
                for person in picture.people:
                    person.points = {names[k]: v for k, v in person.points.items()}
            return own, []
    if unknown := [label for label in used if label not in own.keypoints]:
        raise DataError(f"{source} has the label {unknown[0]!r}, which skeleton {own.name} lacks")
    return own, [] if given is not None else list(export.guessed)


def _extracted(extract: Callable[[Path], None], out: Path) -> Path:
    """Pictures in `out`/images, all or none."""
    images = out / "images"
    if os.path.lexists(images):
        raise ConfigError(f"{images} is there already; name another folder to write to")
    new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=out, prefix=".images"))
    try:
        extract(temporary)
        temporary.chmod(0o755)  # mkdtemp's are the owner's alone
        temporary.rename(images)
    except BaseException:
        shutil.rmtree(temporary)
        if new:
            out.rmdir()
        raise
    return images


def _instances(picture: LabelledPicture, file: Path, skeleton: Skeleton) -> list[Instance]:
    """People with a labelled point, in the pixels of the picture as stored."""
    size, orientation = size_and_orientation(file)
    shown = turned_size(size, orientation)
    if picture.size not in (None, shown, size) and not picture.shares:
        raise DataError(
            f"{picture.where}: {file} has {shown[0]} x {shown[1]} pixels, and was labelled with "
            "{} x {}".format(*picture.size or ())
        )
    of_stored = picture.size == size != shown
    scale = np.array(size if of_stored else shown, np.float64) if picture.shares else np.ones(2)
    instances = []
    for person in picture.people:
        if not person.points:
            continue
        points = np.zeros((len(skeleton), 3))
        for label, (x, y, v) in person.points.items():
            points[skeleton.index(label)] = x * scale[0], y * scale[1], v
        box = None if person.box is None else np.array(person.box, np.float64) * np.tile(scale, 2)
        instance = Instance(points, box)
        if of_stored:  # so that boxes of points are made in the picture as shown
            instance = moved(instance, to_upright, orientation, size)
        if instance.box is None:
            instance.box = joint_boxes(instance.points[None], np.array([shown], np.float64))[0]
        instances.append(moved(instance, to_stored, orientation, size))
    return instances


def _write(
    contents: dict[str, dict[Path, list[Instance]]], skeleton: Skeleton, out: Path
) -> list[Path]:
    pictures = [picture.absolute() for part in contents.values() for picture in part]
    folder = Path(os.path.commonpath([picture.parent for picture in pictures]))
    prefix = link_pictures(out, {folder: folder.name})[folder]
    category = {**skeleton.to_category(), "name": skeleton.name}
    files = {}
    for name, part in contents.items():
        images: list[Entry] = []
        annotations: list[Entry] = []
        for picture, instances in part.items():
            (width, height), _ = size_and_orientation(picture)
            below = prefix + picture.absolute().relative_to(folder).as_posix()
            number = len(images) + 1
            images.append({"id": number, "file_name": below, "width": width, "height": height})
            for instance in instances:
                annotations.append(_annotation(instance, len(annotations) + 1, number))
        files[out / f"{name}.json"] = {
            "images": images,
            "annotations": annotations,
            "categories": [category],
        }
    write_annotations(files)
    return list(files)


def _annotation(instance: Instance, number: int, picture: int) -> Entry:
    assert instance.box is not None
    x1, y1, x2, y2 = np.nan_to_num(instance.box).tolist()
    return {
        "id": number,
        "image_id": picture,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)],
        "area": round(AREA_OF_BOX * (x2 - x1) * (y2 - y1), 3),
        "num_keypoints": int((instance.points[:, 2] > 0).sum()),
        "keypoints": [round(value, 4) for value in instance.points.ravel().tolist()],
    }


def write_skeleton(file: Path, skeleton: Skeleton) -> None:
    """As a TOML file to look over and complete."""
    lines = [
        "schema = 1",
        f"name = {_row(skeleton.name)}",
        f"keypoints = {_row(skeleton.keypoints)}",
        "# What changes places in a mirrored picture, the person's left first.",
        f"pairs = {_row(skeleton.pairs)}",
    ]
    if not skeleton.mirrors or skeleton.on_axis:
        lines += [
            "# true: points without a pair keep their names in a mirror.",
            f"on_axis = {_row(skeleton.on_axis)}",
        ]
    lines += ["# Lines to draw.", f"limbs = {_row(skeleton.limbs)}"]
    if skeleton.sigmas is None:
        lines += [
            "# How far off is still good, as a share of the person's size, for OKS AP. These are a",
            "# default, about a body's joints; hrnet data sigmas measures them.",
        ]
    lines.append(f"sigmas = {_row(sigmas_of(skeleton).tolist())}")
    with atomic_write(file) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _row(values: Any) -> str:
    return json.dumps(values, ensure_ascii=False)  # of text, numbers and lists, TOML is the same
