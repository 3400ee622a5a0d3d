"""From a video to its results: an annotated copy, and a line a frame."""

import csv
import json
import re
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, Any

from hrnet.errors import ConfigError
from hrnet.files import sha256_of
from hrnet.predicting.estimator import PoseEstimator
from hrnet.predicting.picture import FrameResult
from hrnet.result import probability_columns, row_columns
from hrnet.video.reading import Closing, Frames
from hrnet.video.writing import VideoWriter

KINDS = ("json", "csv", "image")
SCHEMA = 1


class VideoOutputs(Closing):
    """The results of one video, in files beside each other, which grow with it: whatever ends the
    run, what is there can be played and read up to the last frame but some.

    - image: NAME.mp4, an annotated copy with the sound;
    - json: NAME.jsonl, a line that says of what it is, and a line a frame: `frame` (its number,
      from 0), `time` in seconds, `people` as `Poses.to_dict` has them, with `track_id`;
    - csv: NAME.csv, a row a person a frame.

    Args:
        base: path of the files, without their endings.
        kinds: some of `KINDS`.

    Raises:
        ConfigError: other kinds are asked for, or a file would take the place of the video.
        ImageError: a file cannot be written.
    """

    def __init__(
        self,
        base: Path,
        kinds: Collection[str],
        frames: Frames,
        *,
        estimator: PoseEstimator,
        threshold: float,
    ) -> None:
        if other := sorted(set(kinds) - set(KINDS)):
            raise ConfigError(f"of a video there is no {other[0]}; save some of {', '.join(KINDS)}")
        self.threshold = threshold
        self._video: VideoWriter | None = None
        self._lines: IO[str] | None = None
        self._table: csv.DictWriter[str] | None = None
        base.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as opened:  # all of them, or none is left open
            self._stack = opened
            if "image" in kinds:
                file = Path(f"{base}.mp4")
                if file.exists() and frames.file is not None and file.samefile(frames.file):
                    raise ConfigError(
                        f"results would overwrite {frames.source}; give another folder by --out"
                    )
                self._video = self._stack.enter_context(VideoWriter(file, frames.rate, frames.file))
            if "json" in kinds:
                self._lines = self._open(f"{base}.jsonl")
                self._write_line(
                    {
                        "schema": SCHEMA,
                        "video": _described(frames),
                        "model": estimator.about(),
                        "detector": estimator.detector.name,
                        "skeleton": estimator.card.skeleton.to_dict(),
                    }
                )
            if "csv" in kinds:
                columns = ["frame", "time", "track_id", *row_columns(estimator.card.skeleton)]
                if estimator.card.calibration is not None:
                    columns += probability_columns(estimator.card.skeleton)
                self._table = csv.DictWriter(self._open(f"{base}.csv"), columns)
                self._table.writeheader()
            self._stack = opened.pop_all()

    def close(self) -> None:
        """Finish the files."""
        self._stack.close()

    def write(self, result: FrameResult) -> None:
        """Add a frame."""
        if self._lines is not None:
            people = result.poses.to_dict()["people"]
            line = {"frame": result.number, "time": round(result.time, 6), "people": people}
            self._write_line(line)
        if self._table is not None:
            about = {"frame": result.number, "time": round(result.time, 6)}
            self._table.writerows({**about, **row} for row in result.poses.to_rows())
        if self._video is not None:
            drawn = result.poses.draw(result.image, threshold=self.threshold)
            self._video.write(drawn, result.time)

    def _open(self, file: str) -> IO[str]:
        return self._stack.enter_context(
            Path(file).open("w", encoding="utf-8", newline="", buffering=1)
        )

    def _write_line(self, content: dict[str, Any]) -> None:
        assert self._lines is not None
        self._lines.write(json.dumps(content, allow_nan=False) + "\n")


def _described(frames: Frames) -> dict[str, Any]:
    """What a video is known by: a file by its content, another source by its name."""
    if frames.file is None:
        # Without names, passwords and keys.
        return {"source": re.sub(r"(?<=//)[^/@]*@|\?.*", "", frames.source)}
    return {"file": frames.file.name, "sha256": sha256_of(frames.file)}


def predict_video(
    estimator: PoseEstimator,
    frames: Frames,
    base: Path,
    kinds: Collection[str],
    *,
    threshold: float = 0.2,
    start: float = 0.0,
    end: float = float("inf"),
    every: int = 1,
) -> Iterator[FrameResult]:
    """Predict, draw and write a video, frame by frame.

    Args:
        base, kinds, threshold: see `VideoOutputs`.
        start, end, every: see `PoseEstimator.stream_video`.

    Yields:
        Each frame when it is written.

    Raises:
        ConfigError, ImageError: see `VideoOutputs` and `PoseEstimator.stream_video`.
    """
    results = estimator.stream_video(frames, start=start, end=end, every=every)
    estimator.detector  # noqa: B018 # loaded before earlier results are written over
    with (
        frames,
        closing(results),
        VideoOutputs(base, kinds, frames, estimator=estimator, threshold=threshold) as outputs,
    ):
        for result in results:
            outputs.write(result)
            yield result
