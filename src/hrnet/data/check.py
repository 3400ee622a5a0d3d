"""Is an annotation file fit to be trained on? Faults by kind, before hours are spent."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from hrnet.data.raw import Entry, category_skeleton, read_raw
from hrnet.data.sides import FEWEST, mirrored_faces, suspected_swaps, swapped_pairs
from hrnet.errors import DataError, HRNetError
from hrnet.images import read_image
from hrnet.skeletons import Skeleton

# What is wrong where it is found, in the order of the report.
FAULTS = {
    "bad_id": "pictures or people whose id is missing or no whole number",
    "duplicate_image_id": "pictures with the id of another one",
    "duplicate_file_name": "pictures with the file of another one",
    "bad_picture_entry": "pictures without a file_name, or a width and height of at least 1",
    "missing_picture": "pictures whose file is not there",
    "broken_picture": "pictures whose file is no whole picture",
    "wrong_size": "pictures of another size than the annotation file says",
    "no_keypoint_names": "categories without keypoint names, which training needs",
    "other_keypoints": "categories whose keypoints are not those of the skeleton",
    "unknown_image": "people of a picture that is not listed",
    "unknown_category": "people of a category that is not listed",
    "duplicate_annotation_id": "people with the id of another one",
    "bad_box": "people whose bbox is not four numbers x, y, width, height, or is empty",
    "box_outside": "people whose box is outside the picture; training leaves them out",
    "bad_area": "people whose area is missing, not above 0, or larger than the picture",
    "bad_keypoints": "people whose keypoints are not three numbers for each name",
    "bad_visibility": "people with a visibility other than 0, 1 and 2",
    "labelled_at_origin": "people with a labelled joint at (0, 0), which stands for no label",
    "wrong_num_keypoints": "people whose num_keypoints is not the number of labelled joints",
    "joint_outside_picture": "people with a labelled joint outside the picture",
    "joint_far_from_box": "people with a labelled joint far from their box: by half its longer "
    "side and more",
    "all_joints_in_one_place": "people whose labelled joints are all in the same place",
    "same_person_twice": "people with the same joints as another one of the picture",
    "sides_swapped": "pairs of joints whose left and right are exchanged in most people",
    "sides_mirrored": "left and right are the viewer's, not the person's own, in most faces",
}
NOTES = {
    "suspected_swap": "people whose left and right may be exchanged at some joints; look at them",
    "box_partly_outside": "people whose box goes beyond the picture; training clips it",
    "unlabelled_with_place": "people with joints that have a place and v = 0; these are not "
    "trained on",
    "nobody_labelled": "people without a labelled joint; training leaves them out",
    "crowd": "crowds (iscrowd = 1), which training leaves out; they are not checked further",
    "picture_without_people": "pictures without people",
    "never_labelled": "keypoints that nobody has labelled",
    "other_category": "people of another category than the first; training takes them for the same",
}
FAR = 0.5  # of the box's longer side


@dataclass(frozen=True)
class Finding:
    """One kind of fault, or of what is worth a note.

    Attributes:
        kind: a key of FAULTS or NOTES.
        cases: id (of a picture, person or category, by the kind, as it stands in the file; or a
            joint's name) and a few words on the case, which may be empty.
    """

    kind: str
    cases: list[tuple[Any, str]]

    @property
    def is_fault(self) -> bool:
        """Whether it must be mended, not only looked at."""
        return self.kind in FAULTS

    @property
    def meaning(self) -> str:
        """What the kind says, in words."""
        return FAULTS.get(self.kind) or NOTES[self.kind]


@dataclass(frozen=True)
class Report:
    """What `check` found.

    Attributes:
        file, images: the annotation file and the folder of its pictures.
        pictures, people: how many are listed.
        labelled: how many people have each joint labelled, by name.
        findings: kinds that occur: faults first.
        skeleton: by which left and right were looked at, or None.
    """

    file: Path
    images: Path
    pictures: int
    people: int
    labelled: dict[str, int]
    findings: list[Finding]
    skeleton: Skeleton | None

    @property
    def ok(self) -> bool:
        """Whether there are no faults; notes may be."""
        return not any(finding.is_fault for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: everything, with all ids."""
        return {
            "schema": 1,
            "file": str(self.file),
            "images": str(self.images),
            "verdict": "ok" if self.ok else "faults",
            "pictures": self.pictures,
            "people": self.people,
            "labelled": self.labelled,
            "findings": [
                {
                    "kind": finding.kind,
                    "severity": "fault" if finding.is_fault else "note",
                    "meaning": finding.meaning,
                    "count": len(finding.cases),
                    "cases": [{"id": id_, "what": what} for id_, what in finding.cases],
                }
                for finding in self.findings
            ],
        }


def check(
    file: str | Path,
    images: str | Path | None = None,
    *,
    skeleton: Skeleton | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Look for faults in a data set in COCO's keypoint format, pictures included.

    Args:
        file: the annotation file.
        images: folder of the pictures; by default `images` beside the file.
        skeleton: what the keypoints are to be; by default what the file's category says.
        progress: called with (pictures read, pictures in all).

    Raises:
        DataError: the file is no annotation file with keypoints.
    """
    file = Path(file)
    folder = Path(images) if images is not None else file.parent / "images"
    content = read_raw(file)
    if not any("keypoints" in entry for entry in content["annotations"]):
        raise DataError(f"{file} has no keypoints: none of its annotations has any")
    found = _Found()
    sizes = _check_pictures(content["images"], folder, found, progress)
    categories = content["categories"]
    if skeleton is None and categories:
        skeleton = category_skeleton(categories[0])
    _check_categories(categories, skeleton, found)
    labelled = _check_people(content, sizes, skeleton, found)
    return Report(
        file,
        folder,
        len(content["images"]),
        len(content["annotations"]),
        labelled,
        [Finding(kind, found[kind]) for kind in (*FAULTS, *NOTES) if kind in found],
        skeleton,
    )


class _Found(dict[str, list[tuple[Any, str]]]):
    def add(self, kind: str, id_: Any, what: str = "") -> None:
        assert kind in FAULTS or kind in NOTES
        self.setdefault(kind, []).append((id_, what))


def _check_pictures(
    entries: list[Entry], folder: Path, found: _Found, progress: Callable[[int, int], None]
) -> dict[int, tuple[int, int]]:
    """Sizes (width, height) by id: the file's own if it can be read, else what is said of it."""
    sizes: dict[int, tuple[int, int]] = {}
    names: set[str] = set()
    to_read: list[tuple[Any, str, tuple[int, int] | None]] = []
    for entry in entries:
        id_, name = _id(entry, found), entry.get("file_name")
        if id_ is not None and id_ in sizes:
            found.add("duplicate_image_id", id_, str(name))
        width, height = _whole(entry.get("width")), _whole(entry.get("height"))
        said = (width, height) if width and height and width > 0 and height > 0 else None
        if said is None or not isinstance(name, str) or not name:
            found.add("bad_picture_entry", entry.get("id"), str(name))
        if id_ is not None:
            sizes.setdefault(id_, said or (0, 0))
        if not isinstance(name, str) or not name:
            continue
        if name in names:
            found.add("duplicate_file_name", entry.get("id"), name)
        names.add(name)
        to_read.append((id_, name, said))

    progress(0, len(to_read))
    # Decoding is OpenCV's, outside Python's lock.
    with ThreadPoolExecutor() as pool:
        results = pool.map(_read_size, (folder / name for _, name, _ in to_read))
        for done, ((id_, name, said), result) in enumerate(zip(to_read, results, strict=True), 1):
            progress(done, len(to_read))
            if isinstance(result, str):
                missing = not (folder / name).is_file()
                found.add(
                    "missing_picture" if missing else "broken_picture",
                    id_,
                    name if missing else result,
                )
                continue
            if said is not None and result != said:
                real, stated = (f"{width} x {height}" for width, height in (result, said))
                found.add("wrong_size", id_, f"{name} is {real}, not {stated}")
            if id_ is not None:
                sizes[id_] = result
    return sizes


def _read_size(file: Path) -> tuple[int, int] | str:
    """Width and height of a picture as stored, or what is wrong with it."""
    try:
        height, width = read_image(file, orient=False).shape[:2]
        return width, height
    except HRNetError as error:
        return str(error)


def _check_categories(categories: list[Entry], skeleton: Skeleton | None, found: _Found) -> None:
    for category in categories:
        names = category.get("keypoints")
        if not isinstance(names, list) or not names:
            found.add("no_keypoint_names", category.get("id"), str(category.get("name")))
        elif skeleton is not None and tuple(map(str, names)) != skeleton.keypoints:
            what = (
                "the same in another order"
                if set(map(str, names)) == set(skeleton.keypoints)
                else f"{len(names)} keypoints, {len(skeleton)} in skeleton {skeleton.name}"
            )
            found.add("other_keypoints", category.get("id"), what)


def _check_people(
    content: dict[str, Any],
    sizes: dict[int, tuple[int, int]],
    skeleton: Skeleton | None,
    found: _Found,
) -> dict[str, int]:
    """Check the annotations; how many have each joint labelled."""
    annotations = content["annotations"]
    categories = {_hashable(category.get("id")): None for category in content["categories"]}
    first = next(iter(categories), None)
    length = _keypoint_length(annotations, skeleton)
    ids: set[int] = set()
    rows: list[Entry] = []
    keypoints: list[NDArray[np.float64]] = []
    for entry in annotations:
        id_ = _id(entry, found)
        if id_ is not None:
            if id_ in ids:
                found.add("duplicate_annotation_id", id_)
            ids.add(id_)
        if _hashable(entry.get("image_id")) not in sizes:
            found.add("unknown_image", id_, f"image {entry.get('image_id')}")
        category = _hashable(entry.get("category_id"))
        if category not in categories:
            found.add("unknown_category", id_, f"category {entry.get('category_id')}")
        elif category != first:
            found.add("other_category", id_, f"category {category}")
        if entry.get("iscrowd") == 1:
            found.add("crowd", id_)
            continue
        _check_box(entry, sizes, found)
        points = _numbers(entry.get("keypoints"))
        if points is None or len(points) != length:
            what = "none" if points is None else f"{len(points)} numbers, not {length}"
            found.add("bad_keypoints", id_, what)
            continue
        rows.append(entry)
        keypoints.append(points.reshape(-1, 3))
    people = np.array(keypoints).reshape(-1, length // 3, 3)
    names = list(skeleton.keypoints) if skeleton is not None else []
    if len(names) != length // 3:
        names = [str(k + 1) for k in range(length // 3)]
        skeleton = None
    _check_joints(rows, people, names, sizes, found)
    if skeleton is not None:
        _check_sides(rows, people, skeleton, found)
    used = {_hashable(entry.get("image_id")) for entry in annotations}
    for id_ in sizes:
        if id_ not in used:
            found.add("picture_without_people", id_)
    labelled = dict(zip(names, (people[..., 2] > 0).sum(axis=0).tolist(), strict=True))
    for name, count in labelled.items():
        if not count:
            found.add("never_labelled", name)
    return labelled


def _check_box(entry: Entry, sizes: dict[int, tuple[int, int]], found: _Found) -> None:
    id_ = entry.get("id")
    width, height = sizes.get(_hashable(entry.get("image_id")), (0, 0))
    area = entry.get("area")
    if not _is_number(area) or not 0 < area < math.inf:
        found.add("bad_area", id_, "missing" if area is None else f"{area}")
    elif width and area > width * height:
        found.add("bad_area", id_, f"{area:g} in a picture of {width * height}")
    box = _numbers(entry.get("bbox"))
    if box is None or len(box) != 4 or not (box[2:] > 0).all():
        found.add("bad_box", id_, f"{entry.get('bbox')}")
        return
    if not width:
        return
    x1, y1, x2, y2 = box[0], box[1], box[0] + box[2], box[1] + box[3]
    what = f"x {x1:g} to {x2:g}, y {y1:g} to {y2:g} in a picture of {width} x {height}"
    # A pixel is left to those who round, or count from 1.
    if min(x2, width) - max(x1, 0) <= 1 or min(y2, height) - max(y1, 0) <= 1:
        found.add("box_outside", id_, what)
    elif x1 < -1 or y1 < -1 or x2 > width + 1 or y2 > height + 1:
        found.add("box_partly_outside", id_, what)


def _check_joints(
    rows: list[Entry],
    keypoints: NDArray[np.float64],
    names: list[str],
    sizes: dict[int, tuple[int, int]],
    found: _Found,
) -> None:
    points, v = keypoints[..., :2], keypoints[..., 2]
    labelled = np.asarray(v > 0)
    at_origin = labelled & (points == 0).all(axis=2)
    placed = labelled & ~at_origin
    size = np.array([sizes.get(_hashable(r.get("image_id")), (0, 0)) for r in rows]).reshape(-1, 2)
    # Pixels' centres are 0 to width - 1; a pixel more is left to those who round or count from 1.
    outside = placed & ((points < -1) | (points > size[:, None])).any(axis=2)
    outside &= (size > 0).all(axis=1, keepdims=True)

    boxes = [_numbers(row.get("bbox")) for row in rows]
    box = np.array(
        [b if b is not None and len(b) == 4 and (b[2:] > 0).all() else [np.nan] * 4 for b in boxes]
    ).reshape(-1, 1, 4)
    beyond = np.maximum(box[..., :2] - points, points - box[..., :2] - box[..., 2:]).max(axis=2)
    far = placed & (beyond > FAR * box[..., 2:].max(axis=2))  # never beyond NaN

    def note(kind: str, which: NDArray[np.bool_], say: Callable[[int, int], str]) -> None:
        for row in np.flatnonzero(which.any(axis=1)).tolist():
            first = int(np.argmax(which[row]))
            more = int(which[row].sum()) - 1
            what = f"{names[first]} {say(row, first)}" + (f" and {more} more" if more else "")
            found.add(kind, rows[row].get("id"), what)

    def place(row: int, k: int) -> str:
        return "at " + ", ".join(f"{value:g}" for value in points[row, k])

    note("bad_visibility", ~np.isin(v, (0, 1, 2)), lambda row, k: f"has v = {v[row, k]:g}")
    note("labelled_at_origin", at_origin, lambda row, k: f"has v = {v[row, k]:g}")
    note("joint_outside_picture", outside, place)
    note("joint_far_from_box", far & ~outside, place)
    note("unlabelled_with_place", (v == 0) & (points != 0).any(axis=2), place)
    seen: dict[tuple[Any, bytes], Any] = {}
    for row, entry in enumerate(rows):
        id_, count = entry.get("id"), int(labelled[row].sum())
        said = entry.get("num_keypoints")
        if said is not None and said != count:
            found.add("wrong_num_keypoints", id_, f"says {said}, has {count}")
        if count == 0:
            found.add("nobody_labelled", id_)
            continue
        if count > 1 and (np.ptp(points[row, labelled[row]], axis=0) == 0).all():
            found.add("all_joints_in_one_place", id_, place(row, int(np.argmax(labelled[row]))))
        key = _hashable(entry.get("image_id")), (keypoints[row] * labelled[row, :, None]).tobytes()
        if key in seen:
            found.add("same_person_twice", id_, f"as {seen[key]}")
        seen.setdefault(key, id_)


def _check_sides(
    rows: list[Entry], keypoints: NDArray[np.float64], skeleton: Skeleton, found: _Found
) -> None:
    keypoints = keypoints * (keypoints[..., :2] != 0).any(axis=2, keepdims=True)  # (0, 0) is none
    swapped = swapped_pairs(keypoints, skeleton)
    for left, right in swapped:
        found.add("sides_swapped", f"{left}/{right}")
    if not swapped:  # or it would be said of everybody
        for row, joints in suspected_swaps(keypoints, skeleton).items():
            found.add("suspected_swap", rows[row].get("id"), ", ".join(joints))
    faces = mirrored_faces(keypoints, skeleton)
    if ("left_eye", "right_eye") in swapped or faces is None:
        return
    if faces[1] >= FEWEST and faces[0] > faces[1] / 2:
        found.add("sides_mirrored", f"{faces[0]} of {faces[1]} faces")


def _keypoint_length(annotations: list[Entry], skeleton: Skeleton | None) -> int:
    """How many numbers a person's keypoints are to have: three a name, or the commonest length."""
    if skeleton is not None:
        return 3 * len(skeleton)
    lengths = Counter(_lengths(annotations))
    return max(lengths, key=lambda length: lengths[length], default=0)


def _lengths(annotations: list[Entry]) -> Iterator[int]:
    for entry in annotations:
        points = entry.get("keypoints")
        if isinstance(points, list) and len(points) % 3 == 0:
            yield len(points)


def _id(entry: Entry, found: _Found) -> int | None:
    id_ = _whole(entry.get("id"))
    if id_ is None:
        found.add("bad_id", entry.get("id"), str(entry.get("file_name", "")))
    return id_


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _numbers(value: Any) -> NDArray[np.float64] | None:
    """A list of finite numbers as an array, or None."""
    if not isinstance(value, list) or not all(map(_is_number, value)):
        return None
    try:
        array = np.array(value, dtype=np.float64)
    except OverflowError:  # a whole number beyond all floats
        return None
    return array if np.isfinite(array).all() else None


def _hashable(value: Any) -> Any:
    """An id that may be of any kind, to look up."""
    return str(value) if isinstance(value, (list, dict)) else value
