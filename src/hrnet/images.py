"""Pictures from anywhere to RGB uint8."""

import glob
import os
import re
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from hrnet.errors import ImageError
from hrnet.files import atomic_write

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
MAX_PIXELS = 200_000_000  # 600 MB as RGB: larger than any camera's, smaller than a memory

# In a JPEG, 0xff 0x00 and the restart markers are part of a scan; 0xff may pad a marker.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")

Image = NDArray[np.uint8]
ImageSource = Any  # str | Path | bytes | PIL.Image.Image | numpy array


def read_image(
    source: ImageSource, *, color: Literal["rgb", "bgr"] = "rgb", orient: bool = True
) -> Image:
    """A picture as (H, W, 3) uint8 RGB.

    Args:
        source: path; encoded bytes; PIL image; or array (H, W), (H, W, 1), (H, W, 3) or
            (H, W, 4), uint8 or uint16. Grey becomes RGB, alpha is dropped, 16 bits become 8.
        color: order of an array's channels; "bgr" for what OpenCV reads.
        orient: turn the picture upright where its EXIF data say how. Annotations of COCO and
            the like refer to pixels as stored: False for those.

    Raises:
        ImageError: the picture is missing, not a picture, cut off, empty, or has more than
            `MAX_PIXELS` pixels.
    """
    if color not in ("rgb", "bgr"):
        raise ImageError(f"there is no order of channels {color!r}; give 'rgb' or 'bgr'")
    if isinstance(source, np.ndarray):
        return _from_array(source, color)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _decode(bytes(source), "the picture", orient)
    if isinstance(source, (str, Path)):
        try:
            data = Path(source).read_bytes()
        except FileNotFoundError:
            raise ImageError(f"there is no picture {source}") from None
        except OSError as error:
            raise ImageError(f"{source} cannot be read: {error.strerror}") from None
        except ValueError as error:  # a name with a zero byte
            raise ImageError(f"{str(source)!r} cannot be read: {error}") from None
        return _decode(data, str(source), orient)
    if hasattr(source, "convert") and hasattr(source, "getexif"):  # PIL, without importing it
        return _from_pil(source, orient)
    raise ImageError(
        f"a picture cannot be a {type(source).__name__}; give a path, bytes, a PIL image or an "
        "array"
    )


def write_image(file: str | Path, image: Image) -> None:
    """Write (H, W, 3) uint8 RGB in the format that the file's suffix names, whole or not at all.

    Raises:
        ImageError: the format cannot be written.
    """
    file = Path(file)
    if not cv2.haveImageWriter(f"picture{file.suffix}"):
        raise ImageError(f"{file} cannot be written: there is no picture format {file.suffix!r}")
    try:
        written, data = cv2.imencode(file.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error:
        written = False
    if not written:
        raise ImageError(
            f"{file} cannot be written: an array of shape {image.shape} does not go into "
            f"{file.suffix}; give (H, W, 3) uint8, and .png for very large ones"
        )
    with atomic_write(file) as temporary:
        temporary.write_bytes(data.tobytes())


def find_images(sources: Iterable[str | Path]) -> list[Path]:
    """Picture files named by paths, folders (not their subfolders) and glob patterns, each once.

    Raises:
        ImageError: a source does not exist, matches nothing, or is a folder without pictures.
    """
    found: list[Path] = []
    for source in sources:
        path = Path(source)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if _looks_like_image(p))
            if not inside:
                raise ImageError(
                    f"the folder {path} has no pictures ({', '.join(sorted(SUFFIXES))})"
                )
            found += inside
        elif path.exists():
            found.append(path)
        elif glob.has_magic(str(source)):
            matches = [Path(m) for m in sorted(glob.glob(str(source), recursive=True))]
            matches = [m for m in matches if _looks_like_image(m)]
            if not matches:
                raise ImageError(f"no picture matches {source}")
            found += matches
        else:
            raise ImageError(f"there is no picture or folder {source}")
    once: dict[str, Path] = {}
    for file in found:
        once.setdefault(os.path.abspath(file), file)
    return list(once.values())


def _looks_like_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


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


def _from_pil(source: Any, orient: bool) -> Image:
    from PIL import ImageOps

    if source.mode in ("I", "F"):  # their range is anybody's guess; PIL would clip it to 0-255
        raise ImageError(
            f"a PIL image of mode {source.mode} is not supported; convert it to RGB, 0-255"
        )
    try:  # PIL reads a file's pixels only now
        upright = ImageOps.exif_transpose(source) if orient else source
        sixteen_bits = upright.mode.startswith("I;16")
        array = np.asarray(upright) if sixteen_bits else np.array(upright.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"the PIL image cannot be read: {error}") from None
    return _from_array(array.astype(np.uint16) if sixteen_bits else array, "rgb")


def _decode(data: bytes, where: str, orient: bool) -> Image:
    if not data:
        raise ImageError(f"{where} is empty")
    _check_whole(data, where)
    flags = cv2.IMREAD_COLOR | (0 if orient else cv2.IMREAD_IGNORE_ORIENTATION)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise ImageError(f"{where} is not a picture, or a broken one")
    _check_size(image.shape[1], image.shape[0], where)  # the other formats'
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _check_whole(data: bytes, where: str) -> None:
    """Refuse what OpenCV would decode without complaint (cut-off files come out half grey) or at
    great cost (a few bytes may declare gigapixels)."""
    size, whole = None, True
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        size, whole = _png_size(data)
    elif data.startswith(b"\xff\xd8"):
        size, whole = _jpeg_size(data)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        whole = len(data) >= int.from_bytes(data[4:8], "little") + 8
    if size is not None:
        _check_size(*size, where)
    if not whole:
        raise ImageError(f"{where} is cut off: its end is missing")


def _check_size(width: int, height: int, where: str) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{where} has {width} x {height} pixels, more than {MAX_PIXELS:,}; make it smaller"
        )


def _png_size(data: bytes) -> tuple[tuple[int, int] | None, bool]:
    """Width and height, and whether the last chunk is there. What follows it does not count."""
    size = struct.unpack(">II", data[16:24]) if len(data) >= 24 else None
    position = 8
    while position + 12 <= len(data):  # length, name and checksum are 12 bytes
        if data[position + 4 : position + 8] == b"IEND":
            return size, True
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    return size, False


def _jpeg_size(data: bytes) -> tuple[tuple[int, int] | None, bool]:
    """Width and height, and whether the picture's end is there.

    Segments are skipped by their length, as the EXIF data may hold a whole small JPEG; what
    follows the end does not count, as telephones put a film there.
    """
    size = None
    position = 2
    while match := _JPEG_MARKER.search(data, position):
        marker, position = match[1][0], match.end()
        if marker == 0xD9:
            return size, True
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and size is None:
            frame = data[position + 3 : position + 7]
            if len(frame) == 4:
                height, width = struct.unpack(">HH", frame)
                size = width, height
        position += int.from_bytes(data[position : position + 2], "big")
    return size, False
