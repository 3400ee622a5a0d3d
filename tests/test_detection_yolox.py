"""YOLOX's ONNX files: made here, to know what must come out, and the real one."""

import json

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

import hrnet
from hrnet.cli import app
from hrnet.detection.boxes import suppress
from hrnet.detection.find import find_detector, list_detectors
from hrnet.detection.yolox import Yolox
from hrnet.errors import ConfigError, WeightsError
from hrnet.evaluation.evaluate import evaluate
from hrnet.images import read_image
from hrnet.runtime.onnx_session import OnnxSession
from real_data import real_data

WIDTH, HEIGHT = 64, 32
PLACES = 32 + 8 + 2  # on the grids of strides 8, 16 and 32


def network(file, output, shape=(1, 3, HEIGHT, WIDTH)):
    """A file that gives the same output for any picture."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["constant", "nothing"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(output, "constant"),
            numpy_helper.from_array(np.float32(0), "zero"),
        ],
    )
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), file)
    return file


def rows(*found, classes=80):
    """An output with (place, x, y, w, h, objectness, person, other class) here and there."""
    output = np.zeros((1, PLACES, 5 + classes), np.float32)
    for place, *values in found:
        output[0, place, : len(values)] = values
    return output


def yolox(file):
    return Yolox(OnnxSession(file), file, "a")


def test_boxes_relative_to_their_places(tmp_path):
    """Of the second place of the second row of stride 8: (1.5, 1.25) x 8, and e^1 x 8 wide; of the
    last place of stride 32, the second of its only row."""
    relative = rows(
        (9, 0.5, 0.25, 1.0, 0.0, 0.9, 0.8),
        (PLACES - 1, 0.5, 0.5, 0.0, -1.0, 0.5, 1.0),
        (0, 0.0, 0.0, 0.0, 0.0, 0.9, 0.1, 0.9),  # another class
        (1, 0.0, 0.0, 0.0, 0.0, 0.1, 1.0),  # nothing there
    )
    detector = yolox(network(tmp_path / "a.onnx", relative))
    (found,) = detector([np.zeros((HEIGHT, WIDTH, 3), np.uint8)])
    wide = 8 * np.e
    expected = [
        [12 - wide / 2, 10 - 4, 12 + wide / 2, 10 + 4, 0.72],
        [48 - 16, 16 - 16 / np.e, 63, 16 + 16 / np.e, 0.5],  # to the last pixel's centre
    ]
    expected[0][:2] = np.maximum(expected[0][:2], 0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_boxes_in_pixels_go_back_to_the_picture(tmp_path):
    """A picture twice as large, and narrower than the input: what is at the right is grey."""
    pixels = rows(
        (3, 20, 10, 8, 12, 1.0, 0.9), (4, 21, 10, 8, 12, 1.0, 0.8), (5, 50, 10, 8, 8, 1, 1)
    )
    detector = yolox(network(tmp_path / "a.onnx", pixels))
    (found,) = detector([np.zeros((2 * HEIGHT, 60, 3), np.uint8)])
    np.testing.assert_allclose(found, [[32, 8, 48, 32, 0.9]], rtol=1e-6)  # the second is the same


def test_one_class_and_nobody(tmp_path):
    file = network(tmp_path / "a.onnx", rows((3, 20, 10, 8, 12, 1.0, 0.2), classes=1))
    (found,) = yolox(file)([np.zeros((HEIGHT, WIDTH, 3), np.uint8)])
    assert found.shape == (0, 5)


def test_pictures_go_in_as_bgr_and_grey_beside_them(tmp_path):
    file = network(tmp_path / "a.onnx", rows())
    seen = []
    detector = yolox(file)
    session = detector.session
    detector.session = lambda array: (seen.append(array), session(array))[1]
    picture = np.zeros((HEIGHT, HEIGHT, 3), np.uint8) + np.array([10, 20, 30], np.uint8)
    detector([picture])
    assert seen[0].dtype == np.float32
    assert seen[0][0, :, 5, 5].tolist() == [30, 20, 10]
    assert seen[0][0, :, 5, HEIGHT:].tolist() == [[114] * (WIDTH - HEIGHT)] * 3


@pytest.mark.parametrize(
    ("shape", "output", "message"),
    [
        ((1, 1, HEIGHT, WIDTH), rows(), "its input is"),
        ((1, 3, "h", "w"), rows(), "its input is"),
        ((1, 3, HEIGHT, WIDTH), rows()[:, 1:], "its output is"),
        ((1, 3, HEIGHT, WIDTH), rows()[..., :5], "its output is"),
    ],
)
def test_other_networks_are_refused(tmp_path, shape, output, message):
    with pytest.raises(WeightsError, match=message):
        yolox(network(tmp_path / "a.onnx", output, shape))


def test_files_that_are_none(tmp_path):
    with pytest.raises(WeightsError, match=r"there is no file .*a.onnx"):
        find_detector(tmp_path / "a.onnx")
    (tmp_path / "a.onnx").write_bytes(b"text")
    with pytest.raises(WeightsError, match="cannot be run by"):
        find_detector(tmp_path / "a.onnx")


def test_detectors_by_name():
    assert list_detectors()[:3] == ["whole", "hrnet_w32_small_person", "yolox_nano"]
    with pytest.raises(ConfigError, match="no detector 'yolox_nan'.*yolox_nano"):
        find_detector("yolox_nan")
    with pytest.raises(WeightsError, match=r"yolox_m.onnx has no address.*0.1.1rc0 and save it as"):
        find_detector("yolox_m")
    with pytest.raises(ConfigError, match="add its sha256"):
        find_detector("https://host.org/a.onnx")


def test_suppression():
    """IoU of the first two is 80 / 120, of the first and the third 0."""
    boxes = np.array([[0, 0, 10, 10], [2, 0, 12, 10], [20, 0, 30, 10]], np.float64)
    scores = np.array([0.5, 0.9, 0.9])
    assert suppress(boxes, scores, 0.66).tolist() == [1, 2]
    assert suppress(boxes, scores, 0.67).tolist() == [1, 2, 0]
    assert suppress(boxes[:0], scores[:0], 0.5).tolist() == []


# --- the real one ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nano():
    return real_data("../peers/yolox_nano.onnx")


def test_people_of_coco_are_found(nano):
    """Everybody labelled who is taller than 100 pixels, at IoU 0.5."""
    file = real_data("formats/coco/test_coco.json")
    content = json.loads(file.read_text())
    detector = find_detector(nano)
    assert detector.name == "yolox_nano"
    missed = 0
    for image in content["images"]:
        (found,) = detector([read_image(file.parent / image["file_name"], orient=False)])
        for person in content["annotations"]:
            x, y, w, h = person["bbox"]
            if person["image_id"] == image["id"] and not person["iscrowd"] and h > 100:
                low = np.maximum(found[:, :2], [x, y])
                high = np.minimum(found[:, 2:4], [x + w, y + h])
                shared = np.prod(np.clip(high - low, 0, None), axis=1)
                areas = np.prod(found[:, 2:4] - found[:, :2], axis=1)
                missed += not (shared / (areas + w * h - shared) > 0.5).any()
    assert missed <= 1


def test_one_skeleton_each(nano, tmp_path):
    """Two men in the second picture; with them as boxes, the same joints come out."""
    picture = real_data("formats/coco/000000040083.jpg")
    estimator = hrnet.PoseEstimator(detector=nano)
    poses = estimator(picture)
    assert len(poses) == 2
    assert poses.box_source == "yolox_nano"
    given = estimator(picture, boxes=np.column_stack([poses.boxes, poses.box_scores]))
    # Boxes in results are single precision, by which some of a crop's pixels differ by 1 in 255.
    np.testing.assert_allclose(given.keypoints, poses.keypoints, atol=0.1)
    assert given.box_source == "given"
    nobody = estimator(np.full((80, 80, 3), 100, np.uint8))
    assert len(nobody) == 0
    twice = np.zeros((200, 200, 3), np.uint8)
    estimator.detector = Twice()
    assert len(estimator(twice)) == 1


def test_evaluating_leaves_the_detector_s_threshold_as_it_was(nano):
    """AP ranks boxes far below it; recall and false boxes do not, the second time either."""
    file = real_data("formats/coco/test_coco.json")
    estimator = hrnet.PoseEstimator(detector=nano)
    figures = [
        evaluate(estimator, file, images=file.parent, detector=estimator.detector).figures
        for _ in range(2)
    ]
    assert estimator.detector.threshold == 0.3
    np.testing.assert_equal(*figures)


class Twice:
    """Finds somebody twice."""

    name, padding, batch_size, second_look = "twice", None, 1, None

    def __call__(self, images):
        return [np.array([[10, 10, 110, 190, 0.9], [10, 10, 110, 191, 0.8]])] * len(images)


def test_a_detector_is_measured(nano, tmp_path):
    """On 40 pictures; the figures of boxes are in the report beside those of poses."""
    content = json.loads(real_data("coco/val.json").read_text())
    images = content["images"][:40]
    ids = {image["id"] for image in images}
    few = [a for a in content["annotations"] if a["image_id"] in ids]
    file = tmp_path / "few.json"
    file.write_text(json.dumps({**content, "images": images, "annotations": few}))
    arguments = ["evaluate", "--data", str(file), "--images", str(real_data("coco/images"))]
    arguments += ["--detector", str(nano), "--out", str(tmp_path / "report")]
    arguments += ["--ignore", str(real_data("coco/val_other_people.json"))]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    assert "boxes: yolox_nano" in result.output
    report = json.loads((tmp_path / "report" / "figures.json").read_text())
    assert report["protocol"]["boxes"] == "yolox_nano"
    figures = report["figures"]
    assert figures["recall, over 96"] > 0.8
    assert figures["false boxes"] < 0.5
    assert figures["box AP50"] > 0.7
    assert 0.2 < figures["AP"] < 0.6


def test_predict_with_a_detector(nano, tmp_path):
    picture = str(real_data("formats/coco/000000197388.jpg"))
    out = tmp_path / "out"
    arguments = [
        "predict",
        picture,
        "--detector",
        str(nano),
        "--out",
        str(out),
        "--save",
        "json,png",
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "taken as one person" not in result.output
    answer = json.loads((out / "000000197388.json").read_text())
    assert len(answer["people"]) >= 4
    assert answer["box_source"] == "yolox_nano"
    drawn = cv2.imread(str(out / "000000197388.png"))
    assert (drawn != cv2.imread(picture)).any(axis=2).mean() > 0.01
    refused = CliRunner().invoke(app, [*arguments, "--boxes", "x.json"])
    assert "leave out --detector" in str(refused.exception)
