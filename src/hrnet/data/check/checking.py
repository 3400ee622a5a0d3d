"""An annotation file and its pictures, looked over."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hrnet.data.annotations import Entry, pictures_folder, read_annotations, used_categories
from hrnet.data.check.findings import FAULTS, NOTES, Finding, Found, entry_id, whole_number
from hrnet.data.check.people import check_people
from hrnet.errors import DataError, HRNetError
from hrnet.images import read_image
from hrnet.skeletons import Skeleton, skeleton_of_category

MAX_SIDE = 1 << 31  # pixels


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
        images: folder of the pictures; by default `images` beside the file, or its own.
        skeleton: what the keypoints are to be; by default what the people's category says.
        progress: called with (pictures read, pictures in all).

    Raises:
        DataError: the file is no annotation file with keypoints.
    """
    file = Path(file)
    folder = pictures_folder(file, images)
    content = read_annotations(file)
    if not any("keypoints" in entry for entry in content["annotations"]):
        raise DataError(f"{file} has no keypoints: none of its annotations has any")
    found = Found()
    sizes = _check_pictures(content["images"], folder, found, progress)
    categories = used_categories(content)
    if skeleton is None and categories:
        skeleton = skeleton_of_category(categories[0])
    _check_categories(categories, skeleton, found)
    with np.errstate(all="ignore"):  # places may be any numbers
        labelled = check_people(content, sizes, skeleton, found)
    return Report(
        file,
        folder,
        len(content["images"]),
        len(content["annotations"]),
        labelled,
        [Finding(kind, found[kind]) for kind in (*FAULTS, *NOTES) if kind in found],
        skeleton,
    )


def _check_pictures(
    entries: list[Entry], folder: Path, found: Found, progress: Callable[[int, int], None]
) -> dict[int, tuple[int, int]]:
    """Sizes (width, height) by id: the file's own if it can be read, else what is said of it."""
    sizes: dict[int, tuple[int, int]] = {}
    names: set[str] = set()
    to_read: list[tuple[Any, str, tuple[int, int] | None]] = []
    for entry in entries:
        id_, name = entry_id(entry, found), entry.get("file_name")
        if id_ is not None and id_ in sizes:
            found.add("duplicate_image_id", id_, str(name))
        said = _said_size(entry)
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
    pool = ThreadPoolExecutor()
    try:
        results = pool.map(_read_size, (folder / name for _, name, _ in to_read))
        for done, ((id_, name, said), result) in enumerate(zip(to_read, results, strict=True), 1):
            progress(done, len(to_read))
            if isinstance(result, str):
                missing = not (folder / name).is_file()
                kind = "missing_picture" if missing else "broken_picture"
                found.add(kind, id_, name if missing else result)
                continue
            if said is not None and result != said:
                real, stated = (f"{width} x {height}" for width, height in (result, said))
                found.add("wrong_size", id_, f"{name} is {real}, not {stated}")
            if id_ is not None:
                sizes[id_] = result
    finally:
        pool.shutdown(cancel_futures=True)  # whoever interrupts need not wait for all pictures
    return sizes


def _said_size(entry: Entry) -> tuple[int, int] | None:
    width, height = whole_number(entry.get("width")), whole_number(entry.get("height"))
    if not width or not height or not 0 < width < MAX_SIDE or not 0 < height < MAX_SIDE:
        return None
    return width, height


def _read_size(file: Path) -> tuple[int, int] | str:
    """Width and height of a picture as stored, or what is wrong with it."""
    try:
        height, width = read_image(file, orient=False).shape[:2]
        return width, height
    except HRNetError as error:
        return str(error)


def _check_categories(categories: list[Entry], skeleton: Skeleton | None, found: Found) -> None:
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
