"""Exported models: the same points and boxes as PyTorch's, without it."""

import json
import subprocess
import sys
from importlib.resources import files

import numpy as np
import onnx
import pytest
import torch
from typer.testing import CliRunner

import hrnet
from hrnet.cli import app
from hrnet.data.coco import read_coco
from hrnet.detection.card import DetectorCard
from hrnet.detection.find import find_detector
from hrnet.detection.hrnet_detector import HRNetDetector
from hrnet.detection_model import DetectionModel, DetectionNet
from hrnet.errors import ConfigError, WeightsError
from hrnet.exporting import export_pose_model, write_exported
from hrnet.runtime.onnx_session import OnnxSession
from hrnet.runtime.torch_session import TorchSession
from hrnet.zoo import find_model
from hrnet.zoo.card import FLIP_TEST_KEY, POSE_KEY
from real_data import real_data

SAMPLE = files("hrnet") / "samples" / "group.jpg"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The packaged model, by the command."""
    file = tmp_path_factory.mktemp("exported") / "packaged.onnx"
    done = CliRunner().invoke(app, ["export", str(file)])
    assert done.exit_code == 0, (done.output, done.exception)
    assert done.output == f"hrnet_w32_small_coco17 is written to {file}\n"
    return file


def small_detector():
    """Of random weights."""
    torch.manual_seed(0)
    table = {"schema": 1, "name": "small", "input_size": 128, "threshold": 0.0}
    table["network"] = {"base_channel": 8, "num_modules": [1, 1, 1], "num_blocks": 1}
    card = DetectorCard.model_validate(table)
    model = DetectionModel(DetectionNet(**card.network.model_dump()))
    for layer in model.modules():  # so that it finds some more than others
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.normal_(layer.weight, std=0.05)
    return model, card


@pytest.fixture(scope="module")
def exported_detector(tmp_path_factory):
    """A small one, and what PyTorch makes of it."""
    model, card = small_detector()
    file = tmp_path_factory.mktemp("exported") / "small.onnx"
    write_exported(model, card, file)
    return file, HRNetDetector(card, TorchSession(model, "cpu"))


@pytest.fixture(scope="module")
def people():
    """Twelve of COCO's, as pictures and their boxes."""
    people = read_coco(real_data("coco/val.json"))
    sources, boxes = people.files[:12], people.boxes[:12, None]
    return sources, list(boxes)


# What another program does, which has PyTorch alone.
PROGRAM = """
import sys, numpy as np, torch
file, inputs, outputs, *names = sys.argv[1:]
extra = {name: "" for name in names}
model = torch.export.load(file, extra_files=extra).module()
with torch.no_grad():
    found = [model(torch.from_numpy(each)).numpy() for each in np.load(inputs).values()]
np.savez(outputs, *found)
assert "hrnet" not in sys.modules
print(*extra.values(), sep="\\n")
"""


def run_program(file, inputs, tmp_path, *extra):
    """What comes out for each of the inputs, and the extra files."""
    np.savez(tmp_path / "in.npz", *inputs)
    paths = map(str, (file, tmp_path / "in.npz", tmp_path / "out.npz"))
    command = [sys.executable, "-I", "-c", PROGRAM, *paths, *extra]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return list(np.load(tmp_path / "out.npz").values()), done.stdout.splitlines()


@pytest.mark.slow
def test_a_program_of_pytorch_s_alone(tmp_path):
    file = tmp_path / "packaged.pt2"
    done = CliRunner().invoke(app, ["export", str(file), "--flip-test"])
    assert done.exit_code == 0, (done.output, done.exception)
    crops = np.random.default_rng(0).integers(0, 256, (3, 160, 128, 3), np.uint8)
    (points,), (card, flip_test) = run_program(file, [crops], tmp_path, POSE_KEY, FLIP_TEST_KEY)
    model = hrnet.create_model(flip_test=True).eval()
    with torch.no_grad():
        expected = model(torch.from_numpy(crops)).numpy()
    np.testing.assert_allclose(points, expected, atol=1e-3)
    assert json.loads(card)["name"] == "hrnet_w32_small_coco17"
    assert flip_test == "true"


@pytest.mark.slow
def test_a_detector_as_a_program_of_pytorch_s(tmp_path):
    model, card = small_detector()
    file = tmp_path / "small.pt2"
    write_exported(model, card, file)
    rng = np.random.default_rng(0)
    inputs = [rng.integers(0, 256, (1, *size, 3), np.uint8) for size in ((96, 128), (64, 96))]
    outputs, _ = run_program(file, inputs, tmp_path)
    for pictures, boxes in zip(inputs, outputs, strict=True):
        with torch.no_grad():
            expected = model(torch.from_numpy(pictures)).numpy()
        np.testing.assert_allclose(boxes, expected, atol=1e-3)


@pytest.mark.parametrize("flip_test", [False, True])
def test_points_are_those_of_pytorch(exported, people, tmp_path, flip_test):
    file = exported
    if flip_test:
        file = tmp_path / "flipped.onnx"
        export_pose_model(None, file, flip_test=True)
    ours = hrnet.PoseEstimator(device="cpu", flip_test=flip_test)(*people)
    estimator = hrnet.PoseEstimator(file)
    assert estimator.flip_test is flip_test
    assert estimator.card.name == "hrnet_w32_small_coco17"
    for one, other in zip(estimator(*people), ours, strict=True):
        sure = other.scores > 0.2
        assert np.abs(one.keypoints - other.keypoints)[sure].max(initial=0) < 0.01
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
        np.testing.assert_allclose(one.probability, other.probability, atol=1e-4)


def test_any_number_of_people_at_once(exported):
    session = OnnxSession(exported)
    crops = np.random.default_rng(0).integers(0, 256, (5, 160, 128, 3), np.uint8)
    (together,) = session(crops)
    alone = np.concatenate([session(crop[None])[0] for crop in crops])
    np.testing.assert_allclose(together, alone, atol=1e-3)


def test_the_file_says_what_it_is(exported):
    content = onnx.load(exported)
    onnx.checker.check_model(content)
    metadata = {entry.key: entry.value for entry in content.metadata_props}
    assert json.loads(metadata["hrnet_card"])["skeleton"]["name"] == "coco17"
    assert metadata["hrnet_flip_test"] == "false"
    kinds = [node.op_type for node in content.graph.node]
    assert "BatchNormalization" not in kinds
    convolutions = [
        m for m in hrnet.create_model(weights=None).modules() if isinstance(m, torch.nn.Conv2d)
    ]
    assert kinds.count("Conv") == len(convolutions)


def test_a_detector_s_boxes_are_those_of_pytorch(exported_detector):
    file, ours = exported_detector
    theirs = find_detector(file)
    assert theirs.name == "small"
    rng = np.random.default_rng(0)
    for height, width in ((90, 120), (200, 60), (128, 128)):
        picture = rng.integers(0, 256, (height, width, 3), np.uint8)
        (one,), (other,) = ours([picture]), theirs([picture])
        assert len(one) > 3
        np.testing.assert_allclose(one, other, atol=1e-2)


def test_prediction_without_pytorch(exported, exported_detector, tmp_path):
    """Where it cannot even be imported; with a detector, too, and on the command line."""
    code = (
        "import sys; sys.modules['torch'] = None; from hrnet.cli import main; "
        "sys.argv[0] = 'hrnet'; main()"
    )
    arguments = ["predict", "sample", "--model", exported, "--save", "json"]
    for detector in ("whole", exported_detector[0]):
        out = tmp_path / str(len(list(tmp_path.iterdir())))
        subprocess.run(
            [sys.executable, "-c", code, *arguments, "--detector", detector, "--out", out],
            check=True,
        )
        assert json.loads((out / "group.json").read_text())["people"]
    without = json.loads((tmp_path / "0" / "group.json").read_text())["people"]
    with_torch = hrnet.PoseEstimator(device="cpu", detector="whole")(SAMPLE.read_bytes())
    points = np.array(without[0]["keypoints"])
    np.testing.assert_allclose(points[:, :2], with_torch.keypoints[0], atol=0.02)


def test_what_exported_files_are_not(exported, exported_detector, tmp_path):
    detector = exported_detector[0]
    for options, message in (
        ({"model": detector}, "is a detector"),
        ({"model": exported, "flip_test": True}, "exported without the flip test"),
        ({"model": exported, "weights": "x.safetensors"}, "has its own weights"),
        ({"model": exported, "device": "cuda"}, "runs on the processor"),
        ({"model": tmp_path / "none.onnx"}, "there is no file"),
        ({"detector": exported}, "is no YOLOX network"),
    ):
        with pytest.raises((ConfigError, WeightsError), match=message):
            hrnet.PoseEstimator(**options)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(exported.read_bytes()[:100_000])
    with pytest.raises(WeightsError, match="cannot be run by"):
        hrnet.PoseEstimator(broken)
    with pytest.raises(ConfigError, match="is an exported file"):
        find_model(exported)


def test_what_cannot_be_exported(exported, tmp_path):
    out = str(tmp_path / "x.onnx")
    for arguments, message in (
        ([str(tmp_path / "x.pt")], "must end in .onnx, .xml or .pt2"),
        ([out, "--detector", "auto", "--flip-test"], "--detector goes without"),
        ([out, "--detector", str(exported)], "is no detector of hrnet's"),
        ([out, "--detector", "nobody"], "there is no detector 'nobody'"),
        ([out, "--model", str(exported)], "is an exported file"),
    ):
        done = CliRunner().invoke(app, ["export", *arguments])
        assert message in str(done.exception), done.output
    assert not list(tmp_path.iterdir())
