"""What a picture file says of itself before it is decoded: format, size, how it is to be turned,
and whether its end is there.

OpenCV decodes some cut-off files without complaint (they come out half grey), and a few bytes may
declare gigapixels: both are to be refused first.
"""

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hrnet.errors import ImageError

BEGINNING = 1 << 16  # bytes of a JPEG that mostly hold its size and orientation
ORIENTATION_TAG = 274  # of TIFF, and of the EXIF data inside other formats

# In a JPEG, 0xff 0x00 and the restart markers are part of a scan; 0xff may pad a marker.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_PNM = re.compile(rb"P[1-6](?:\s|#[^\r\n]*[\r\n])+(\d+)(?:\s|#[^\r\n]*[\r\n])+(\d+)")
_EXIF = b"Exif\0\0"
# Olympus, Panasonic, Fujifilm, Minolta, Sigma; Canon's older form has its mark further on.
_RAW = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW", b"\0MRM", b"FOVb")
_CAMERA_RAW = "camera raw"
_SIDES, _DNG_VERSION, _REDUCED, _SUBFILES = (256, 257), 50706, 254, 330  # TIFF's tags
_WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}  # TIFF's kinds, for struct
_JP2_SIZE = re.compile(rb"\xff\x4f\xff\x51....(.{16})", re.DOTALL)

Size = tuple[int, int] | None


@dataclass(frozen=True)
class Header:
    """The format's name, width and height in pixels as stored (None: the file does not say),
    whether the file goes on to the picture's end, and EXIF's orientation, 1 to 8, by which the
    stored pixels are to be turned upright."""

    format: str
    size: Size
    whole: bool = True
    orientation: int = 1


def size_and_orientation(file: Path) -> tuple[tuple[int, int], int]:
    """(width, height) of a picture file as stored, and its orientation, 1 to 8 (see
    `hrnet.images.orientation`), by its header.

    Raises:
        ImageError: the file is missing or no picture.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(BEGINNING)
            header = read_header(data)
            # Other formats may have the orientation behind the pixels.
            if header is not None and (header.format != "JPEG" or header.size is None):
                header = read_header(data + stream.read())
    except FileNotFoundError:
        raise ImageError(f"there is no picture {file}") from None
    if header is None or header.size is None:
        raise ImageError(f"{file} is not a picture, or its size cannot be read")
    return header.size, header.orientation


def read_header(data: bytes) -> Header | None:
    """The header of an encoded picture; None for what is no picture in a known format."""
    try:
        return _read_header(data)
    except (struct.error, IndexError):  # it ends within its header
        return Header("", None, whole=False)


def _read_header(data: bytes) -> Header | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(data)
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp(data)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return _gif(data)
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        tags = _tiff_tags(data)
        if _is_raw(data, tags):
            return Header(_CAMERA_RAW, None)
        sides = [tags[tag][0] for tag in _SIDES if tag in tags]
        size = (sides[0], sides[1]) if len(sides) == 2 else None
        return Header("TIFF", size, orientation=_orientation(tags))
    if data.startswith(_RAW) or data[6:14] == b"HEAPCCDR":
        return Header(_CAMERA_RAW, None)
    if data[4:8] == b"ftyp":
        return _heif(data)
    if data.startswith((b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")):
        sizes = [struct.unpack(">4I", match[1]) for match in _JP2_SIZE.finditer(data)]
        return Header("JPEG 2000", _largest([(w - x, h - y) for w, h, x, y in sizes]))
    if data.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        return Header("JPEG XL", None)
    if match := _PNM.match(data[:4096]):
        return Header("PNM", (int(match[1][:9]), int(match[2][:9])))
    if data.startswith(b"BM"):  # last, as two letters are soon said
        if data[14:18] == b"\x0c\0\0\0":
            return Header("BMP", struct.unpack_from("<HH", data, 18))
        width, height = struct.unpack_from("<ii", data, 18)
        return Header("BMP", (abs(width), abs(height)))
    return None


def as_stored(data: bytes) -> bytes:
    """A TIFF without its orientation, which OpenCV's flags do not switch off."""
    tag = _tiff_tags(data).get(ORIENTATION_TAG)
    if tag is None or tag[0] == 1:
        return data
    _, position, form = tag
    changed = bytearray(data)
    struct.pack_into(form, changed, position, 1)
    return bytes(changed)


def known_orientation(value: object) -> int:
    """What stands for an orientation, where that is one; else 1."""
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _largest(sizes: list[tuple[int, int]]) -> Size:
    return max(sizes, default=None, key=lambda size: size[0] * size[1])


def _png(data: bytes) -> Header:
    """What follows the last chunk does not count."""
    size = struct.unpack_from(">II", data, 16)
    position, orientation = 8, 1
    while position + 12 <= len(data):  # length, name and checksum are 12 bytes
        length = int.from_bytes(data[position : position + 4], "big")
        name = data[position + 4 : position + 8]
        if name == b"IEND":
            return Header("PNG", size, orientation=orientation)
        if name == b"eXIf":
            orientation = _exif_orientation(data[position + 8 : position + 8 + length])
        position += 12 + length
    return Header("PNG", size, whole=False, orientation=orientation)


def _jpeg(data: bytes) -> Header:
    """Segments are skipped by their length, as the EXIF data may hold a whole small JPEG; what
    follows the end does not count, as telephones put a film there."""
    size, orientation, whole = None, None, False
    position = 2
    while match := _JPEG_MARKER.search(data, position):
        marker, position = match[1][0], match.end()
        if marker == 0xD9:
            whole = True
        if marker == 0xD9 or (marker == 0xDA and whole):
            break
        length = int.from_bytes(data[position : position + 2], "big")
        if marker == 0xE1 and orientation is None and data[position + 2 : position + 8] == _EXIF:
            orientation = _exif_orientation(data[position + 2 : position + length])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and size is None:
            frame = data[position + 3 : position + 7]
            if len(frame) == 4:
                height, width = struct.unpack(">HH", frame)
                size = width, height
                whole = data.endswith(b"\xff\xd9")  # as nearly always: no need to search
        position += length
    return Header("JPEG", size, whole, orientation or 1)


def _webp(data: bytes) -> Header:
    whole = len(data) >= int.from_bytes(data[4:8], "little") + 8
    kind = data[12:16]
    if kind == b"VP8X":
        sides = int.from_bytes(data[24:27], "little"), int.from_bytes(data[27:30], "little")
        return Header("WebP", (sides[0] + 1, sides[1] + 1), whole, _webp_orientation(data))
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return Header("WebP", ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1), whole)
    width, height = struct.unpack_from("<HH", data, 26)
    return Header("WebP", (width & 0x3FFF, height & 0x3FFF), whole)


def _webp_orientation(data: bytes) -> int:
    position = 12
    while position + 8 <= len(data):
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        if data[position : position + 4] == b"EXIF":
            return _exif_orientation(data[position + 8 : position + 8 + length])
        position += 8 + length + length % 2
    return 1


def _gif(data: bytes) -> Header:
    """Whole means up to the end of the first frame."""
    size = struct.unpack_from("<HH", data, 6)
    position = 13 + _colours(data[10])
    while data[position] == 0x21:  # extensions
        position = _end_of_blocks(data, position + 2)
    if data[position] != 0x2C:
        return Header("GIF", size, whole=data[position] == 0x3B)
    left, top, width, height = struct.unpack_from("<4H", data, position + 1)
    # A frame that reaches beyond the canvas enlarges it in some decoders.
    size = max(size[0], left + width), max(size[1], top + height)
    position += 10 + _colours(data[position + 9]) + 1
    try:
        _end_of_blocks(data, position)
    except IndexError:
        return Header("GIF", size, whole=False)
    return Header("GIF", size)


def _colours(flags: int) -> int:
    """Bytes of a GIF's table of colours."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _end_of_blocks(data: bytes, position: int) -> int:
    while data[position]:
        position += 1 + data[position]
    return position + 1


def _exif_orientation(exif: bytes) -> int:
    """EXIF data are a TIFF without pixels; broken ones say nothing, and do not spoil a picture."""
    try:
        return _orientation(_tiff_tags(exif.removeprefix(_EXIF)))
    except (struct.error, IndexError):
        return 1


def _orientation(tags: dict[int, tuple[int, int, str]]) -> int:
    return known_orientation(tags.get(ORIENTATION_TAG, (1,))[0])


def _tiff_tags(data: bytes, start: int | None = None) -> dict[int, tuple[int, int, str]]:
    """Whole numbers of a directory, by default the first page's: value (of several the first, or
    where they are), where it stands, and how (for `struct`)."""
    order = "<" if data.startswith(b"I") else ">"
    big = 43 in data[2:4]
    position: int
    (position,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    position = position if start is None else start
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, position)
    position += 8 if big else 2
    tags: dict[int, tuple[int, int, str]] = {}
    for number in range(min(count, 1000)):
        entry = position + number * (20 if big else 12)
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        if kind in _WHOLE_NUMBERS and tag not in tags:
            form = order + _WHOLE_NUMBERS[kind]
            where = entry + (12 if big else 8)
            tags[tag] = (*struct.unpack_from(form, data, where), where, form)
    return tags


def _is_raw(data: bytes, tags: dict[int, tuple[int, int, str]]) -> bool:
    """Whether what OpenCV would read, the first page, is only a thumbnail of what a camera's sensor
    saw, which is in a subfile. In a pyramid the subfiles are smaller than the first page."""
    if data[4:12] == b"\x10\0\0\0CR\2\0" or _DNG_VERSION in tags:
        return True
    if _SUBFILES not in tags or 43 in data[2:4]:  # no raw is so large
        return False
    if tags.get(_REDUCED, (0,))[0] & 1:
        return True
    start, where, form = tags[_SUBFILES]
    try:
        (count,) = struct.unpack_from(form, data, where - 4)
        starts = (start,)
        if count != 1:
            starts = struct.unpack_from(f"{form[0]}{min(count, 100)}I", data, start)
        subfiles = [_tiff_tags(data, at) for at in starts]
    except struct.error:  # where there are none, the first page is all
        return False
    return any(_pixels(subfile) > _pixels(tags) for subfile in subfiles)


def _pixels(tags: dict[int, tuple[int, int, str]]) -> int:
    return math.prod(tags.get(tag, (0,))[0] for tag in _SIDES)


def _heif(data: bytes) -> Header:
    """AVIF, and its relatives that OpenCV does not read."""
    length = int.from_bytes(data[:4], "big")
    brands = {data[8:12], *(data[i : i + 4] for i in range(16, min(length, 200), 4))}
    if b"crx " in brands:  # Canon's newer form
        return Header(_CAMERA_RAW, None)
    if not brands & {b"avif", b"avis"}:
        known = {b"heic", b"heix", b"hevc", b"mif1", b"msf1"}
        return Header("HEIC" if brands & known else "MP4", None)
    properties = _properties(data, every=True)
    sizes = [struct.unpack_from(">II", body, 4) for name, body in properties if name == b"ispe"]
    return Header("AVIF", _largest(sizes), orientation=_avif_orientation(data))


def _avif_orientation(data: bytes) -> int:
    """Of its quarter turns to the left (irot), and what is mirrored then (imir): rows or columns.
    Its EXIF data do not count."""
    turns, mirror = 0, None
    try:
        for name, body in _properties(data):
            if name == b"irot":
                turns = body[0] & 3
            elif name == b"imir":
                mirror = body[0] & 1
    except (struct.error, IndexError):
        return 1
    return {None: (1, 8, 3, 6), 0: (4, 5, 2, 7), 1: (2, 7, 4, 5)}[mirror][turns]


def _properties(data: bytes, *, every: bool = False) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of the properties of the main picture of an AVIF, or of every picture."""
    meta = next((body[4:] for name, body in _boxes(data) if name == b"meta"), b"")
    parts = dict(_boxes(meta))
    properties = dict(_boxes(parts.get(b"iprp", b"")))
    known = list(_boxes(properties.get(b"ipco", b"")))
    if every:
        yield from known
        return
    primary = int.from_bytes(parts.get(b"pitm", bytes(6))[4:], "big")
    for index in _associations(properties.get(b"ipma", bytes(8)), primary):
        if 1 <= index <= len(known):
            yield known[index - 1]


def _associations(ipma: bytes, item: int) -> list[int]:
    """Numbers of an item's properties; the first bit of each, whether it is essential, is cut."""
    id_bytes = 4 if ipma[0] else 2
    index_bytes = 2 if ipma[3] & 1 else 1
    position = 8
    for _ in range(int.from_bytes(ipma[4:8], "big")):
        number = int.from_bytes(ipma[position : position + id_bytes], "big")
        count = ipma[position + id_bytes]
        position += id_bytes + 1
        end = position + count * index_bytes
        if number == item:
            mask = (1 << 8 * index_bytes - 1) - 1
            return [
                int.from_bytes(ipma[i : i + index_bytes], "big") & mask
                for i in range(position, end, index_bytes)
            ]
        position = end
    return []


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of the boxes that ISO's media files are made of."""
    position = 0
    while position + 8 <= len(data):
        length, start = int.from_bytes(data[position : position + 4], "big"), 8
        if length == 1:
            length, start = int.from_bytes(data[position + 8 : position + 16], "big"), 16
        end = position + length if length else len(data)
        if end < position + start:
            return
        yield data[position + 4 : position + 8], data[position + start : end]
        position = end
