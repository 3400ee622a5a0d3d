import json
import math
import shutil

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from hrnet.cli import app, main
from hrnet.data.check import sheet
from hrnet.data.check.checking import check
from hrnet.data.check.findings import FAULTS, NOTES
from hrnet.data.check.sides import mirrored_faces, suspected_swaps, swapped_pairs
from hrnet.data.coco import read_coco
from hrnet.data.reading import read_people, read_skeleton
from hrnet.errors import ConfigError, DataError
from hrnet.images import read_image
from hrnet.skeletons import find_skeleton, skeleton_of_category
from hrnet.training.recipe import load_recipe
from planted import COCO, data_set, facing, tagged, write
from real_data import real_data


def kinds(report):
    """The ids found of each kind."""
    return {finding.kind: [id_ for id_, _ in finding.cases] for finding in report.findings}


def joint(annotation, name, *xyv):
    k = 3 * COCO.index(name)
    annotation["keypoints"][k : k + 3] = xyv


def exchanged(keypoints, *names):
    """(..., 17, 3) with left and right of some pairs exchanged."""
    order = np.arange(17)
    for name in names:
        i, j = COCO.index(f"left_{name}"), COCO.index(f"right_{name}")
        order[[i, j]] = j, i
    return keypoints[..., order, :]


def exchange(annotation, *names):
    keypoints = np.reshape(annotation["keypoints"], (17, 3))
    annotation["keypoints"] = exchanged(keypoints, *names).ravel().tolist()


# One fault (or thing worth a note) each: how it is planted at a picture and its person, and what is
# then to be found. Picture n has person 100 + n. Picture 1 stays as it is.


def bad_id(folder, content, image, person):
    person["id"] = "x"
    return {"bad_id": ["x"]}


def duplicate_image_id(folder, content, image, person):
    shutil.copy(folder / "images" / "1.jpg", folder / "images" / "again.jpg")
    content["images"].append({**image, "file_name": "again.jpg"})
    return {"duplicate_image_id": [image["id"]]}


def duplicate_file_name(folder, content, image, person):
    image["file_name"] = "1.jpg"
    return {"duplicate_file_name": [image["id"]]}


def bad_picture_entry(folder, content, image, person):
    del image["width"]
    return {"bad_picture_entry": [image["id"]]}


def missing_picture(folder, content, image, person):
    (folder / "images" / image["file_name"]).unlink()
    return {"missing_picture": [image["id"]]}


def broken_picture(folder, content, image, person):
    file = folder / "images" / image["file_name"]
    file.write_bytes(file.read_bytes()[:-100])
    return {"broken_picture": [image["id"]]}


def orientation(folder, content, image, person):
    file = folder / "images" / image["file_name"]
    cv2.imwrite(str(file), cv2.rotate(cv2.imread(str(file)), cv2.ROTATE_90_COUNTERCLOCKWISE))
    file.write_bytes(tagged(file.read_bytes(), 6))
    return {"orientation": [image["id"]]}


def turned_picture(folder, content, image, person):
    file = folder / "images" / image["file_name"]
    file.write_bytes(tagged(file.read_bytes(), 8))
    return {"turned_picture": [image["id"]]}


def wrong_size(folder, content, image, person):
    image.update(width=180, height=120)
    return {"wrong_size": [image["id"]]}


def other_keypoints(folder, content, image, person):
    content["categories"].append({"id": 3, "name": "woman", "keypoints": COCO.keypoints[::-1]})
    person["category_id"] = 3
    return {"other_keypoints": [3], "other_category": [person["id"]]}


def unknown_image(folder, content, image, person):
    person["image_id"] = 9999
    return {"unknown_image": [person["id"]], "picture_without_people": [image["id"]]}


def unknown_category(folder, content, image, person):
    person["category_id"] = 99
    return {"unknown_category": [person["id"]]}


def duplicate_annotation_id(folder, content, image, person):
    person["id"] = 101
    return {"duplicate_annotation_id": [101]}


def bad_box(folder, content, image, person):
    person["bbox"] = [10, 5, math.nan, 165]
    return {"bad_box": [person["id"]]}


def box_outside(folder, content, image, person):
    person["bbox"] = [121, 5, 400, 400]
    return {"box_outside": [person["id"]]}


def bad_area(folder, content, image, person):
    person["area"] = 120 * 180 + 1
    return {"bad_area": [person["id"]]}


def bad_keypoints(folder, content, image, person):
    person["keypoints"].pop()
    return {"bad_keypoints": [person["id"]]}


def bad_visibility(folder, content, image, person):
    person["keypoints"][2] = 3
    return {"bad_visibility": [person["id"]]}


def labelled_at_origin(folder, content, image, person):
    joint(person, "nose", 0, 0, 2)
    return {"labelled_at_origin": [person["id"]]}


def wrong_num_keypoints(folder, content, image, person):
    person["num_keypoints"] = 16
    return {"wrong_num_keypoints": [person["id"]]}


def joint_outside_picture(folder, content, image, person):
    joint(person, "left_wrist", 121, 84, 1)
    return {"joint_outside_picture": [person["id"]]}


def joint_far_from_box(folder, content, image, person):
    person["bbox"] = [10, 5, 100, 80]
    return {"joint_far_from_box": [person["id"]]}


def all_joints_in_one_place(folder, content, image, person):
    person["keypoints"] = [60, 60, 2] * 17
    return {"all_joints_in_one_place": [person["id"]]}


def same_person_twice(folder, content, image, person):
    twin = {**person, "id": 1000 + person["id"]}
    content["annotations"].append(twin)
    return {"same_person_twice": [twin["id"]]}


def suspected_swap(folder, content, image, person):
    exchange(person, "elbow")
    return {"suspected_swap": [person["id"]]}


def box_partly_outside(folder, content, image, person):
    person["bbox"] = [-2, 5, 112, 165]
    return {"box_partly_outside": [person["id"]]}


def unlabelled_with_place(folder, content, image, person):
    joint(person, "left_ear", 58, 18, 0)
    person["num_keypoints"] = 16
    return {"unlabelled_with_place": [person["id"]]}


def nobody_labelled(folder, content, image, person):
    person.update(keypoints=[0] * 51, num_keypoints=0)
    return {"nobody_labelled": [person["id"]]}


def no_area(folder, content, image, person):
    del person["area"]
    return {"no_area": [person["id"]]}


def crowd(folder, content, image, person):
    person.update(iscrowd=1, keypoints=[0] * 51, bbox=None)
    return {"crowd": [person["id"]]}


def picture_without_people(folder, content, image, person):
    content["annotations"].remove(person)
    return {"picture_without_people": [image["id"]]}


def other_category(folder, content, image, person):
    content["categories"].append({"id": 5, "name": "man", "keypoints": list(COCO.keypoints)})
    person["category_id"] = 5
    return {"other_category": [person["id"]]}


PLANTS = [
    bad_id, duplicate_image_id, duplicate_file_name, bad_picture_entry, missing_picture,
    broken_picture, orientation, turned_picture, wrong_size, other_keypoints, unknown_image,
    unknown_category, duplicate_annotation_id, bad_box, box_outside, bad_area, bad_keypoints,
    bad_visibility, labelled_at_origin, wrong_num_keypoints, joint_outside_picture,
    joint_far_from_box, all_joints_in_one_place, same_person_twice, suspected_swap,
    box_partly_outside, unlabelled_with_place, nobody_labelled, no_area, crowd,
    picture_without_people, other_category,
]  # fmt: skip
OF_THE_WHOLE_SET = {
    *("no_keypoint_names", "sides_swapped", "sides_mirrored", "never_labelled"),
    *("keypoint_named_twice", "unclear_pair", "not_mirrored"),
    *("named_otherwise", "unclear_picture"),  # test_finding.py
}


def test_a_data_set_without_faults_is_clean(tmp_path):
    report = check(write(tmp_path, data_set(tmp_path)))
    assert kinds(report) == {}
    assert report.ok
    assert (report.pictures, report.people, report.skeleton.name) == (12, 12, "coco17")
    assert report.labelled == dict.fromkeys(COCO.keypoints, 12)


@pytest.mark.parametrize("plant", PLANTS)
def test_each_fault_alone(tmp_path, plant):
    content = data_set(tmp_path)
    image, person = content["images"][4], content["annotations"][4]
    found = plant(tmp_path, content, image, person)
    report = check(write(tmp_path, content))
    assert kinds(report) == found
    assert report.ok == (plant.__name__ in NOTES)


def test_all_faults_at_once(tmp_path):
    """One of every kind, each at another person."""
    assert {plant.__name__ for plant in PLANTS} | OF_THE_WHOLE_SET == set(FAULTS) | set(NOTES)
    content = data_set(tmp_path, people=len(PLANTS) + 1)
    pairs = list(zip(content["images"], content["annotations"], strict=True))[1:]
    expected = {}
    for plant, (image, person) in zip(PLANTS, pairs, strict=True):
        for kind, ids in plant(tmp_path, content, image, person).items():
            expected.setdefault(kind, []).extend(ids)
    report = check(write(tmp_path, content))
    assert kinds(report) == expected
    assert [f.kind for f in report.findings if f.is_fault] == [k for k in FAULTS if k in expected]


@pytest.mark.parametrize(
    ("names", "swapped"),
    [
        (["wrist"], ["left_wrist/right_wrist"]),
        (["elbow"], ["left_elbow/right_elbow"]),
        (["shoulder", "elbow", "wrist"], ["left_elbow/right_elbow", "left_shoulder/right_shoulder",
                                          "left_wrist/right_wrist"]),
        (["knee", "eye"], ["left_eye/right_eye", "left_knee/right_knee"]),
    ],
)  # fmt: skip
def test_sides_exchanged_in_the_whole_set_are_a_fault(tmp_path, names, swapped):
    content = data_set(tmp_path)
    for person in content["annotations"]:
        exchange(person, *names)
    assert {k: sorted(v) for k, v in kinds(check(write(tmp_path, content))).items()} == {
        "sides_swapped": swapped
    }


def test_the_viewers_left_for_the_persons_is_a_fault(tmp_path):
    content = data_set(tmp_path)
    every = {name.removeprefix("left_") for name in COCO.keypoints if name.startswith("left_")}
    for person in content["annotations"]:
        exchange(person, *every)
    assert kinds(check(write(tmp_path, content))) == {"sides_mirrored": ["12 of 12 faces"]}


def test_a_keypoint_that_nobody_has_is_noted(tmp_path):
    content = data_set(tmp_path)
    for person in content["annotations"]:
        joint(person, "left_ear", 0, 0, 0)
        person["num_keypoints"] = 16
    assert kinds(check(write(tmp_path, content))) == {"never_labelled": ["left_ear"]}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"bbox": [10, 5, 0, 165]}, "bad_box"),
        ({"bbox": [10, 5, 1, 165]}, "bad_box"),
        ({"bbox": None}, "bad_box"),
        ({"bbox": [10, 5, 100]}, "bad_box"),
        ({"bbox": "10 5 100 165"}, "bad_box"),
        ({"bbox": [10, 5, True, 165]}, "bad_box"),
        ({"bbox": [-150, 5, 150.5, 165]}, "box_outside"),
        ({"area": 0}, "bad_area"),
        ({"area": math.inf}, "bad_area"),
        ({"area": None}, "no_area"),
        ({"area": "8000"}, "bad_area"),
        ({"area": 10**400}, "bad_area"),
        ({"keypoints": "50 20 2"}, "bad_keypoints"),
        ({"keypoints": None}, "nobody_labelled"),
        ({"keypoints": [math.nan] * 51}, "bad_keypoints"),
        ({"keypoints": [10**400] * 51}, "bad_keypoints"),
        ({"image_id": [5]}, "unknown_image"),
        ({"image_id": {}}, "unknown_image"),
        ({"category_id": [5]}, "unknown_category"),
        ({"id": None}, "bad_id"),
        ({"id": 1.5}, "bad_id"),
    ],
)
def test_values_of_odd_kinds_are_faults_and_not_failures(tmp_path, changes, kind):
    content = data_set(tmp_path)
    content["annotations"][4].update(changes)
    assert next(iter(kinds(check(write(tmp_path, content))))) == kind


def test_a_file_of_which_nothing_can_be_read(tmp_path):
    content = data_set(tmp_path, people=2)
    content["categories"] = []
    content["images"] = [{"id": 1, "file_name": 3, "width": 10**400, "height": True}]
    for keypoints in ([], [1, 2], None):
        for person in content["annotations"]:
            person["keypoints"] = keypoints
        report = check(write(tmp_path, content))
        assert kinds(report)["bad_picture_entry"] == [1]
        assert kinds(report)["unknown_category"] == [101, 102]
        assert report.labelled == {}


def test_sizes_are_those_of_the_pictures_as_stored(tmp_path):
    """As for training: orientation in EXIF data does not count."""
    content = data_set(tmp_path)
    file = tmp_path / "images" / "1.jpg"
    file.write_bytes(tagged(file.read_bytes(), 6))
    assert read_image(file).shape == (120, 180, 3)
    report = check(write(tmp_path, content))
    assert report.ok
    assert kinds(report) == {"turned_picture": [1]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "no annotation file in COCO's format"),
        ('{"images": [], "annotations": [3], "categories": []}', "annotations is no list of obj"),
        ('{"images": [], "annotations": [], "categories": []}', "has no keypoints"),
    ],
)
def test_what_is_no_data_set_is_refused(tmp_path, text, message):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=message):
        check(tmp_path / "x.json")
    with pytest.raises(DataError, match="there is no annotation file"):
        check(tmp_path / "y.json")


def test_other_keypoints_than_the_skeleton_s(tmp_path):
    file = write(tmp_path, data_set(tmp_path))
    report = check(file, skeleton=find_skeleton("mpii16"))
    assert kinds(report)["other_keypoints"] == [1]
    assert len(kinds(report)["bad_keypoints"]) == 12


def test_the_skeleton_comes_from_the_category():
    own = skeleton_of_category(
        {"keypoints": ["left_paw", "right_paw", "tail"], "skeleton": [[1, 3], [2, 3]]}
    )
    assert own.pairs == (("left_paw", "right_paw"),)
    assert own.limbs == (("left_paw", "tail"), ("right_paw", "tail"))
    again = skeleton_of_category({**own.to_category(), "name": own.name})
    assert again == own
    assert skeleton_of_category({"keypoints": list(COCO.keypoints)}) is find_skeleton("coco17")
    # Lines that lead nowhere are left out; names that cannot be told apart are no skeleton.
    assert skeleton_of_category({"keypoints": ["a", "b"], "skeleton": [[1, 9]]}).limbs == ()
    assert skeleton_of_category({"keypoints": ["a", "b"], "skeleton": 7}).limbs == ()
    assert skeleton_of_category({"keypoints": ["a", "a"]}) is None
    assert skeleton_of_category({"keypoints": []}) is None


@pytest.mark.parametrize("used", [False, True])
def test_a_category_without_keypoints_beside_one_that_has_them(tmp_path, used):
    """Some tools put one before all others that nobody is of, or export boxes of other things."""
    content = data_set(tmp_path)
    content["categories"].insert(0, {"id": 0, "name": "ball", "supercategory": "none"})
    expected = {}
    if used:
        ball = {"id": 500, "image_id": 1, "category_id": 0, "bbox": [1, 1, 9, 9], "area": 81}
        content["annotations"].append(ball)
        expected = {"nobody_labelled": [500], "other_category": [500]}
    file = write(tmp_path, content)
    report = check(file)
    assert (kinds(report), report.skeleton.name) == (expected, "coco17")
    assert read_skeleton(file).name == "coco17"
    assert read_coco(file).names == list(COCO.keypoints)


def of_two_points(folder, *names):
    content = data_set(folder)
    content["categories"][0].update(name="dial", keypoints=list(names))
    for person in content["annotations"]:
        person.update(keypoints=person["keypoints"][:6], num_keypoints=2)
    return write(folder, content)


def test_two_points_that_no_name_tells_apart_are_a_question(tmp_path):
    report = check(of_two_points(tmp_path, "first", "second"))
    found = {finding.kind: finding.cases for finding in report.findings}
    assert found == {"unclear_pair": [("first/second", "")], "not_mirrored": [("dial", "")]}
    assert not report.ok
    output = run(tmp_path / "people.json").output
    assert "by the keypoints' names, pictures are not mirrored" in output
    assert "give pairs in a skeleton's TOML file (--skeleton), or on_axis = true" in output
    # Whoever gives a skeleton has answered.
    mine = tmp_path / "mine.toml"
    for answer in ('pairs = [["first", "second"]]', "on_axis = true", ""):
        mine.write_text(f'schema = 1\nname = "dial"\nkeypoints = ["first", "second"]\n{answer}\n')
        assert check(tmp_path / "people.json", skeleton=find_skeleton(str(mine))).ok


def test_pairs_taken_from_names_are_said(tmp_path):
    file = of_two_points(tmp_path, "eyeL", "eyeR")
    assert kinds(check(file)) == {}
    result = run(file)
    assert result.exit_code == 0
    assert (
        "names, pictures are mirrored, and these points change places: eyeL/eyeR" in result.output
    )


def test_two_keypoints_of_one_name(tmp_path):
    file = of_two_points(tmp_path, "tip", "tip")
    report = check(file)
    assert [(f.kind, f.cases) for f in report.findings] == [("keypoint_named_twice", [(1, "tip")])]
    for read in (
        read_skeleton,
        lambda f: read_people(f, find_skeleton("coco17")),
        lambda f: load_recipe("finetune", [f'data.sources=[{{file="{f}"}}]']),
    ):
        with pytest.raises(DataError, match="people.json: the keypoint 'tip' is named twice; give"):
            read(file)


def test_a_sheet_shows_what_a_recipe_s_training_sees(tmp_path, monkeypatch):
    file = write(tmp_path, data_set(tmp_path))
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        'schema = 1\nextends = "finetune"\n[model]\ninput_size = [64, 96]\npadding = 1.5\n'
        f'[data]\nroot = "{tmp_path}"\nsources = [{{file = "people.json", truncation = 0.4}}]\n'
        "[augmentation]\nflip = 0\nrotation = 7\n"
    )
    seen = []
    whole = sheet.CropDataset
    monkeypatch.setattr(sheet, "CropDataset", lambda *a, **k: seen.append((a, k)) or whole(*a, **k))
    result = run(file, "--sheet", tmp_path / "sheet.png", "--recipe", recipe)
    assert result.exit_code == 0, result.output
    assert f"crops by recipe {recipe}" in result.output
    ((_, augmentation),), _, size = seen[1][0]
    assert (augmentation.flip, augmentation.rotation, augmentation.truncation) == (0, 7, 0.4)
    assert (size, seen[1][1]["padding"], seen[1][1]["unbiased"]) == ((64, 96), 1.5, True)
    result = run(file, "--sheet", tmp_path / "sheet.png")
    assert "crops by the paper's augmentation for COCO" in result.output
    assert seen[3][0][2] == (192, 256)
    result = run(file, "--recipe", recipe)
    assert "--recipe is for --sheet" in str(result.exception)


def test_a_skeleton_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('schema = 1\nname = "mine"\nkeypoints = ["a", "b"]\nlimbs = [["a", "b"]]\n')
    assert find_skeleton(str(file)).limb_indices == [(0, 1)]
    with pytest.raises(ConfigError, match="there is no file"):
        find_skeleton(str(tmp_path / "yours.toml"))


class TestSides:
    def test_crossed_ankles_and_wrists_of_one_person_say_nothing(self):
        person = exchanged(facing(), "ankle", "wrist")[None]
        assert suspected_swaps(person, COCO) == {}

    @pytest.mark.parametrize("name", ["elbow", "knee", "hip", "shoulder", "ear"])
    def test_an_exchanged_pair_between_limbs_is_suspected(self, name):
        people = np.stack([facing(), exchanged(facing(), name)])
        joints = f"left_{name}/right_{name}"
        assert suspected_swaps(people, COCO) == {1: [joints]}

    def test_an_exchanged_part_of_an_arm_is_suspected(self):
        person = exchanged(facing(), "elbow", "wrist")[None]
        pairs = "left_shoulder/right_shoulder against left_elbow/right_elbow"
        assert suspected_swaps(person, COCO) == {0: [pairs]}

    def test_nothing_is_said_of_what_is_not_labelled(self):
        person = exchanged(facing(), "elbow")
        person[COCO.index("left_wrist"), 2] = 0  # and so one limb is left, which must cross by far
        person[COCO.index("left_elbow"), 2] = 0
        assert suspected_swaps(person[None], COCO) == {}
        assert suspected_swaps(np.zeros((3, 17, 3)), COCO) == {}
        assert swapped_pairs(np.zeros((0, 17, 3)), COCO) == []
        assert mirrored_faces(np.zeros((3, 17, 3)), COCO) == (0, 0)

    def test_few_people_say_nothing_of_the_whole_set(self):
        nine = np.stack([exchanged(facing(), "knee")] * 9)
        assert swapped_pairs(nine, COCO) == []
        assert swapped_pairs(np.concatenate([nine, nine]), COCO) == [("left_knee", "right_knee")]

    def test_skeletons_without_sides(self):
        hand = find_skeleton("hand21")
        keypoints = np.ones((20, 21, 3))
        assert suspected_swaps(keypoints, hand) == {}
        assert swapped_pairs(keypoints, hand) == []
        assert mirrored_faces(keypoints, hand) is None


def run(*arguments):
    return CliRunner().invoke(app, ["data", "check", *map(str, arguments)])


def test_the_command_says_what_is_wrong_and_where(tmp_path):
    content = data_set(tmp_path)
    file = write(tmp_path, content)
    result = run(file)
    assert (result.exit_code, result.output.splitlines()) == (
        0,
        [f"{file}: 12 pictures, 12 people, 17 keypoints (coco17)", "OK: no faults"],
    )
    for person in content["annotations"][:6]:
        joint(person, "nose", 0, 0, 2)
    content["annotations"][8]["iscrowd"] = 1
    result = run(write(tmp_path, content), "--json", tmp_path / "report.json")
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[1].split() == f"fault 6 labelled_at_origin: {FAULTS['labelled_at_origin']}".split()
    assert lines[2].strip().startswith("101 (nose has v = 2), 102 (nose has v = 2), 103")
    assert lines[2].endswith("105 (nose has v = 2), ...")
    assert lines[3].split()[:3] == ["note", "1", "crowd:"]
    assert lines[-1] == "FAULTS: 6 of 1 kinds"
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["verdict"] == "faults"
    assert [case["id"] for case in report["findings"][0]["cases"]] == list(range(101, 107))


def test_the_sheet_shows_crops_with_joints_without_broken_pictures(tmp_path):
    content = data_set(tmp_path)
    (tmp_path / "images" / "3.jpg").unlink()
    result = run(write(tmp_path, content), "--sheet", tmp_path / "sheet.png")
    assert result.exit_code == 1
    sheet = read_image(tmp_path / "sheet.png")
    # 11 people in two columns of three crops, 192 x 256.
    assert sheet.shape == (6 + 6 * (256 + 18 + 6), 6 + 6 * (192 + 6), 3)
    first = sheet[6 : 6 + 256, 6 : 6 + 192]
    # The box is x 10 to 109, y 5 to 169: 205 pixels high when padded, and 256 in the crop.
    x, y = facing(shift=0.5)[COCO.index("left_wrist"), :2]
    left, top, scale = 59.5 - 1.25 * 164 * 0.75 / 2, 87 - 1.25 * 164 / 2, 256 / (1.25 * 164)
    joint_at = first[round((y - top) * scale), round((x - left) * scale)]
    np.testing.assert_allclose(joint_at, COCO.colours.left, atol=2)


def test_the_sheet_of_a_file_that_names_no_keypoints(tmp_path):
    content = data_set(tmp_path)
    content["categories"] = [{"id": 1, "name": "person"}]
    arguments = [write(tmp_path, content), "--sheet", tmp_path / "sheet.png"]
    assert kinds(check(arguments[0])) == {"no_keypoint_names": [1]}
    assert "no sheet: " in run(*arguments).output
    result = run(*arguments, "--skeleton", "coco17")
    assert "the person's left is green" in result.output
    assert (tmp_path / "sheet.png").exists()


def test_a_sheet_of_what_cannot_be_read_for_training(tmp_path):
    content = data_set(tmp_path)
    content["annotations"][0]["bbox"] = [10, 5, 100]
    result = run(write(tmp_path, content), "--sheet", tmp_path / "sheet.png")
    assert result.exit_code == 1
    assert "no sheet: " in result.output
    assert not (tmp_path / "sheet.png").exists()


def test_no_data_set_is_exit_code_2(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["hrnet", "data", "check", str(tmp_path / "none.json")])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "there is no annotation file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("coco/test_coco", {"nobody_labelled"}),
        ("coco/test_coco_wholebody", {"nobody_labelled"}),
        ("ap10k/test_ap10k", {"other_category", "never_labelled"}),
        # CrowdPose has no areas, and does not count head and neck.
        ("crowdpose/test_crowdpose", {"no_area", "wrong_num_keypoints", "nobody_labelled"}),
        ("onehand10k/test_onehand10k", set()),
        # Face 40's box is 48 pixels high and the face 111.
        ("wflw/test_wflw", {"no_keypoint_names", "joint_far_from_box"}),
    ],
)
def test_published_files(name, expected):
    file = real_data(f"formats/{name}.json")
    assert set(kinds(check(file, file.parent))) == expected


def test_false_alarms_on_real_people():
    """Of the people who stand, sit and play in COCO's pictures, and of athletes."""
    for name, most in (("coco/train", 0.005), ("coco/val", 0.01), ("lsp/test_coco17", 0.015)):
        report = check(real_data(f"{name}.json"))
        assert report.ok
        assert len(kinds(report).get("suspected_swap", [])) <= most * report.people


def test_planted_swaps_are_found_in_real_people():
    """Elbows that are exchanged in everybody with both arms labelled: 90 % are found; knees, which
    are often behind one another, in 40 %."""
    people = json.loads(real_data("coco/train.json").read_text())["annotations"]
    keypoints = np.array([person["keypoints"] for person in people]).reshape(-1, 17, 3)
    for chain, share in ((("shoulder", "elbow", "wrist"), 0.9), (("hip", "knee", "ankle"), 0.4)):
        joints = [COCO.index(f"{side}_{name}") for side in ("left", "right") for name in chain]
        whole = keypoints[(keypoints[:, joints, 2] > 0).all(axis=1)]
        assert len(whole) > 100
        found = suspected_swaps(exchanged(whole, chain[1]), COCO)
        assert len(found) >= share * len(whole)
