"""The command line as a hostile or new user meets it."""

import io
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hrnet.cli import main
from hrnet.images import read_image, write_image
from hrnet.skeletons import load_skeleton
from hrnet.zoo import find_model
from hrnet.zoo.build import build_model, save_model

pytestmark = pytest.mark.usefixtures("whole_pictures")

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 255, (60, 90, 3), dtype=np.uint8)
RECIPE = "hrnet_w32_small_coco17"


@pytest.fixture
def hrnet(monkeypatch, capsys, tmp_path):
    """Runs the command in a folder of its own; gives its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["hrnet", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return SimpleNamespace(code=code, out=out, err=err)

    return run


@pytest.fixture
def predict(hrnet, weights_file):
    def run(*arguments, model=weights_file):
        return hrnet("predict", *arguments, "--model", model, "--device", "cpu")

    return run


@pytest.fixture
def picture(tmp_path):
    file = tmp_path / "a.png"
    write_image(file, PICTURE)
    return file


def visible(folder):
    return sorted(f.name for f in folder.iterdir() if not f.name.startswith("."))


def refused(result, *parts):
    """One sentence on standard error, nothing on standard output, exit code 2."""
    assert result.code == 2
    assert result.out == ""
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    for part in parts:
        assert part in result.err


def strictly(file):
    """Content of a JSON file; NaN and infinity, which JSON does not have, are errors."""

    def fail(name):
        raise AssertionError(f"{file} has {name}")

    return json.loads(file.read_text(encoding="utf-8"), parse_constant=fail)


# --- what is written ------------------------------------------------------------------------


def test_a_picture_gives_a_copy_of_its_size_and_a_json_file(predict, picture, tmp_path):
    result = predict("a.png", "--out", "out/new")
    assert result.code == 0
    assert (
        "1 person in 1 picture, each taken whole; the model ran in torch on cpu in fp32; "
        in result.out
    )
    assert "points of people" not in result.out
    assert result.err == ""
    assert visible(tmp_path / "out/new") == ["a.json", "a.png"]
    assert read_image(tmp_path / "out/new/a.png").shape == PICTURE.shape

    content = strictly(tmp_path / "out/new/a.json")
    assert content["schema"] == 1
    assert content["image"] == {
        "file": "a.png",
        "path": "a.png",
        "width": 90,
        "height": 60,
        "pixels": "upright",
        "orientation": 1,
    }
    assert content["model"] == {
        "name": RECIPE,
        "flip_test": False,
        "runtime": "torch",
        "device": "cpu",
        "precision": "fp32",
    }
    assert content["box_source"] == "whole"
    assert content["skeleton"]["keypoints"] == list(load_skeleton("coco17").keypoints)
    (person,) = content["people"]
    assert np.array(person["keypoints"]).shape == (17, 3)
    assert person["box"] == [0, 0, 89, 59]
    assert person["box_score"] == 1
    np.testing.assert_array_equal(read_image(picture), PICTURE)


def test_of_other_things_than_people_each_picture_is_one(hrnet, picture, tmp_path, monkeypatch):
    """With nothing said of a detector, in the environment either."""
    monkeypatch.delenv("HRNET_DETECTOR")
    card = find_model(RECIPE).card.model_copy(update={"skeleton": load_skeleton("hand21")})
    card = card.model_copy(update={"name": "hands", "calibration": None})
    save_model(build_model(card).network, card, tmp_path / "hands.safetensors")
    result = hrnet("predict", "a.png", "--model", "hands.safetensors", "--out", "out")
    assert result.code == 0
    assert "Each picture was taken as one, as hands has no points of people" in result.out
    assert strictly(tmp_path / "out/a.json")["box_source"] == "whole"


def test_boxes_of_ones_own_are_the_people_in_their_order(predict, picture, tmp_path):
    boxes = [[5, 5, 40, 50.5], [30, 10, 80, 58]]
    (tmp_path / "boxes.json").write_text(json.dumps({"a.png": boxes, "other.png": "whatever"}))
    result = predict("a.png", "--boxes", "boxes.json", "--out", "out", "--flip-test")
    assert result.code == 0
    assert "2 people in 1 picture" in result.out
    assert "taken" not in result.out
    content = strictly(tmp_path / "out/a.json")
    assert [person["box"] for person in content["people"]] == boxes
    assert content["box_source"] == "given"
    assert content["model"]["flip_test"] is True


def test_no_boxes_for_a_picture_is_not_an_error_if_the_file_says_so(predict, picture, tmp_path):
    (tmp_path / "boxes.json").write_text('{"a.png": []}')
    result = predict("a.png", "--boxes", "boxes.json", "--out", "out")
    assert result.code == 0
    assert "0 people in 1 picture" in result.out
    assert strictly(tmp_path / "out/a.json")["people"] == []


def test_pictures_of_one_name_in_two_folders_both_have_results(predict, tmp_path):
    for folder, size in (("one", 40), ("two", 50)):
        write_image(tmp_path / folder / "a.png", PICTURE[:size])
    write_image(tmp_path / "one" / "a.jpg", PICTURE[:30])
    assert predict("one", "two", "--out", "out").code == 0
    files = sorted((tmp_path / "out").glob("*.json"))
    assert len(files) == 3
    assert sorted(strictly(file)["image"]["height"] for file in files) == [30, 40, 50]
    for file in files:
        content = strictly(file)["image"]
        ending = os.path.splitext(content["file"])[1]  # JPEG in, JPEG out
        assert len(read_image(file.with_suffix(ending))) == content["height"]


@pytest.mark.parametrize(
    ("save", "expected"),
    [
        ("image", ["a.jpg", "b.png"]),  # a JPEG's copy is a JPEG
        ("png", ["a.png", "b.png"]),
        ("image,png", ["a.jpg", "a.png", "b.png"]),
    ],
)
def test_an_annotated_copy_is_of_the_picture_s_format(predict, tmp_path, save, expected):
    for name in ("a.jpg", "b.png"):
        write_image(tmp_path / "in" / name, PICTURE)
    assert predict("in", "--save", save, "--out", "out").code == 0
    assert visible(tmp_path / "out") == expected
    for name in expected:
        data = (tmp_path / "out" / name).read_bytes()
        assert data.startswith(b"\xff\xd8" if name.endswith("jpg") else b"\x89PNG")
        assert read_image(data).shape == PICTURE.shape


# --- pictures -------------------------------------------------------------------------------


def test_broken_pictures_among_good_ones_are_named_and_the_good_ones_done(predict, tmp_path):
    for name in ("a.png", "b.png", "z.png"):
        write_image(tmp_path / "in" / name, PICTURE)
    data = (tmp_path / "in/b.png").read_bytes()
    (tmp_path / "in/b.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "in/text.png").write_text("hello")
    result = predict("in", "--out", "out")
    assert result.code == 1
    errors = result.err.strip().splitlines()
    assert errors[0] == f"error: {os.path.join('in', 'b.png')} is cut off: its end is missing"
    assert errors[1].startswith(f"error: {os.path.join('in', 'text.png')} is not a picture")
    assert "2 people in 2 pictures, each taken whole; 2 pictures could not be used" in result.out
    assert visible(tmp_path / "out") == ["a.json", "a.png", "z.json", "z.png"]


def test_only_broken_pictures_are_exit_code_2_and_leave_no_folder(predict, tmp_path):
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.jpg").touch()
    result = predict("text.png", "empty.jpg", "--out", "out")
    assert result.code == 2
    assert "error: text.png is not a picture" in result.err
    assert "error: empty.jpg is empty" in result.err
    assert "2 pictures could not be used" in result.out
    assert "results are in" not in result.out
    assert not (tmp_path / "out").exists()


def test_sources_that_are_not_there_are_refused(predict, picture, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(predict("nope.jpg"), "there is no picture or folder nope.jpg")
    refused(predict("a.png", "empty"), "the folder empty has no pictures", ".jpg")
    refused(predict("*.gif"), "no picture matches *.gif")
    refused(predict("a" * 300 + ".jpg"), "File name too long")
    assert not (tmp_path / "predictions").exists()


# --- boxes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("{", ["boxes.json cannot be read as JSON", "line 1"]),
        ("[]", ["boxes.json must be a table", "no rows"]),
        ("[" * 100_000, ["boxes.json cannot be read as JSON"]),
        ('{"a.png": [[1, 2, 3, 1' + "0" * 5000 + "]]}", ["boxes.json cannot be read as JSON"]),
    ],
)
def test_a_boxes_file_that_is_none_is_refused(predict, picture, tmp_path, content, parts):
    (tmp_path / "boxes.json").write_text(content)
    refused(predict("a.png", "--boxes", "boxes.json"), *parts)


def test_a_missing_boxes_file_is_refused(predict, picture):
    refused(predict("a.png", "--boxes", "nope.json"), "there is no boxes file nope.json")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("[[NaN, 2, 30, 40]]", "box 0 (nan, 2, 30, 40) is not four finite numbers"),
        ("[[1, 2, 3e400, 40]]", "is not four finite numbers"),
        ("[[1, 2, 3, 1" + "0" * 400 + "]]", "boxes must be numbers"),
        ("[[5, 5, 40, 40], [5, 5, 5, 40]]", "box 1 (5, 5, 5, 40) is empty"),
        ("[[500, 5, 600, 40]]", "lies outside the picture of 90 x 60 pixels"),
        ("[5, 5, 20, 40]", "boxes have shape (4,)"),
        ('[["left", "top", "right", "bottom"]]', "boxes must be numbers"),
        ("null", "has null instead of its boxes; [] says"),
    ],
)
def test_a_wrong_box_is_refused_with_its_picture(predict, picture, tmp_path, entry, message):
    (tmp_path / "boxes.json").write_text(f'{{"a.png": {entry}}}')
    result = predict("a.png", "--boxes", "boxes.json", "--out", "out")
    assert result.code == 2
    assert result.err.startswith("error: a.png: ")
    assert message in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_picture_without_an_entry_is_left_out_and_named(predict, picture, tmp_path):
    write_image(tmp_path / "b.png", PICTURE)
    (tmp_path / "boxes.json").write_text('{"b.png": [[5, 5, 40, 40]]}')
    result = predict("a.png", "b.png", "--boxes", "boxes.json", "--out", "out")
    assert result.code == 1
    assert result.err == "error: a.png: boxes.json has no boxes for it\n"
    assert visible(tmp_path / "out") == ["b.json", "b.png"]


def test_a_tree_s_pictures_of_one_name_have_boxes_and_results_of_their_own(predict, tmp_path):
    for folder, size in (("one", 40), ("two", 50)):
        write_image(tmp_path / "in" / folder / "a.png", PICTURE[:size])
    (tmp_path / "boxes.csv").write_text(
        "name,x1,y1,x2,y2,score\none/a.png,1,2,30,38,0.5\ntwo/a.png,5,6,70,48,\n"
    )
    result = predict("in", "-r", "--boxes", "boxes.csv", "--out", "in/out", "--save", "json,crops")
    assert result.code == 0
    for folder, box, score in (("one", [1, 2, 30, 38], 0.5), ("two", [5, 6, 70, 48], 1)):
        content = strictly(tmp_path / "in/out" / folder / "a.json")
        (person,) = content["people"]
        assert (person["box"], person["box_score"]) == (box, score)
        mean = np.mean(person["probability"])
        assert person["score"] == pytest.approx(score * mean, abs=2e-3)
        assert content["image"]["path"] == os.path.join("in", folder, "a.png")
        crop = read_image(tmp_path / "in/out" / folder / "a.crops/0.png")
        width, height = find_model(RECIPE).card.input_size
        assert crop.shape == (height, width, 3)
    # The results beside the pictures are not taken for pictures the next time.
    assert "2 people in 2 pictures" in predict("in", "-r", "--out", "in/out").out


def test_coco_detections_go_by_the_annotation_file_and_its_ids_come_back(predict, tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        write_image(tmp_path / "val" / name, PICTURE)
    images = [{"id": 70, "file_name": "a.png"}, {"id": 50, "file_name": "b.png"}]
    (tmp_path / "val.json").write_text(json.dumps({"images": images}))
    detection = {"image_id": 70, "category_id": 1, "bbox": [5, 6, 30, 40], "score": 0.5}
    (tmp_path / "boxes.json").write_text(json.dumps([detection]))
    given = ("--boxes", "boxes.json", "--annotations", "val.json", "--save", "coco")
    result = predict("val", *given, "--out", "out")
    assert result.code == 1
    assert result.err == f"error: {os.path.join('val', 'c.png')}: val.json does not list it\n"
    assert "1 person in 2 pictures" in result.out
    assert visible(tmp_path / "out") == ["coco_results.json"]
    (row,) = strictly(tmp_path / "out/coco_results.json")
    assert (row["image_id"], row["file_name"]) == (70, "a.png")


# --- many pictures --------------------------------------------------------------------------


def test_quiet_prints_one_json_line_a_picture_and_errors_elsewhere(predict, picture, tmp_path):
    (tmp_path / "bad.png").write_text("hello")
    result = predict("bad.png", "a.png", "--quiet", "--out", "out")
    assert result.code == 1
    assert result.err == "error: bad.png is not a picture\n"
    (line,) = result.out.splitlines()
    assert json.loads(line) == strictly(tmp_path / "out/a.json")


def test_a_picture_from_standard_input(predict, picture, tmp_path, monkeypatch):
    data = picture.read_bytes()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    assert predict("-", "--out", "out").code == 0
    assert strictly(tmp_path / "out/stdin.json")["image"]["width"] == 90
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"hello")))
    assert predict("-").err == "error: standard input: the picture is not a picture\n"


def test_a_name_with_a_dash_goes_behind_two(hrnet, weights_file, tmp_path):
    write_image(tmp_path / "-x [1].png", PICTURE)
    options = ("--model", weights_file, "--device", "cpu", "--out", "out", "--save", "json")
    assert hrnet("predict", *options, "--", "-x [1].png").code == 0
    assert visible(tmp_path / "out") == ["-x [1].json"]


@pytest.fixture
def interruptible():
    """Background jobs of a script, which the tests may be, ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_goes_on_and_ends_as_if_it_had_not_been(
    predict, tmp_path, monkeypatch, kind
):
    for number in range(5):
        write_image(tmp_path / "in" / f"{number}.png", PICTURE[: 40 + number])
    (tmp_path / "in/3.png").write_text("not yet a picture")
    command = ("in", "--save", "image,coco,csv")
    calls = itertools.count()

    def interrupting(file, image):
        if next(calls) == 2:
            os.kill(os.getpid(), kind)
        write_image(file, image)

    with monkeypatch.context() as patch:
        patch.setattr("hrnet.predicting.outputs.write_image", interrupting)
        result = predict(*command, "--out", "out")
    assert result.code == 130
    assert result.out == ""
    # Of those that were written, those count that are in the journal.
    said = re.search(
        r"interrupted; (\d) pictures? of 5 are done; to go on, repeat the command with --resume\n$",
        result.err,
    )
    done = int(said[1])
    assert done < 4
    assert not {"coco_results.json", "poses.csv"} & set(visible(tmp_path / "out"))

    result = predict(*command, "--out", "out", "--resume")
    early = (tmp_path / "out/0.png").stat().st_mtime_ns
    assert result.code == 1
    before = re.search(r"; (\d) pictures? w(?:as|ere) done before", result.out)
    known = int(before[1]) if before else 0
    assert known in (done, done + 1)  # the signal may come between a line and its being counted
    assert f"{4 - known} people in {4 - known} pictures, each taken whole; " in result.out
    assert "1 picture could" in result.out
    write_image(tmp_path / "in/3.png", PICTURE[:43])
    result = predict(*command, "--out", "out", "--resume")
    assert (result.code, result.err) == (0, "")
    assert "1 person in 1 picture, each taken whole; 4 pictures were done before" in result.out
    assert (tmp_path / "out/0.png").stat().st_mtime_ns == early

    assert predict(*command, "--out", "whole").code == 0
    assert visible(tmp_path / "out") == visible(tmp_path / "whole")
    # Points of a random network's flat heatmaps differ by rounding, as the batches do.
    found, expected = (strictly(tmp_path / out / "coco_results.json") for out in ("out", "whole"))
    for key in ("image_id", "file_name"):
        assert [row[key] for row in found] == [row[key] for row in expected]
    np.testing.assert_allclose(
        *([r["score"] for r in rows] for rows in (found, expected)), atol=2e-3
    )
    (header, *lines) = (tmp_path / "out/poses.csv").read_text().splitlines()
    assert header == (tmp_path / "whole/poses.csv").read_text().splitlines()[0]
    paths = [os.path.join("in", f"{number}.png") for number in range(5)]
    assert [line.split(",")[:3] for line in lines] == [[path, "upright", "0"] for path in paths]
    result = predict(*command, "--flip-test", "--out", "out", "--resume")
    refused(result, "the results in out were made with another flip test", "leave out --resume")


def test_an_unknown_kind_of_output_is_refused_with_the_nearest(predict, picture, tmp_path):
    refused(predict("a.png", "--save", "json,imag"), "called 'imag'; did you mean image?")
    assert not (tmp_path / "predictions").exists()


@pytest.mark.parametrize("threshold", ["nan", "inf"])
def test_a_threshold_that_is_no_number_is_refused(predict, picture, tmp_path, threshold):
    refused(predict("a.png", "--out", "out", "--threshold", threshold), "--threshold is", "0.2")
    assert not (tmp_path / "out").exists()


# --- models and devices ---------------------------------------------------------------------


def test_an_unknown_model_is_refused_with_the_nearest_name(predict, picture):
    refused(
        predict("a.png", model="hrnet_w32_smal"),
        "there is no model 'hrnet_w32_smal'; did you mean hrnet_w32_small_coco17 or",
    )


@pytest.fixture
def bad_weights(weights_file, tmp_path):
    """Makes a weights file with a fault."""

    def make(fault):
        file = tmp_path / "bad.safetensors"
        tensors = load_file(weights_file)
        card = {"hrnet_card": find_model(RECIPE).card.to_json()}
        name = next(key for key, tensor in tensors.items() if tensor.ndim == 4)
        if fault == "garbage":
            file.write_bytes(RNG.bytes(200))
        elif fault == "empty":
            file.touch()
        elif fault == "cut off":
            file.write_bytes(weights_file.read_bytes()[:100_000])
        elif fault == "no card":
            save_file(tensors, file)
        elif fault == "card not JSON":
            save_file(tensors, file, metadata={"hrnet_card": "{"})
        elif fault == "wrong shape":
            save_file({**tensors, name: torch.zeros(2, 3, 3, 3)}, file, metadata=card)
        elif fault == "tensor missing":
            save_file({k: t for k, t in tensors.items() if k != name}, file, metadata=card)
        elif fault == "NaN":
            save_file({**tensors, name: tensors[name] * torch.nan}, file, metadata=card)
        return file

    return make


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("missing", "there is no weights file"),
        ("garbage", "is not a safetensors file"),
        ("empty", "is not a safetensors file"),
        ("cut off", "is not a safetensors file"),
        ("no card", "does not say how it was trained"),
        ("card not JSON", "is not JSON"),
        ("wrong shape", "have other shapes than the network's"),
        ("tensor missing", "has another layout: it lacks"),
        ("NaN", "holds NaN or infinity"),
    ],
)
def test_bad_weights_are_refused_by_name(predict, picture, tmp_path, bad_weights, fault, message):
    file = bad_weights(fault)
    refused(predict("a.png", "--out", "out", model=file), "bad.safetensors", message)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("device", ["nonsense", "", "meta", "cpu:-1", "cuda"])
def test_a_device_that_is_not_there_is_refused(hrnet, weights_file, picture, device):
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is one")
    result = hrnet("predict", "a.png", "--model", weights_file, "--device", device)
    refused(result, f"the model cannot run on device {device!r}: ")


# --- where results go -----------------------------------------------------------------------


def test_an_out_that_is_a_file_is_refused(predict, picture):
    refused(predict("a.png", "--out", "a.png"), "--out a.png is a file; give a folder")


def test_an_out_below_a_file_is_refused(predict, picture):
    result = predict("a.png", "--out", "a.png/sub")
    refused(result, os.path.join("a.png", "sub"), "Not a directory")


def test_an_out_that_cannot_be_written_to_is_refused_by_the_results_name(
    predict, picture, monkeypatch
):
    def denied(self, *_, **__):  # the tests may run as root, who may write anywhere
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.touch", denied)
    result = predict("a.png", "--out", "out")
    refused(result, f"cannot read or write {os.path.join('out', 'a.png')}: Permission denied")


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(
    predict, picture, tmp_path, monkeypatch
):
    def full(self, *_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    refused(predict("a.png", "--out", "out"), "No space left on device")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("out", [".", "sub/.."])
def test_an_annotated_copy_never_overwrites_the_picture_itself(predict, picture, tmp_path, out):
    (tmp_path / "sub").mkdir()
    refused(predict("a.png", "--out", out), "would overwrite a.png", "--out")
    np.testing.assert_array_equal(read_image(picture), PICTURE)
    assert not (tmp_path / "a.json").exists()


# --- training and evaluation ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (
            ["hrnet_w32_smal"],
            ["no recipe 'hrnet_w32_smal'; did you mean hrnet_w32_small_person or"],
        ),
        (["none.toml"], ["there is no file none.toml"]),
        ([RECIPE, "training.stepz=3"], ["no key 'training.stepz'; did you mean steps?"]),
        ([RECIPE, "trainin.steps=3"], ["no key 'trainin'; did you mean training?"]),
        ([RECIPE, "training.steps=many"], ["training.steps: input should be a valid integer"]),
        ([RECIPE, "training.steps=0"], ["training.steps: input should be greater than or equal"]),
        ([RECIPE, "training.steps"], ["'training.steps' is not of the form key=value"]),
        ([RECIPE, "=3"], ["'=3' is not of the form key=value"]),
        ([RECIPE, "training.steps.x=3"], ["steps is not a table"]),
        ([RECIPE, "model.card=5"], ["there is no model 5"]),
        ([RECIPE, "model=5"], ["model: input should be"]),
        ([RECIPE, "model.skeleton=coco18"], ["no skeleton 'coco18'; did you mean coco17 or"]),
    ],
)
def test_recipes_and_keys_that_are_not_there_are_refused(hrnet, tmp_path, arguments, parts):
    refused(hrnet("train", *arguments), *parts)
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_that_is_not_toml_is_refused(hrnet, tmp_path):
    (tmp_path / "a.toml").write_text("training = [" * 5000)
    refused(hrnet("train", "a.toml"), "a.toml cannot be read as TOML")


@pytest.fixture
def evaluate(hrnet, weights_file):
    def run(*arguments):
        return hrnet("evaluate", "--model", weights_file, "--device", "cpu", *arguments)

    return run


@pytest.fixture
def annotations(tmp_path):
    """Writes an annotation file of one person, changed as asked; None takes a key away."""

    def write(**changes):
        write_image(tmp_path / "images" / "a.png", PICTURE)
        points = [n for i in range(17) for n in (10 + 3 * i, 8 + 2 * i, 2)]
        person = {
            "id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 70, 50], "area": 3000,
            "keypoints": points, "iscrowd": 0, "num_keypoints": 17, **changes,
        }  # fmt: skip
        names = list(load_skeleton("coco17").keypoints)
        content = {
            "images": [{"id": 1, "file_name": "a.png", "width": 900, "height": 600}],
            "categories": [{"id": 1, "name": "person", "keypoints": names}],
            "annotations": [{k: v for k, v in person.items() if v is not None}],
        }
        file = tmp_path / "a.json"
        file.write_text(json.dumps(content))
        return file

    return write


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (None, ["there is no annotation file a.json"]),
        ("{", ["a.json cannot be read as JSON"]),
        ("[" * 100_000, ["a.json cannot be read as JSON"]),
        ("[]", ["a.json is an empty list"]),
        ("{}", ["not in COCO's keypoint format", "images"]),
        (
            '{"images": [], "categories": [{"keypoints": ["a"]}], "annotations": [5]}',
            ["not in COCO's keypoint format"],
        ),
    ],
)
def test_an_annotation_file_that_is_none_is_refused(evaluate, tmp_path, content, parts):
    if content is not None:
        (tmp_path / "a.json").write_text(content)
    refused(evaluate("--data", "a.json"), *parts)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"area": "x"}, "is not in COCO's keypoint format"),
        ({"bbox": [1, 2, 3]}, "annotation 1 cannot be read"),
        ({"keypoints": [1, 2, 2]}, "is not in COCO's keypoint format"),
        ({"image_id": 9}, "annotation 1 cannot be read (KeyError: 9)"),
    ],
)
def test_an_annotation_that_is_none_is_refused(evaluate, annotations, change, part):
    refused(evaluate("--data", annotations(**change)), part)


def test_annotations_of_another_size_of_the_picture_name_the_picture(evaluate, annotations):
    result = evaluate("--data", annotations(bbox=[500, 500, 80, 60]))
    assert result.code == 2
    assert "do not fit" in result.err
    assert os.path.join("images", "a.png") in result.err


def test_annotations_may_lack_what_only_the_scoring_code_asks_for(evaluate, annotations, tmp_path):
    for number, change in enumerate(
        [{}, {"iscrowd": None, "num_keypoints": None, "category_id": None}, {"category_id": 7}]
    ):
        assert evaluate("--data", annotations(**change), "--out", f"{number}").code == 0
    whole, lacking, other = (
        strictly(tmp_path / f"{n}" / "figures.json")["figures"] for n in range(3)
    )
    assert whole["AP"] >= 0
    assert lacking == whole
    assert other == whole


def test_figures_that_nothing_was_counted_for_are_null(evaluate, annotations, tmp_path):
    file = annotations(keypoints=[20, 20, 2] + [0] * 48)  # a nose: PCK counts no face
    assert evaluate("--data", file, "--out", "report").code == 0
    figures = strictly(tmp_path / "report" / "figures.json")
    assert figures["figures"]["PCK@0.2"] is None
    assert "0 joints of 0 people" in figures["protocol"]["measures"]["PCK@0.2"]
    assert figures["protocol"]["people"] == 1


# --- as a process ---------------------------------------------------------------------------


def process(*arguments, cwd):
    code = "from hrnet.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=cwd, capture_output=True, text=True
    )


def test_the_process_ends_with_code_2_and_one_sentence(tmp_path):
    done = process("predict", "nope.jpg", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "error: there is no picture or folder nope.jpg\n"


def test_a_broken_picture_is_our_sentence_without_the_librarys(weights_file, tmp_path):
    write_image(tmp_path / "a.bmp", PICTURE)
    (tmp_path / "a.bmp").write_bytes((tmp_path / "a.bmp").read_bytes()[:5000])
    done = process("predict", "a.bmp", "--model", weights_file, cwd=tmp_path)
    assert done.returncode == 2
    assert (
        done.stderr
        == "error: a.bmp is a broken BMP picture, or of a kind that OpenCV does not read\n"
    )
