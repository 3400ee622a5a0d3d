"""`hrnet benchmark`, run."""

import json

import pytest
from typer.testing import CliRunner

from hrnet.benchmarking.worker import picture
from hrnet.cli import app


@pytest.mark.slow
def test_every_way_is_measured_and_reported(tmp_path):
    command = ["benchmark", "--people", "2", "--people", "1", "--rounds", "2"]
    done = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "speed")])
    assert done.exit_code == 0, (done.output, done.exception)
    record = json.loads((tmp_path / "speed" / "benchmark.json").read_text())
    ways = {(way["runtime"], way["precision"]): way for way in record["ways"]}
    assert {("torch", "fp32"), ("onnxruntime", "fp32"), ("openvino", "fp32")} <= set(ways)
    assert record["people"] == [1, 2]
    for way in ways.values():
        assert way["start"] > max(way["whole"]["1"]) > 0
        assert way["memory"] > 50
        low, middle, high = way["network"]["2"]
        assert 0 < low <= middle <= high
    assert ways["torch", "fp32"]["matrix_rate"] > 1
    page = (tmp_path / "speed" / "benchmark.md").read_text()
    assert page.count("\n| 1 | ") == 1
    assert (tmp_path / "speed" / "benchmark.png").read_bytes()[:4] == b"\x89PNG"


def test_what_cannot_be_measured(tmp_path):
    (tmp_path / "file").touch()
    for arguments, message in (
        (["--people", "0"], "must be at least 1"),
        (["--rounds", "0"], "must be at least 1"),
        (["--out", str(tmp_path / "file")], "is a file"),
        (["--model", "nobody", "--people", "1"], "nobody"),
    ):
        done = CliRunner().invoke(app, ["benchmark", *arguments])
        assert message in str(done.exception), done.output


def test_the_picture_has_room_for_everybody():
    _, boxes = picture(64)
    assert boxes.min() >= 0
    assert (boxes.max(axis=0) <= [1280, 960, 1280, 960]).all()
