"""A folder of results: what is written for each picture and for all together, and how far an
interrupted run came."""

import csv
import json
import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np

from hrnet.errors import ConfigError
from hrnet.files import atomic_write
from hrnet.images import to_stored, turned_size, write_image
from hrnet.images.sources import STDIN, Source
from hrnet.predicting.picture import PictureResult
from hrnet.result import Poses, probability_columns, row_columns
from hrnet.similarity import AREA_OF_BOX
from hrnet.skeletons import Skeleton
from hrnet.tables import MALFORMED, nearest_names

KINDS = ("json", "coco", "csv", "labels", "image", "png", "crops")
JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
COCO_FILE = "coco_results.json"
CSV_FILE = "poses.csv"
LABELS_FILE = "labels.json"
JOURNAL_FILE = ".hrnet-progress.jsonl"
JOURNAL_VERSION = 3
LONGEST_NAME = 240  # bytes; file systems take 255, with the ending


def parse_kinds(text: str) -> frozenset[str]:
    """The kinds of output named in "json,image".

    Raises:
        ConfigError: there is no such kind.
    """
    kinds = [kind.strip() for kind in text.split(",")]
    for kind in kinds:
        if kind not in KINDS:
            raise ConfigError(f"nothing to save is called {kind!r}{nearest_names(kind, KINDS)}")
    return frozenset(kinds)


class Outputs:
    """The results of `sources` in a folder, which appears with the first of them.

    - json, image: NAME.json and an annotated copy for each picture, NAME.jpg of a JPEG and NAME.png
      of any other, or with png always; crops: NAME.crops/0.png and so on, what the network saw of
      each person;
    - coco, csv, labels: for all pictures, when all are done, coco_results.json, poses.csv, and
      labels.json, an annotation file in COCO's format to correct and train on (joints below the
      threshold are not labelled). The first and the last are in the pixels of the pictures as
      stored.

    NAME is the source's name without its suffix, in the folders that it has there; where this is
    another's name already, also in capitals, with suffix or number. Every file appears whole or
    not at all. A hidden journal of one JSON line a picture says what is done.

    Args:
        folder: where.
        kinds: some of `KINDS`.
        sources: all pictures, also those already done.
        image_ids: each one's id in COCO's files, or None where it will not be written.
        settings: what the results depend on; a run goes on only under the same.
        has_probability: whether the joints have probabilities.
        threshold: joints below it are not drawn, nor labelled.
        resume: go on where an earlier run stopped.

    Raises:
        ConfigError: the folder is a file, results would take the place of a source, or an earlier
            run had other settings.
    """

    def __init__(
        self,
        folder: Path,
        kinds: Collection[str],
        sources: Sequence[Source],
        *,
        image_ids: Sequence[int | None],
        settings: dict[str, Any],
        skeleton: Skeleton,
        has_probability: bool,
        threshold: float,
        resume: bool,
    ) -> None:
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"--out {folder} is a file; give a folder")
        self.folder = folder
        self.kinds = kinds
        self.sources = sources
        self.skeleton = skeleton
        self.has_probability = has_probability
        self.threshold = threshold
        names = output_names([source.name for source in sources])
        self._names = {s.identity: name for s, name in zip(sources, names, strict=True)}
        self._check_not_overwriting()
        self._image_ids = dict(zip(self._names, image_ids, strict=True))
        self._journal = Journal(folder / JOURNAL_FILE, settings, resume=resume)

    def image_id(self, source: Source) -> int | None:
        """Of a picture in COCO's files."""
        return self._image_ids[source.identity]

    def is_done(self, source: Source) -> bool:
        """Whether an earlier run did this picture, and nobody removed the results."""
        line = self._journal.read(source.identity)
        if line is None or line["name"] != self._names[source.identity] or source.place == STDIN:
            return False
        return all(file.exists() for file in self._files(source, len(line["people"])))

    @property
    def draw(self) -> bool:
        """Whether the pictures' pixels are needed."""
        return not {"image", "png", "crops"}.isdisjoint(self.kinds)

    def write(self, source: Source, result: PictureResult, answer: dict[str, Any]) -> None:
        """Write the files of one picture; any thread may, for several pictures at once.

        Args:
            answer: what its JSON file holds: `Poses.to_dict` and more.
        """
        assert result.poses is not None
        name = self._path(source)
        for file in self._copies(source):
            write_image(file, result.poses.draw(result.pixels(), threshold=self.threshold))
        if "crops" in self.kinds:
            crops = result.crops()
            for i, crop in enumerate(crops):
                write_image(f"{name}.crops/{i}.png", crop)
            surplus = len(crops)  # of an earlier run that had more people
            while (file := Path(f"{name}.crops/{surplus}.png")).exists():
                file.unlink()
                surplus += 1
        if "json" in self.kinds:
            with atomic_write(f"{name}.json") as temporary:
                temporary.write_text(json.dumps(answer, allow_nan=False), encoding="utf-8")

    def record(self, source: Source, answer: dict[str, Any]) -> None:
        """Note that a picture's files are there."""
        line = {"name": self._names[source.identity], **answer}
        del line["skeleton"]  # all lines have the same
        self._journal.append(source.identity, line)

    def finish(self) -> None:
        """Write what is for all pictures together, in the order of the sources."""
        self._journal.close()
        if not len(self._journal):
            return
        if "coco" in self.kinds:
            with atomic_write(self.folder / COCO_FILE) as temporary:
                self._write_coco(temporary)
        if "csv" in self.kinds:
            with atomic_write(self.folder / CSV_FILE) as temporary:
                self._write_csv(temporary)
        if "labels" in self.kinds:
            with atomic_write(self.folder / LABELS_FILE) as temporary:
                temporary.write_text(json.dumps(self._labels()), encoding="utf-8")

    def _write_coco(self, file: Path) -> None:
        with file.open("w", encoding="utf-8") as stream:
            separator = "[\n"
            for source, line, poses in self._done():
                image_id = self.image_id(source)
                assert image_id is not None  # such pictures are refused
                for row in as_stored(poses, line["image"]).to_coco(image_id):
                    row["file_name"] = source.name
                    stream.write(separator + json.dumps(row, allow_nan=False))
                    separator = ",\n"
            stream.write("[]\n" if separator == "[\n" else "\n]\n")

    def _labels(self) -> dict[str, Any]:
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for source, line, poses in self._done():
            image = line["image"]
            orientation, shown = image["orientation"], (image["width"], image["height"])
            width, height = turned_size(shown, orientation)  # there and back is the same
            number = len(images) + 1
            images.append(
                {"id": number, "file_name": source.name, "width": width, "height": height}
            )
            sure = poses.scores if poses.probability is None else poses.probability
            stored = as_stored(poses, image)
            for i, labelled in enumerate(sure >= self.threshold):
                points = np.column_stack([stored.keypoints[i], np.full(len(labelled), 2)])
                points = (points * labelled[:, None]).round(2)
                x1, y1, x2, y2 = stored.boxes[i].round(2).tolist()
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": 1,
                        "iscrowd": 0,
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "area": AREA_OF_BOX * (x2 - x1) * (y2 - y1),
                        "num_keypoints": int(labelled.sum()),
                        "keypoints": points.ravel().tolist(),
                    }
                )
        category = {**self.skeleton.to_category(), "name": self.skeleton.name}
        return {"images": images, "annotations": annotations, "categories": [category]}

    def _write_csv(self, file: Path) -> None:
        # A file name need not be text; as a replacement, it stays readable.
        with file.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
            columns = ["path", "pixels", *row_columns(self.skeleton)]
            if self.has_probability:
                columns += probability_columns(self.skeleton)
            writer = csv.DictWriter(stream, columns)
            writer.writeheader()
            for source, line, poses in self._done():
                about = {"path": str(source), "pixels": line["image"]["pixels"]}
                for row, person in zip(poses.to_rows(), line["people"], strict=True):
                    # (Computed again from rounded numbers it may differ by the last digit.)
                    writer.writerow({**about, **row, "score": person["score"]})

    def _done(self) -> Iterator[tuple[Source, dict[str, Any], Poses]]:
        """With what its JSON file holds, but for the skeleton."""
        skeleton = self.skeleton.to_dict()
        for source in self.sources:
            line = self._journal.read(source.identity)
            if line is not None and line["name"] == self._names[source.identity]:
                yield source, line, Poses.from_dict({**line, "skeleton": skeleton})

    def _files(self, source: Source, people: int) -> Iterator[Path]:
        """What is written for a picture with so many people."""
        name = self._path(source)
        if "json" in self.kinds:
            yield Path(f"{name}.json")
        yield from self._copies(source)
        if "crops" in self.kinds:
            yield from (Path(f"{name}.crops/{i}.png") for i in range(people))

    def _path(self, source: Source) -> Path:
        """Of a picture's results, without their endings."""
        return self.folder / self._names[source.identity]

    def _copies(self, source: Source) -> Iterator[Path]:
        """The annotated copies of a picture."""
        is_jpeg = PurePosixPath(source.name).suffix.lower() in JPEG
        if "image" in self.kinds and is_jpeg:
            yield Path(f"{self._path(source)}.jpg")
        if "png" in self.kinds or ("image" in self.kinds and not is_jpeg):
            yield Path(f"{self._path(source)}.png")

    def _check_not_overwriting(self) -> None:
        """By the files' identity: names may differ in capitals, or be links."""
        if not self.folder.exists():
            return
        originals = {}
        for source in self.sources:
            if isinstance(source.place, Path) and source.place.exists():
                status = source.place.stat()
                originals[status.st_dev, status.st_ino] = source
        for source in self.sources:
            for file in self._files(source, 0):
                if file.exists():
                    status = file.stat()
                    original = originals.get((status.st_dev, status.st_ino))
                    if original is not None:
                        raise ConfigError(
                            f"results would overwrite {original}; give another folder by --out"
                        )


def as_stored(poses: Poses, image: dict[str, Any]) -> Poses:
    """With keypoints and boxes in the pixels of the picture as stored, by the `width`, `height` and
    `orientation` of the one they are of."""
    orientation = image["orientation"]
    size = turned_size((image["width"], image["height"]), orientation)
    corners = to_stored(poses.boxes.reshape(-1, 2, 2), orientation, size)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    return replace(poses, keypoints=to_stored(poses.keypoints, orientation, size), boxes=boxes)


class Journal:
    """What is done, one JSON line a picture, so that an interrupted run can go on. A torn last line
    is as good as none. Only the lines' places are held in memory.

    Raises:
        ConfigError: to go on under other settings than those that it began with.
    """

    def __init__(self, file: Path, settings: dict[str, Any], *, resume: bool) -> None:
        self.file = file
        self._settings = settings
        self._places: dict[str, int] = {}
        self._stream: IO[bytes] | None = None
        if resume and file.exists():
            self._open()

    def __len__(self) -> int:
        return len(self._places)

    def read(self, key: str) -> dict[str, Any] | None:
        """The last line of a key."""
        if key not in self._places:
            return None
        with self.file.open("rb") as stream:
            stream.seek(self._places[key])
            line: dict[str, Any] = json.loads(stream.readline())
        return line

    def append(self, key: str, line: dict[str, Any]) -> None:
        """Add a line."""
        if self._stream is None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self._stream = self.file.open("wb")
            self._write({"schema": JOURNAL_VERSION, "settings": self._settings})
        self._places[key] = self._write({"key": key, **line})

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()

    def _write(self, content: dict[str, Any]) -> int:
        assert self._stream is not None
        place = self._stream.tell()
        self._stream.write(json.dumps(content, allow_nan=False).encode() + b"\n")
        self._stream.flush()
        return place

    def _open(self) -> None:
        stream = self.file.open("r+b")
        place = 0
        for number, line in enumerate(stream):
            if not line.endswith(b"\n"):
                break
            if number == 0:
                self._check_settings(line)
            else:
                with suppress(*MALFORMED):  # done again
                    content = json.loads(line)
                    if {"name", "people"} <= content.keys():
                        self._places[content["key"]] = place
            place += len(line)
        if place == 0:  # not even the first line is whole
            stream.close()
            return
        stream.seek(place)
        stream.truncate()
        self._stream = stream

    def _check_settings(self, line: bytes) -> None:
        try:
            content = json.loads(line)
            before = content["settings"]
            if content["schema"] != JOURNAL_VERSION:
                raise ConfigError(
                    f"the results in {self.file.parent} were begun by another version of hrnet; "
                    "give another folder by --out, or leave out --resume to begin anew"
                )
        except MALFORMED:
            before = None
        if other := other_settings(before, self._settings):
            raise ConfigError(
                f"the results in {self.file.parent} were made with another {other}; repeat that, "
                "give another folder by --out, or leave out --resume to begin anew"
            )


def other_settings(before: Any, settings: dict[str, Any]) -> str:
    """What differs from the settings that a folder's results began with: "model and detector"."""
    known = before if isinstance(before, dict) else {}
    return " and ".join(key for key in known | settings if known.get(key) != settings.get(key))


def output_names(names: Sequence[str]) -> list[str]:
    """For each picture's name a path without suffix, with forward slashes, no two the same on any
    file system, and none where another has its crops."""
    short = [_shortened(name) for name in names]
    stems = [name.removesuffix(PurePosixPath(name).suffix) for name in short]
    several = Counter(map(_folded, stems))
    folders = {_folded(str(parent)) for name in short for parent in PurePosixPath(name).parents}
    taken = {_folded(PurePosixPath(name).stem) for name in (COCO_FILE, LABELS_FILE)}
    last: dict[str, int] = defaultdict(lambda: 1)
    chosen = []
    for name, stem in zip(short, stems, strict=True):
        candidate = stem if several[_folded(stem)] == 1 else name
        while _folded(candidate) in taken or any(
            _folded(candidate + ending) in folders for ending in (".crops", ".jpg", ".json", ".png")
        ):
            last[_folded(name)] += 1
            candidate = f"{name}-{last[_folded(name)]}"
        taken.add(_folded(candidate))
        chosen.append(candidate)
    return chosen


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _shortened(name: str) -> str:
    path = PurePosixPath(name)
    encoded = os.fsencode(path.name)
    if len(encoded) <= LONGEST_NAME:
        return name
    stem = encoded[: LONGEST_NAME - len(os.fsencode(path.suffix))].decode("utf-8", "ignore")
    return str(path.with_name(stem + path.suffix))
