"""What goes along the road from pictures to results: plain values, which pickle."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hrnet.errors import HRNetError
from hrnet.geometry import warp
from hrnet.images import Image, ImageSource, read_image, read_oriented
from hrnet.result import Poses


@dataclass(frozen=True)
class Picture:
    """A picture to find people in.

    Attributes:
        source: path, URL, encoded bytes, PIL image, or array (H, W, 3) uint8.
        boxes: people's boxes (P, 4) x1, y1, x2, y2 in pixels, their own edges without padding, or
            (P, 5) with a score from 0 to 1; "whole" where the picture is one person; None leaves
            it to the detector.
        upright: turn the picture as its EXIF data say; boxes and results are then in the pixels of
            the picture as shown. False takes it as stored, as COCO-format files have it.
        color: order of an array's channels; "bgr" for what OpenCV reads.
        key: anything by which to know the picture again.
    """

    source: ImageSource
    boxes: ArrayLike | Literal["whole"] | None = None
    upright: bool = True
    color: Literal["rgb", "bgr"] = "rgb"
    key: Any = None

    def read(self) -> tuple[Image, int]:
        """(H, W, 3) uint8 RGB, and the EXIF orientation by which it was turned; raises what
        `hrnet.images.read_image` does."""
        if self.upright:
            return read_oriented(self.source, color=self.color)
        return read_image(self.source, color=self.color, orient=False), 1


@dataclass(frozen=True)
class FrameResult:
    """A frame of a video, and who is in it.

    Attributes:
        number: of the frame, from 0; those that cannot be read are counted and left out.
        time: in seconds from the video's beginning.
        image: (H, W, 3) uint8 RGB, upright.
        poses: with `track_ids`.
    """

    number: int
    time: float
    image: Image
    poses: Poses


@dataclass(frozen=True)
class PictureResult:
    """What became of a picture: poses, or an error.

    Attributes:
        picture: as asked for.
        poses: of the people in it; None where there is an error.
        error: why there are none, such as a broken picture or a box outside of it.
        size: (width, height) of the picture as read.
        orientation: of EXIF, 1 to 8, by which it was turned upright; 1 where it is as stored.
        matrices: (P, 2, 3) affine maps from the picture to what the network saw of each person.
        evidence: (P, K, 4) what the joints' probabilities are made from, see
            `hrnet.calibration.evidence`.
        crop_size: (width, height) of that.
        kept: the picture's pixels, where they were kept.
    """

    picture: Picture
    poses: Poses | None = None
    error: HRNetError | None = None
    size: tuple[int, int] = (0, 0)
    orientation: int = 1
    matrices: NDArray[np.float64] | None = None
    evidence: NDArray[np.float64] | None = None
    crop_size: tuple[int, int] = (0, 0)
    kept: Image | None = None

    def pixels(self) -> Image:
        """(H, W, 3) uint8 RGB of the picture, read again where they were not kept."""
        return self.picture.read()[0] if self.kept is None else self.kept

    def answer(self, *, file: str, path: str, model: dict[str, Any]) -> dict[str, Any]:
        """What a picture's JSON file holds: `Poses.to_dict`, and of which picture and model that
        is. `pixels` says what coordinates are measured on: the picture "upright", turned by its
        `orientation`, or as "stored"."""
        assert self.poses is not None
        width, height = self.size
        return {
            "image": {
                "file": file,
                "path": path,
                "width": width,
                "height": height,
                "pixels": "upright" if self.picture.upright else "stored",
                "orientation": self.orientation,
            },
            "model": model,
            **self.poses.to_dict(),
        }

    def crops(self) -> list[Image]:
        """What the network saw of each person: (H, W, 3) uint8 RGB."""
        image = self.pixels()
        matrices = np.empty((0, 2, 3)) if self.matrices is None else self.matrices
        return [warp(image, matrix, self.crop_size) for matrix in matrices]
