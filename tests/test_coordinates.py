"""One rule for pixels: what comes from COCO-format files is in those of the picture as stored, what
somebody measures on the screen in those of the picture as shown; what is written says which."""

import json

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from hrnet.cli import app
from hrnet.data.annotations import pictures_folder
from hrnet.images import read_image, write_image
from planted import tagged
from real_data import real_data

pytestmark = pytest.mark.usefixtures("whole_pictures")

ORIENTATIONS = range(1, 9)


def run(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    """Makes the first of COCO's pictures with an orientation, with its annotations and boxes."""
    original = real_data("formats/coco/test_coco.json")
    content = json.loads(original.read_text())
    labelled = [a for a in content["annotations"] if a["num_keypoints"] > 5 and not a["iscrowd"]]
    image_id = labelled[0]["image_id"]
    (image,) = (i for i in content["images"] if i["id"] == image_id)
    people = [a for a in labelled if a["image_id"] == image_id]
    jpeg = (pictures_folder(original) / image["file_name"]).read_bytes()
    assert b"Exif" not in jpeg[:200]

    def make(orientation):
        folder = tmp_path_factory.mktemp(f"orientation{orientation}")
        (folder / image["file_name"]).write_bytes(tagged(jpeg, orientation))
        few = {**content, "images": [image], "annotations": people}
        (folder / "people.json").write_text(json.dumps(few))
        boxes = [{k: a[k] for k in ("image_id", "category_id", "bbox")} for a in people]
        (folder / "boxes.json").write_text(json.dumps(boxes))
        return folder

    return make


def round_trip(folder):
    """Annotations -> predict with their boxes -> COCO results -> evaluate."""
    people, results = folder / "people.json", folder / "out" / "coco_results.json"
    run(
        *("predict", next(folder.glob("*.jpg")), "--boxes", folder / "boxes.json"),
        *("--annotations", people, "--save", "coco,json", "--out", folder / "out"),
    )
    run("evaluate", "--data", people, "--predictions", results, "--out", folder / "report")
    run("evaluate", "--data", people, "--out", folder / "direct")
    figures = [
        json.loads((folder / report / "figures.json").read_text())["figures"]
        for report in ("report", "direct")
    ]
    return json.loads(results.read_text()), *figures


@pytest.fixture(scope="module")
def plain(data_set):
    return round_trip(data_set(1))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_coco_boxes_and_results_are_in_stored_pixels(data_set, plain, orientation):
    folder = data_set(orientation)
    rows, by_results, direct = round_trip(folder)
    assert by_results == plain[1]
    assert direct == plain[2]
    assert [row["keypoints"] for row in rows] == [row["keypoints"] for row in plain[0]]
    (answer,) = (folder / "out").glob("0*.json")
    assert json.loads(answer.read_text())["image"]["pixels"] == "stored"


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_what_is_found_upright_goes_to_coco_s_results_as_stored(tmp_path, data_set, orientation):
    """Without boxes the picture is looked at as shown; its JSON file is of that, and says so."""
    folder = data_set(orientation)
    (file,) = folder.glob("*.jpg")
    run("predict", file, "--save", "coco,labels,json,csv,image", "--out", folder / "out")
    (row,) = json.loads((folder / "out/coco_results.json").read_text())
    content = json.loads((folder / f"out/{file.stem}.json").read_text())
    upright = read_image(file)
    assert content["image"]["pixels"] == "upright"
    assert content["image"]["orientation"] == orientation
    assert [content["image"][k] for k in ("height", "width")] == list(upright.shape[:2])
    assert "upright" in (folder / "out/poses.csv").read_text().splitlines()[1].split(",")
    assert read_image(folder / f"out/{file.name}").shape == upright.shape
    # The pixel at a joint is the same in both pictures.
    stored = read_image(file, orient=False)
    shown = np.array(content["people"][0]["keypoints"])[:, :2]
    kept = np.array(row["keypoints"]).reshape(-1, 3)[:, :2]
    compared = 0
    for (x, y), (u, v) in zip(shown, kept, strict=True):
        if 1 <= x < upright.shape[1] - 1 and 1 <= y < upright.shape[0] - 1:
            a, b = (
                cv2.getRectSubPix(i, (1, 1), p) for i, p in ((upright, (x, y)), (stored, (u, v)))
            )
            np.testing.assert_allclose(a.astype(int), b.astype(int), atol=1)
            compared += 1
    assert compared >= 10
    labels = json.loads((folder / "out/labels.json").read_text())
    (picture,), (person,) = labels["images"], labels["annotations"]
    assert [picture[k] for k in ("height", "width")] == list(stored.shape[:2])
    assert person["bbox"] == [0, 0, picture["width"] - 1, picture["height"] - 1]
    labelled = np.array(person["keypoints"]).reshape(-1, 3)
    probable = np.array(content["people"][0]["probability"]) >= 0.2
    assert np.array_equal(labelled[:, 2] == 2, probable)
    assert labelled[:, 2].max() == 2
    np.testing.assert_allclose(labelled[probable, :2], kept[probable], atol=0.006)
    assert not labelled[~probable].any()


def test_boxes_of_one_s_own_are_on_the_picture_as_shown(tmp_path):
    """A bright rectangle in the dark: its box on the screen finds it, whatever is stored."""
    shown = np.zeros((90, 60, 3), np.uint8)
    shown[10:30, 5:25] = 255
    write_image(tmp_path / "plain.jpg", np.rot90(shown))  # a quarter turn to the left
    jpeg = (tmp_path / "plain.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(tagged(jpeg, 6))  # turned back when shown
    (tmp_path / "boxes.json").write_text(json.dumps({"a.jpg": [[5, 10, 24, 29]]}))
    run(
        *("predict", tmp_path / "a.jpg", "--boxes", tmp_path / "boxes.json"),
        *("--save", "crops,json", "--out", tmp_path / "out"),
    )
    crop = read_image(tmp_path / "out/a.crops/0.png")
    height, width = crop.shape[:2]
    assert crop[height // 2, width // 2].min() > 200
    assert crop[:10].max() < 60
    content = json.loads((tmp_path / "out/a.json").read_text())
    assert (content["image"]["width"], content["image"]["height"]) == (60, 90)
