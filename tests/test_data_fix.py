"""`hrnet data fix`: what has one way to be mended is, and nothing else."""

import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

from hrnet.cli import app
from hrnet.data import fix as fixes
from hrnet.data.check.checking import check
from hrnet.data.coco import read_coco
from hrnet.data.fix import fix
from hrnet.errors import ConfigError
from hrnet.images.orientation import to_upright
from planted import COCO, data_set, tagged, write
from test_data_check import PLANTS

MENDED = {
    *("bad_id", "duplicate_file_name", "bad_picture_entry", "duplicate_annotation_id", "bad_box"),
    *("box_outside", "bad_visibility", "labelled_at_origin", "wrong_num_keypoints"),
    *("same_person_twice", "no_area", "orientation"),
}


def kinds(file):
    return {finding.kind for finding in check(file).findings}


@pytest.mark.parametrize("plant", PLANTS)
def test_every_planted_fault_is_mended_or_left_for_check(tmp_path, plant):
    content = data_set(tmp_path)
    image, person = content["images"][4], content["annotations"][4]
    planted = set(plant(tmp_path, content, image, person))
    file = write(tmp_path, content)
    before = file.read_bytes()
    made = fix(file, tmp_path / "fixed.json")
    assert file.read_bytes() == before
    left = kinds(tmp_path / "fixed.json")
    assert left & MENDED == set()
    # Two entries of one file leave the other picture without its people; a turned one is turned.
    assert left <= planted - MENDED | {"picture_without_people", "turned_picture"}
    if planted & MENDED:
        assert sum(made.values()) > 0
    again = fix(tmp_path / "fixed.json", tmp_path / "twice.json")
    assert not again
    assert (tmp_path / "twice.json").read_bytes() == (tmp_path / "fixed.json").read_bytes()


def test_a_data_set_without_faults_stays_as_it_is(tmp_path):
    content = data_set(tmp_path)
    assert not fix(write(tmp_path, content), tmp_path / "fixed.json")
    assert json.loads((tmp_path / "fixed.json").read_text()) == json.loads(json.dumps(content))


def mended(tmp_path, change):
    """The fifth picture and person, what was made, and the person as planted."""
    content = data_set(tmp_path)
    person = json.loads(json.dumps(content["annotations"][4]))
    change(content["images"][4], content["annotations"][4])
    made = fix(write(tmp_path, content), tmp_path / "fixed.json")
    fixed = json.loads((tmp_path / "fixed.json").read_text())
    return fixed["images"][4], fixed["annotations"][4], dict(made), person


def test_text_becomes_numbers(tmp_path):
    def change(image, person):
        image.update(id=str(image["id"]), width=f"{image['width']}", height=180.0)
        person.update(image_id=str(person["image_id"]), area="8000", category_id="1")
        person["keypoints"] = [str(value) for value in person["keypoints"]]

    image, person, made, other = mended(tmp_path, change)
    assert (image["width"], image["height"]) == (120, 180)
    assert person["image_id"] == image["id"]
    assert (person["area"], person["category_id"]) == (8000, 1)
    assert person["keypoints"] == other["keypoints"]
    assert made == {fixes.NUMBERS: 6, fixes.FORM: 1}


def test_points_in_threes_and_nothing_for_a_number(tmp_path):
    def change(image, person):
        person["keypoints"] = np.reshape(person["keypoints"], (17, 3)).tolist()
        person["keypoints"][3] = [None, None, 0]

    _, person, made, other = mended(tmp_path, change)
    assert person["keypoints"] == [*other["keypoints"][:9], 0, 0, 0, *other["keypoints"][12:]]
    assert person["num_keypoints"] == 16
    assert made == {fixes.FORM: 1, fixes.COUNTS: 1}


@pytest.mark.parametrize("nothing", [None, "x", math.nan])
def test_a_labelled_joint_without_a_place_is_left_alone(tmp_path, nothing):
    """Nobody knows where it is, or whether it was to be labelled."""

    def change(image, person):
        person["keypoints"][0] = nothing

    _, person, made, other = mended(tmp_path, change)
    assert made == {}
    assert person["keypoints"][1:] == other["keypoints"][1:]


def test_a_size_that_is_not_the_file_s_is_left_alone(tmp_path):
    """The labels may be of a copy of that size."""
    image, _, made, _ = mended(tmp_path, lambda image, person: image.update(width=60, height=90))
    assert (image["width"], image["height"]) == (60, 90)
    assert made == {}


def test_a_missing_size_of_a_turned_picture_is_left_missing(tmp_path):
    """It would say whether the labels are of the upright picture, which nobody said."""
    content = data_set(tmp_path)
    image = content["images"][4]
    file = tmp_path / "images" / image["file_name"]
    file.write_bytes(tagged(file.read_bytes(), 6))
    del image["width"]
    assert not fix(write(tmp_path, content), tmp_path / "fixed.json")
    assert "orientation" in kinds(tmp_path / "fixed.json")


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_labels_of_the_upright_picture_come_to_lie_on_the_stored_one(tmp_path, orientation):
    """The same pixels: what is turned upright again is where it was."""
    content = data_set(tmp_path)
    image, person = content["images"][4], content["annotations"][4]
    file = tmp_path / "images" / image["file_name"]
    file.write_bytes(tagged(file.read_bytes(), orientation))
    image.update(width=image["height"], height=image["width"])  # now of the upright one
    person["bbox"] = [20, 10, 60, 90]
    old = np.reshape(person["keypoints"], (17, 3)).astype(float)
    made = fix(write(tmp_path, content), tmp_path / "fixed.json")
    assert made[fixes.TURNED] == 1
    fixed = json.loads((tmp_path / "fixed.json").read_text())
    size = fixed["images"][4]["width"], fixed["images"][4]["height"]
    assert size == (image["height"], image["width"])
    new = np.reshape(fixed["annotations"][4]["keypoints"], (17, 3)).astype(float)
    np.testing.assert_allclose(to_upright(new[:, :2], orientation, size), old[:, :2])
    x, y, w, h = fixed["annotations"][4]["bbox"]
    corners = to_upright(np.array([[x, y], [x + w - 1, y + h - 1]]), orientation, size)
    np.testing.assert_allclose(np.sort(corners, axis=0), [[20, 10], [79, 99]])


def test_another_folder_gets_links_and_the_command_says_what_was_made(tmp_path):
    content = data_set(tmp_path / "in")
    content["annotations"][2]["keypoints"][2] = 3
    file = write(tmp_path / "in", content)
    out = tmp_path / "out" / "people.json"
    result = CliRunner().invoke(app, ["data", "fix", str(file), str(out)])
    assert result.exit_code == 0, result.output
    assert f"      1  {fixes.VISIBILITY}\n" in result.output
    assert all(path.is_file() for path in read_coco(out).files)
    assert len(read_coco(out)) == len(content["annotations"])
    with pytest.raises(ConfigError, match="is the file to mend"):
        fix(file, file)
    assert COCO.name == "coco17"
