"""Well over a thousand damaged pictures and boxes files: each is read or refused, by an error of
ours."""

import io
import json
import sys

import cv2
import numpy as np
import pytest
from PIL import Image, features

from hrnet.cli import main
from hrnet.detection.boxes import check_boxes
from hrnet.detection.boxes_file import BoxesFile
from hrnet.errors import BoxError, ImageError
from hrnet.images import read_image
from hrnet.result import Poses

pytestmark = pytest.mark.usefixtures("whole_pictures")

RNG = np.random.default_rng(7)
PICTURE = cv2.GaussianBlur(RNG.integers(0, 255, (24, 32, 3), dtype=np.uint8), (0, 0), 2)


def encoded(form, **options):
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, form, **options)
    return buffer.getvalue()


EXIF = Image.Exif()
EXIF[0x112] = 6
PICTURES = {
    "jpg": encoded("JPEG", exif=EXIF),
    "progressive.jpg": encoded("JPEG", progressive=True),
    "png": encoded("PNG", exif=EXIF),
    "webp": encoded("WEBP", exif=EXIF),
    "lossless.webp": encoded("WEBP", lossless=True),
    "gif": encoded("GIF", save_all=True, append_images=[Image.fromarray(255 - PICTURE)]),
    "bmp": encoded("BMP"),
    "tif": encoded("TIFF", exif=EXIF),
    "lzw.tif": encoded("TIFF", compression="tiff_lzw"),
    "jp2": encoded("JPEG2000"),
    "ppm": encoded("PPM"),
    **({"avif": encoded("AVIF", exif=EXIF)} if features.check("avif") else {}),
}

NAMES = [f"{n}.png" for n in range(4)]
ROWS = [[1, 2, 20, 22, 0.5], [3, 4.25, 30, 20, 1], [-5, -5, 12, 12, 0.125]]
BOXES = {
    "json": json.dumps(dict.fromkeys(NAMES, ROWS)).encode(),
    "csv": "".join(
        f"{name},{','.join(map(str, row))}\n" for name in NAMES for row in ROWS
    ).encode(),
    "coco.json": json.dumps(
        [
            {"image_id": n, "category_id": 1, "bbox": row[:4], "score": row[4]}
            for n in range(4)
            for row in ROWS[:2]
        ]
    ).encode(),
}


def damaged(whole, others, rng):
    """One to three faults: bytes changed, cut off, cut out, put in, or another file's beginning."""
    data = bytearray(whole)
    for _ in range(rng.integers(1, 4)):
        if not data:
            break
        position = int(rng.integers(len(data)))
        match rng.integers(6):
            case 0:
                for place in rng.integers(len(data), size=rng.integers(1, 9)):
                    data[place] = rng.integers(256)
            case 1:  # headers are short, and where sizes are
                data[int(rng.integers(min(64, len(data))))] ^= 1 << int(rng.integers(8))
            case 2:
                del data[position:]
            case 3:
                del data[position : position + int(rng.integers(1, 60))]
            case 4:
                other = others[rng.integers(len(others))]
                start = int(rng.integers(len(other)))
                data[position:position] = other[start : start + int(rng.integers(1, 60))]
            case 5:
                length = int(rng.integers(2, 40))
                data[:length] = others[rng.integers(len(others))][:length]
    return bytes(data)


@pytest.mark.parametrize("name", PICTURES)
def test_damaged_pictures(name, monkeypatch):
    monkeypatch.setenv("HRNET_MAX_PIXELS", "1e6")  # the limit itself has tests of its own
    rng = np.random.default_rng(len(name))
    refused = 0
    for number in range(80):
        data = damaged(PICTURES[name], list(PICTURES.values()), rng)
        try:
            image = read_image(data, orient=bool(number % 2))
        except ImageError as error:
            assert str(error).startswith("the picture ")
            refused += 1
        else:
            assert (image.dtype, image.ndim, image.shape[2]) == (np.uint8, 3, 3)
            assert image.size > 0
    assert refused > 20


@pytest.mark.parametrize("name", BOXES)
def test_damaged_boxes_files(name, tmp_path):
    rng = np.random.default_rng(len(name))
    file = tmp_path / f"boxes.{name}"
    refused = 0
    pictures = [f"/data/{picture}" for picture in NAMES]
    for _ in range(150):
        file.write_bytes(damaged(BOXES[name], list(BOXES.values()), rng))
        try:
            read = BoxesFile(file, pictures, range(4))
            for picture in pictures:
                boxes, scores = check_boxes(read.of(picture), 32, 24)
                assert np.isfinite(boxes).all()
                assert boxes.shape == (len(scores), 4)
        except BoxError:
            refused += 1
    assert refused > 20


def test_a_folder_of_damaged_pictures(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HRNET_MAX_PIXELS", "1e6")
    rng = np.random.default_rng(1)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/whole.png").write_bytes(PICTURES["png"])
    for number in range(60):
        ending, whole = list(PICTURES.items())[number % len(PICTURES)]
        data = damaged(whole, list(PICTURES.values()), rng)
        (tmp_path / "in" / f"{number}.{ending}").write_bytes(data)

    arguments = ["predict", "in", "--save", "json,coco,csv", "--quiet", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["hrnet", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    out, err = capsys.readouterr()
    errors = err.splitlines()
    assert all(line.startswith("error: in/") for line in errors)
    found = [json.loads(line) for line in out.splitlines()]
    assert len(found) + len(errors) == 61

    results = tmp_path / "predictions"
    files = {file.name for file in results.iterdir()}
    tables = {"coco_results.json", "poses.csv", ".hrnet-progress.jsonl"}
    assert len(files - tables) == len(found)  # and nothing half-written beside them
    for name in files - tables:
        Poses.from_dict(json.loads((results / name).read_text()))
    assert len(json.loads((results / "coco_results.json").read_text())) == len(found)
    assert (results / "poses.csv").read_text().count("\n") == len(found) + 1
