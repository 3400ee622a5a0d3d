"""An annotation file mended where there is one way to."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrnet.data.annotations import (
    Entry,
    hashable,
    link_pictures,
    locate_pictures,
    read_annotations,
    write_annotations,
)
from hrnet.data.check.findings import numbers, whole_number
from hrnet.data.people import box_fault, joint_boxes
from hrnet.errors import ConfigError, ImageError
from hrnet.images import size_and_orientation, to_stored, turned_size
from hrnet.similarity import AREA_OF_BOX

# What is mended, in the order of the report.
NAMES = "pictures found in another way than by their path, and named by it"
NUMBERS = "ids and other numbers that were text"
SIZES = "pictures without a width and height, which now have their file's"
TURNED = "pictures that EXIF data turn, whose labels were of the upright one, and now of the stored"
TWICE = "pictures listed twice, whose people are joined"
IDS = "people without an id of their own, who got one"
SAME = "people listed twice, of whom one stays"
FORM = "keypoints in lists of three, or with nothing for a number"
VISIBILITY = "joints with a visibility over 2 or under 0"
ORIGIN = "joints labelled at (0, 0), which stands for no label"
BOXES = "boxes missing, empty, not finite or outside the picture, made from the joints"
AREAS = "areas that were missing or not above 0, now 0.53 of the box's"
COUNTS = "num_keypoints that was not the number of labelled joints"
FIXES = (
    *(NAMES, NUMBERS, SIZES, TURNED, TWICE, IDS, SAME),
    *(FORM, VISIBILITY, ORIGIN, BOXES, AREAS, COUNTS),
)

Size = tuple[int, int]


def fix(file: str | Path, out: str | Path, images: str | Path | None = None) -> Counter[str]:
    """Write a data set anew with what `hrnet data check` would find, where there is one way to mend
    it. What there is not stays as it is, for `check` to name.

    Args:
        file: an annotation file; it is left alone.
        out: the file to write; pictures are linked where it is in another folder.
        images: folder of the pictures, see `locate_pictures`.

    Returns:
        How often each of `FIXES` was made.

    Raises:
        DataError: the file is no annotation file, or does not tell which its pictures are.
        ConfigError: `out` is the file itself.
    """
    file, out = Path(file), Path(out)
    if file.resolve() == out.resolve():
        raise ConfigError(f"{out} is the file to mend; give another one to write")
    content = read_annotations(file)
    located = locate_pictures(file, content["images"], images)
    made: Counter[str] = Counter()
    if located.how:
        made[NAMES] = sum(located.how.values())
    fixing = _Fixing(located.folder, made)
    pictures = fixing.pictures(located.images)
    people = fixing.people(content["annotations"])
    folder = {located.folder: file.absolute().parent.name}
    prefix = link_pictures(out.parent, folder)[located.folder]
    for picture in pictures:
        if isinstance(picture.get("file_name"), str):
            picture["file_name"] = prefix + picture["file_name"]
    write_annotations({out: {**content, "images": pictures, "annotations": people}})
    return +made


class _Fixing:
    """Pictures first, then people, who need to know them.

    Args:
        folder: of the pictures.
        made: counts what is mended.
    """

    def __init__(self, folder: Path, made: Counter[str]) -> None:
        self.folder = folder
        self.made = made
        self.sizes: dict[Any, Size] = {}  # of each picture's stored pixels, by id
        self.turned: dict[Any, int] = {}  # orientation, where labels are of the upright picture
        self.joined: dict[Any, Any] = {}  # the id of a picture listed twice -> the one that stays

    def pictures(self, entries: list[Entry]) -> list[Entry]:
        """Those that stay, mended."""
        kept: list[Entry] = []
        first: dict[str, Any] = {}
        for entry in entries:
            entry = dict(entry)
            for key in ("id", "width", "height"):
                self._to_number(entry, key, whole=True)
            name, id_ = entry.get("file_name"), hashable(entry.get("id"))
            if isinstance(name, str) and name in first:
                self.joined[id_] = first[name]
                self.made[TWICE] += 1
                continue
            if isinstance(name, str):
                first[name] = entry.get("id")
                self._fix_size(entry, id_, self.folder / name)
            kept.append(entry)
        return kept

    def people(self, entries: list[Entry]) -> list[Entry]:
        """Those who stay, mended."""
        kept: list[Entry] = []
        seen: set[Any] = set()
        for entry in entries:
            entry = dict(entry)
            for key in ("id", "image_id", "category_id", "iscrowd"):
                self._to_number(entry, key, whole=True)
            self._to_number(entry, "area", whole=False)
            entry["image_id"] = self.joined.get(
                hashable(entry.get("image_id")), entry.get("image_id")
            )
            picture = hashable(entry["image_id"])
            keypoints = self._keypoints(entry)
            if keypoints is not None and not entry.get("iscrowd"):
                self._turn(entry, keypoints, picture)
                labelled = keypoints[:, 2] > 0
                whom = picture, entry.get("category_id"), keypoints[labelled].tobytes()
                if labelled.any() and whom in seen:
                    self.made[SAME] += 1
                    continue
                seen.add(whom)
                self._fix_box(entry, keypoints, picture)
                self._fix_area(entry)
                entry["keypoints"] = _plain(keypoints)
                if entry.get("num_keypoints", labelled.sum()) != labelled.sum():
                    self.made[COUNTS] += 1
                entry["num_keypoints"] = int(labelled.sum())
            kept.append(entry)
        self._fix_ids(kept)
        return kept

    def _to_number(self, entry: Entry, key: str, *, whole: bool) -> None:
        value = entry.get(key)
        number = _number(value) if isinstance(value, (str, float)) else None
        if number is None or (isinstance(value, float) and not whole):
            return
        if not whole:
            entry[key] = number
        elif number == int(number):
            entry[key] = int(number)
        else:
            return
        self.made[NUMBERS] += 1

    def _fix_size(self, entry: Entry, id_: Any, file: Path) -> None:
        try:
            size, orientation = size_and_orientation(file)
        except (ImageError, OSError):
            return
        said = entry.get("width"), entry.get("height")
        upright = turned_size(size, orientation)
        if said == upright != size:
            self.turned[id_] = orientation
            self.made[TURNED] += 1
        elif not all(whole_number(value) for value in said):
            if upright != size:
                return  # a size would say which of the two the labels are of
            self.made[SIZES] += 1
        elif said != size:
            return  # labels may be of a picture of that size
        self.sizes[id_] = size
        entry["width"], entry["height"] = size

    def _keypoints(self, entry: Entry) -> NDArray[np.float64] | None:
        """(K, 3) x, y, v of somebody; None where it is not clear what they are."""
        given = entry.get("keypoints")
        if not isinstance(given, list) or not given:
            return None
        flat = given
        if all(isinstance(point, list) and len(point) == 3 for point in given):
            flat = [value for point in given for value in point]
        values = [_number(value) for value in flat]
        if len(flat) % 3:
            return None
        array = np.array([math.nan if v is None else v for v in values]).reshape(-1, 3)
        unlabelled = np.isnan(array).any(axis=1)
        as_they_are = numbers(given)
        # Nothing for a number is nothing labelled, if it says so; else nobody knows.
        if (array[unlabelled, 2] > 0).any():
            return None
        array[unlabelled] = 0
        if as_they_are is None:
            self.made[FORM] += 1
        odd = (array[:, 2] > 2) | (array[:, 2] < 0)
        self.made[VISIBILITY] += int(odd.sum())
        array[:, 2] = array[:, 2].clip(0, 2)
        nowhere = (array[:, 2] > 0) & (array[:, :2] == 0).all(axis=1)
        self.made[ORIGIN] += int(nowhere.sum())
        array[nowhere] = 0
        return array

    def _turn(self, entry: Entry, keypoints: NDArray[np.float64], picture: Any) -> None:
        """Labels of the upright picture into the stored one."""
        if picture not in self.turned:
            return
        orientation, size = self.turned[picture], self.sizes[picture]
        placed = keypoints[:, 2] > 0
        keypoints[placed, :2] = to_stored(keypoints[placed, :2], orientation, size)
        box = numbers(entry.get("bbox"))
        if box is not None and len(box) == 4:
            # Its corner pixels, so that width and height stay whole.
            corners = np.array([box[:2], box[:2] + box[2:] - 1])
            first, last = np.sort(to_stored(corners, orientation, size), axis=0)
            box = np.concatenate([first, last - first + 1])
            entry["bbox"] = [round(value, 2) for value in box.tolist()]

    def _fix_box(self, entry: Entry, keypoints: NDArray[np.float64], picture: Any) -> None:
        size = self.sizes.get(picture)
        if size is None:
            return
        box = numbers(entry.get("bbox"))
        if box is not None and len(box) == 4 and not box_fault(box.tolist(), *size):
            return
        (made,) = joint_boxes(keypoints[None], np.array([size], np.float64))
        if not np.isnan(made).any():
            x1, y1, x2, y2 = made.tolist()
            entry["bbox"] = [round(value, 2) for value in (x1, y1, x2 - x1 + 1, y2 - y1 + 1)]
            self.made[BOXES] += 1

    def _fix_area(self, entry: Entry) -> None:
        area, box = entry.get("area"), numbers(entry.get("bbox"))
        said = numbers([area])
        if box is None or len(box) != 4 or (said is not None and said[0] > 0):
            return
        entry["area"] = round(AREA_OF_BOX * float(box[2] * box[3]), 1)
        self.made[AREAS] += 1

    def _fix_ids(self, entries: list[Entry]) -> None:
        known = [id_ for entry in entries if (id_ := whole_number(entry.get("id"))) is not None]
        following = max(known, default=0) + 1
        taken: set[int] = set()
        for entry in entries:
            id_ = whole_number(entry.get("id"))
            if id_ is None or id_ in taken:
                entry["id"] = id_ = following
                following += 1
                self.made[IDS] += 1
            taken.add(id_)


def _number(value: Any) -> float | None:
    """A finite number, also as text."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _plain(keypoints: NDArray[np.float64]) -> list[float]:
    """x1, y1, v1, x2, ... with whole numbers as such."""
    return [int(v) if v == int(v) else round(v, 3) for v in keypoints.ravel().tolist()]
