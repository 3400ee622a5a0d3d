"""Moving pictures, frame by frame, upright: videos, streams and webcams by PyAV, and folders."""

import math
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import numpy as np

from hrnet.errors import ConfigError, ImageError
from hrnet.images import Image, is_url, read_image
from hrnet.images.sources import find_sources

SUFFIXES = frozenset(
    f".{ending}"
    for ending in (
        *("3gp", "asf", "avi", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts"),
        *("ogv", "ts", "webm", "wmv"),
    )
)
MOST_PIXELS = 100_000_000  # of a frame, which is decoded without asking
PATIENCE = 10.0  # seconds that a stream may be silent
_WEBCAM = re.compile(r"webcam(?::(\d{1,2}))?")
_STREAM = re.compile(r"(rtsp|rtsps|rtmp|rtmps|rtp|srt|tcp|udp)://")


@dataclass(frozen=True)
class Frame:
    """A picture of a video.

    Attributes:
        number: counted from 0, with those that could not be read.
        time: in seconds from the video's beginning.
        image: (H, W, 3) uint8 RGB, upright.
    """

    number: int
    time: float
    image: Image


class Closing(ABC):
    """What a `with` block closes at its end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Let go of what is open."""


class Frames(Closing):
    """Pictures that follow each other, in order; to be iterated over once, and closed (`with`).

    Attributes:
        source: where they come from.
        file: the video file that they are from; None of a stream, a webcam or a folder.
        rate: frames a second, on average.
        frames: how many there are, as far as that is known.
        broken: numbers of frames that could not be decoded, and are passed over.
    """

    source: str
    file: Path | None = None
    rate: float
    frames: int | None = None
    broken: list[int]

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Raises ImageError where there is none that can be read."""


def open_frames(source: str | Path, *, fps: float | None = None) -> Frames:
    """The frames of a video, or with `fps` the pictures of a folder as frames.

    Args:
        source: a file; what FFmpeg opens (a URL, a stream); "webcam" or "webcam:1"; or a folder.
        fps: frames a second of a folder.

    Raises:
        ConfigError: PyAV is not installed, or `fps` is missing or not of a folder.
        ImageError: there is no such video or folder, or no pictures in it.
    """
    if Path(source).is_dir():
        if fps is None:
            raise ConfigError(f"{source} is a folder; as a video it needs its frames a second")
        return FolderReader(Path(source), fps)
    if fps is not None:
        raise ConfigError(f"{source} is no folder, and has its own times; leave out the fps")
    return VideoReader(source)


def is_video(source: str | Path) -> bool:
    """Whether what a user named is a video by its name: a file or URL with such an ending, a
    stream, or a webcam."""
    text = str(source)
    path = urlsplit(text).path if is_url(text) else text
    ending = Path(path).suffix.lower()
    return ending in SUFFIXES | {".m3u8"} or bool(_WEBCAM.fullmatch(text) or _STREAM.match(text))


class FolderReader(Frames):
    """The pictures of a folder in the order of their names, in which numbers count as such.

    Args:
        folder: pictures in its subfolders are left out.
        fps: frames a second.

    Raises:
        ConfigError: `fps` is not positive.
        ImageError: there are no pictures.
    """

    def __init__(self, folder: Path, fps: float) -> None:
        if not 0 < fps < math.inf:
            raise ConfigError(f"fps is {fps}; it must be positive, such as 25")
        self.source = str(folder)
        self.rate = fps
        self._pictures = sorted(
            (Path(source.place) for source in find_sources([folder])),
            key=lambda file: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", file.name)],
        )
        self.frames = len(self._pictures)
        self.broken = []

    def close(self) -> None:
        """Nothing is open."""

    def __iter__(self) -> Iterator[Frame]:
        """See `Frames`; a picture that cannot be read is a broken frame."""
        for number, picture in enumerate(self._pictures):
            try:
                image = read_image(picture)
            except ImageError:
                self.broken.append(number)
                continue
            yield Frame(number, number / self.rate, image)
        if len(self.broken) == len(self._pictures):
            raise ImageError(f"{self.source} has no frame that can be read")


class VideoReader(Frames):
    """A video file, stream or webcam; see `Frames`.

    Args:
        source: a file, what FFmpeg opens (a URL, a stream), or "webcam", the first one, "webcam:1",
            the second, on Linux (and on macOS, where nobody has tried it).

    Raises:
        ConfigError: PyAV is not installed.
        ImageError: there is no such video, or no pictures in it.
    """

    def __init__(self, source: str | Path) -> None:
        self.source = str(source)
        self.file = Path(source) if Path(source).is_file() else None
        self._av = import_av()
        webcam = _WEBCAM.fullmatch(self.source)
        place, how = (self.source, None) if webcam is None else _webcam(int(webcam[1] or 0))
        try:
            self._container: Any = self._av.open(
                place,
                format=how,
                options={"framerate": "30"} if how == "avfoundation" else {},
                timeout=None if self.file is not None else (PATIENCE, PATIENCE),
            )
        except (self._av.FFmpegError, OSError, ValueError) as error:
            raise ImageError(f"{self.source} cannot be read as a video: {_reason(error)}") from None
        if not self._container.streams.video:
            self._container.close()
            raise ImageError(f"{self.source} has no pictures in it")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        context = self._stream.codec_context
        if context.width * context.height > MOST_PIXELS:
            self._container.close()
            raise ImageError(
                f"{self.source} has frames of {context.width} x {context.height} pixels"
            )
        self.rate = float(self._stream.average_rate or self._stream.guessed_rate or 25)
        self.frames = self._count()
        self.broken = []

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    def __iter__(self) -> Iterator[Frame]:
        """See `Frames`."""
        first = None
        for number, decoded in enumerate(self._decoded()):
            if decoded is None:
                self.broken.append(number)
            else:
                time = number / self.rate if decoded.time is None else float(decoded.time)
                first = time if first is None else first
                turns = round(getattr(decoded, "rotation", 0) / 90)  # counter-clockwise
                image = np.ascontiguousarray(np.rot90(decoded.to_ndarray(format="rgb24"), turns))
                yield Frame(number, time - first, image)
        if first is None:
            raise ImageError(f"{self.source} has no frame that can be read")

    def _decoded(self) -> Iterator[Any]:
        """Frames; None for a packet that cannot be decoded."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (self._av.FFmpegError, OSError, ValueError):  # the file breaks off
                return
            try:
                yield from packet.decode()
            except (self._av.FFmpegError, OSError, ValueError):
                yield None

    def _count(self) -> int | None:
        if self._stream.frames:
            return int(self._stream.frames)
        if self._container.duration:  # in millionths of a second
            return round(self._container.duration / 1e6 * self.rate)
        return None


def _webcam(number: int) -> tuple[str, str]:
    """Where FFmpeg finds a webcam, and by which of its formats."""
    if sys.platform == "darwin":
        return str(number), "avfoundation"
    return f"/dev/video{number}", "v4l2"


def import_av() -> Any:
    """PyAV; ConfigError where it is not installed."""
    try:
        import av
    except ModuleNotFoundError:
        raise ConfigError("videos need PyAV: pip install 'hrnet[video]'") from None
    return av


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
