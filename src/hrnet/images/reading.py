"""Pictures from anywhere to RGB uint8."""

import os
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from hrnet.downloads import read_url
from hrnet.errors import ConfigError, ImageError
from hrnet.files import atomic_write
from hrnet.images.headers import (
    ORIENTATION_TAG,
    Header,
    as_stored,
    known_orientation,
    read_header,
)
from hrnet.images.orientation import UPRIGHT, turn_upright

MAX_PIXELS = 200_000_000  # 600 MB as RGB: larger than any camera's, smaller than a memory
MAX_PIXELS_VARIABLE = "HRNET_MAX_PIXELS"
MAX_DOWNLOAD = 200_000_000  # bytes
UNREADABLE = {"HEIC", "JPEG XL", "MP4", "camera raw"}  # that OpenCV has no decoder for

_REDUCED = {  # largest first
    8: cv2.IMREAD_REDUCED_COLOR_8,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    2: cv2.IMREAD_REDUCED_COLOR_2,
}

Image = NDArray[np.uint8]
ImageSource = Any  # str | Path | bytes | PIL.Image.Image | numpy array


def read_image(
    source: ImageSource, *, color: Literal["rgb", "bgr"] = "rgb", orient: bool = True
) -> Image:
    """A picture as (H, W, 3) uint8 RGB.

    Args:
        source: path; URL (http, https); encoded bytes; PIL image; or array (H, W), (H, W, 1),
            (H, W, 3) or (H, W, 4), uint8 or uint16. Grey becomes RGB, alpha is dropped, 16 bits
            become 8. Of an animation or of several pages the first one.
        color: order of an array's channels; "bgr" for what OpenCV reads.
        orient: turn the picture upright where its EXIF data say how. Annotations of COCO and
            the like refer to pixels as stored: False for those.

    Raises:
        ImageError: the picture is missing, not a picture, cut off, empty, or has more pixels than
            the environment variable HRNET_MAX_PIXELS says (200 million; OpenCV itself stops at
            2^30). It is refused by what its file declares, before it is decoded.
        DownloadError: the URL cannot be read.
    """
    return _read(source, color, orient)[0]


def read_oriented(
    source: ImageSource, *, color: Literal["rgb", "bgr"] = "rgb"
) -> tuple[Image, int]:
    """`read_image`'s upright picture, and the orientation, 1 to 8, that it was turned by: with
    `hrnet.images.orientation`, what is found in it can be given in the pixels as stored. Arrays
    have 1.

    Raises:
        ImageError, DownloadError: as `read_image`.
    """
    return _read(source, color, orient=True)


def decode_image(data: bytes, *, max_pixels: int, orient: bool = True) -> Image:
    """An encoded picture as (H, W, 3) uint8 RGB, for callers who do not trust where it is from: no
    path, URL or environment variable counts. It is `read_image` but for that.

    Args:
        data: the bytes of a file.
        max_pixels: a picture that declares more is refused before it is decoded.
        orient: turn it upright where its EXIF data say how.

    Raises:
        ImageError: it is empty, not a picture, cut off, or larger.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise ImageError(f"a {type(data).__name__} is no encoded picture; give its bytes")
    return _decode(bytes(data), "the picture", orient, max_pixels)[0]


def read_stored(
    file: str | Path, shrink: float = 1.0, *, orient: bool = False
) -> tuple[Image, int]:
    """A file's picture, as stored unless asked otherwise, the fast way, for training.

    A JPEG that may come smaller is decoded at a half, a quarter or an eighth of its size, in a part
    of the time. Pixel (x, y) of it covers pixels n * x to n * x + n - 1 in each row, and likewise
    for y, of the whole picture, n being the factor returned: its centre is at
    n * x + (n - 1) / 2.

    Args:
        file: the path.
        shrink: how many times smaller it may at most be.
        orient: turn it upright where its EXIF data say how.

    Returns:
        The picture (H, W, 4) uint8 RGB and a channel of 255, by which what lies beyond it is known
        after warping (and OpenCV warps four channels in half the time that three take, to the
        same values); and the factor: 1, 2, 4 or 8.

    Raises:
        ImageError: as `read_image`.
    """
    data, where = _read_file(file), str(file)
    header = _checked_header(data, where)
    orientation = header.orientation if orient else UPRIGHT
    factor = 1
    if header.format == "JPEG":  # OpenCV decodes others wholly, then resizes
        # Turned, the last pixels become the first: they have to be as large as the others.
        sides = header.size if orientation != UPRIGHT and header.size else ()
        factors = (f for f in _REDUCED if f <= shrink and not any(side % f for side in sides))
        factor = next(factors, 1)
    image = _imdecode(data, where, header, _REDUCED.get(factor, cv2.IMREAD_COLOR))
    rgba = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGBA), dtype=np.uint8)
    return turn_upright(rgba, orientation), factor


def write_image(file: str | Path, image: Image) -> None:
    """Write (H, W, 3) uint8 RGB in the format that the file's suffix names, whole or not at all.

    Raises:
        ImageError: the format cannot be written.
    """
    file = Path(file)
    try:
        data = encode_image(image, file.suffix)
    except ImageError as error:
        raise ImageError(f"{file} cannot be written: {error}") from None
    with atomic_write(file) as temporary:
        temporary.write_bytes(data)


def encode_image(image: Image, suffix: str) -> bytes:
    """(H, W, 3) uint8 RGB as the bytes of a file in the format that a suffix such as .jpg names.

    Raises:
        ImageError: the format cannot be written.
    """
    if not cv2.haveImageWriter(f"picture{suffix}"):
        raise ImageError(f"there is no picture format {suffix!r}")
    try:
        written, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error:
        written = False
    if not written:
        raise ImageError(
            f"an array of shape {image.shape} does not go into {suffix}; give (H, W, 3) uint8, and "
            ".png for very large ones"
        )
    return data.tobytes()


def is_url(source: object) -> bool:
    """Whether `source` is the address of something to download."""
    return isinstance(source, str) and source.lower().startswith(("http://", "https://"))


def _read(source: ImageSource, color: str, orient: bool) -> tuple[Image, int]:
    if color not in ("rgb", "bgr"):
        raise ImageError(f"there is no order of channels {color!r}; give 'rgb' or 'bgr'")
    if isinstance(source, np.ndarray):
        return _from_array(source, color), UPRIGHT
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _decode(bytes(source), "the picture", orient)
    if is_url(source):
        return _decode(read_url(source, max_bytes=MAX_DOWNLOAD), source, orient)
    if isinstance(source, (str, Path)):
        return _decode(_read_file(source), str(source), orient)
    if hasattr(source, "convert") and hasattr(source, "getexif"):  # PIL, without importing it
        return _from_pil(source, orient)
    raise ImageError(
        f"a picture cannot be a {type(source).__name__}; give a path, bytes, a PIL image or an "
        "array"
    )


def _from_array(array: NDArray[Any], color: str) -> Image:
    shape = array.shape
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise ImageError(
            f"an array of shape {shape} is not a picture; it must be (H, W), (H, W, 3) or "
            "(H, W, 4), and not empty"
        )
    if array.dtype == np.uint16:
        array = (array >> 8).astype(np.uint8)
    if array.dtype != np.uint8:
        raise ImageError(f"a picture of {array.dtype} is not supported; convert it to uint8, 0-255")
    if array.shape[2] == 1:
        array = np.repeat(array, 3, axis=2)
    array = array[..., :3]
    if color == "bgr":
        array = array[..., ::-1]
    return np.ascontiguousarray(array)


def _from_pil(source: Any, orient: bool) -> tuple[Image, int]:
    if source.mode in ("I", "F"):  # their range is anybody's guess; PIL would clip it to 0-255
        raise ImageError(
            f"a PIL image of mode {source.mode} is not supported; convert it to RGB, 0-255"
        )
    width, height = source.size
    _check_size(width, height, "the PIL image")
    try:
        source.load()  # which turns a TIFF, and takes its orientation away
        orientation = known_orientation(source.getexif().get(ORIENTATION_TAG))
        sixteen_bits = source.mode.startswith("I;16")
        array = np.asarray(source) if sixteen_bits else np.array(source.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"the PIL image cannot be read: {error}") from None
    image = _from_array(array.astype(np.uint16) if sixteen_bits else array, "rgb")
    return turn_upright(image, orientation) if orient else image, orientation


def _read_file(source: str | Path) -> bytes:
    try:
        with open(source, "rb", buffering=0) as file:
            return file.read()
    except FileNotFoundError:
        raise ImageError(f"there is no picture {source}") from None
    except OSError as error:
        raise ImageError(f"{source} cannot be read: {error.strerror}") from None
    except ValueError as error:  # a name with a zero byte
        raise ImageError(f"{str(source)!r} cannot be read: {error}") from None


def _decode(
    data: bytes, where: str, orient: bool, max_pixels: int | None = None
) -> tuple[Image, int]:
    header = _checked_header(data, where, max_pixels)
    image = _imdecode(data, where, header, cv2.IMREAD_COLOR_RGB)
    return turn_upright(image, header.orientation) if orient else image, header.orientation


def _checked_header(data: bytes, where: str, max_pixels: int | None = None) -> Header:
    if not data:
        raise ImageError(f"{where} is empty")
    header = read_header(data)
    if header is None:
        raise ImageError(f"{where} is not a picture")
    if not header.whole:
        raise ImageError(f"{where} is cut off: its end is missing")
    if header.format in UNREADABLE:
        raise ImageError(
            f"{where} is {header.format}, which OpenCV does not read; convert it to JPEG or PNG"
        )
    if header.size is None:  # it would be decoded whatever it costs
        raise _broken(where, header)
    _check_size(*header.size, where, max_pixels)
    return header


def _imdecode(data: bytes, where: str, header: Header, flags: int) -> Image:
    """The picture as stored: what OpenCV turns of itself depends on its version and the format."""
    if header.format == "TIFF":
        data = as_stored(data)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        raise _broken(where, header) from None
    if image is None:
        raise _broken(where, header)
    return np.asarray(image, dtype=np.uint8)


def _broken(where: str, header: Header) -> ImageError:
    return ImageError(
        f"{where} is a broken {header.format} picture, or of a kind that OpenCV does not read"
    )


def _check_size(width: int, height: int, where: str, max_pixels: int | None = None) -> None:
    limit = _max_pixels() if max_pixels is None else max_pixels
    if width * height > limit:
        raise ImageError(
            f"{where} has {width} x {height} pixels, more than {limit:,}; make it smaller"
            + (
                f", or raise the limit by the environment variable {MAX_PIXELS_VARIABLE}"
                if max_pixels is None
                else ""
            )
        )


def _max_pixels() -> int:
    text = os.environ.get(MAX_PIXELS_VARIABLE, str(MAX_PIXELS))
    try:
        limit = int(float(text))  # 1e9 is readable
    except (ValueError, OverflowError):
        limit = 0
    if limit < 1:
        raise ConfigError(
            f"{MAX_PIXELS_VARIABLE} is {text!r}; it must be a number of pixels, such as 400000000"
        )
    return limit
