"""Videos, read by PyAV: files and streams, frame by frame, turned upright."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from hrnet.errors import ConfigError, ImageError
from hrnet.images import Image

SUFFIXES = frozenset(
    f".{ending}"
    for ending in (
        *("3gp", "asf", "avi", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts"),
        *("ogv", "ts", "webm", "wmv"),
    )
)
MOST_PIXELS = 100_000_000  # of a frame, which is decoded without asking


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


class VideoReader(Closing):
    """The frames of a video, in order; to be iterated over once, and closed (`with`).

    Attributes:
        rate: frames a second, on average.
        frames: how many there are, as the file says or by its duration; None where it says neither.
        broken: numbers of frames that could not be decoded, and are passed over.

    Args:
        source: a file, or what FFmpeg opens: a URL, a stream.

    Raises:
        ConfigError: PyAV is not installed.
        ImageError: there is no such video, or no pictures in it.
    """

    def __init__(self, source: str | Path) -> None:
        self.source = str(source)
        self._av = import_av()
        try:
            self._container: Any = self._av.open(self.source)
        except (OSError, ValueError) as error:  # PyAV's own are both
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
        self.broken: list[int] = []

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    def __iter__(self) -> Iterator[Frame]:
        """Raises ImageError where the video breaks off before its first frame."""
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
            except (OSError, ValueError):  # the file breaks off
                return
            try:
                yield from packet.decode()
            except (OSError, ValueError):
                yield None

    def _count(self) -> int | None:
        if self._stream.frames:
            return int(self._stream.frames)
        if self._container.duration:  # in millionths of a second
            return round(self._container.duration / 1e6 * self.rate)
        return None


def import_av() -> Any:
    """PyAV; ConfigError where it is not installed."""
    try:
        import av
    except ModuleNotFoundError:
        raise ConfigError("videos need PyAV: pip install 'hrnet[video]'") from None
    return av


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
