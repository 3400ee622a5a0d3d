"""Labelling tools' own formats: to COCO's and back."""

import json
import shutil

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from hrnet.cli import app
from hrnet.data.coco import read_coco
from hrnet.data.tools.cvat import export_cvat
from hrnet.data.tools.label_studio import export_label_studio
from hrnet.data.tools.registry import prepare_labels
from hrnet.data.tools.yolo import export_yolo
from hrnet.errors import ConfigError, DataError, HRNetError
from hrnet.skeletons import find_skeleton, load_skeleton
from planted import COCO, data_set, tagged, write
from test_damage import damaged


def odd(folder):
    """A data set with joints of all visibilities, at fractions of pixels, in turned pictures."""
    content = data_set(folder, people=8)
    rng = np.random.default_rng(0)
    for image, person in zip(content["images"], content["annotations"], strict=True):
        points = np.reshape(person["keypoints"], (17, 3))
        points[:, :2] = points[:, :2].clip(1, 100) + rng.uniform(0, 1, (17, 2)).round(2)
        points[:, 2] = rng.integers(0, 3, 17)
        points[points[:, 2] == 0] = 0
        person["keypoints"] = points.ravel().tolist()
        person["num_keypoints"] = int((points[:, 2] > 0).sum())
        file = folder / "images" / image["file_name"]
        file.write_bytes(tagged(file.read_bytes(), image["id"]))  # 1 to 8
    content["annotations"].append(
        {**content["annotations"][0], "id": 900, "bbox": [30.5, 20.25, 40, 60.5]}
    )
    return content


def test_yolo_and_back(tmp_path):
    """Every joint to a hundredth of a pixel, with its visibility, also in pictures that EXIF data
    turn; the skeleton with its names and pairs."""
    content = odd(tmp_path / "in")
    file = write(tmp_path / "in", content)
    assert export_yolo(file, tmp_path / "yolo") == 9
    assert (tmp_path / "yolo" / "labels" / "1.txt").read_text().count("\n") == 2
    prepare_labels("yolo", tmp_path / "yolo", tmp_path / "back")
    before, after = read_coco(file), read_coco(tmp_path / "back" / "train.json")
    order = np.argsort([f.name for f in before.files], kind="stable")
    assert [before.files[i].name for i in order] == [f.name for f in after.files]
    np.testing.assert_allclose(before.keypoints[order], after.keypoints, atol=0.01)
    np.testing.assert_allclose(before.boxes[order], after.boxes, atol=0.01)
    assert all(f.is_file() for f in after.files)
    skeleton = find_skeleton(str(tmp_path / "back" / "skeleton.toml"))
    assert (skeleton.keypoints, skeleton.pairs) == (COCO.keypoints, COCO.pairs)
    with pytest.raises(ConfigError, match="holds a data set already"):
        export_yolo(file, tmp_path / "yolo")


YAML = "train: ../train/images\nval: ../valid/images\nnc: 1\nnames: ['kite']\n"


@pytest.fixture
def roboflow(tmp_path):
    """As Roboflow unpacks: paths that begin with ../, no names of points."""
    data_set(tmp_path / "all", people=3)
    for part, name in (("train", "1"), ("train", "2"), ("valid", "3")):
        for kind in ("images", "labels"):
            (tmp_path / "set" / part / kind).mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "all" / "images" / f"{name}.jpg", tmp_path / "set" / part / "images")
        line = "0 0.5 0.5 0.5 0.5 0.25 0.5 2 0.75 0.5 1 0 0 0\n"
        (tmp_path / "set" / part / "labels" / f"{name}.txt").write_text(line)
    (tmp_path / "set" / "data.yaml").write_text(YAML + "kpt_shape: [3, 3]\nflip_idx: [1, 0, 2]\n")
    return tmp_path / "set"


def test_roboflow_s_layout(roboflow, tmp_path):
    result = CliRunner().invoke(
        app, ["data", "prepare", "yolo", str(roboflow), str(tmp_path / "out")]
    )
    assert result.exit_code == 0, result.output
    assert "train.json: 2 people; look at them in" in result.output
    assert (tmp_path / "out" / "train.png").is_file()
    assert "  taken for granted: the points have no names" in result.output
    assert "which of each pair is the left one" in result.output
    people = read_coco(tmp_path / "out" / "train.json")
    # Pictures of 120 x 180.
    assert people.keypoints[0].tolist() == [[30, 90, 2], [90, 90, 1], [0, 0, 0]]
    assert people.names == ["point_1", "point_2", "point_3"]
    assert len(read_coco(tmp_path / "out" / "val.json")) == 1
    skeleton = find_skeleton(str(tmp_path / "out" / "skeleton.toml"))
    assert skeleton.pairs == (("point_1", "point_2"),)


def test_points_of_two_numbers_and_names_by_hand(roboflow, tmp_path):
    for file in roboflow.glob("*/labels/*.txt"):
        file.write_text("0 0.5 0.5 0.5 0.5 0.25 0.5 0.75 0.5 0 0\n")
    (roboflow / "data.yaml").write_text(YAML + "kpt_shape: [3, 2]\n")
    (tmp_path / "own.toml").write_text('schema = 1\nname = "own"\nkeypoints = ["a", "b", "c"]\n')
    own = find_skeleton(str(tmp_path / "own.toml"))
    files = prepare_labels("yolo", roboflow, tmp_path / "out", own)
    assert files.guessed == []
    people = read_coco(tmp_path / "out" / "train.json")
    assert people.keypoints[0].tolist() == [[30, 90, 2], [90, 90, 2], [0, 0, 0]]
    assert people.names == ["a", "b", "c"]


def test_coco_s_points_are_known_by_their_flip_idx(roboflow, tmp_path):
    coco = load_skeleton("coco17")
    order = ", ".join(map(str, coco.flip_order.tolist()))
    (roboflow / "data.yaml").write_text(YAML + f"kpt_shape: [17, 3]\nflip_idx: [{order}]\n")
    for file in roboflow.glob("*/labels/*.txt"):
        file.write_text("0 .5 .5 .5 .5" + " .5 .5 2" * 17 + "\n")
    files = prepare_labels("yolo", roboflow, tmp_path / "out")
    assert "COCO's 17" in files.guessed[0]
    assert read_coco(tmp_path / "out" / "train.json").names == list(coco.keypoints)


@pytest.mark.parametrize("names", ["[[a, b, c]]", "{0: [a, b, c]}", "[a, b, c]"])
def test_names_of_points_in_all_ways(roboflow, tmp_path, names):
    (roboflow / "data.yaml").write_text(YAML + f"kpt_shape: [3, 3]\nkpt_names: {names}\n")
    prepare_labels("yolo", roboflow, tmp_path / "out")
    assert read_coco(tmp_path / "out" / "train.json").names == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data.yaml": "train: [\n"}, "cannot be read as YAML"),
        ({"data.yaml": "- 1\n"}, "it holds no names with values"),
        ({"data.yaml": YAML}, "KeyError: 'kpt_shape'"),
        ({"data.yaml": YAML + "kpt_shape: [3, 4]\n"}, "kpt_shape is"),
        ({"data.yaml": YAML + "kpt_shape: 3\n"}, "is no YOLO-pose data set"),
        ({"data.yaml": YAML + "kpt_shape: [3, 3]\nflip_idx: [0, 0, 1]\n"}, "no order of 3"),
        ({"data.yaml": YAML + "kpt_shape: [3, 3]\nkpt_names: {0: [a]}\n"}, "1 kpt_names for 3"),
        ({"data.yaml": "train: none\nkpt_shape: [3, 3]\n"}, "there is no .*none"),
        ({"data.yaml": "kpt_shape: [3, 3]\n"}, "names no pictures that are there"),
        ({"train/labels/1.txt": "0 0.5 0.5\n"}, r"1.txt, line 1: 3 numbers, not 14"),
        ({"train/labels/1.txt": "\n0 x" + " 0" * 12}, r"1.txt, line 2: could not convert"),
        ({"train/labels/1.txt": "0 nan" + " 0" * 12}, r"1.txt, line 1: 14 numbers"),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(roboflow, tmp_path, change, message):
    for name, text in change.items():
        (roboflow / name).write_text(text)
    with pytest.raises(DataError, match=message):
        prepare_labels("yolo", roboflow, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_data_set(tmp_path):
    with pytest.raises(DataError, match="there is no file .*data.yaml"):
        prepare_labels("yolo", tmp_path, tmp_path / "out")


def test_crowds_and_nobody_are_not_exported(tmp_path):
    content = data_set(tmp_path / "in", people=4)
    content["annotations"][0]["iscrowd"] = 1
    content["annotations"][1].update(keypoints=[0] * 51, num_keypoints=0)
    assert export_yolo(write(tmp_path / "in", content), tmp_path / "out") == 2
    assert (tmp_path / "out" / "labels" / "1.txt").read_text() == ""


# --- Label Studio ---------------------------------------------------------------------------


def test_label_studio_and_back(tmp_path):
    """Every joint to a hundredth of a pixel; the format has no visibility."""
    content = odd(tmp_path / "in")
    file = write(tmp_path / "in", content)
    out = tmp_path / "studio"
    assert export_label_studio(file, out) == 9
    tasks = json.loads((out / "tasks.json").read_text())
    assert tasks[0]["data"]["image"].startswith("/data/local-files/?d=images/")
    assert '<Label value="left_wrist"/>' in (out / "labels.xml").read_text()
    # Submitted without a correction, predictions become annotations.
    done = [{**t, "id": i, "annotations": t.pop("predictions")} for i, t in enumerate(tasks, 1)]
    (out / "export.json").write_text(json.dumps(done))
    prepare_labels("label-studio", out / "export.json", tmp_path / "back", COCO)
    before, after = read_coco(file), read_coco(tmp_path / "back" / "train.json")
    order = np.argsort([f.name for f in before.files], kind="stable")
    assert [before.files[i].name for i in order] == [f.name for f in after.files]
    joints = before.keypoints[order]
    np.testing.assert_allclose(joints[..., :2], after.keypoints[..., :2], atol=0.01)
    assert np.array_equal(joints[..., 2] > 0, after.keypoints[..., 2] > 0)
    np.testing.assert_allclose(before.boxes[order], after.boxes, atol=0.01)
    with pytest.raises(ConfigError, match="holds tasks already"):
        export_label_studio(file, out)


def point(name, x, y, id_="", **more):
    value = {"x": x, "y": y, "width": 0.4, "keypointlabels": [name]}
    return {"id": id_ or f"{name}{x}", "type": "keypointlabels", "value": value, **more}


def box(id_, x, y, width, height, **more):
    value = {"x": x, "y": y, "width": width, "height": height, **more}
    return {"id": id_, "type": "rectanglelabels", "value": value}


@pytest.fixture
def studio(tmp_path):
    """Two boxes that overlap in the middle, in a picture of 120 x 180."""
    data_set(tmp_path / "set", people=1)

    def export(*results, image="/data/upload/3/1.jpg"):
        task = {"id": 7, "data": {"image": image}, "annotations": [{"result": list(results)}]}
        file = tmp_path / "set" / "export.json"
        file.write_text(json.dumps([task]))
        return file

    return export


LEFT, RIGHT = box("l", 0, 0, 60, 100), box("r", 40, 0, 60, 100)


def test_whose_a_point_is(studio, tmp_path):
    """The parent's, or the related one's; what is tied to nobody beside such is one more person's,
    also where a box holds it."""
    file = studio(
        LEFT,
        RIGHT,
        point("tip", 50, 50, parentID="r"),
        point("tip", 51, 50, "q"),
        {"type": "relation", "from_id": "q", "to_id": "l"},
        point("tip", 10, 10),
        point("tail", 90, 10),
        {"from_name": "quality", "value": {"choices": ["good"]}},
    )
    prepared = prepare_labels("label-studio", file, tmp_path / "out")
    people = read_coco(tmp_path / "out" / "train.json")
    assert people.names == ["tip", "tail"]
    np.testing.assert_allclose(people.keypoints[0], [[61.2, 90, 2], [0, 0, 0]])
    np.testing.assert_allclose(people.keypoints[1], [[60, 90, 2], [0, 0, 0]])
    np.testing.assert_allclose(people.keypoints[2], [[12, 18, 2], [108, 18, 2]])
    assert prepared.guessed == ["the order of the points is that in which they come"]


def test_a_point_that_is_tied_to_no_box_is_of_the_one_that_holds_it(studio, tmp_path):
    tail = {key: value for key, value in point("tail", 10, 10).items() if key != "id"}
    file = studio(LEFT, RIGHT, point("tip", 90, 50), point("tail", 90, 10), tail)
    prepare_labels("label-studio", file, tmp_path / "out")
    people = read_coco(tmp_path / "out" / "train.json")
    assert people.names == ["tail", "tip"]
    np.testing.assert_allclose(people.keypoints[0], [[12, 18, 2], [0, 0, 0]])
    np.testing.assert_allclose(people.keypoints[1], [[108, 18, 2], [108, 90, 2]])


def test_what_is_no_label_of_points_is_counted(studio, tmp_path):
    brush = {"id": "b", "type": "brushlabels", "value": {"brushlabels": ["sky"]}}
    file = studio(box("l", 0, 0, 50, 99), box("r", 50, 0, 50, 99), point("tip", 9, 9), brush)
    tasks = json.loads(file.read_text())
    file.write_text(json.dumps([*tasks, {"id": 8, "data": {"image": "1.jpg"}, "annotations": []}]))
    prepared = prepare_labels("label-studio", file, tmp_path / "out")
    assert prepared.left_out == {
        "tasks that nobody labelled": 1,
        "regions: brushlabels": 1,
        "boxes without a point": 1,
    }


def test_a_picture_labelled_twice(studio, tmp_path):
    """By two people in one task the last one counts, and that is said; in two tasks they must
    agree."""
    one, other = [{"result": [point("tip", x, 9)]} for x in (10, 20)]
    task = {"id": 1, "data": {"image": "1.jpg"}, "annotations": [other, one]}
    file = tmp_path / "set" / "export.json"
    file.write_text(json.dumps([task]))
    prepared = prepare_labels("label-studio", file, tmp_path / "one")
    assert prepared.left_out == {"annotations before the last one of their task": 1}
    assert read_coco(tmp_path / "one" / "train.json").keypoints[0, 0, 0] == 12
    file.write_text(json.dumps([task, {**task, "id": 2, "annotations": [one]}]))
    prepared = prepare_labels("label-studio", file, tmp_path / "same")
    assert prepared.left_out["pictures listed again"] == 1
    assert len(read_coco(tmp_path / "same" / "train.json")) == 1
    file.write_text(json.dumps([task, {**task, "id": 2, "annotations": [other]}]))
    with pytest.raises(DataError, match=r"task 2: .*1.jpg has other labels already, at .*task 1"):
        prepare_labels("label-studio", file, tmp_path / "out")


def test_without_boxes_there_is_one_person(studio, tmp_path):
    prepare_labels(
        "label-studio", studio(point("tip", 50, 50), point("tail", 10, 10)), tmp_path / "out"
    )
    people = read_coco(tmp_path / "out" / "train.json")
    np.testing.assert_allclose(people.keypoints, [[[60, 90, 2], [12, 18, 2]]])
    x1, y1, x2, y2 = people.boxes[0]
    assert (x1, y1) < (12, 18) < (60, 90) < (x2, y2)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([LEFT, RIGHT, point("tip", 50, 50)], "task 7: tip is in 2 boxes, and says of none"),
        ([LEFT, point("tip", 90, 50)], "task 7: tip is in 0 boxes"),
        ([point("tip", 1, 1), point("tip", 2, 2)], "tip is labelled twice for one person"),
        ([box("l", 0, 0, 9, 9, rotation=5), point("tip", 1, 1)], "a box is turned"),
        ([point("tip", 1, 1, image_rotation=90)], "was turned by hand"),
        ([LEFT], "has no labelled point"),
        ([point("tip", "a", 1)], "task 7: .*could not convert"),
        ([{"type": "keypointlabels"}], "task 7: KeyError: 'value'"),
    ],
)
def test_what_is_not_clear_is_refused(studio, tmp_path, results, message):
    with pytest.raises(DataError, match=message):
        prepare_labels("label-studio", studio(*results), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_picture_that_is_not_there_and_a_label_of_another_skeleton(studio, tmp_path):
    with pytest.raises(DataError, match=r"task 7: there is no picture /data/upload/3/2.jpg"):
        prepare_labels(
            "label-studio", studio(point("tip", 1, 1), image="/data/upload/3/2.jpg"), tmp_path
        )
    with pytest.raises(DataError, match="has the label 'tip', which skeleton coco17 lacks"):
        prepare_labels("label-studio", studio(point("tip", 1, 1)), tmp_path / "out", COCO)


# --- CVAT -----------------------------------------------------------------------------------


def test_cvat_and_back(tmp_path):
    """Every joint to a hundredth of a pixel, with its visibility; boxes are made anew, as CVAT's
    skeletons have none."""
    content = odd(tmp_path / "in")
    content["categories"][0]["skeleton"] = [[6, 7], [6, 8]]
    file = write(tmp_path / "in", content)
    assert export_cvat(file, tmp_path / "in" / "images") == 9
    (label,) = json.loads((tmp_path / "in" / "images" / "labels.json").read_text())
    assert [sub["name"] for sub in label["sublabels"]] == list(COCO.keypoints)
    assert label["svg"].count("<circle") == 17
    prepare_labels("cvat", tmp_path / "in" / "images", tmp_path / "back")
    before, after = read_coco(file), read_coco(tmp_path / "back" / "train.json")
    order = np.argsort([f.name for f in before.files], kind="stable")
    again = np.argsort([f.name for f in after.files], kind="stable")
    np.testing.assert_allclose(before.keypoints[order], after.keypoints[again], atol=0.01)
    assert after.names == list(COCO.keypoints)
    with pytest.raises(ConfigError, match="holds annotations already"):
        export_cvat(file, tmp_path / "in" / "images")


LABELS = """
<meta><task><labels>
  <label><name>kite</name><type>skeleton</type><svg>&lt;line data-node-from="1" data-node-to="2"&gt;
  &lt;circle data-node-id="1" data-label-name="tip"&gt;
  &lt;circle data-node-id="2" data-label-name="tail"&gt;</svg></label>
  <label><name>tip</name><type>points</type><parent>kite</parent></label>
  <label><name>tail</name><type>points</type><parent>kite</parent></label>
</labels></task></meta>"""


@pytest.fixture
def cvat(tmp_path):
    """An export of a picture of 120 x 180, in images/default as CVAT packs it."""
    data_set(tmp_path / "all", people=1)
    (tmp_path / "set" / "images" / "default").mkdir(parents=True)
    shutil.copy(tmp_path / "all" / "images" / "1.jpg", tmp_path / "set" / "images" / "default")

    def export(shapes, labels="", size='width="120" height="180"', name="1.jpg"):
        image = f'<image id="0" name="{name}" {size}>{shapes}</image>'
        text = f"<annotations>{labels}{image}</annotations>"
        (tmp_path / "set" / "annotations.xml").write_text(text)
        return tmp_path / "set"

    return export


def dot(label, x, y, **more):
    more = "".join(f' {key}="{value}"' for key, value in more.items())
    return f'<points label="{label}" points="{x},{y}"{more}/>'


def test_a_skeleton_s_labels_and_limbs(cvat, tmp_path):
    shapes = f"<skeleton label='kite'>{dot('tail', 9, 8, occluded=1)}{dot('tip', 1, 2)}</skeleton>"
    shapes += f"<skeleton label='kite'>{dot('tail', 5, 5)}{dot('tip', 3, 3, outside=1)}</skeleton>"
    files = prepare_labels("cvat", cvat(shapes, LABELS), tmp_path / "out")
    assert files.guessed == []
    people = read_coco(tmp_path / "out" / "train.json")
    assert people.names == ["tip", "tail"]
    assert people.keypoints.tolist() == [[[1, 2, 2], [9, 8, 1]], [[0, 0, 0], [5, 5, 2]]]
    skeleton = find_skeleton(str(tmp_path / "out" / "skeleton.toml"))
    assert skeleton.limbs == (("tip", "tail"),)


def test_single_points_are_somebody_s_by_their_group(cvat, tmp_path):
    shapes = dot("tip", 1, 2, group_id=1) + dot("tip", 3, 4, group_id=2)
    shapes += dot("tail", 5, 6, group_id=1) + dot("tail", 7, 8, group_id=2)
    shapes += '<box label="kite" xtl="0" ytl="1" xbr="60" ybr="70" group_id="2"/>'
    prepare_labels("cvat", cvat(shapes), tmp_path / "out")
    people = read_coco(tmp_path / "out" / "train.json")
    assert people.keypoints[..., :2].tolist() == [[[1, 2], [5, 6]], [[3, 4], [7, 8]]]
    (row,) = json.loads((tmp_path / "out" / "train.json").read_text())["annotations"][1:]
    assert row["bbox"] == [0, 1, 60, 69]


def test_a_frame_of_a_video_task_as_a_picture_and_what_is_left_out(cvat, tmp_path):
    """Of a video task, "CVAT for images" lists frames without an ending, and packs PNG files."""
    shapes = dot("tip", 1, 2) + '<box xtl="0" ytl="0" xbr="9" ybr="9"/><polygon points="1,1;2,2"/>'
    folder = cvat(shapes, name="frame_000001")
    picture = cv2.imread(str(folder / "images" / "default" / "1.jpg"))
    cv2.imwrite(str(folder / "images" / "default" / "frame_000001.PNG"), picture)
    prepared = prepare_labels("cvat", folder, tmp_path / "out")
    assert prepared.left_out == {"shapes: polygon": 1, "boxes without a point": 1}
    assert read_coco(tmp_path / "out" / "train.json").files[0].name == "frame_000001.PNG"


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ('<box rotation="5" xtl="0"/>', "1.jpg: a box is turned"),
        (dot("tip", 1, 2) + dot("tip", 3, 4), "1.jpg: tip is labelled twice for one person"),
        ('<points label="tip" points="1,2;3,4"/>', "tip has 2 points in one shape"),
        ('<points label="tip" points="1"/>', "is not in the format"),
        ('<points label="tip" points="1,nan"/>', "is not in the format .*tip is at 1, nan"),
        ('<points points="1,2"/>', "is not in the format .*label"),
        ("", "is not in the format .*no picture has points"),
        ("<points", "cannot be read as XML"),
        ('<!ENTITY a "b">', "declares entities"),
    ],
)
def test_what_cvat_would_not_write_is_refused(cvat, tmp_path, shapes, message):
    with pytest.raises(DataError, match=message):
        prepare_labels("cvat", cvat(shapes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pictures_of_another_size_or_none_are_refused(cvat, tmp_path):
    shapes = dot("tip", 1, 2)
    with pytest.raises(DataError, match="picture of 12 x 18 pixels, but is 120 x 180"):
        prepare_labels("cvat", cvat(shapes, size='width="12" height="18"'), tmp_path / "out")
    with pytest.raises(DataError, match="has 120 x 180 pixels, and was labelled with 12 x 18"):
        prepare_labels(
            "cvat",
            cvat(shapes, size='width="12" height="18"', name="images/default/1.jpg"),
            tmp_path / "out",
        )
    with pytest.raises(DataError, match=r"there is no picture 2.jpg"):
        prepare_labels("cvat", cvat(shapes, name="2.jpg"), tmp_path / "out")
    (tmp_path / "video.xml").write_text("<annotations><track/></annotations>")
    with pytest.raises(DataError, match="no original_size"):
        prepare_labels("cvat", tmp_path / "video.xml", tmp_path / "out")
    with pytest.raises(DataError, match="there is no file .*annotations.xml"):
        prepare_labels("cvat", tmp_path, tmp_path / "out")


# --- LabelMe --------------------------------------------------------------------------------


@pytest.fixture
def labelme(tmp_path):
    """A folder with a picture of 120 x 180, and its JSON file beside it."""
    data_set(tmp_path / "all", people=1)
    (tmp_path / "set" / "day").mkdir(parents=True)
    shutil.copy(tmp_path / "all" / "images" / "1.jpg", tmp_path / "set" / "day")

    def export(*shapes, image="1.jpg", width=120):
        table = {"shapes": shapes, "imagePath": image, "imageWidth": width, "imageHeight": 180}
        (tmp_path / "set" / "day" / "1.json").write_text(json.dumps(table))
        return tmp_path / "set"

    return export


def mark(label, *points, group=None, kind="point"):
    return {"label": label, "points": points, "group_id": group, "shape_type": kind}


@pytest.mark.parametrize("image", ["1.jpg", "..\\day\\1.jpg", "C:\\data\\day\\1.jpg"])
def test_labelme_s_groups_are_people(labelme, tmp_path, image):
    folder = labelme(
        mark("tip", [1, 2], group=1),
        mark("tail", [3, 4.5], group=1),
        mark("tip", [5, 6]),
        mark("kite", [60, 70], [0, 1], group=1, kind="rectangle"),
        mark("sky", [0, 0], [9, 0], [9, 9], kind="polygon"),
        image=image,
    )
    result = CliRunner().invoke(
        app, ["data", "prepare", "labelme", str(folder), str(tmp_path / "o")]
    )
    assert result.exit_code == 0, result.output
    people = read_coco(tmp_path / "o" / "train.json")
    assert people.keypoints.tolist() == [[[1, 2, 2], [3, 4.5, 2]], [[5, 6, 2], [0, 0, 0]]]
    row = json.loads((tmp_path / "o" / "train.json").read_text())["annotations"][0]
    assert row["bbox"] == [0, 1, 60, 69]


def test_labelme_s_rectangles_hold_points_without_a_group(labelme, tmp_path):
    prepared = prepare_labels(
        "labelme",
        labelme(
            *(mark("kite", [x, 0], [x + 50, 99], kind="rectangle") for x in (0, 60)),
            *(mark("tip", [x, 5]) for x in (70, 20)),
            mark("sky", [0, 0], [9, 0], [9, 9], kind="polygon"),
        ),
        tmp_path / "out",
    )
    assert prepared.left_out == {"shapes: polygon": 1}
    people = read_coco(tmp_path / "out" / "train.json")
    assert people.keypoints.tolist() == [[[20, 5, 2]], [[70, 5, 2]]]
    assert people.boxes[:, 0].tolist() == [0, 60]


TWO = [mark("kite", [0, 0], [9, 9], group=1, kind="rectangle")] * 2


@pytest.mark.parametrize(
    ("shapes", "more", "message"),
    [
        (TWO, {}, "1.json: group 1 has two rectangles"),
        ([mark("tip", [1, 2]), mark("tip", [3, 4])], {}, "1.json: tip is labelled twice for one"),
        ([mark("tip", [1, 2], [3, 4])], {}, "1.json is no file of LabelMe's"),
        ([mark("tip", [1, "x"])], {}, "1.json is no file of LabelMe's"),
        ([{}], {}, "1.json is no file of LabelMe's .*shape_type"),
        ([mark("tip", [1, 2], kind="circle")], {}, "has no labelled point"),
        ([mark("tip", [1, 2])], {"image": "2.jpg"}, "1.json: there is no picture day/2.jpg"),
        ([mark("tip", [1, 2])], {"width": 60}, "was labelled with 60 x 180"),
    ],
)
def test_what_labelme_leaves_open_is_refused(labelme, tmp_path, shapes, more, message):
    with pytest.raises(DataError, match=message):
        prepare_labels("labelme", labelme(*shapes, **more), tmp_path / "out")
    assert not (tmp_path / "out").exists()


# --- damaged exports ------------------------------------------------------------------------


def exports(folder):
    """One of each tool: what to call, with which file, and the file to damage."""
    content = data_set(folder / "in", people=2)
    file = write(folder / "in", content)
    export_yolo(file, folder / "yolo")
    export_label_studio(file, folder / "studio")
    tasks = json.loads((folder / "studio" / "tasks.json").read_text())
    done = [{**t, "id": i, "annotations": t.pop("predictions")} for i, t in enumerate(tasks, 1)]
    write(folder / "studio", done, "export.json")
    export_cvat(file, folder / "in" / "images")
    shapes = [mark("tip", [1, 2], group=1), mark("kite", [60, 70], [0, 1], kind="rectangle")]
    table = {"shapes": shapes, "imagePath": "1.jpg", "imageWidth": 120, "imageHeight": 180}
    write(folder / "in" / "images", table, "1.json")
    yield "yolo", "yolo", folder / "yolo", folder / "yolo" / "data.yaml"
    yield "lines", "yolo", folder / "yolo", folder / "yolo" / "labels" / "1.txt"
    export = folder / "studio" / "export.json"
    yield "label-studio", "label-studio", export, export
    annotations = folder / "in" / "images" / "annotations.xml"
    yield "cvat", "cvat", annotations, annotations
    yield "labelme", "labelme", folder / "in" / "images", folder / "in" / "images" / "1.json"


@pytest.mark.parametrize("seed", range(4))
def test_damaged_exports_are_read_or_refused_in_a_sentence(tmp_path, seed):
    """Over five hundred damages: none gives another error than ours, or leaves half of a result."""
    rng = np.random.default_rng(seed)
    refused = 0
    for name, tool, source, file in exports(tmp_path):
        whole = file.read_bytes()
        for number in range(30):
            file.write_bytes(damaged(whole, [b'{"a": [1, null]}', b"<x/>"], rng))
            out = tmp_path / f"{name}{number}"
            try:
                for written in prepare_labels(tool, source, out).files:
                    read_coco(written)
                assert (out / "skeleton.toml").is_file()
            except HRNetError as error:
                refused += 1
                assert "\n" not in str(error)
                assert not list(out.glob("*.json")) or "keypoints" in str(error)
        file.write_bytes(whole)
    assert 40 < refused < 150
