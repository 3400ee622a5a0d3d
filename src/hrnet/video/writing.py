"""Videos written by PyAV: H.264 in fragmented MP4, playable up to where a kill left it."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from hrnet.errors import HRNetError, ImageError
from hrnet.images import Image
from hrnet.video.reading import Closing, import_av

TICKS = 90_000  # a second, as of MPEG's clock; 29.97 frames a second are whole numbers of them
# A piece of the film a second or two, each written when it is whole.
FRAGMENTS = {
    "movflags": "frag_keyframe+empty_moov+default_base_moof",
    "frag_duration": "1000000",
    "flush_packets": "1",
}


class VideoWriter(Closing):
    """Writes frames at their times, with the sound of the video that they are from.

    Args:
        file: to write, an MP4 file.
        rate: frames a second, on average.
        sound: the video whose sound is taken over, as it is; None for none.

    Raises:
        ImageError: the file cannot be written.
    """

    def __init__(self, file: Path, rate: float, sound: Path | None = None) -> None:
        self._av = import_av()
        self._file = file
        self._rate = rate
        self._stream: Any = None
        self._sound: Any = None
        self._packets: Any = iter(())
        self._next: Any = None
        try:
            self._container = self._av.open(str(file), "w", format="mp4", options=FRAGMENTS)
            if sound is not None:
                self._open_sound(str(sound))
        except (self._av.FFmpegError, OSError, ValueError) as error:
            raise ImageError(f"{file} cannot be written: {error}") from None

    def write(self, image: Image, time: float) -> None:
        """Add a frame (H, W, 3) uint8 RGB at a time in seconds, after that of the one before.
        Another size than the first one's is an error."""
        height, width = image.shape[:2]
        # The encoder takes even sizes; an odd one gets its last row or column twice.
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self._stream is None:
            rate = Fraction(self._rate).limit_denominator(1001)
            self._stream = self._container.add_stream("libx264", rate=rate)
            self._stream.height, self._stream.width = image.shape[:2]
            self._stream.pix_fmt = "yuv420p"
            # Frames in their order: else the file begins later, by as many as are kept waiting.
            self._stream.codec_context.max_b_frames = 0
            self._stream.codec_context.gop_size = max(1, round(2 * self._rate))
            self._stream.codec_context.time_base = Fraction(1, TICKS)
        if (self._stream.height, self._stream.width) != image.shape[:2]:
            raise HRNetError(f"a frame of {width} x {height} pixels does not fit into {self._file}")
        frame = self._av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts = round(time * TICKS)
        frame.time_base = Fraction(1, TICKS)
        self._mux(self._stream.encode(frame))
        self._mux_sound(time)

    def close(self) -> None:
        """Finish the file."""
        if self._stream is not None:
            self._mux(self._stream.encode(None))
            self._mux_sound(float("inf"))
        self._container.close()
        if self._sound is not None:
            self._sound.close()

    def _mux(self, packets: Any) -> None:
        for packet in packets:
            self._container.mux(packet)

    def _open_sound(self, source: str) -> None:
        self._sound = self._av.open(source)
        if not self._sound.streams.audio:
            return
        stream = self._sound.streams.audio[0]
        try:
            copy = self._container.add_stream_from_template(stream)
        except ValueError:  # which MP4 cannot hold
            return

        def packets() -> Any:
            for packet in self._sound.demux(stream):
                seconds = -1.0 if packet.dts is None else float(packet.pts * packet.time_base)
                if seconds >= 0:  # before is what only starts the decoder up
                    packet.stream = copy
                    yield seconds, packet

        self._packets = packets()
        self._next = next(self._packets, None)

    def _mux_sound(self, time: float) -> None:
        """What is heard up to a time."""
        while self._next is not None and self._next[0] <= time:
            self._container.mux(self._next[1])
            self._next = next(self._packets, None)
