import functools
import http.server
import io
import struct
import threading
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, features

from hrnet.errors import ConfigError, DownloadError, ImageError
from hrnet.images import read_image, write_image

RNG = np.random.default_rng(0)
SMOOTH = cv2.GaussianBlur(RNG.integers(0, 255, (60, 90, 3), dtype=np.uint8), (0, 0), 3)
ORIENTATION = 0x112


def encoded(form, picture=SMOOTH, mode=None, **options):
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow writes no AVIF")
    buffer = io.BytesIO()
    Image.fromarray(picture).convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


def opened(data):
    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))


def turned(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def with_thumbnail(jpeg, thumbnail):
    """The JPEG with a small one in an APP1 segment, as cameras write it."""
    body = b"Exif\0\0" + thumbnail
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def png_of_size(width, height):
    def chunk(name, data):
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def jpeg_of_size(width, height):
    data = bytearray(encoded("JPEG"))
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = struct.pack(">HH", height, width)
    return bytes(data)


# --- what is read ---------------------------------------------------------------------------


def test_a_path_bytes_a_pil_image_and_an_array_give_the_same_rgb(tmp_path):
    data = encoded("PNG")
    file = tmp_path / "a.png"
    file.write_bytes(data)
    for source in (file, str(file), data, bytearray(data), Image.open(file), SMOOTH):
        np.testing.assert_array_equal(read_image(source), SMOOTH)


def test_a_grey_array_becomes_three_equal_channels():
    grey = SMOOTH[..., 0]
    for source in (grey, grey[..., None]):
        image = read_image(source)
        assert image.shape == (60, 90, 3)
        np.testing.assert_array_equal(image, np.stack([grey] * 3, axis=2))


def test_alpha_is_dropped_before_bgr_is_turned_round():
    alpha = np.full((60, 90, 1), 7, np.uint8)
    rgba = np.concatenate([SMOOTH, alpha], axis=2)
    bgra = np.concatenate([SMOOTH[..., ::-1], alpha], axis=2)
    np.testing.assert_array_equal(read_image(rgba), SMOOTH)
    np.testing.assert_array_equal(read_image(bgra, color="bgr"), SMOOTH)
    np.testing.assert_array_equal(read_image(encoded("PNG", rgba)), SMOOTH)


def test_an_unknown_order_of_channels_is_refused_rather_than_taken_for_rgb():
    with pytest.raises(ImageError, match=r"'BGR'.*'rgb' or 'bgr'"):
        read_image(SMOOTH, color="BGR")


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_keep_their_upper_eight(channels):
    wide = RNG.integers(0, 65536, (20, 30, channels)).astype(np.uint16)
    expected = np.repeat(wide >> 8, 3 // channels, axis=2)
    np.testing.assert_array_equal(read_image(wide), expected)
    png = cv2.imencode(".png", wide[..., ::-1])[1].tobytes()
    np.testing.assert_array_equal(read_image(png), expected)
    if channels == 1:  # PIL itself would clip to 255
        np.testing.assert_array_equal(read_image(Image.open(io.BytesIO(png))), expected)


@pytest.mark.parametrize("kind", [np.float32, np.float64, bool, np.int64, object])
def test_other_numbers_than_uint8_and_uint16_are_refused(kind):
    with pytest.raises(ImageError, match="convert it to uint8"):
        read_image(SMOOTH.astype(kind))


@pytest.mark.parametrize("shape", [(), (5,), (0, 5, 3), (5, 0), (5, 5, 2), (2, 5, 5, 3)])
def test_arrays_that_are_no_pictures_are_refused(shape):
    with pytest.raises(ImageError, match="is not a picture"):
        read_image(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pil_modes_without_a_range_are_refused(mode):
    with pytest.raises(ImageError, match=f"mode {mode} is not supported"):
        read_image(Image.fromarray(SMOOTH).convert(mode))


@pytest.mark.parametrize("source", [None, 5, ["a.png"], ("a.png",)])
def test_other_things_are_refused_by_their_type(source):
    with pytest.raises(ImageError, match=f"cannot be a {type(source).__name__}"):
        read_image(source)


@pytest.mark.parametrize(
    ("form", "mode"),
    [
        *[(form, mode) for form in ("PNG", "TIFF", "WEBP", "GIF") for mode in ("L", "RGBA", "P")],
        ("PNG", "LA"), ("PNG", "1"), ("TIFF", "1"), ("TIFF", "CMYK"), ("BMP", "L"), ("BMP", "P"),
        ("JPEG", "L"), ("JPEG", "CMYK"), ("JPEG2000", "RGB"), ("PPM", "RGB"), ("PPM", "L"),
        ("AVIF", "RGB"), ("AVIF", "RGBA"),
    ],
)  # fmt: skip
def test_every_mode_of_every_format_is_what_pillow_reads(form, mode):
    data = encoded(form, mode=mode)
    # The libraries round CMYK differently. Inverted inks would be 100 off.
    assert np.abs(read_image(data).astype(int) - opened(data)).max() <= 1


def test_cmyk_without_adobe_s_marker_is_not_inverted_either():
    data = encoded("JPEG", mode="CMYK")
    start = data.index(b"\xff\xee")
    length = int.from_bytes(data[start + 2 : start + 4], "big")
    data = data[:start] + data[start + 2 + length :]
    assert np.abs(read_image(data).astype(int) - opened(data)).max() <= 1


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_of_an_animation_the_first_picture_is_read(form):
    data = encoded(form, save_all=True, append_images=[Image.fromarray(255 - SMOOTH)])
    assert len(data) > len(encoded(form))
    assert np.abs(read_image(data).astype(int) - opened(data)).max() <= 1
    assert np.abs(read_image(data).astype(int) - SMOOTH).mean() < 20  # GIF has few colours


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_picture_upright_by_either_library(form, orientation):
    stored = np.zeros((40, 60, 3), np.uint8)
    stored[:20, :30] = (250, 20, 20)  # red at the top left of the stored pixels
    data = encoded(form, stored, exif=turned(orientation))
    upright = read_image(data)
    assert upright.shape == ((40, 60, 3) if orientation < 5 else (60, 40, 3))
    corner = {
        1: (0, 0),
        2: (0, 1),
        3: (1, 1),
        4: (1, 0),
        5: (0, 0),
        6: (0, 1),
        7: (1, 1),
        8: (1, 0),
    }
    quarters = [[upright[5, 5], upright[5, -5]], [upright[-5, 5], upright[-5, -5]]]
    red = {(y, x) for y in (0, 1) for x in (0, 1) if quarters[y][x][0] > 200}
    assert red == {corner[orientation]}
    by_pil = read_image(Image.open(io.BytesIO(data)))
    assert np.abs(upright.astype(int) - by_pil).max() <= 8

    as_stored = read_image(data, orient=False)
    assert as_stored.shape == (40, 60, 3)
    assert as_stored[5, 5, 0] > 200
    if form != "TIFF":  # which Pillow itself turns, asked or not
        by_pil = read_image(Image.open(io.BytesIO(data)), orient=False)
        assert as_stored.shape == by_pil.shape


# --- what is refused ------------------------------------------------------------------------

WHOLE = {
    "baseline": encoded("JPEG"),
    "progressive": encoded("JPEG", progressive=True),
    "thumbnail": with_thumbnail(encoded("JPEG"), encoded("JPEG", SMOOTH[:16, :16].copy())),
    "png": encoded("PNG"),
    "webp": encoded("WEBP"),
    "lossless webp": encoded("WEBP", lossless=True),
    "bmp": encoded("BMP"),
    "tiff": encoded("TIFF"),
    "bigtiff": encoded("TIFF", big_tiff=True),
    "gif": encoded("GIF"),
    "jpeg 2000": encoded("JPEG2000"),
    "ppm": encoded("PPM"),
}
if features.check("avif"):
    WHOLE["avif"] = encoded("AVIF")


@pytest.mark.parametrize("name", WHOLE)
def test_a_cut_off_picture_is_refused_wherever_it_is_cut(name):
    data = WHOLE[name]
    assert read_image(data).shape == (60, 90, 3)
    for length in [*np.linspace(1, len(data) - 20, 40).astype(int), len(data) - 3]:
        with pytest.raises(ImageError):
            read_image(data[:length])


@pytest.mark.parametrize("name", ["baseline", "progressive", "thumbnail", "png", "webp"])
def test_the_message_says_that_a_picture_is_cut_off_and_which(name, tmp_path):
    file = tmp_path / "half.jpg"
    file.write_bytes(WHOLE[name][: int(len(WHOLE[name]) * 0.8)])
    with pytest.raises(ImageError, match=r"half\.jpg is cut off: its end is missing"):
        read_image(file)


@pytest.mark.parametrize("name", ["baseline", "progressive", "thumbnail", "png", "webp"])
@pytest.mark.parametrize("tail", [bytes(5000), b"a film \xff\xda\xff\xd8 in it", b"\xff\xd9"])
def test_what_follows_a_whole_picture_does_not_matter(name, tail):
    np.testing.assert_array_equal(read_image(WHOLE[name] + tail), read_image(WHOLE[name]))


def test_a_cut_off_pil_image_is_an_image_error_too():
    picture = Image.open(io.BytesIO(WHOLE["png"][: len(WHOLE["png"]) // 2]))
    with pytest.raises(ImageError, match="the PIL image cannot be read"):
        read_image(picture)


@pytest.mark.parametrize(
    ("content", "message"), [(b"hello", "not a picture"), (b"", "is empty"), (b"\xff\xd8", "cut")]
)
def test_files_that_are_no_pictures_are_named(tmp_path, content, message):
    file = tmp_path / "text.png"
    file.write_bytes(content)
    with pytest.raises(ImageError, match=rf"text\.png.*{message}"):
        read_image(file)


def test_a_missing_file_a_folder_and_an_impossible_name_are_told_apart(tmp_path):
    with pytest.raises(ImageError, match="there is no picture"):
        read_image(tmp_path / "none.png")
    with pytest.raises(ImageError, match="cannot be read: Is a directory"):
        read_image(tmp_path)
    with pytest.raises(ImageError, match="cannot be read"):
        read_image("a\0b.png")


def resized(name, size, *places):
    """A whole picture whose header, at the places, declares another width and height."""
    data = bytearray(WHOLE[name])
    for start, form in places:
        start = start if isinstance(start, int) else data.index(start) + len(start)
        struct.pack_into(form, data, start, *size)
    return bytes(data)


FRAME = WHOLE["gif"].index(b",\0\0\0\0Z\0<\0")

BOMBS = {
    "png": png_of_size(50_000, 40_000),
    "jpeg": jpeg_of_size(50_000, 40_000),
    "gif": resized("gif", (50_000, 40_000), (6, "<HH")),
    "gif frame": resized("gif", (50_000, 40_000), (FRAME + 5, "<HH")),
    "bmp": resized("bmp", (50_000, 40_000), (18, "<ii")),
    "bmp top down": resized("bmp", (50_000, -40_000), (18, "<ii")),
    "jpeg 2000": resized("jpeg 2000", (50_000, 40_000), (b"\xff\x4f\xff\x51\0\x2f\0\0", ">II")),
    "webp": resized("webp", (16_383, 16_383), (26, "<HH")),
    "lossless webp": resized("lossless webp", (16_383 | 16_383 << 14,), (21, "<I")),
    "tiff": resized("tiff", (50_000,), (b"\0\1\4\0\1\0\0\0", "<I"), (b"\1\1\4\0\1\0\0\0", "<I")),
    "ppm": b"P6 # large\n50000 40000 255\n" + bytes(100),
}  # fmt: skip
if features.check("avif"):
    BOMBS["avif"] = resized("avif", (50_000, 40_000), (b"ispe\0\0\0\0", ">II"))


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_that_declares_gigapixels_is_refused_before_it_is_decoded(name, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(ImageError, match=r"\d{5} x \d{5} pixels, more than 200,000,000"):
        read_image(BOMBS[name])


@pytest.mark.parametrize("name", WHOLE)
def test_the_limit_is_the_environment_s_and_inclusive(name, monkeypatch):
    monkeypatch.setenv("HRNET_MAX_PIXELS", str(60 * 90))
    assert read_image(WHOLE[name]).shape == (60, 90, 3)
    monkeypatch.setenv("HRNET_MAX_PIXELS", str(60 * 90 - 1))
    with pytest.raises(ImageError, match=r"90 x 60 pixels, more than 5,399.*HRNET_MAX_PIXELS"):
        read_image(WHOLE[name])
    with pytest.raises(ImageError, match=r"90 x 60 pixels, more than 5,399"):
        read_image(Image.open(io.BytesIO(WHOLE[name])))


@pytest.mark.parametrize("value", ["", "many", "-1", "inf", "nan"])
def test_a_limit_that_is_no_number_is_refused(value, monkeypatch):
    monkeypatch.setenv("HRNET_MAX_PIXELS", value)
    with pytest.raises(ConfigError, match=f"HRNET_MAX_PIXELS is '{value}'"):
        read_image(WHOLE["png"])


def test_a_format_that_opencv_lacks_is_named():
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(50)
    with pytest.raises(ImageError, match="is HEIC, which OpenCV does not read; convert it to JPEG"):
        read_image(heic)
    with pytest.raises(ImageError, match="is JPEG XL"):
        read_image(b"\xff\x0a" + bytes(50))
    with pytest.raises(ImageError, match="is a broken PNM picture, or of a kind that OpenCV"):
        read_image(b"P6 9 9 255\n")


def test_a_url_is_read_by_its_content(tmp_path):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    (tmp_path / "a.png").write_bytes(WHOLE["png"])
    handler = functools.partial(Quiet, directory=tmp_path)
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        np.testing.assert_array_equal(read_image(f"{url}/a.png?size=3"), SMOOTH)
        with pytest.raises(DownloadError, match=r"none\.png"):
            read_image(f"{url}/none.png")
        server.shutdown()


@pytest.mark.parametrize("name", ["baseline", "progressive", "thumbnail", "png", "webp"])
def test_any_damaged_file_is_a_picture_or_an_image_error(name):
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(150):
        data = bytearray(WHOLE[name])
        for _ in range(rng.integers(1, 6)):
            kind, position = rng.integers(4), rng.integers(len(data) - 1)
            if kind == 0:
                data[position] = rng.integers(256)
            elif kind == 1:
                del data[position : position + rng.integers(1, 50)]
            elif kind == 2:
                data[position:position] = rng.bytes(rng.integers(1, 50))
            else:
                data[position] ^= 1 << rng.integers(8)
        try:
            image = read_image(bytes(data))
        except ImageError:
            refused += 1
        else:
            assert image.dtype == np.uint8
            assert image.ndim == 3
            assert image.shape[2] == 3
    assert refused > 10


# --- writing --------------------------------------------------------------------------------


def test_a_png_comes_back_as_it_was_written_and_its_folder_is_made(tmp_path):
    file = tmp_path / "new" / "deep" / "a.png"
    write_image(file, SMOOTH)
    np.testing.assert_array_equal(read_image(file), SMOOTH)
    assert [f.name for f in file.parent.iterdir()] == ["a.png"]


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.txt"])
def test_an_unknown_format_is_refused_and_leaves_nothing(tmp_path, name):
    with pytest.raises(ImageError, match="there is no picture format"):
        write_image(tmp_path / name, SMOOTH)
    assert list(tmp_path.iterdir()) == []


def test_an_array_that_is_no_picture_is_not_blamed_on_the_format(tmp_path):
    with pytest.raises(ImageError, match=r"shape \(60, 90, 2\).*\(H, W, 3\)"):
        write_image(tmp_path / "a.png", SMOOTH[..., :2])
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    file = tmp_path / "a.png"
    write_image(file, SMOOTH)

    def full(self, data):
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write_image(file, 255 - SMOOTH)
    np.testing.assert_array_equal(read_image(file), SMOOTH)
    assert [f.name for f in tmp_path.iterdir()] == ["a.png"]
