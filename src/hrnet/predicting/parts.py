"""A run over very many pictures, in parts: whoever does a part writes it as one file, whole or not
at all, so that one done twice is there once, and one that was not finished is done again."""

import json
import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import ArrayLike

from hrnet.detection.boxes_file import BoxesFile
from hrnet.errors import BoxError, ConfigError, HRNetError, ImageError
from hrnet.files import atomic_write
from hrnet.images import is_url
from hrnet.images.sources import STDIN, Source, url_name
from hrnet.predicting.estimator import PoseEstimator
from hrnet.predicting.outputs import COCO_FILE, as_stored, other_settings
from hrnet.predicting.picture import Picture, PictureResult
from hrnet.predicting.rows import poses_of, row_fields, rows_of
from hrnet.skeletons import Skeleton
from hrnet.tables import MALFORMED, validate

KINDS = ("parquet", "jsonl", "coco")
FOLDER = "parts"
MANIFEST_FILE = "manifest.json"
JSONL_FILE = "poses.jsonl"
VERSION = 1
# Pictures in a part: what a killed worker does again at most, and how many files there are.
FEWEST, MOST, PARTS = 50, 4_000, 5_000
AT_ONCE = 1_000  # rows that are read at once
METADATA = b"hrnet"


@dataclass(frozen=True, slots=True)
class Listed:
    """A picture of a part.

    Attributes:
        source: absolute path, URL or encoded bytes: what to read it from.
        path: what rows call it.
        file_name: what COCO's results call it.
        image_id: in COCO's results.
        boxes: see `Picture`.
    """

    source: str | bytes
    path: str
    file_name: str
    image_id: int | None
    boxes: ArrayLike | None = None


@dataclass(frozen=True)
class Part:
    """Some of a run's pictures, a plain value to send to a worker.

    Attributes:
        number: from 0.
        pictures: in their order.
        refused: those that cannot be used, as is known beforehand, and why.
    """

    number: int
    pictures: Iterable[Listed]
    refused: Sequence[tuple[Listed, str]] = ()


class Pictures(Protocol):
    """All of a run's pictures."""

    def __len__(self) -> int: ...
    def digest(self) -> str:
        """The same only if they are the same, in the same order."""
        ...

    def part(self, number: int, start: int, stop: int) -> Part:
        """The pictures from `start` to before `stop`."""
        ...


class FoundPictures:
    """What `find_sources` found.

    Args:
        sources: all.
        image_ids: each one's id in COCO's files, or None where it is not to be used.
        boxes: of the people; without them a picture is the detector's.
        annotations: the file that gave the pictures their ids, for an error.

    Raises:
        ConfigError: one of them is standard input.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        image_ids: Sequence[int | None],
        boxes: BoxesFile | None,
        annotations: Path | None,
    ) -> None:
        if any(source.place == STDIN for source in sources):
            raise ConfigError("standard input does not go to other processes; give a file")
        self._sources = sources
        self._image_ids = image_ids
        self._boxes = boxes
        self._annotations = annotations

    def __len__(self) -> int:
        return len(self._sources)

    def digest(self) -> str:
        """See `Pictures`."""
        found = sha256()
        for source in self._sources:
            found.update(f"{source.identity}\0{source.name}\0".encode("utf-8", "surrogateescape"))
        return found.hexdigest()

    def part(self, number: int, start: int, stop: int) -> Part:
        """See `Pictures`."""
        pictures: list[Listed] = []
        refused: list[tuple[Listed, str]] = []
        for source, image_id in zip(
            self._sources[start:stop], self._image_ids[start:stop], strict=True
        ):
            own = source.identity, _text(str(source)), _text(source.name), image_id
            try:
                if image_id is None:
                    raise BoxError(f"{self._annotations} does not list it")
                boxes = None if self._boxes is None else self._boxes.of(source.identity)
                pictures.append(Listed(*own, boxes))
            except HRNetError as error:
                refused.append((Listed(*own), str(error)))
        return Part(number, pictures, refused)


class ParquetPictures:
    """The rows of Parquet files, a picture each: `path` is a path or URL, and where there is a
    column `bytes`, that is the encoded picture. They are counted from 1 for COCO's results. Of the
    files only the numbers of rows are held.

    Args:
        files: in their order; a worker reads of them what it needs.

    Raises:
        ImageError: a file is not there, is broken, or has no `path`, or all are empty.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._files = [file.absolute() for file in files]
        self._starts = [0]  # of each, and the end of the last
        for file in files:
            try:
                with pq.ParquetFile(file) as opened:
                    names, rows = opened.schema_arrow.names, opened.metadata.num_rows
            except (OSError, pa.ArrowException) as error:
                raise ImageError(f"{file} cannot be read as Parquet: {error}") from None
            if "path" not in names:
                raise ImageError(
                    f"{file} has no column path, which says what a picture is called; it has "
                    f"{', '.join(names)}"
                )
            self._starts.append(self._starts[-1] + rows)
        if not len(self):
            raise ImageError(f"there are no rows in {', '.join(map(str, files))}")

    def __len__(self) -> int:
        return self._starts[-1]

    def digest(self) -> str:
        """See `Pictures`; by the files' names, sizes and numbers of rows."""
        about = [(str(file), file.stat().st_size) for file in self._files]
        text = json.dumps([about, self._starts])
        return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()

    def part(self, number: int, start: int, stop: int) -> Part:
        """See `Pictures`."""
        pieces = []
        place = bisect_right(self._starts, start) - 1
        while place < len(self._files) and self._starts[place] < stop:
            before, rows = self._starts[place], self._starts[place + 1] - self._starts[place]
            first, last = max(start - before, 0), min(stop - before, rows)
            pieces.append((self._files[place], first, last, before + first + 1))
            place += 1
        return Part(number, ParquetRows(pieces, os.getcwd()))


@dataclass(frozen=True)
class ParquetRows:
    """Pictures in rows of Parquet files, read where they are iterated over.

    Attributes:
        pieces: of each file the path, the first row, the one after the last, and the first id.
        folder: that relative paths are meant from.
    """

    pieces: Sequence[tuple[Path, int, int, int]]
    folder: str

    def __iter__(self) -> Iterator[Listed]:
        import pyarrow.parquet as pq

        for file, start, stop, image_id in self.pieces:
            with pq.ParquetFile(file) as opened:
                columns = {"path", "bytes"}.intersection(opened.schema_arrow.names)
                before = 0
                for group in range(opened.num_row_groups):
                    rows = opened.metadata.row_group(group).num_rows
                    first, last = max(start - before, 0), min(stop - before, rows)
                    if first < last:
                        table = opened.read_row_group(group, columns=sorted(columns))
                        for row in table.slice(first, last - first).to_pylist():
                            yield self._listed(row, image_id)
                            image_id += 1
                    before += rows

    def _listed(self, row: dict[str, Any], image_id: int) -> Listed:
        path = str(row["path"])
        is_address = is_url(path)
        source = path if is_address else os.path.join(self.folder, path)
        name = url_name(path) if is_address else os.path.basename(path)
        return Listed(row.get("bytes", source), path, name, image_id)


class PartWriter:
    """Does parts; a worker keeps it, and with it the estimator, which is loaded with the first.

    Args:
        folder: of the run.
        upright: see `Picture`.
        arguments: of `PoseEstimator`.
    """

    def __init__(self, folder: Path, *, upright: bool, **arguments: Any) -> None:
        self._folder = folder
        self._upright = upright
        self._arguments = arguments

    @cached_property
    def _estimator(self) -> PoseEstimator:
        return PoseEstimator(**self._arguments)

    def open(self) -> None:
        """Load the estimator; raises what `PoseEstimator` does."""
        self._estimator  # noqa: B018

    def write(self, part: Part) -> tuple[dict[str, Any], list[str]]:
        """Write a part's file: `path`, `file_name`, `image_id`, and the columns of `row_fields`.

        Returns:
            What the file says of itself, such as numbers of pictures and people; and a sentence for
            each picture that cannot be used.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows: list[dict[str, Any]] = []
        errors: list[str] = []
        pictures = (
            Picture(own.source, own.boxes, upright=self._upright, key=own) for own in part.pictures
        )
        known = (
            PictureResult(Picture(own.source, key=own), error=BoxError(reason))
            for own, reason in part.refused
        )
        count = people = 0
        for results in (known, self._estimator.stream(pictures)):
            for result in results:
                own: Listed = result.picture.key
                about = {"path": own.path, "file_name": own.file_name, "image_id": own.image_id}
                rows += [about | row for row in rows_of(result)]
                count += 1
                if result.poses is not None:
                    people += len(result.poses)
                else:
                    error = str(result.error)
                    errors.append(error if own.path in error else f"{own.path}: {error}")
        summary = {
            "schema": VERSION,
            "pictures": count,
            "people": people,
            "failed": len(errors),
            "runs": self._estimator.runner.runs,
            "model": self._estimator.card.name,
            "skeleton": self._estimator.card.skeleton.to_dict(),
        }
        schema = pa.schema(
            [
                pa.field("path", pa.string()),
                pa.field("file_name", pa.string()),
                pa.field("image_id", pa.int64()),
                *row_fields(self._estimator),
            ],
            metadata={METADATA: json.dumps(summary)},
        )
        with atomic_write(part_file(self._folder, part.number)) as temporary:
            pq.write_table(pa.Table.from_pylist(rows, schema), temporary, compression="zstd")
        return summary, errors


def part_file(folder: Path, number: int) -> Path:
    """Where a part is."""
    return folder / FOLDER / f"part-{number:06}.parquet"


@dataclass(frozen=True)
class Total:
    """What a run came to.

    Attributes:
        pictures: all of them.
        people: in them.
        failed: pictures that cannot be used.
        runs: what the model ran in, of several kinds of machines several.
        model: its name.
        skeleton: its points.
    """

    pictures: int
    people: int
    failed: int
    runs: Sequence[str]
    model: str
    skeleton: Skeleton


class Parts:
    """A run's folder: parts/part-000000.parquet and so on, and manifest.json, which says what they
    are parts of.

    Args:
        folder: where.
        pictures: all.
        settings: what the results depend on; a run goes on only under the same.
        resume: go on where an earlier run stopped.

    Raises:
        ConfigError: there are parts already and it is not to go on, or they are of other pictures
            or settings.
    """

    def __init__(
        self, folder: Path, pictures: Pictures, *, settings: dict[str, Any], resume: bool
    ) -> None:
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"--out {folder} is a file; give a folder")
        self.folder = folder.absolute()
        self._pictures = pictures
        self._settings = {**settings, "list of pictures": pictures.digest()}
        self._size = min(max(len(pictures) // PARTS, FEWEST), MOST)
        self._manifest = self.folder / MANIFEST_FILE
        # (An earlier run that came to nothing left a manifest alone.)
        self._is_begun = any((self.folder / FOLDER).glob("part-*.parquet"))
        if self._is_begun:
            if not resume:
                raise ConfigError(
                    f"{folder} has results of another run; add --resume to go on with it, or give "
                    "another folder by --out"
                )
            self._size = self._size_before(folder)

    def __len__(self) -> int:
        return -(-len(self._pictures) // self._size)

    def todo(self) -> Iterator[Part]:
        """The parts that are not there yet, in order; what they are parts of is written first."""
        if not self._is_begun:
            manifest = {
                "schema": VERSION,
                "pictures": len(self._pictures),
                "pictures a part": self._size,
                "settings": self._settings,
            }
            with atomic_write(self._manifest) as temporary:
                temporary.write_text(json.dumps(manifest, indent=2), encoding="utf-8")
        for number in range(len(self)):
            if not self.is_done(number):
                yield self._pictures.part(number, *self.pictures_in(number))

    def is_done(self, number: int) -> bool:
        """Whether a part is there."""
        return part_file(self.folder, number).exists()

    def pictures_in(self, number: int) -> tuple[int, int]:
        """The first of a part's pictures, and the one after the last."""
        start = number * self._size
        return start, min(start + self._size, len(self._pictures))

    def pictures_done(self) -> int:
        """How many pictures are in the parts that are there."""
        done = (self.pictures_in(n) for n in range(len(self)) if self.is_done(n))
        return sum(stop - start for start, stop in done)

    def total(self) -> "Total":
        """Of all parts, which are there."""
        summaries = [self._summary(number) for number in range(len(self))]
        pictures, people, failed = (
            sum(own[key] for own in summaries) for key in ("pictures", "people", "failed")
        )
        runs = sorted({own["runs"] for own in summaries})
        return Total(pictures, people, failed, runs, summaries[0]["model"], self._skeleton())

    def finish(self, kinds: Iterable[str]) -> None:
        """Of all parts, which are there, write what is asked for beside them: poses.jsonl, a line a
        row, and coco_results.json, as `hrnet predict` writes it. Nobody writes parts any more."""
        for left in (self.folder / FOLDER).glob(".*.parquet"):  # by killed workers
            left.unlink()
        if "jsonl" in kinds:
            with (
                atomic_write(self.folder / JSONL_FILE) as temporary,
                temporary.open("w", encoding="utf-8") as stream,
            ):
                for row in self._rows():
                    stream.write(json.dumps(row, allow_nan=False) + "\n")
        if "coco" in kinds:
            with atomic_write(self.folder / COCO_FILE) as temporary:
                self._write_coco(temporary)

    def _write_coco(self, file: Path) -> None:
        skeleton = self._skeleton()
        with file.open("w", encoding="utf-8") as stream:
            separator = "[\n"
            for image_id, group in groupby(self._rows(), lambda row: row["image_id"]):
                rows = [row for row in group if not row["error"]]
                if not rows:
                    continue
                for result in as_stored(poses_of(rows, skeleton), rows[0]).to_coco(image_id):
                    result["file_name"] = rows[0]["file_name"]
                    stream.write(separator + json.dumps(result, allow_nan=False))
                    separator = ",\n"
            stream.write("[]\n" if separator == "[\n" else "\n]\n")

    def _skeleton(self) -> Skeleton:
        return validate(Skeleton, self._summary(0)["skeleton"], "skeleton")

    def _summary(self, number: int) -> dict[str, Any]:
        import pyarrow.parquet as pq

        with pq.ParquetFile(part_file(self.folder, number)) as opened:
            summary: dict[str, Any] = json.loads(opened.schema_arrow.metadata[METADATA])
        return summary

    def _rows(self) -> Iterator[dict[str, Any]]:
        import pyarrow.parquet as pq

        for number in range(len(self)):
            with pq.ParquetFile(part_file(self.folder, number)) as opened:
                for batch in opened.iter_batches(AT_ONCE):
                    yield from batch.to_pylist()

    def _size_before(self, folder: Path) -> int:
        """How many pictures the parts of the earlier run have, which was of the same settings."""
        try:
            manifest = json.loads(self._manifest.read_text(encoding="utf-8"))
            version, before = manifest["schema"], manifest["settings"]
            size = int(manifest["pictures a part"])
        except (*MALFORMED, FileNotFoundError):
            raise ConfigError(
                f"{folder / MANIFEST_FILE} is missing or broken; give another folder by --out to "
                "begin anew"
            ) from None
        if version != VERSION:
            raise ConfigError(
                f"the results in {folder} were begun by another version of hrnet; give another "
                "folder by --out to begin anew"
            )
        if other := other_settings(before, self._settings):
            raise ConfigError(
                f"the results in {folder} were made with another {other}; repeat that, or give "
                "another folder by --out"
            )
        return size


def _text(name: str) -> str:
    """A file name need not be text; as a replacement, it stays readable."""
    return name.encode("utf-8", "backslashreplace").decode()
