"""An annotation file and its pictures, looked over."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hrnet.data.annotations import Entry, locate_pictures, read_annotations, used_categories
from hrnet.data.check.findings import FAULTS, NOTES, Finding, Found, entry_id, whole_number
from hrnet.data.check.people import check_people
from hrnet.data.people import Orient
from hrnet.errors import DataError, HRNetError
from hrnet.images import read_oriented, turned_size
from hrnet.images.orientation import UPRIGHT
from hrnet.skeletons import Skeleton, list_skeletons, named_twice, skeleton_of_category
from hrnet.skeletons.sides import unclear_pairs

MAX_SIDE = 1 << 31  # pixels

Size = tuple[int, int]


@dataclass(frozen=True)
class Report:
    """What `check` found.

    Attributes:
        file, images: the annotation file and the folder of its pictures.
        pictures, people: how many are listed.
        labelled: how many people have each joint labelled, by name.
        findings: kinds that occur: faults first.
        skeleton: by which left and right were looked at, or None.
        orient: what training takes the file's pixels for.
    """

    file: Path
    images: Path
    pictures: int
    people: int
    labelled: dict[str, int]
    findings: list[Finding]
    skeleton: Skeleton | None
    orient: Orient = "stored"

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
            "orient": self.orient,
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
    orient: Orient | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Look for faults in a data set in COCO's keypoint format, pictures included.

    Args:
        file: the annotation file.
        images: folder of the pictures; by default `images` beside the file, or its own.
        skeleton: what the keypoints are to be; by default what the people's category says.
        orient: what the file's pixels are of pictures that their EXIF data turn, see
            `hrnet.data.people.People`; by default "stored", as in training, and a fault where the
            sizes that the file lists say something else, or nothing.
        progress: called with (pictures read, pictures in all).

    Raises:
        DataError: the file is no annotation file with keypoints.
    """
    file = Path(file)
    content = read_annotations(file)
    if not any("keypoints" in entry for entry in content["annotations"]):
        raise DataError(f"{file} has no keypoints: none of its annotations has any")
    found = Found()
    located = locate_pictures(file, content["images"], images, refuse=False)
    folder, content["images"] = located.folder, located.images
    for position, why in located.refused.items():
        found.add("unclear_picture", content["images"][position].get("id"), why)
    for way, count in located.how.items():
        found.add("named_otherwise", way, f"{count} pictures")
    sizes = _check_pictures(content["images"], folder, orient, found, progress)
    categories = used_categories(content)
    if skeleton is None and categories:
        skeleton = skeleton_of_category(categories[0])
        if skeleton is not None and skeleton.name not in list_skeletons():
            _check_pairs(skeleton, found)
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
        orient or "stored",
    )


def _check_pictures(
    entries: list[Entry],
    folder: Path,
    orient: Orient | None,
    found: Found,
    progress: Callable[[int, int], None],
) -> dict[int, Size]:
    """Sizes (width, height) by id: the file's own if it can be read, else what is said of it."""
    sizes: dict[int, Size] = {}
    names: set[str] = set()
    to_read: list[tuple[Any, str, Size | None]] = []
    turned: list[_Turned] = []
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
            if isinstance(result, str):  # what is wrong with it
                missing = not (folder / name).is_file()
                kind = "missing_picture" if missing else "broken_picture"
                found.add(kind, id_, name if missing else result)
                continue
            size, orientation = result
            picture = _Turned(id_, orientation, size, said)
            if orientation != UPRIGHT:
                turned.append(picture)
            if said is not None and said != size and picture.listed is None:
                real, stated = (f"{width} x {height}" for width, height in (size, said))
                found.add("wrong_size", id_, f"{name} is {real}, not {stated}")
            if id_ is not None:
                sizes[id_] = size
    finally:
        pool.shutdown(cancel_futures=True)  # whoever interrupts need not wait for all pictures
    _check_turned(turned, orient, sizes, found)
    return sizes


@dataclass(frozen=True)
class _Turned:
    """A picture by its header, and the size that the file lists."""

    id: int | None
    orientation: int
    size: Size
    said: Size | None

    @property
    def upright(self) -> Size:
        return turned_size(self.size, self.orientation)

    @property
    def listed(self) -> Orient | None:
        """What the listed size is of, where it tells: not of a square, or turned upside down."""
        if self.upright == self.size:
            return None
        readings: dict[Size | None, Orient] = {self.size: "stored", self.upright: "exif"}
        return readings.get(self.said)


def _check_turned(
    pictures: list[_Turned], orient: Orient | None, sizes: dict[int, Size], found: Found
) -> None:
    """How the labels of turned pictures are meant: by the size that is listed of each; where it
    does not tell, by those of the file's other pictures, as one tool wrote it; else it has to be
    said. Turns the `sizes` of those whose labels are upright."""
    listed = {picture.listed for picture in pictures} - {None}
    file_s = listed.pop() if len(listed) == 1 else None
    for picture in pictures:
        meant = picture.listed or orient or file_s
        told = "the sizes" if picture.listed or not orient else "--orient"
        what = f"orientation {picture.orientation}: "
        if meant is None:
            found.add("orientation", picture.id, f'{what}the sizes do not tell; "exif" or "stored"')
        elif meant != (orient or "stored"):
            found.add("orientation", picture.id, f'{what}by the sizes "{meant}"')
        else:
            found.add("turned_picture", picture.id, f'{what}by {told} "{meant}"')
        if picture.id is not None and meant == "exif":
            sizes[picture.id] = picture.upright


def _said_size(entry: Entry) -> Size | None:
    width, height = whole_number(entry.get("width")), whole_number(entry.get("height"))
    if not width or not height or not 0 < width < MAX_SIDE or not 0 < height < MAX_SIDE:
        return None
    return width, height


def _read_size(file: Path) -> tuple[Size, int] | str:
    """(width, height) of a picture as stored and its orientation, or what is wrong with it."""
    try:
        image, orientation = read_oriented(file)
        height, width = image.shape[:2]
        return turned_size((width, height), orientation), orientation
    except HRNetError as error:
        return str(error)


def _check_pairs(skeleton: Skeleton, found: Found) -> None:
    """Whether it is known what the points are in a mirrored picture, by their names alone."""
    for pair in unclear_pairs(skeleton.keypoints, skeleton.pairs):
        found.add("unclear_pair", "/".join(pair))
    if not skeleton.mirrors:
        found.add("not_mirrored", skeleton.name)


def _check_categories(categories: list[Entry], skeleton: Skeleton | None, found: Found) -> None:
    for category in categories:
        names = category.get("keypoints")
        if not isinstance(names, list) or not names:
            found.add("no_keypoint_names", category.get("id"), str(category.get("name")))
        elif twice := named_twice(names):
            found.add("keypoint_named_twice", category.get("id"), twice)
        elif skeleton is not None and tuple(map(str, names)) != skeleton.keypoints:
            what = (
                "the same in another order"
                if set(map(str, names)) == set(skeleton.keypoints)
                else f"{len(names)} keypoints, {len(skeleton)} in skeleton {skeleton.name}"
            )
            found.add("other_keypoints", category.get("id"), what)
