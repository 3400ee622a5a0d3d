"""The published data sets are not at hand: files of their structure are, with a few people."""

import json
import re
import sys

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from hrnet.cli import app, main
from hrnet.data.boxed_pictures import read_boxed_pictures
from hrnet.data.check.checking import check
from hrnet.data.coco import read_coco
from hrnet.data.mpii import read_mpii
from hrnet.data.people import extent_boxes
from hrnet.data.prepare.coco2017 import prepare_coco
from hrnet.data.prepare.lsp import prepare_lsp
from hrnet.data.prepare.mpii import prepare_mpii
from hrnet.data.prepare.voc import prepare_voc
from hrnet.data.reading import read_skeleton
from hrnet.errors import ConfigError, DataError, ImageError
from hrnet.geometry import crop_regions
from hrnet.skeletons import load_skeleton
from planted import data_set, write
from real_data import real_data

scipy_io = pytest.importorskip("scipy.io")
MPII = load_skeleton("mpii16")


def read(file):
    return json.loads(file.read_text())


def picture(file, width, height):
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), np.full((height, width, 3), 90, np.uint8))


def lsp(folder, people, extended):
    """A folder as unpacked: joint k of person p at (11 + 5 k, 21 + 2 k + p), counted from 1."""
    joints = np.zeros((people, 14, 3))
    joints[..., 0] = 11 + 5 * np.arange(14)
    joints[..., 1] = 21 + 2 * np.arange(14) + np.arange(people)[:, None]
    joints[..., 2] = 1 if extended else 0
    if extended:
        joints[:, 2] = -3, -7, 0  # the right hip: somewhere, not visible
    else:
        joints[:, 2, 2] = 1  # the right hip: occluded
    order = (1, 2, 0) if extended else (2, 1, 0)
    folder.mkdir(parents=True)
    scipy_io.savemat(folder / "joints.mat", {"joints": joints.transpose(order)})
    for number in range(1, people + 1):
        picture(folder / "images" / f"im{number:0{5 if extended else 4}d}.jpg", 90, 110)
    return folder


def numbers(written):
    """Of people, by file; nobody left out."""
    assert all(not (c["left_out"] or c["box_from_joints"]) for c in written.values())
    return {file: counts["people"] for file, counts in written.items()}


class TestLSP:
    def test_halves_flags_and_places(self, tmp_path):
        lsp(tmp_path / "source" / "lsp_dataset", 4, extended=False)
        lsp(tmp_path / "source" / "lspet_dataset", 3, extended=True)
        out = tmp_path / "out"
        written = prepare_lsp(tmp_path / "source", out)
        assert numbers(written) == {out / "train.json": 5, out / "test.json": 2}
        train, test = read_coco(out / "train.json"), read_coco(out / "test.json")
        assert train.names[:4] == ["right_ankle", "right_knee", "right_hip", "left_hip"]
        assert read_skeleton(out / "train.json") is load_skeleton("lsp14")
        assert [file.relative_to(out).as_posix() for file in train.files] == [
            "images/lsp/im0001.jpg",
            "images/lsp/im0002.jpg",
            *(f"images/lspet/im0000{number}.jpg" for number in (1, 2, 3)),
        ]
        assert [file.name for file in test.files] == ["im0003.jpg", "im0004.jpg"]
        # Counted from 0, and v as in COCO: 1 where LSP's flag says occluded; not labelled where
        # LSP Extended's says not visible.
        assert train.keypoints[1, :3].tolist() == [[10, 21, 2], [15, 23, 2], [20, 25, 1]]
        assert train.keypoints[4, :3].tolist() == [[10, 22, 2], [15, 24, 2], [0, 0, 0]]
        assert len(set(train.image_ids) | set(test.image_ids)) == 7

    def test_people_without_joints_are_left_out_and_counted(self, tmp_path):
        folder = lsp(tmp_path / "lspet", 3, extended=True)
        joints = scipy_io.loadmat(folder / "joints.mat")["joints"]
        joints[:, 2, 1] = 0
        scipy_io.savemat(folder / "joints.mat", {"joints": joints})
        arguments = ["data", "prepare", "lsp", str(folder), str(tmp_path / "out")]
        assert CliRunner().invoke(app, arguments).output == (
            f"{tmp_path / 'out' / 'train.json'}: 2 people (left out: 1 without a labelled joint)\n"
        )

    def test_boxes_are_the_joints_extent_and_a_margin_within_the_picture(self, tmp_path):
        """12 % of the longer side, here 7.8 pixels of 65."""
        prepare_lsp(lsp(tmp_path / "lsp", 2, extended=False), tmp_path)
        person = read(tmp_path / "train.json")["annotations"][0]
        # x from 10 - 7.8 to 75 + 7.8, y from 20 - 7.8 to 46 + 7.8; and a pixel for the readers.
        assert person["bbox"] == [2.2, 12.2, 81.6, 42.6]
        assert person["area"] == round(0.53 * 80.6 * 41.6, 1)
        assert person["num_keypoints"] == 14
        np.testing.assert_allclose(
            read_coco(tmp_path / "train.json").boxes[0], [2.2, 12.2, 82.8, 53.8]
        )

    def test_what_comes_out_has_no_faults(self, tmp_path):
        prepare_lsp(lsp(tmp_path / "lspet", 3, extended=True), tmp_path)
        report = check(tmp_path / "train.json")
        assert report.ok, report.findings
        assert not (tmp_path / "test.json").exists()

    def test_folders_that_are_no_lsp(self, tmp_path):
        with pytest.raises(DataError, match="holds no joints.mat"):
            prepare_lsp(tmp_path, tmp_path / "out")
        folder = lsp(tmp_path / "lsp", 3, extended=False)
        (folder / "images" / "im0002.jpg").unlink()
        with pytest.raises(DataError, match="3 people, and .* 2 pictures"):
            prepare_lsp(folder, tmp_path / "out")
        scipy_io.savemat(folder / "joints.mat", {"joints": np.zeros((16, 3, 9))})
        with pytest.raises(DataError, match=r"shape \(16, 3, 9\)"):
            prepare_lsp(folder, tmp_path / "out")
        (folder / "joints.mat").write_bytes(b"not a mat file" * 20)
        with pytest.raises(DataError, match="cannot be read as a .mat file"):
            prepare_lsp(folder, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def mpii_row(**changes):
    row = {
        "image": "1.jpg",
        "center": [101.0, 71.0],
        "scale": 0.5,
        "joints": [[60.0 + k, 50.0 + 2 * k] for k in range(16)],
        "joints_vis": [1] * 16,
    }
    return {**row, **changes}


def struct(**fields):
    """A 1x1 struct; struct arrays are these concatenated."""
    array = np.empty((1, 1), dtype=[(name, object) for name in fields])
    for name, value in fields.items():
        array[name][0, 0] = value
    return array


def structs(*items):
    return np.concatenate(items, axis=1)


EMPTY = np.zeros((0, 0))


def release():
    """RELEASE as MPII has it: pictures of several people, people without joints, pictures without
    people or with the fields that test pictures have."""

    def points(*rows):
        return struct(point=structs(*(struct(x=x, y=y, id=k, is_visible=v) for k, x, y, v in rows)))

    head = {"x1": 60, "y1": 20, "x2": 90, "y2": 60}  # its diagonal is 50
    place = struct(x=101, y=71)
    two = structs(
        struct(
            **head,
            annopoints=points((9, 75, 21, EMPTY), (0, 61.5, 95, "0"), (5, 81, 96, "1")),
            scale=0.5,
            objpos=place,
        ),
        struct(**dict.fromkeys(head, EMPTY), annopoints=EMPTY, scale=0.7, objpos=place),
    )
    one = struct(**head, annopoints=points((6, 40, 50, 0)), scale=1.0, objpos=place)
    test = struct(scale=0.9, objpos=place)
    no_place = struct(**head, annopoints=points((6, 40, 50, 0)), scale=EMPTY, objpos=EMPTY)
    rows = [("1.jpg", two), ("2.jpg", one), ("3.jpg", test), ("4.jpg", EMPTY), ("5.jpg", no_place)]
    pictures = [struct(image=struct(name=name), annorect=people) for name, people in rows]
    return struct(annolist=structs(*pictures), img_train=[1, 1, 0, 1, 1], version="12")


class TestMPII:
    def write(self, folder, rows, name="valid"):
        for row in rows:
            picture(folder / "images" / row["image"], 200, 150)
        (folder / "annot").mkdir(exist_ok=True)
        return write(folder / "annot", rows, f"{name}.json")

    def test_the_region_is_the_official_one(self, tmp_path):
        """lib/dataset/mpii.py: c[1] += 15 s, s *= 1.25, c -= 1; 200 s pixels about c."""
        people = read_mpii(self.write(tmp_path, [mpii_row()]))
        centers, sizes = crop_regions(people.boxes, (256, 256), padding=1.25)
        assert centers.tolist() == [[101 - 1, 71 + 15 * 0.5 - 1]]
        assert sizes.tolist() == [[200 * 1.25 * 0.5] * 2]

    def test_places_count_from_0_and_labels_are_joints_vis(self, tmp_path):
        vis = [1] * 16
        vis[3] = 0
        joints = mpii_row()["joints"]
        joints[3] = [-1, -1]
        rows = [
            mpii_row(joints=joints, joints_vis=vis),
            mpii_row(joints_vis=[0] * 16),
            mpii_row(center=[-1, -1]),
            mpii_row(image="2.jpg"),
            mpii_row(center=[-1, -1], joints=[[-5, -5]] * 16),
        ]
        people = read_mpii(self.write(tmp_path, rows))
        assert people.annotation_ids.tolist() == [0, 2, 3]
        assert people.image_ids.tolist() == [0, 0, 1]
        assert people.counts() == {
            "people": 3,
            "left_out": {
                "without a labelled joint": 1,
                "without a usable box and without a joint in the picture": 1,
            },
            "box_from_joints": {"without a place or a scale": 1},
        }
        # x 59 to 74, y 49 to 79 and 12 % of 30 on all sides; of that the square.
        np.testing.assert_allclose(people.boxes[1], [66.5 - 18.6, 45.4, 66.5 + 18.6, 82.6])
        assert [file.relative_to(tmp_path).as_posix() for file in people.files] == [
            "images/1.jpg",
            "images/1.jpg",
            "images/2.jpg",
        ]
        assert people.names == list(MPII.keypoints)
        assert people.keypoints[0, :4].tolist() == [[59, 49, 2], [60, 51, 2], [61, 53, 2], [0] * 3]
        assert people.head_sizes is None

    @pytest.mark.parametrize("people", [1, 3])
    def test_head_sizes(self, tmp_path, people):
        """0.6 of the diagonal of headboxes_src (corner, x or y, person)."""
        file = self.write(tmp_path, [mpii_row()] * people)
        boxes = np.zeros((2, 2, people))
        boxes[1] = np.array([[30], [40]]) * np.arange(1, people + 1)
        scipy_io.savemat(tmp_path / "annot" / "gt_valid.mat", {"headboxes_src": boxes})
        np.testing.assert_allclose(read_mpii(file).head_sizes, 30 * np.arange(1, people + 1))
        scipy_io.savemat(
            tmp_path / "annot" / "gt_valid.mat", {"headboxes_src": np.zeros((2, 2, people + 1))}
        )
        with pytest.raises(DataError, match=rf"it is to be \(2, 2, {people}\)"):
            read_mpii(file)

    @pytest.mark.parametrize(
        "rows",
        [
            {"images": []},
            [{}],
            [3],
            [mpii_row(joints=[[1, 2]])],
            [mpii_row(center=1)],
            [mpii_row(scale=float("nan"))],
        ],
    )
    def test_files_of_other_formats_are_refused(self, tmp_path, rows):
        file = write(tmp_path, rows, "valid.json")
        with pytest.raises(DataError, match="not in MPII's JSON format"):
            read_mpii(file)
        with pytest.raises(DataError, match="there is no annotation file"):
            read_mpii(tmp_path / "none.json")

    def test_preparing_the_json_files(self, tmp_path):
        self.write(tmp_path, [mpii_row(), mpii_row(image="2.jpg")], "train")
        file = self.write(tmp_path, [mpii_row(), mpii_row(image="2.jpg", scale=3.0)])
        boxes = np.zeros((2, 2, 2))
        boxes[1] = 30, 40
        boxes[1] = boxes[1].T
        scipy_io.savemat(tmp_path / "annot" / "gt_valid.mat", {"headboxes_src": boxes})
        out = tmp_path / "out"
        written = prepare_mpii(tmp_path, out)
        assert numbers(written) == {out / "train.json": 2, out / "valid.json": 2}
        people, direct = read_coco(out / "valid.json"), read_mpii(file)
        np.testing.assert_array_equal(people.keypoints, direct.keypoints)
        # The second one goes beyond its picture, and nobody cuts it.
        np.testing.assert_allclose(people.boxes, direct.boxes, atol=1e-3)
        np.testing.assert_allclose(people.head_sizes, direct.head_sizes)
        assert people.boxes[1].min() < -100
        assert [p["head_size"] for p in read(out / "valid.json")["annotations"]] == [30, 30]
        assert "head_size" not in read(out / "train.json")["annotations"][0]
        assert check(out / "train.json").ok
        assert numbers(prepare_mpii(tmp_path, tmp_path)) == {
            tmp_path / "train.json": 2,
            tmp_path / "valid.json": 2,
        }
        written = numbers(prepare_mpii(tmp_path, out))
        assert written[out / "train.json"] == 2  # not the files just written
        with pytest.raises(ConfigError, match="MPII's own"):
            prepare_mpii(tmp_path, tmp_path / "annot")

    def test_preparing_the_published_mat_file(self, tmp_path):
        for number in range(1, 6):
            picture(tmp_path / "images" / f"{number}.jpg", 200, 150)
        (tmp_path / "mpii_human_pose_v1_u12_2").mkdir()
        mat = tmp_path / "mpii_human_pose_v1_u12_2" / "mpii_human_pose_v1_u12_1.mat"
        scipy_io.savemat(mat, {"RELEASE": release()})
        out = tmp_path / "out"
        assert prepare_mpii(tmp_path, out) == {
            out / "train.json": {
                "people": 3,
                "left_out": {"without a labelled joint": 2},
                "box_from_joints": {"without a place or a scale": 1},
            }
        }
        people = read_coco(out / "train.json")
        assert [file.name for file in people.files] == ["1.jpg", "2.jpg", "5.jpg"]
        labelled = np.argwhere(people.keypoints[..., 2] > 0).tolist()
        assert labelled == [[0, 0], [0, 5], [0, 9], [1, 6], [2, 6]]
        # Head and neck have no flag.
        assert people.keypoints[0, [0, 5, 9]].tolist() == [[60.5, 94, 1], [80, 95, 2], [74, 20, 2]]
        assert people.keypoints[1, 6].tolist() == [39, 49, 1]
        np.testing.assert_allclose(people.boxes[0], [50, 27.5, 150, 127.5])
        # Who has no place, an eighth of the picture's 150 pixels about the joint.
        np.testing.assert_allclose(people.boxes[2], [29.625, 39.625, 48.375, 58.375], atol=1e-3)
        assert [p["head_size"] for p in read(out / "train.json")["annotations"]] == [30, 30, 30]

    def test_sources_that_are_no_mpii(self, tmp_path):
        with pytest.raises(DataError, match="holds neither"):
            prepare_mpii(tmp_path, tmp_path / "out")
        mat = tmp_path / "mpii_human_pose_v1_u12_1.mat"
        scipy_io.savemat(mat, {"RELEASE": struct(annolist=struct(annorect=struct(scale=1)))})
        with pytest.raises(DataError, match="no folder of pictures"):
            prepare_mpii(tmp_path, tmp_path / "out")
        scipy_io.savemat(mat, {"other": 1})
        with pytest.raises(DataError, match="does not hold MPII's annotations"):
            prepare_mpii(tmp_path, tmp_path / "out")
        self.write(tmp_path, [mpii_row()], "train")
        (tmp_path / "images" / "1.jpg").unlink()
        with pytest.raises(ImageError, match=r"no picture .*1\.jpg"):
            prepare_mpii(tmp_path, tmp_path / "out")
        assert not (tmp_path / "out" / "train.json").exists()

    def test_a_real_file(self):
        file = real_data("formats/mpii/test_mpii.json")
        people = read_mpii(file, file.parent)
        assert people.keypoints.shape == (5, 16, 3)
        assert people.keypoints[0, 9].tolist() == [961.2409, 79.0306, 2]
        assert (people.keypoints[:, :, 2] > 0).sum(axis=1).tolist() == [16, 16, 14, 14, 16]
        assert all(path.is_file() for path in people.files)
        inside = (people.keypoints[..., :2] >= people.boxes[:, None, :2]).all(axis=-1)
        inside &= (people.keypoints[..., :2] <= people.boxes[:, None, 2:]).all(axis=-1)
        assert inside[people.keypoints[..., 2] > 0].mean() > 0.95


class TestCOCO:
    def source(self, folder, images="."):
        for part, people in (("train", 3), ("val", 2)):
            content = data_set(folder / "made", people)
            content["info"] = {"year": 2017}
            (folder / "annotations").mkdir(parents=True, exist_ok=True)
            write(folder / "annotations", content, f"person_keypoints_{part}2017.json")
            (folder / images).mkdir(exist_ok=True)
            (folder / "made" / "images").rename(folder / images / f"{part}2017")
        return folder

    @pytest.mark.parametrize("images", [".", "images"])
    def test_both_parts_find_their_pictures(self, tmp_path, images):
        out = tmp_path / "out"
        written = prepare_coco(self.source(tmp_path / "coco", images), out)
        assert numbers(written) == {out / "train.json": 3, out / "val.json": 2}
        assert [path.name for path in read_coco(out / "val.json").files] == ["1.jpg", "2.jpg"]
        assert read(out / "val.json")["images"][0]["file_name"] == "val2017/1.jpg"
        assert read(out / "train.json")["info"] == {"year": 2017}
        assert check(out / "train.json").ok
        assert check(out / "val.json").ok

    def test_in_its_own_folder(self, tmp_path):
        folder = self.source(tmp_path / "coco", "images")
        prepare_coco(folder, folder)
        assert check(folder / "val.json").ok
        assert not any(path.is_symlink() for path in (folder / "images").iterdir())

    def test_missing_pictures_are_counted(self, tmp_path):
        folder = self.source(tmp_path / "coco")
        for number in (2, 3):
            (folder / "train2017" / f"{number}.jpg").unlink()
        with pytest.raises(DataError, match=r"2 of the 3 pictures .* first is 2\.jpg"):
            prepare_coco(folder, tmp_path / "out")
        assert not (tmp_path / "out" / "train.json").exists()
        with pytest.raises(DataError, match="holds no annotations"):
            prepare_coco(tmp_path, tmp_path / "out")


def test_the_command(tmp_path):
    lsp(tmp_path / "lsp", 4, extended=False)
    arguments = ["data", "prepare", "lsp", str(tmp_path / "lsp"), str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    out = tmp_path / "out"
    assert result.output == f"{out / 'train.json'}: 2 people\n{out / 'test.json'}: 2 people\n"


def test_without_scipy_it_says_what_to_install(tmp_path, monkeypatch, capsys):
    lsp(tmp_path / "lsp", 2, extended=False)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    monkeypatch.setattr(
        "sys.argv", ["hrnet", "data", "prepare", "lsp", str(tmp_path), str(tmp_path / "out")]
    )
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "pip install 'hrnet[data]'" in capsys.readouterr().err


def test_boxes_are_those_of_the_prepared_data():
    """LSP as others have prepared it by the same rule; their boxes' sides are a pixel shorter."""
    content = read(real_data("lsp/train.json"))
    sizes = np.array([[picture["width"], picture["height"]] for picture in content["images"]])
    people = content["annotations"]
    assert [p["image_id"] for p in people] == [picture["id"] for picture in content["images"]]
    keypoints = np.array([person["keypoints"] for person in people], float).reshape(-1, 14, 3)
    boxes = np.clip(extent_boxes(keypoints), 0, np.tile(sizes - 1, 2))
    boxes[:, 2:] -= boxes[:, :2]
    np.testing.assert_allclose(boxes, [person["bbox"] for person in people], atol=0.02)


# As the published files are, but for what is not read (pose, truncated, parts, ...).
VOC_OBJECT = """
  <object>
    <name>{}</name>
    <bndbox><xmax>{}</xmax><xmin>{}</xmin><ymax>{}</ymax><ymin>{}</ymin></bndbox>
    <difficult>{}</difficult>
  </object>"""


def voc(folder, pictures, size=(100, 80)):
    """A folder as unpacked, with objects (name, xmax, xmin, ymax, ymin, difficult) by picture."""
    (folder / "Annotations").mkdir(parents=True)
    for name, objects in pictures.items():
        picture(folder / "JPEGImages" / name, 100, 80)
        text = "".join(VOC_OBJECT.format(*values) for values in objects)
        (folder / "Annotations" / name).with_suffix(".xml").write_text(
            f"<annotation><folder>VOC2012</folder><filename>{name}</filename>"
            f"<size><width>{size[0]}</width><height>{size[1]}</height></size>{text}</annotation>"
        )
    return folder


PERSON = ("person", 31, 11, 60, 21, 0)


def replacing(old, new):
    """A change to the first picture's file."""

    def change(folder):
        file = folder / "Annotations/2008_1.xml"
        file.write_text(file.read_text().replace(old, new))

    return change


VOC = {
    "2008_1.jpg": [PERSON, ("dog", 90, 40, 80, 1, 0), ("person", 100, 50.5, 80, 1, 1)],
    "2008_2.jpg": [("dog", 90, 40, 80, 1, 0)],
}


class TestVoc:
    def test_people_difficult_ones_and_pictures_without(self, tmp_path):
        source, out = voc(tmp_path / "VOC2012", VOC), tmp_path / "out"
        said = CliRunner().invoke(app, ["data", "prepare", "voc", str(source), str(out)])
        assert said.exit_code == 0
        assert "train.json: 1 people (left out: 1 marked as a crowd)" in said.output
        pictures = read_boxed_pictures(out / "train.json")
        assert [file.name for file in pictures.files] == list(VOC)
        assert all(file.is_file() for file in pictures.files)
        # Pixels count from 1, and a box has those of its edges: 11 to 31 are 21 of them.
        assert pictures.boxes[0].tolist() == [[10, 20, 31, 60]]
        assert pictures.ignored[0].tolist() == [[49.5, 0, 100, 80]]
        assert len(pictures.boxes[1]) == len(pictures.ignored[1]) == 0

    @pytest.mark.parametrize(
        ("spoil", "says"),
        [
            (lambda f: (f / "JPEGImages/2008_1.jpg").unlink(), "2008_1.jpg is missing, which"),
            (lambda f: picture(f / "JPEGImages/2008_1.jpg", 50, 40), "has 50 x 40 pixels, and 100"),
            (replacing("2008_1.jpg", "../a.jpg"), "names a picture '../a.jpg'"),
            (replacing("<xmin>11", "<xmin>left"), "2008_1.xml is not in VOC's format"),
            (replacing("<name>person</name>", ""), "no name in object"),
            (replacing("person", "cat"), "none of the 2 files in"),
            (replacing("</annotation>", ""), "cannot be read as XML"),
            (replacing("<annotation>", "<!DOCTYPE a [<!ENTITY b '1'>]><annotation>"), "entities"),
        ],
    )
    def test_what_is_wrong_is_said(self, tmp_path, spoil, says):
        source = voc(tmp_path / "VOC2012", VOC)
        spoil(source)
        with pytest.raises(DataError, match=re.escape(says)):
            prepare_voc(source, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_another_folder(self, tmp_path):
        voc(tmp_path / "VOCdevkit/VOC2012", VOC)
        with pytest.raises(DataError, match="give the folder of a year"):
            prepare_voc(tmp_path / "VOCdevkit", tmp_path / "out")
