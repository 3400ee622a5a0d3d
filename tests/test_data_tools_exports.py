"""Exports of all tools, as scripts/make_exports.py rebuilds them from drawn pictures: what is read
is what was drawn."""

import csv
import importlib.util
import io
import json
import pickle
import shutil
import sys
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from hrnet.cli import app
from hrnet.data.coco import read_coco
from hrnet.data.tools.registry import prepare_labels
from hrnet.errors import ConfigError, DataError, HRNetError
from hrnet.skeletons import find_skeleton
from test_damage import damaged

SCRIPTS = Path(__file__).parents[1] / "scripts"
PICTURES, KITES = 12, 20

# By folder: the tool, the file or folder to give, what is said beside the counts.
EXPORTS = {
    "cvat": ("cvat", "annotations.xml", []),
    "cvat_video": ("cvat", ".", ["left out: 1 skeletons between keyframes"]),
    "label_studio": ("label-studio", "project-1.json", ["the order of the points"]),
    "labelme": ("labelme", ".", ["the order of the points"]),
    "via": ("via", "via_project.json", ["name is its attribute keypoint", "attribute person"]),
    "via_csv": ("via", "via_export_csv.csv", ["name is its attribute keypoint"]),
    "rectlabel": ("rectlabel", "annotations.json", []),
    "supervisely": ("supervisely", ".", []),
    "deeplabcut": ("deeplabcut", ".", []),
    "deeplabcut_hdf5": ("deeplabcut", ".", []),
    "sleap": ("sleap", "kites.pkg.slp", []),
    "yolo": ("yolo", "data.yaml", []),
}
DRAWS_LIMBS = ("cvat", "cvat_video", "supervisely", "deeplabcut", "deeplabcut_hdf5", "sleap")


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    sys.path.insert(0, str(SCRIPTS))
    spec = importlib.util.spec_from_file_location("make_exports", SCRIPTS / "make_exports.py")
    make_exports = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_exports)
    sys.path.remove(str(SCRIPTS))
    folder = tmp_path_factory.mktemp("exports") / "kites"
    make_exports.main(folder, PICTURES)
    return folder


def in_order(people, names):
    """Keypoints, by picture and from left to right, in the order of the names."""
    joints = people.keypoints[:, [people.names.index(name) for name in names]]
    left = [own[own[:, 2] > 0, 0].min() for own in joints]
    stems = [int("".join(filter(str.isdigit, file.stem))) for file in people.files]
    return joints[np.lexsort((left, stems))]


@pytest.mark.parametrize("folder", EXPORTS)
def test_an_export_is_what_was_drawn(exports, folder, tmp_path):
    tool, source, said = EXPORTS[folder]
    out = tmp_path / "out"
    result = CliRunner().invoke(
        app, ["data", "prepare", tool, str(exports / folder / source), str(out)]
    )
    assert result.exit_code == 0, result.output
    assert f"train.json: {KITES} people; look at them in" in result.output
    assert all(text in result.output for text in said), result.output
    assert cv2.imread(str(out / "train.png")) is not None
    truth, people = read_coco(exports / "kites.json"), read_coco(out / "train.json")
    expected, found = (in_order(p, truth.names) for p in (truth, people))
    np.testing.assert_allclose(found, expected, atol=0.01)
    drawn, linked = (cv2.imread(str(p.files[0])) for p in (truth, people))
    assert np.array_equal(drawn, linked)
    skeleton = find_skeleton(str(out / "skeleton.toml"))
    assert skeleton.pairs == (("left_wing", "right_wing"),)
    assert skeleton.sigmas == (0.09,) * 5
    assert len(skeleton.limbs) == (5 if folder in DRAWS_LIMBS else 0)


def test_a_file_a_category(exports, tmp_path):
    out = tmp_path / "out"
    prepared = prepare_labels("categories", exports / "categories" / "instances.json", out)
    kites, tails = read_coco(out / "kite.json"), read_coco(out / "tail_only.json")
    assert len(kites) + len(tails) == KITES
    assert tails.names == ["tail", "tip_of_tail"]
    assert prepared.files[out / "tail_only.json"] == out / "tail_only.toml"
    truth = read_coco(exports / "kites.json")
    on_the_right = truth.keypoints[truth.boxes[:, 0] > 0]
    assert np.array_equal(tails.keypoints, on_the_right[:, 3:])


def test_frames_of_a_video_beside_the_file(exports, tmp_path):
    """SLEAP's own files name the video as it was on the computer where it was labelled."""
    sleap_io = pytest.importorskip("sleap_io")
    video = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for grey in (10, 100, 200):
        video.write(np.full((48, 64, 3), grey, np.uint8))
    video.release()
    skeleton = sleap_io.Skeleton(nodes=["tip", "tail"])
    frames = [
        sleap_io.LabeledFrame(
            video=sleap_io.Video(str(tmp_path / "v.avi")), frame_idx=2, instances=[instance]
        )
        for instance in (
            sleap_io.Instance.from_numpy(np.array([[1.5, 2], [np.nan, np.nan]]), skeleton=skeleton),
        )
    ]
    predicted = sleap_io.PredictedInstance.from_numpy(
        np.ones((2, 2)), skeleton=skeleton, point_scores=np.ones(2), score=1.0
    )
    frames[0].instances.append(predicted)
    sleap_io.Labels(frames).save(str(tmp_path / "a.slp"))
    (tmp_path / "moved").mkdir()
    moved = shutil.move(tmp_path / "a.slp", tmp_path / "moved" / "a.slp")
    shutil.move(tmp_path / "v.avi", tmp_path / "elsewhere.avi")
    with pytest.raises(DataError, match=r"there is no video or picture v.avi beside it"):
        prepare_labels("sleap", moved, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    shutil.move(tmp_path / "elsewhere.avi", tmp_path / "moved" / "v.avi")
    prepared = prepare_labels("sleap", moved, tmp_path / "out")
    assert prepared.left_out == {"instances that SLEAP predicted": 1}
    people = read_coco(tmp_path / "out" / "train.json")
    assert people.keypoints.tolist() == [[[1.5, 2, 2], [0, 0, 0]]]
    assert cv2.imread(str(people.files[0])).mean() == pytest.approx(200, abs=3)


def test_version_one_of_via_and_its_visibility(exports, tmp_path):
    shutil.copytree(exports / "images", tmp_path / "set")
    shapes = [{"name": "point", "cx": x, "cy": 5} for x in (1, 2, 3)] + [{"name": "circle"}]
    attributes = [
        {"name": "tip", "visible": "1"},
        {"name": "tail", "visible": "2"},
        {"name": "nose", "visible": "0"},
        {},
    ]
    regions = {
        str(i): {"shape_attributes": s, "region_attributes": a}
        for i, (s, a) in enumerate(zip(shapes, attributes, strict=True))
    }
    entry = {"fileref": "", "filename": "frame_000003.png", "regions": regions}
    (tmp_path / "set" / "via.json").write_text(json.dumps({"frame_000003.png1": entry}))
    prepared = prepare_labels("via", tmp_path / "set" / "via.json", tmp_path / "out")
    assert prepared.left_out == {"regions: circle": 1}
    people = read_coco(tmp_path / "out" / "train.json")
    assert people.names == ["tip", "tail"]
    assert people.keypoints.tolist() == [[[1, 5, 1], [2, 5, 2]]]


def test_a_hidden_node_of_supervisely_s_is_occluded(exports, tmp_path):
    shutil.copytree(exports / "supervisely", tmp_path / "set")
    file = next((tmp_path / "set").glob("*/ann/*.json"))
    table = json.loads(file.read_text())
    next(iter(table["objects"][0]["nodes"].values()))["disabled"] = True
    table["objects"].append({"geometryType": "polygon", "classTitle": "sky"})
    file.write_text(json.dumps(table))
    prepared = prepare_labels("supervisely", tmp_path / "set", tmp_path / "out")
    assert prepared.left_out == {"objects: polygon": 1}
    people = read_coco(tmp_path / "out" / "train.json")
    assert (people.keypoints[..., 2] == 1).sum() == 1


def test_tables_of_deeplabcut_s_first_version(exports, tmp_path):
    """One animal, paths in one column; and the same in pandas' form with pickled names (in the
    text protocol, as Python 2 wrote them)."""
    folder = tmp_path / "set" / "labeled-data" / "sky"
    shutil.copytree(exports / "images", folder)
    rows = ["labeled-data\\sky\\frame_000001.png", "labeled-data\\sky\\frame_000002.png"]
    values = np.array([[1.5, 2, np.nan, np.nan], [3, 4, 5, 6]])
    head = [["scorer"] + ["me"] * 4, ["bodyparts", "tip", "tip", "tail", "tail"]]
    head.append(["coords", "x", "y", "x", "y"])
    text = io.StringIO()
    csv.writer(text).writerows(
        [*head, *([row, *own] for row, own in zip(rows, values.tolist(), strict=True))]
    )
    (folder / "CollectedData_me.csv").write_text(text.getvalue().replace("nan", ""))
    prepare_labels("deeplabcut", tmp_path / "set", tmp_path / "csv")
    people = read_coco(tmp_path / "csv" / "train.json")
    assert people.keypoints.tolist() == [[[1.5, 2, 2], [0, 0, 0]], [[3, 4, 2], [5, 6, 2]]]

    (folder / "CollectedData_me.csv").unlink()
    names = [("me", part, axis) for part in ("tip", "tail") for axis in "xy"]
    records = np.array(
        [(row.encode(), own) for row, own in zip(rows, values, strict=True)],
        dtype=[("index", "S40"), ("values_block_0", "f8", 4)],
    )
    with h5py.File(folder / "CollectedData_me.h5", "w") as file:
        group = file.create_group("df_with_missing")
        group["table"] = records
        group.attrs["non_index_axes"] = np.bytes_(pickle.dumps([(1, names)], 0))
    prepare_labels("deeplabcut", tmp_path / "set", tmp_path / "hdf5")
    assert read_coco(tmp_path / "hdf5" / "train.json").keypoints.tolist() == (
        people.keypoints.tolist()
    )
    with h5py.File(folder / "CollectedData_me.h5", "a") as file:
        file["df_with_missing"].attrs["non_index_axes"] = np.bytes_(pickle.dumps(len, 0))
    with pytest.raises(DataError, match="pickled __builtin__.len, which is not read"):
        prepare_labels("deeplabcut", tmp_path / "set", tmp_path / "out")


def changed(exports, tmp_path, name, old, new):
    """A copy of an export with a text changed in one of its files."""
    folder = tmp_path / "set"
    shutil.copytree(exports / name.split("/")[0], folder)
    file = folder / name.split("/", 1)[1]
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return folder


@pytest.mark.parametrize(
    ("tool", "name", "old", "new", "source", "message"),
    [
        ("via", "via/via_project.json", '"keypoint"', '"kind of"', ".", "which of the attributes"),
        ("via", "via/via_project.json", '"point"', '"circle"', ".", "no region is a point"),
        ("via", "via/via_project.json", '"left_wing"', '"nose"', ".", "nose is labelled twice"),
        ("via", "via_csv/via_export_csv.csv", "filename", "file", ".", "is no project or export"),
        ("via", "via/via_project.json", "frame_000002.png", "x.png", ".", "no picture x.png"),
        ("rectlabel", "rectlabel/annotations.json", '"nose"', '"left_wing"', ".", "labelled twice"),
        ("rectlabel", "rectlabel/annotations.json", '"width": 480', '"width": 9', ".", "9 x 240"),
        ("rectlabel", "rectlabel/annotations.json", '"bbox"', '"keypoints"', ".", "has keypoints"),
        ("supervisely", "supervisely/meta.json", '"graph"', '"point"', "..", "no class is a graph"),
        ("supervisely", "supervisely/meta.json", '"nodes"', '"n"', "..", "KeyError: 'nodes'"),
        (
            "deeplabcut",
            "deeplabcut/labeled-data/sky/CollectedData_ann.csv",
            "coords",
            "axes",
            "../../..",
            "does not begin with scorer, bodyparts and coords",
        ),
        (
            "deeplabcut",
            "deeplabcut/labeled-data/sky/CollectedData_ann.csv",
            "frame_000002.png",
            "frame_000099.png",
            "../../..",
            "no picture labeled-data/sky/frame_000099.png",
        ),
        ("cvat", "cvat_video/annotations.xml", "original_size", "size", ".", "no original_size"),
        ("categories", "categories/instances.json", '"tail only"', '"kite"', ".", "called kite"),
        ("categories", "categories/instances.json", '"keypoints"', '"k"', ".", "has nobody"),
    ],
)
def test_what_is_not_clear_is_refused(exports, tmp_path, tool, name, old, new, source, message):
    folder = changed(exports, tmp_path, name, old, new)
    file = folder / name.split("/", 1)[1]
    given = file if source == "." else (file.parent if source == ".." else file.parents[2])
    with pytest.raises(DataError, match=message):
        prepare_labels(tool, given, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("tool", ["deeplabcut", "labelme", "supervisely", "via", "sleap", "yolo"])
def test_a_place_where_there_is_nothing(tool, tmp_path):
    with pytest.raises(HRNetError, match=r"(?i)there is no|has no JSON files|cannot be read"):
        prepare_labels(tool, tmp_path / "nothing", tmp_path / "out")
    with pytest.raises(HRNetError):
        prepare_labels(tool, tmp_path, tmp_path / "out")


def test_frames_do_not_take_the_place_of_pictures(exports, tmp_path):
    (tmp_path / "out" / "images").mkdir(parents=True)
    with pytest.raises(ConfigError, match="images is there already; name another folder"):
        prepare_labels("sleap", exports / "sleap" / "kites.pkg.slp", tmp_path / "out")


DAMAGED = {
    "rectlabel": "annotations.json",
    "supervisely": "meta.json",
    "via": "via_project.json",
    "via_csv": "via_export_csv.csv",
    "deeplabcut": "labeled-data/sky/CollectedData_ann.csv",
    "deeplabcut_hdf5": "labeled-data/sky/CollectedData_ann.h5",
    "cvat_video": "annotations.xml",
    "sleap": "kites.pkg.slp",
    "categories": "instances.json",
}


@pytest.mark.parametrize("folder", DAMAGED)
def test_damaged_exports_are_read_or_refused_in_a_sentence(exports, tmp_path, folder):
    """Some four hundred more damages than in tests/test_data_tools.py."""
    rng = np.random.default_rng(len(folder))
    tool, source, _ = EXPORTS.get(folder, ("categories", "instances.json", []))
    shutil.copytree(exports / folder, tmp_path / "set")
    file = tmp_path / "set" / DAMAGED[folder]
    whole = file.read_bytes()
    refused = 0
    for number in range(20 if folder == "sleap" else 50):
        file.write_bytes(damaged(whole, [b'{"a": [1, null]}', b"<x/>"], rng))
        out = tmp_path / f"out{number}"
        try:
            for written in prepare_labels(tool, tmp_path / "set" / source, out).files:
                read_coco(written)
        except HRNetError as error:
            refused += 1
            assert "\n" not in str(error)
            assert not list(out.glob("*.json")) or "keypoints" in str(error)
    assert refused > 3
