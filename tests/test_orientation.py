"""Pictures and points of all eight orientations of EXIF, in every format that can carry one."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps, features

from hrnet.errors import ImageError
from hrnet.images import (
    decode_image,
    read_image,
    read_oriented,
    size_and_orientation,
    to_stored,
    to_upright,
    turn_upright,
    turned_size,
)
from hrnet.images.headers import read_header

RNG = np.random.default_rng(0)
STORED = np.kron(RNG.integers(0, 256, (5, 7, 3)), np.ones((8, 8, 1))).astype(np.uint8)
HEIGHT, WIDTH = STORED.shape[:2]
TAG = 274
# What EXIF says of the stored picture's first row and first column (2.3, table of tag 274).
FIRST_ROW_AND_COLUMN = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}
LOSSLESS = {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True}}
FORMATS = ["JPEG", "PNG", "WEBP", "TIFF"] + ["AVIF"] * features.check("avif")


def encoded(form, orientation, picture=STORED, **options):
    exif = Image.Exif()
    exif[TAG] = orientation
    buffer = io.BytesIO()
    options = {**LOSSLESS.get(form, {}), **options}
    Image.fromarray(picture).save(buffer, form, exif=exif, **options)
    return buffer.getvalue()


def side(picture, name):
    return {
        "top": picture[0],
        "bottom": picture[-1],
        "left": picture[:, 0],
        "right": picture[:, -1],
    }[name]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_first_row_and_column_come_to_lie_where_exif_says(orientation):
    upright = turn_upright(STORED, orientation)
    row, column = FIRST_ROW_AND_COLUMN[orientation]
    assert sorted(side(upright, row).tolist()) == sorted(STORED[0].tolist())
    assert sorted(side(upright, column).tolist()) == sorted(STORED[:, 0].tolist())
    assert turned_size((WIDTH, HEIGHT), orientation) == upright.shape[1::-1]
    assert turned_size(upright.shape[1::-1], orientation) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("channels", [3, 4])
def test_a_point_is_on_the_same_pixel_before_and_after_the_turn(orientation, channels):
    stored = RNG.integers(0, 256, (5, 8, channels), dtype=np.uint8)
    upright = turn_upright(stored, orientation)
    points = np.stack(np.meshgrid(np.arange(8), np.arange(5)), axis=-1)
    turned = to_upright(points, orientation, (8, 5))
    assert turned.shape == points.shape
    np.testing.assert_array_equal(upright[turned[..., 1], turned[..., 0]], stored)
    np.testing.assert_array_equal(to_stored(turned, orientation, (8, 5)), points)
    between = points.astype(np.float32) + np.float32(0.25)  # exact: nothing is rounded
    there = to_upright(between, orientation, (8, 5))
    assert there.dtype == np.float32
    np.testing.assert_array_equal(to_stored(there, orientation, (8, 5)), between)
    assert np.abs(there - turned).max() == 0.25
    assert to_stored(np.empty((0, 17, 2)), orientation, (8, 5)).shape == (0, 17, 2)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_format_gives_the_same_pixels_turned_as_pillow_does(form, orientation, tmp_path):
    data = encoded(form, orientation)
    header = read_header(data)
    assert (header.size, header.orientation) == ((WIDTH, HEIGHT), orientation)
    file = tmp_path / "a"
    file.write_bytes(data)
    assert size_and_orientation(file) == ((WIDTH, HEIGHT), orientation)

    stored = read_image(data, orient=False)
    upright = turn_upright(stored, orientation)
    if form in LOSSLESS:
        np.testing.assert_array_equal(stored, STORED)
    np.testing.assert_array_equal(read_image(data), upright)
    np.testing.assert_array_equal(decode_image(data, max_pixels=WIDTH * HEIGHT), upright)
    expected = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    assert np.abs(upright.astype(int) - expected).max() <= 8  # YCbCr is rounded differently
    for source in (data, file, str(file)):
        image, found = read_oriented(source)
        assert found == orientation
        np.testing.assert_array_equal(image, upright)


@pytest.mark.parametrize("form", FORMATS)
def test_a_pil_image_gives_its_orientation_and_a_tiff_is_turned_by_pillow(form):
    image, orientation = read_oriented(Image.open(io.BytesIO(encoded(form, 6))))
    assert image.shape == (WIDTH, HEIGHT, 3)
    assert orientation == (1 if form == "TIFF" else 6)


def test_an_array_is_as_it_is():
    image, orientation = read_oriented(STORED[..., ::-1], color="bgr")
    np.testing.assert_array_equal(image, STORED)
    assert orientation == 1


def exif_of(orientation, order="<", kind=3, prefix=b"Exif\0\0"):
    tiff = struct.pack(order + "2sHIH", b"II" if order == "<" else b"MM", 42, 8, 1)
    value = struct.pack(order + {3: "Hxx", 4: "I"}[kind], orientation)
    return prefix + tiff + struct.pack(order + "HHI", TAG, kind, 1) + value + bytes(4)


def jpeg_with(*segments):
    buffer = io.BytesIO()
    Image.fromarray(STORED).save(buffer, "JPEG")
    data = buffer.getvalue()
    parts = [b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body for body in segments]
    return data[:2] + b"".join(parts) + data[2:]


@pytest.mark.parametrize(
    ("segments", "orientation"),
    [
        ([exif_of(6)], 6),
        ([exif_of(6, ">")], 6),
        ([exif_of(6, kind=4)], 6),
        ([b"http://ns.adobe.com/xap/1.0/\0<x/>", exif_of(3)], 3),
        ([exif_of(8), exif_of(3)], 8),  # the first
        ([exif_of(0)], 1),
        ([exif_of(9)], 1),
        ([exif_of(6)[:20]], 1),  # broken EXIF data do not spoil the picture
        ([b"Exif\0\0"], 1),
        ([b"Exif\0\0II*\0\xff\xff\xff\xff"], 1),
        ([], 1),
    ],
)
def test_exif_data_of_a_jpeg(segments, orientation, tmp_path):
    data = jpeg_with(*segments)
    image, found = read_oriented(data)
    assert found == orientation
    assert image.shape[:2] == ((WIDTH, HEIGHT) if orientation >= 5 else (HEIGHT, WIDTH))
    file = tmp_path / "a.jpg"
    file.write_bytes(data)
    assert size_and_orientation(file) == ((WIDTH, HEIGHT), orientation)


def test_the_size_and_orientation_of_a_jpeg_behind_a_long_preamble_and_of_one_cut_off(tmp_path):
    file = tmp_path / "a.jpg"
    file.write_bytes(jpeg_with(bytes(60_000), bytes(60_000), exif_of(6)))
    assert size_and_orientation(file) == ((WIDTH, HEIGHT), 6)
    file.write_bytes(jpeg_with(exif_of(6))[:-100])
    assert size_and_orientation(file) == ((WIDTH, HEIGHT), 6)


def test_a_png_may_have_its_exif_data_behind_the_pixels():
    plain = cv2.imencode(".png", STORED[..., ::-1])[1].tobytes()
    exif = exif_of(7, prefix=b"")
    chunk = b"eXIf" + exif
    chunk = struct.pack(">I", len(exif)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    image, orientation = read_oriented(plain[:-12] + chunk + plain[-12:])
    assert orientation == 7
    np.testing.assert_array_equal(image, turn_upright(STORED, 7))
    assert read_oriented(plain + chunk)[1] == 1  # after its end


def test_a_webp_may_have_exif_data_with_jpeg_s_prefix():
    data = encoded("WEBP", 5)
    start = data.index(b"EXIF")
    exif = exif_of(8)
    exif += bytes(len(exif) % 2)
    data = data[:start] + b"EXIF" + struct.pack("<I", len(exif)) + exif
    data = data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
    image, orientation = read_oriented(data)
    assert orientation == 8
    np.testing.assert_array_equal(image, turn_upright(STORED, 8))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_opencv_is_never_left_to_turn(form, monkeypatch):
    """Its versions disagree on which formats they turn."""
    decode = cv2.imdecode

    def checked(data, flags):
        assert flags & cv2.IMREAD_IGNORE_ORIENTATION
        if form == "TIFF":  # which the flag does not reach
            assert read_header(data.tobytes()).orientation == 1
        return decode(data, flags)

    monkeypatch.setattr(cv2, "imdecode", checked)
    assert read_image(encoded(form, 6)).shape == (WIDTH, HEIGHT, 3)
    assert read_image(encoded(form, 6), orient=False).shape == (HEIGHT, WIDTH, 3)


# --- bytes alone ----------------------------------------------------------------------------


def test_bytes_are_decoded_by_the_call_s_limit_and_not_by_the_environment_s(monkeypatch):
    data = encoded("PNG", 1)
    monkeypatch.setenv("HRNET_MAX_PIXELS", "nonsense")
    np.testing.assert_array_equal(decode_image(data, max_pixels=WIDTH * HEIGHT), STORED)
    monkeypatch.setenv("HRNET_MAX_PIXELS", "1e9")
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(ImageError) as refused:
        decode_image(data, max_pixels=WIDTH * HEIGHT - 1)
    assert str(refused.value) == "the picture has 56 x 40 pixels, more than 2,239; make it smaller"


@pytest.mark.parametrize("source", ["a.png", "http://127.0.0.1/a.png"])
def test_the_door_for_bytes_opens_no_path_and_no_url(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").write_bytes(encoded("PNG", 1))
    with pytest.raises(ImageError, match="the picture is not a picture"):
        decode_image(source.encode(), max_pixels=10**6)
    with pytest.raises(ImageError, match="a str is no encoded picture; give its bytes"):
        decode_image(source, max_pixels=10**6)


def test_bytes_are_turned_unless_told_not_to():
    data = encoded("PNG", 6)
    assert decode_image(data, max_pixels=10**6).shape == (WIDTH, HEIGHT, 3)
    np.testing.assert_array_equal(decode_image(data, max_pixels=10**6, orient=False), STORED)
