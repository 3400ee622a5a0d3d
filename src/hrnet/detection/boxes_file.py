"""Files of boxes: which people are in which picture."""

import csv
import os
import posixpath
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hrnet.detection.coco_detections import Box, read_detections
from hrnet.errors import BoxError, DataError
from hrnet.images.finding import same_name
from hrnet.tables import MALFORMED, read_json

CSV_COLUMNS = ["name", "x1", "y1", "x2", "y2", "score"]


class BoxesFile:
    """People's boxes, in one of three forms:

    - JSON table {name: [[x1, y1, x2, y2], ...]}; a fifth number is the box's score;
    - CSV with the columns name, x1, y1, x2, y2 and perhaps score; a row with nothing but a name is
      a picture without people;
    - COCO's detections [{image_id, bbox: [x, y, w, h], score, category_id}, ...], see
      `hrnet.detection.coco_detections`. With `file_name` in the rows, or whatever tells pictures'
      ids, see `image_ids`. A picture without rows has nobody in it.

    COCO's are in the pixels of pictures as stored, the others in those of pictures as shown, turned
    upright: what somebody measures is what is on the screen.

    A name is a picture's path or the end of one: `a.jpg`, `val/a.jpg`. The longest that fits
    counts; see `match_names`.

    Args:
        file: the file; .csv is CSV, any other name JSON.
        pictures: absolute paths or URLs of all the pictures that will be asked for.
        ids: each one's id in COCO files, or None.
        categories: of the data set's people, where an annotation file tells them.

    Attributes:
        upright: whether boxes are in the pixels of pictures turned upright.
        passed_over: how many boxes do not count, by reason.

    Raises:
        BoxError: the file is missing, broken, in no such form, or about other pictures altogether.
    """

    def __init__(
        self,
        file: Path,
        pictures: Sequence[str],
        ids: Sequence[int | None] | None = None,
        categories: Collection[int] | None = None,
    ) -> None:
        self.file = file
        self.upright = True
        self.passed_over: Counter[str] = Counter()
        by_name, by_id = self._read(categories)
        names = match_names(by_name, pictures)
        self._uses = Counter(names.values())
        self._names = names
        self._boxes: dict[str, Any] = {
            picture: _compact(by_name[name]) for picture, name in names.items()
        }
        self._unknown: set[str] = set()
        for picture, number in zip(pictures, ids or [None] * len(pictures), strict=True):
            if number in by_id:
                self._boxes[picture] = _compact(by_id[number])
            elif by_id and number is None and picture not in self._boxes:
                self._unknown.add(picture)
        if not self.upright and not self._boxes and pictures and not self._unknown:
            raise BoxError(f"{file} has boxes for none of the {len(pictures)} pictures")

    def of(self, picture: str) -> ArrayLike:
        """The boxes of one of the pictures: (P, 4) or (P, 5), not yet checked.

        Raises:
            BoxError: there are none for it, or their name is that of several pictures.
        """
        if picture in self._unknown:
            raise BoxError(
                f"{self.file} names pictures by number, and this one's name is none; give the "
                "annotation file that lists them"
            )
        if picture not in self._boxes:
            if not self.upright:
                return []
            raise BoxError(f"{self.file} has no boxes for it")
        name = self._names.get(picture)
        if name is not None and self._uses[name] > 1:
            raise BoxError(
                f"{self.file} has boxes for {name}, which {self._uses[name]} pictures are called; "
                "put more of their paths there"
            )
        boxes: ArrayLike | None = self._boxes[picture]
        if boxes is None:
            raise BoxError(
                f"{self.file} has null instead of its boxes; [] says that nobody is there"
            )
        return boxes

    def _read(
        self, categories: Collection[int] | None
    ) -> tuple[dict[str, Any], dict[int, list[Box]]]:
        """Boxes by name and by id."""
        if self.file.suffix.lower() == ".csv":
            return self._read_csv(), {}
        content = read_json(self.file, "boxes file", BoxError)
        if isinstance(content, dict):
            return content, {}
        self.upright = False
        try:
            if not content:
                raise ValueError("there are no rows")
            found = read_detections(content, categories)
        except BoxError as error:
            raise BoxError(f"{self.file}: {error}") from None
        except MALFORMED as error:
            raise BoxError(
                f"{self.file} must be a table {{name: [[x1, y1, x2, y2], ...]}} or COCO's "
                f"detections [{{image_id, bbox, score, category_id}}, ...]; "
                f"{type(error).__name__}: {error}"
            ) from None
        self.passed_over = found.passed_over
        return dict(found.by_name), found.by_id

    def _read_csv(self) -> dict[str, Any]:
        boxes: dict[str, Any] = {}
        try:
            with self.file.open(encoding="utf-8-sig", newline="") as stream:
                reader = csv.reader(stream)
                columns = CSV_COLUMNS
                for row in reader:
                    cells = [cell.strip() for cell in row]
                    if reader.line_num == 1 and set(CSV_COLUMNS[:5]) <= set(cells):
                        columns = cells
                        continue
                    if not any(cells):
                        continue
                    values = dict(zip(columns, cells, strict=False))
                    numbers = [values.get(name, "") for name in CSV_COLUMNS[1:]]
                    if "name" not in values:
                        raise BoxError(f"{self.file}, line {reader.line_num}: there is no name")
                    of_picture = boxes.setdefault(values["name"], [])
                    if not any(numbers):
                        continue
                    try:
                        of_picture.append([float(n) for n in numbers[:4]])
                        of_picture[-1].append(float(numbers[4] or 1))
                    except ValueError:
                        raise BoxError(
                            f"{self.file}, line {reader.line_num}: {','.join(row)[:80]!r} is not "
                            f"{','.join(CSV_COLUMNS[:5])}[,score]"
                        ) from None
        except FileNotFoundError:
            raise BoxError(f"there is no boxes file {self.file}") from None
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise BoxError(f"the boxes file {self.file} cannot be read as CSV: {error}") from None
        return boxes


def _compact(boxes: Any) -> Any:
    """As an array, a third the size, where that is what they are."""
    try:
        array = np.array(boxes, np.float64)
    except MALFORMED:
        return boxes  # to be refused when they are used
    return array if array.ndim == 2 else boxes


def match_names(names: Collection[str], pictures: Iterable[str]) -> dict[str, str]:
    """For each picture (absolute path or URL) the longest of `names` that is the end of it.

    `./a.jpg` is `a.jpg`, and an accented letter may be one character or two. A picture that no name
    fits in this way has the one that fits with slashes, percent signs and case made alike.

    Raises:
        BoxError: several names fit a picture in this second way.
    """
    known = {_plain(name): name for name in names}
    matches: dict[str, str] = {}
    others: list[str] = []
    for picture in pictures:
        plain = _plain(picture)
        parts = plain.split("/")
        ends = (plain, *("/".join(parts[i:]) for i in range(1, len(parts))))
        found = next((end for end in ends if end in known), None)
        if found is None:
            others.append(picture)
        else:
            matches[picture] = known[found]
    spelled: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in set(names).difference(matches.values()) if others else ():
        spelled[same_name(name)].append(name)
    for picture in others:
        same = same_name(_plain(picture))
        alike = next((spelled[same[i:]] for i in range(len(same)) if same[i:] in spelled), [])
        if len(alike) > 1:
            raise BoxError(f"{picture} may be meant by {' or '.join(sorted(alike)[:3])}")
        if alike:
            matches[picture] = alike[0]
    return matches


def image_ids(pictures: Sequence[str], annotations: Path | None = None) -> list[int | None]:
    """The pictures' ids in COCO's files: by the annotation file's `images`, else the number that
    is the picture's name, as in COCO itself (000000000785.jpg). None where there is none.

    Args:
        pictures: absolute paths or URLs.
        annotations: a COCO annotation file.

    Raises:
        DataError: the annotation file is missing or broken, or gives several pictures one id.
    """
    if annotations is None:
        stems = [PurePosixPath(_plain(picture)).stem for picture in pictures]
        # More digits than a 64-bit number has are no COCO id.
        return [
            int(stem) if stem.isascii() and stem.isdigit() and len(stem) <= 18 else None
            for stem in stems
        ]
    try:
        content = read_json(annotations, "annotation file")
        table = {str(row["file_name"]): int(row["id"]) for row in content["images"]}
    except MALFORMED as error:
        raise DataError(
            f"{annotations} is not a COCO annotation file ({type(error).__name__}: {error}); it "
            "needs images with id and file_name"
        ) from None
    names = match_names(table, pictures)
    name, uses = Counter(names.values()).most_common(1)[0] if names else ("", 0)
    if uses > 1:
        raise DataError(f"{annotations} lists {name}, and {uses} pictures are called that")
    return [table[names[picture]] if picture in names else None for picture in pictures]


def category_ids(annotations: Path) -> set[int] | None:
    """The ids of a COCO annotation file's categories; None where it lists none.

    Raises:
        DataError: the file is missing or broken.
    """
    content = read_json(annotations, "annotation file")
    try:
        return {int(category["id"]) for category in content.get("categories") or ()} or None
    except MALFORMED as error:
        raise DataError(
            f"{annotations} is not a COCO annotation file ({type(error).__name__}: {error}); its "
            "categories need an id"
        ) from None


def _plain(name: str) -> str:
    name = unicodedata.normalize("NFC", name.replace("\\", "/") if os.sep == "\\" else name)
    return name if "://" in name else posixpath.normpath(name)
