"""Camera raw is refused rather than read as its thumbnail; ordinary TIFFs are none of it."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from hrnet.errors import ImageError
from hrnet.images import read_image, read_stored, size_and_orientation

RNG = np.random.default_rng(0)
SMALL = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
LARGE = RNG.integers(0, 256, (24, 32, 3), dtype=np.uint8)
BYTE, ASCII, SHORT, LONG, IFD = 1, 2, 3, 4, 13
REDUCED, MAKE, SUBFILES, DNG_VERSION, CFA = 254, 271, 330, 50706, 32803
MAKER = {MAKE: (ASCII, b"NIKON CORPORATION\0")}


def page(pixels, tags=(), photometric=2):
    """A directory of uncompressed pixels: their bytes and its tags."""
    height, width = pixels.shape[:2]
    return pixels.tobytes(), {
        256: (SHORT, [width]),
        257: (SHORT, [height]),
        258: (SHORT, [8, 8, 8]),
        259: (SHORT, [1]),
        262: (SHORT, [photometric]),
        277: (SHORT, [3]),
        278: (SHORT, [height]),
        279: (LONG, [pixels.size]),
        **dict(tags),
    }


def tiff(first, *subfiles, pages=(), order="<", mark=b"", kind=LONG, dangling=False):
    """A TIFF of a first page with its subfiles, and of further pages."""
    codes = {BYTE: "B", SHORT: "H", LONG: "I", IFD: "I"}
    data = bytearray(struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 0) + mark)

    def add(directory, further=()):
        pixels, tags = directory
        tags = {**tags, 273: (LONG, [len(data)])}
        data.extend(pixels)
        if further:
            tags[SUBFILES] = kind, list(further)
        entries = []
        for tag, (type_, values) in sorted(tags.items()):
            packed = values
            if type_ != ASCII:
                packed = struct.pack(f"{order}{len(values)}{codes[type_]}", *values)
            if len(packed) > 4:
                data.extend(bytes(len(data) % 2))
                at = struct.pack(order + "I", len(data))
                data.extend(packed)
            else:
                at = packed.ljust(4, b"\0")
            entries.append(struct.pack(order + "HHI", tag, type_, len(values)) + at)
        data.extend(bytes(len(data) % 2))
        start = len(data)
        data.extend(struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4))
        return start

    starts = [10**6] if dangling else [add(subfile) for subfile in subfiles]
    link = 4
    for directory, further in [(first, starts), *((p, ()) for p in pages)]:
        start = add(directory, further)
        struct.pack_into(order + "I", data, link, start)
        link = len(data) - 4
    return bytes(data)


def marked_as_canon_s():
    """The first directory at 16, behind Canon's mark, and of a smaller picture."""
    data = bytearray(tiff(page(SMALL), mark=b"CR\2\0" + bytes(4)))
    start = struct.unpack_from("<I", data, 4)[0]
    directory = data[start:]
    moved = bytearray(data[:16] + directory + data[16 + len(directory) :])
    struct.pack_into("<I", moved, 4, 16)
    return bytes(moved)


THUMBNAIL = {REDUCED: (LONG, [1])}
RAW = {
    "DNG": tiff(
        page(SMALL, {**THUMBNAIL, **MAKER, DNG_VERSION: (BYTE, [1, 4, 0, 0])}),
        page(LARGE, photometric=CFA),
    ),
    "DNG without a thumbnail": tiff(page(LARGE, {DNG_VERSION: (BYTE, [1, 1, 0, 0])})),
    "NEF": tiff(page(SMALL, {**THUMBNAIL, **MAKER}), page(SMALL), page(LARGE, photometric=CFA)),
    "NEF, of the other byte order": tiff(
        page(SMALL, {**THUMBNAIL, **MAKER}), page(LARGE, photometric=CFA), order=">"
    ),
    "not said to be reduced": tiff(page(SMALL, MAKER), page(SMALL), page(LARGE), order=">"),
    "not said to be reduced, one subfile": tiff(page(SMALL), page(LARGE), kind=IFD),
    "CR2": marked_as_canon_s(),
}
OTHER = {
    "CR3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(50),
    "ORF": b"IIRO\x08\0\0\0" + bytes(50),
    "RW2": b"IIU\0\x18\0\0\0" + bytes(50),
    "RAF": b"FUJIFILMCCD-RAW 0201" + bytes(50),
    "CRW": b"II\x1a\0\0\0HEAPCCDR" + bytes(50),
}


@pytest.mark.parametrize("name", [*RAW, *OTHER])
def test_camera_raw_is_refused_in_one_sentence(name, tmp_path):
    file = tmp_path / "a.dng"
    file.write_bytes({**RAW, **OTHER}[name])
    for read in (read_image, read_stored):
        with pytest.raises(ImageError) as refused:
            read(file)
        assert str(refused.value) == (
            f"{file} is camera raw, which OpenCV does not read; convert it to JPEG or PNG"
        )
    with pytest.raises(ImageError, match=r"a\.dng"):
        size_and_orientation(file)


def by_pillow(**options):
    buffer = io.BytesIO()
    Image.fromarray(LARGE).save(buffer, "TIFF", **options)
    return buffer.getvalue()


ORDINARY = {
    "alone": tiff(page(LARGE)),
    "of a camera": tiff(page(LARGE, MAKER)),
    "a pyramid of subfiles": tiff(page(LARGE), page(LARGE[:12, :16], THUMBNAIL), page(SMALL)),
    "a pyramid of one subfile": tiff(page(LARGE, MAKER), page(SMALL, THUMBNAIL), order=">"),
    "a pyramid of pages": tiff(page(LARGE), pages=[page(SMALL, THUMBNAIL)]),
    "a subfile as large as the page": tiff(page(LARGE, {REDUCED: (LONG, [0])}), page(LARGE)),
    "a subfile that is not there": tiff(page(LARGE), dangling=True),
    "pixels that begin with Canon's mark": tiff(page(LARGE), mark=b"CR\2\0"),
    "by Pillow": by_pillow(),
    "BigTIFF by Pillow": by_pillow(big_tiff=True),
    "of Pillow, with EXIF data": by_pillow(exif=Image.open(io.BytesIO(by_pillow())).getexif()),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_tiffs_are_read(name):
    np.testing.assert_array_equal(read_image(ORDINARY[name]), LARGE)


def test_of_pages_the_first_is_read_though_it_is_the_smaller():
    data = tiff(page(SMALL, THUMBNAIL), pages=[page(LARGE)])
    np.testing.assert_array_equal(read_image(data), SMALL)
