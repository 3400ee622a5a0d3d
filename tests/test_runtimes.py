"""The same model in PyTorch, ONNX Runtime and OpenVINO, in single and half precision."""

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import hrnet
from hrnet.cli import app
from hrnet.data.coco import read_coco
from hrnet.errors import ConfigError, WeightsError
from hrnet.geometry import crop_matrices, crop_regions, warp
from hrnet.images import read_image
from hrnet.runtime.execution import RUNTIMES, Execution
from hrnet.runtime.openvino_session import OpenVINOSession, openvino_core
from hrnet.runtime.runner import load_runner
from hrnet.zoo import find_model
from real_data import real_data

SAMPLE = files("hrnet") / "samples" / "group.jpg"
CAN = openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
HALF = [precision for precision in ("bf16", "fp16") if precision.upper() in CAN]


@pytest.fixture(scope="module")
def crops():
    return _crops(64)


def _crops(number=None):
    """Of the first people of COCO's, or all 345, as the network sees them."""
    people = read_coco(real_data("coco/val.json"))
    card = find_model(None).card
    regions = crop_regions(people.boxes[:number], card.input_size, card.padding)
    matrices = crop_matrices(*regions, card.input_size, unbiased=card.unbiased)
    return np.stack(
        [
            warp(read_image(file, orient=False), matrix, card.input_size)
            for file, matrix in zip(people.files[:number], matrices, strict=True)
        ]
    )


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A cache of its own."""
    monkeypatch.setenv("HRNET_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.slow
@pytest.mark.parametrize(("flip_test", "people"), [(False, None), (True, 100)])
def test_points_agree_in_single_precision(flip_test, people):
    crops = _crops(people)
    ours = load_runner(flip_test=flip_test, execution=Execution(runtime="torch"))(crops)
    sure = ours[..., 2] > 0.2
    assert sure.mean() > 0.8
    for runtime in ("onnxruntime", "openvino"):
        execution = Execution(runtime=runtime, precision="fp32")
        theirs = load_runner(flip_test=flip_test, execution=execution)(crops)
        assert np.abs(theirs - ours)[sure][:, :2].max() < 0.01
        np.testing.assert_allclose(theirs[sure][:, 2:], ours[sure][:, 2:], atol=1e-4)


@pytest.mark.parametrize("precision", HALF)
def test_points_in_half_precision_are_near(crops, precision):
    ours = load_runner(execution=Execution())(crops)
    sure = ours[..., 2] > 0.5
    for runtime in ("torch", "openvino"):
        runner = load_runner(execution=Execution(runtime=runtime, precision=precision))
        assert runner.runs == f"{runtime} on cpu in {precision}"
        off = np.abs(runner(crops) - ours)[sure][:, :2].max(axis=1)
        assert np.median(off) < 0.05
        assert np.mean(off < 0.5) > 0.98


@pytest.mark.parametrize("precision", HALF)
def test_heatmaps_of_half_precision_are_decoded_in_single(crops, precision):
    session = load_runner(execution=Execution(runtime="openvino", precision=precision)).session
    assert isinstance(session, OpenVINOSession)
    network, decoder = session._requests
    heatmaps = torch.from_numpy(np.array(network.infer([crops[:8]])[0]))
    model = hrnet.create_model()
    expected = model.points(heatmaps, (crops.shape[2], crops.shape[1])).numpy()
    points = np.array(decoder.infer([heatmaps.numpy()])[0])
    np.testing.assert_allclose(points, expected, atol=1e-3)
    # In half precision some would be: a peak near 1 has steps of 1/256.
    assert (points[..., 2] * 256 % 1 != 0).mean() > 0.5
    (whole,) = session(crops[:8])
    np.testing.assert_array_equal(whole, points)


@pytest.mark.parametrize("precision", ["fp32", *HALF])
def test_any_number_of_people_at_once(crops, precision):
    runner = load_runner(execution=Execution(runtime="openvino", precision=precision))
    together = runner(crops[:11])
    alone = np.concatenate([runner(crop[None]) for crop in crops[:11]])
    # With whom they share a batch is nothing to them.
    np.testing.assert_array_equal(together, alone)
    assert runner(crops[:0]).shape == (0, 17, 4)


def test_several_threads_share_one(crops):
    runner = load_runner(execution=Execution(runtime="openvino", precision="fp32"))
    parts = np.array_split(crops, 16)
    one_by_one = [runner(part) for part in parts]
    with ThreadPoolExecutor(8) as threads:
        for one, other in zip(threads.map(runner, parts), one_by_one, strict=True):
            np.testing.assert_array_equal(one, other)


FORKED = """
import multiprocessing, sys
import numpy as np, hrnet

estimator = hrnet.PoseEstimator(runtime=sys.argv[1], precision="fp32", detector="whole")
picture = np.random.default_rng(0).integers(0, 256, (200, 150, 3), np.uint8)
expected = estimator(picture).keypoints
context = multiprocessing.get_context("fork")
queue = context.Queue()
child = context.Process(target=lambda: queue.put(estimator(picture).keypoints))
child.start()
try:
    np.testing.assert_allclose(queue.get(timeout=100), expected, atol=0.01)
finally:
    child.kill()
"""


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_forked_process_can_go_on_with_an_estimator(runtime):
    subprocess.run([sys.executable, "-c", FORKED, runtime], check=True, timeout=200)


def test_what_is_converted_is_kept_and_a_broken_copy_made_again(home, crops):
    execution = Execution(runtime="openvino", precision="fp32")
    expected = load_runner(execution=execution)(crops[:2])
    (file,) = (home / "converted").glob("*.onnx")
    content, written = file.read_bytes(), file.stat().st_ino
    np.testing.assert_array_equal(load_runner(execution=execution)(crops[:2]), expected)
    assert file.stat().st_ino == written  # taken as it is
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 0x40  # a weight, which any reader would take
    for broken in (bytes(damaged), content[:-1000], b""):
        file.write_bytes(broken)
        np.testing.assert_array_equal(load_runner(execution=execution)(crops[:2]), expected)
        assert file.read_bytes() == content
    for blob in (home / "openvino").glob("*.blob"):
        blob.chmod(0o600)
        blob.write_bytes(blob.read_bytes()[:-500])
    np.testing.assert_array_equal(load_runner(execution=execution)(crops[:2]), expected)
    load_runner(flip_test=True, execution=execution)  # is another
    assert len(list((home / "converted").glob("*.onnx"))) == 2


def test_what_runs_is_chosen_once_and_said(monkeypatch, tmp_path, whole_pictures):
    monkeypatch.delenv("HRNET_RUNTIME")
    monkeypatch.delenv("HRNET_PRECISION")
    best = HALF[0] if HALF else "fp32"
    estimator = hrnet.PoseEstimator(device="cpu")
    assert estimator.runner.runs == f"openvino on cpu in {best}"
    done = CliRunner().invoke(
        app, ["predict", str(SAMPLE), "--device", "cpu", "--out", str(tmp_path)]
    )
    assert f"the model ran in openvino on cpu in {best}" in done.output.replace("\n", " ")
    about = json.loads((tmp_path / "group.json").read_text())["model"]
    assert (about["runtime"], about["device"], about["precision"]) == ("openvino", "cpu", best)
    monkeypatch.setenv("HRNET_RUNTIME", "onnxruntime")
    assert hrnet.PoseEstimator().runner.runs == "onnxruntime on cpu in fp32"
    monkeypatch.setenv("HRNET_RUNTIME", "torch")
    monkeypatch.setenv("HRNET_PRECISION", "fp32")
    assert hrnet.PoseEstimator(device="cpu").runner.runs == "torch on cpu in fp32"
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.delenv("HRNET_RUNTIME")
    monkeypatch.setattr("hrnet.runtime.execution.find_spec", lambda name: None)
    assert hrnet.PoseEstimator(device="cpu").runner.session.provider == "torch"
    with pytest.raises(ConfigError, match=r"pip install 'hrnet\[openvino\]'"):
        openvino_core.__wrapped__()


def test_what_cannot_be_run_is_said(monkeypatch, tmp_path):
    missing = next((p for p in ("fp16", "bf16") if p.upper() not in CAN), None)
    for options, message in (
        ({"runtime": "tensorrt"}, "there is no runtime 'tensorrt'; it is auto, torch, onnxruntime"),
        ({"precision": "int4"}, "there is no precision 'int4'; it is auto, fp32"),
        ({"runtime": "openvino", "device": "cuda"}, "openvino runs on the processor"),
        ({"runtime": "onnxruntime", "precision": "bf16"}, "onnxruntime computes in fp32"),
        *([({"runtime": "openvino", "precision": missing}, "no units for")] if missing else []),
    ):
        with pytest.raises(ConfigError, match=message):
            hrnet.PoseEstimator(**options)
    monkeypatch.setenv("HRNET_RUNTIME", "tensorflow")
    with pytest.raises(ConfigError, match="there is no runtime 'tensorflow'"):
        hrnet.PoseEstimator()


def test_openvino_s_own_files(crops, tmp_path):
    file = tmp_path / "model.xml"
    done = CliRunner().invoke(app, ["export", str(file), "--flip-test"])
    assert done.exit_code == 0, done.output
    assert sorted(f.name for f in tmp_path.iterdir()) == ["model.bin", "model.xml"]
    ours = load_runner(flip_test=True, execution=Execution())
    theirs = load_runner(file, execution=Execution(precision="fp32"))
    assert (theirs.card, theirs.flip_test) == (
        ours.card.model_copy(update={"weights": None}),
        True,
    )
    sure = ours(crops)[..., 2] > 0.2
    assert np.abs(theirs(crops) - ours(crops))[sure][:, :2].max() < 0.01
    with pytest.raises(ConfigError, match="is for OpenVINO"):
        hrnet.PoseEstimator(file, runtime="onnxruntime")
    (tmp_path / "model.bin").unlink()
    with pytest.raises(WeightsError, match="cannot be run by OpenVINO"):
        hrnet.PoseEstimator(file)


@pytest.mark.slow
def test_prediction_where_pytorch_is_not_installed(tmp_path):
    """An environment of links to all that is installed here, but for PyTorch: exported files, of a
    pose model and of the detector in the package, predict the same."""
    for arguments in (
        [str(tmp_path / "pose.onnx")],
        [str(tmp_path / "d.onnx"), "--detector", "auto"],
    ):
        assert CliRunner().invoke(app, ["export", *arguments]).exit_code == 0
    packages = tmp_path / "packages"
    packages.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(("torch", "functorch", "__")):
            (packages / entry.name).symlink_to(entry)
    (packages / "hrnet").unlink(missing_ok=True)
    (packages / "hrnet").symlink_to(Path(hrnet.__file__).parent)
    code = (
        "import sys, importlib.util; assert importlib.util.find_spec('torch') is None; "
        "from hrnet.cli import main; sys.argv[0] = 'hrnet'; main()"
    )
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    results = {}
    for runtime in ("onnxruntime", "openvino"):
        out = tmp_path / runtime
        command = [sys.executable, "-S", "-c", code, "predict", "sample", "--save", "json"]
        command += ["--model", str(tmp_path / "pose.onnx"), "--detector", str(tmp_path / "d.onnx")]
        command += ["--runtime", runtime, "--precision", "fp32", "--out", str(out)]
        subprocess.run(command, env=environment, check=True)
        results[runtime] = json.loads((out / "group.json").read_text())["people"]
    ours = hrnet.PoseEstimator(device="cpu")(SAMPLE.read_bytes())
    for people in results.values():
        points = np.array([person["keypoints"] for person in people])[..., :2]
        np.testing.assert_allclose(
            points[ours.scores > 0.2], ours.keypoints[ours.scores > 0.2], atol=0.05
        )


def test_ctrl_c_after_several_estimators():
    """Whose ends come in another order than their beginnings."""
    code = (
        "import os, signal, hrnet\n"
        "signal.signal(signal.SIGINT, lambda *_: print('caught'))\n"
        "one = hrnet.PoseEstimator(runtime='openvino')\n"
        "other = hrnet.PoseEstimator(runtime='openvino', flip_test=True)\n"
        "del one\n"
        "third = hrnet.PoseEstimator(runtime='openvino')\n"
        "del other, third\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "print('goes on')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["caught", "goes on"]


def test_an_estimator_pickles_with_its_model(home, tmp_path, crops):
    """As for another machine, which has not this one's cache."""
    estimator = hrnet.PoseEstimator(runtime="openvino", precision="fp32", detector="whole")
    content = pickle.dumps(estimator)
    expected = estimator.runner(crops[:3])
    shutil.rmtree(home)
    again = pickle.loads(content)
    np.testing.assert_array_equal(again.runner(crops[:3]), expected)
    twice = pickle.loads(pickle.dumps(again))
    np.testing.assert_array_equal(twice.runner(crops[:3]), expected)


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch, crops):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("HRNET_HOME", str(tmp_path / "file" / "home"))
    monkeypatch.setenv("HRNET_RUNTIME", "openvino")
    assert hrnet.PoseEstimator(device="cpu").runner.session.provider == "torch"
    with pytest.raises(OSError, match="file"):
        hrnet.PoseEstimator(runtime="openvino")


def share_in_int8(model):
    """Of the multiply-adds of a model's convolutions, those of which both inputs are quantised."""
    own, of_all = 0, 0
    for operation in model.get_ops():
        if operation.get_type_name() != "Convolution":
            continue
        spatial = [length.get_length() for length in list(operation.output(0).partial_shape)[2:]]
        weights = int(np.prod(operation.input(1).get_shape()))
        of_all += weights * int(np.prod(spatial))
        if operation.input_value(0).node.get_type_name() == "FakeQuantize":
            own += weights * int(np.prod(spatial))
    return own / of_all


@pytest.mark.slow
def test_eight_bits(crops, tmp_path):
    """By the people of 20 pictures; by 300, points are nearer by a tenth."""
    pictures = sorted((real_data("coco/val.json").parent / "images").iterdir())[:20]
    file = tmp_path / "int8.xml"
    options = [text for picture in pictures for text in ("--int8", str(picture))]
    done = CliRunner().invoke(app, ["export", str(file), *options])
    assert done.exit_code == 0, (done.output, done.exception)
    model = openvino_core().read_model(file)
    assert share_in_int8(model) > 0.95
    of_what_is_decoded = {"MatMul", "Exp", "Log", "Gather", "ReduceMax"}
    for operation in model.get_ops():
        if operation.get_type_name() in of_what_is_decoded:
            for value in operation.input_values():
                assert value.node.get_type_name() != "FakeQuantize"
    runner = load_runner(file, execution=Execution(precision="fp32"))
    assert runner.runs == "openvino on cpu in int8"
    ours = load_runner(execution=Execution())(crops)
    sure = ours[..., 2] > 0.5
    off = np.abs(runner(crops) - ours)[sure][:, :2].max(axis=1)
    assert np.median(off) < 0.3
    assert np.mean(off < 2) > 0.97


def test_what_cannot_be_quantised(tmp_path):
    out = tmp_path / "x.xml"
    for arguments, message in (
        ([str(tmp_path / "x.onnx"), "--int8", str(SAMPLE)], "--int8 is for a pose model"),
        ([str(out), "--int8", str(SAMPLE), "--detector", "auto"], "--int8 is for a pose model"),
        ([str(out), "--int8", str(SAMPLE)], r"there are \d people in .*of at least 20"),
        ([str(out), "--int8", str(tmp_path / "none.jpg")], "none.jpg"),
    ):
        done = CliRunner().invoke(app, ["export", *arguments])
        assert re.search(message, str(done.exception)), done.output
    assert not list(tmp_path.iterdir())
