"""The people of an annotation file: boxes, joints, and their sides."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrnet.data.annotations import Entry, hashable, used_categories
from hrnet.data.check.findings import Found, entry_id, numbers
from hrnet.data.check.sides import FEWEST, mirrored_faces, suspected_swaps, swapped_pairs
from hrnet.data.people import EMPTY, box_fault
from hrnet.skeletons import Skeleton

FAR = 0.5  # of the box's longer side


def check_people(
    content: dict[str, Any],
    sizes: dict[int, tuple[int, int]],
    skeleton: Skeleton | None,
    found: Found,
) -> dict[str, int]:
    """Check the annotations; how many have each joint labelled."""
    annotations = content["annotations"]
    categories = {hashable(category.get("id")) for category in content["categories"]}
    first = [hashable(category.get("id")) for category in used_categories(content)][:1]
    length = _keypoint_length(annotations, skeleton)
    ids: set[int] = set()
    rows: list[Entry] = []
    keypoints: list[NDArray[np.float64]] = []
    for entry in annotations:
        id_, number = entry.get("id"), entry_id(entry, found)
        if number is not None:
            if number in ids:
                found.add("duplicate_annotation_id", id_)
            ids.add(number)
        if hashable(entry.get("image_id")) not in sizes:
            found.add("unknown_image", id_, f"image {entry.get('image_id')}")
        category = hashable(entry.get("category_id"))
        if category not in categories:
            found.add("unknown_category", id_, f"category {entry.get('category_id')}")
        elif category not in first:
            found.add("other_category", id_, f"category {category}")
        if entry.get("iscrowd") == 1:
            found.add("crowd", id_)
            continue
        if not entry.get("keypoints"):  # a box alone, as of other things
            found.add("nobody_labelled", id_, "no keypoints")
            continue
        _check_box(entry, sizes, found)
        points = numbers(entry.get("keypoints"))
        if points is None or len(points) != length:
            what = "none" if points is None else f"{len(points)} numbers, not {length}"
            found.add("bad_keypoints", id_, what)
            continue
        rows.append(entry)
        keypoints.append(points.reshape(-1, 3))
    people = np.array(keypoints).reshape(len(rows), length // 3, 3)
    names = [str(k + 1) for k in range(length // 3)]
    if skeleton is not None:
        names = list(skeleton.keypoints)
        _check_sides(rows, people, skeleton, found)
    _check_joints(rows, people, names, sizes, found)
    used = {hashable(entry.get("image_id")) for entry in annotations}
    for id_ in sizes:
        if id_ not in used:
            found.add("picture_without_people", id_)
    labelled = dict(zip(names, (people[..., 2] > 0).sum(axis=0).tolist(), strict=True))
    for name, count in labelled.items():
        if not count:
            found.add("never_labelled", name)
    return labelled


def _check_box(entry: Entry, sizes: dict[int, tuple[int, int]], found: Found) -> None:
    id_ = entry.get("id")
    width, height = sizes.get(hashable(entry.get("image_id")), (0, 0))
    area = numbers([entry.get("area")])
    if entry.get("area") is None:
        found.add("no_area", id_)
    elif area is None or area[0] <= 0:
        found.add("bad_area", id_, f"{entry['area']}")
    elif width and area[0] > width * height:
        found.add("bad_area", id_, f"{area[0]:g} in a picture of {width * height}")
    box = numbers(entry.get("bbox"))
    if (
        box is None
        or len(box) != 4
        or (fault := box_fault(box.tolist(), width or math.inf, height or math.inf)) == EMPTY
    ):
        found.add("bad_box", id_, f"{entry.get('bbox')}")
        return
    if not width:
        return
    x1, y1, x2, y2 = box[0], box[1], box[0] + box[2], box[1] + box[3]
    what = f"x {x1:g} to {x2:g}, y {y1:g} to {y2:g} in a picture of {width} x {height}"
    # A pixel is left to those who round, or count from 1.
    if fault:
        found.add("box_outside", id_, what)
    elif x1 < -1 or y1 < -1 or x2 > width + 1 or y2 > height + 1:
        found.add("box_partly_outside", id_, what)


def _check_joints(
    rows: list[Entry],
    keypoints: NDArray[np.float64],
    names: list[str],
    sizes: dict[int, tuple[int, int]],
    found: Found,
) -> None:
    points, v = keypoints[..., :2], keypoints[..., 2]
    labelled = np.asarray(v > 0)
    at_origin = labelled & (points == 0).all(axis=2)
    placed = labelled & ~at_origin
    size = np.array([sizes.get(hashable(r.get("image_id")), (0, 0)) for r in rows]).reshape(-1, 2)
    # Pixels' centres are 0 to width - 1; a pixel more is left to those who round or count from 1.
    outside = placed & ((points < -1) | (points > size[:, None])).any(axis=2)
    outside &= (size > 0).all(axis=1, keepdims=True)

    boxes = [numbers(row.get("bbox")) for row in rows]
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
        key = hashable(entry.get("image_id")), (keypoints[row] * labelled[row, :, None]).tobytes()
        if key in seen:
            found.add("same_person_twice", id_, f"as {seen[key]}")
        seen.setdefault(key, id_)


def _check_sides(
    rows: list[Entry], keypoints: NDArray[np.float64], skeleton: Skeleton, found: Found
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
