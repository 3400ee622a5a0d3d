"""Public data sets' own files, from reading to training, evaluating and drawing."""

import json
import re

import numpy as np
import pytest
from scipy.io import savemat
from typer.testing import CliRunner

from hrnet import PoseEstimator
from hrnet.cli import app
from hrnet.data.reading import read_people
from hrnet.errors import ConfigError, DataError
from hrnet.evaluation.evaluate import evaluate, evaluate_predictions
from hrnet.evaluation.predictions import (
    NOBODY,
    Predictions,
    match,
    predict_detections,
    read_predictions,
)
from hrnet.evaluation.report import markdown, to_dict, worst_people, write_report
from hrnet.images import read_image, write_image
from hrnet.skeletons import load_skeleton
from hrnet.training.recipe import load_recipe
from hrnet.training.run import train
from hrnet.zoo.build import build_model, save_model
from real_data import real_data

pytestmark = pytest.mark.usefixtures("whole_pictures")

# Its own file under formats/, the skeleton, and what the data set is measured by.
FORMATS = [
    ("coco/test_coco", "coco17", {"AP", "AP(M)", "PCK@0.2", "EPE"}),
    ("coco/test_coco_wholebody", "coco_wholebody133", {"body AP", "left hand AP", "whole AR"}),
    ("coco/test_coco_wholebody", "hand21", {"PCK@0.2", "AUC", "EPE"}),
    ("coco/test_coco_wholebody", "face_coco_wholebody68", {"NME", "EPE"}),
    ("crowdpose/test_crowdpose", "crowdpose14", {"AP", "AP(E)", "AP(H)", "PCK@0.2"}),
    ("ap10k/test_ap10k", "ap10k17", {"AP", "PCK@0.2", "EPE"}),
    ("onehand10k/test_onehand10k", "hand21", {"PCK@0.2", "AUC", "EPE"}),
    ("wflw/test_wflw", "face_wflw98", {"NME", "EPE"}),
    ("mpii/test_mpii", "mpii16", {"PCK@0.2", "EPE"}),
]


def recipe(file, skeleton):
    return load_recipe(
        "hrnet_w32_small_coco17",
        [
            "model.name=tiny",
            f"model.skeleton={skeleton}",
            "model.input_size=[64, 64]",
            "model.network.base_channel=4",
            "model.network.num_blocks=1",
            "model.network.layer1_channels=16",
            f"data.root={file.parent}",
            f'data.sources=[{{file="{file.name}"}}]',
            f'data.validation=[{{file="{file.name}"}}]',
            "data.workers=0",
            "training.threads=1",
            "training.steps=1",
            "training.batch_size=2",
            "training.warmup_steps=0",
            "training.validate_every=1",
        ],
    )


@pytest.mark.parametrize(("name", "skeleton", "figures"), FORMATS)
def test_from_file_to_sheet(name, skeleton, figures, tmp_path):
    file = real_data(f"formats/{name}.json")
    weights = train(recipe(file, skeleton), tmp_path / "run").weights
    log = next((tmp_path / "run").glob("log/*/metrics.csv")).read_text()
    assert "pck" in log.splitlines()[0]

    evaluation = evaluate(PoseEstimator(weights, device="cpu"), file)
    assert figures <= set(evaluation.figures)
    written = write_report(evaluation, tmp_path / "report")
    assert {f.name for f in written} >= {"figures.json", "figures.md", "worst.png", "joints.png"}
    for picture in (f for f in written if f.suffix == ".png"):
        assert read_image(picture).std() > 5
    assert json.loads((tmp_path / "report" / "figures.json").read_text())["schema"] == 1


@pytest.fixture
def coco():
    file = real_data("formats/coco/test_coco.json")
    return file, load_skeleton("coco17"), read_people(file, load_skeleton("coco17"))


def perfect(people, **changes):
    keypoints = people.keypoints.copy()
    keypoints[..., 2] = 1
    values = {
        "image_ids": people.image_ids,
        "keypoints": keypoints,
        "scores": np.linspace(0.5, 1, len(people)),
        "annotation_ids": people.annotation_ids,
    }
    return Predictions(**values | changes)


def test_the_labels_themselves_are_perfect(coco):
    file, skeleton, people = coco
    evaluation = evaluate_predictions(perfect(people), file, skeleton)
    assert evaluation.figures["AP"] == pytest.approx(1)
    assert evaluation.figures["PCK@0.2"] == 100
    assert evaluation.figures["EPE"] == 0
    np.testing.assert_allclose(evaluation.goodness, 1)
    assert evaluation.per_joint["AP"]["left_knee"] == pytest.approx(1)
    thresholds, values = evaluation.curves["PCK"]
    assert (values[thresholds > 0] == 100).all()


def test_people_without_a_prediction_count_as_wrong(coco):
    file, skeleton, people = coco
    order = np.random.default_rng(0).permutation(len(people))[:8]
    some = perfect(people.select(np.isin(np.arange(len(people)), order)))
    evaluation = evaluate_predictions(some, file, skeleton)
    missing = set(range(len(people))) - set(order.tolist())
    assert set(np.flatnonzero(evaluation.matched == NOBODY)) == missing
    assert evaluation.protocol["people_without_prediction"] == len(missing)
    assert evaluation.goodness[list(missing)].tolist() == [0] * len(missing)
    assert evaluation.figures["EPE"] == 0  # of those who were found
    assert 40 < evaluation.figures["PCK@0.2"] < 90
    assert worst_people(evaluation).std() > 20


def test_predictions_without_ids_go_to_whom_they_are_like(coco):
    """Shuffled and moved by a twentieth of the box."""
    _, skeleton, people = coco
    rng = np.random.default_rng(1)
    order = rng.permutation(len(people))
    keypoints = perfect(people).keypoints[order]
    keypoints[..., :2] += 0.05 * (people.boxes[order, 2:] - people.boxes[order, :2])[:, None]
    predictions = Predictions(people.image_ids[order], keypoints, np.ones(len(people)))
    assert (order[match(people, predictions, skeleton)] == np.arange(len(people))).all()


def test_two_hands_of_one_annotation_are_told_apart():
    hand = load_skeleton("hand21")
    people = read_people(real_data("formats/coco/test_coco_wholebody.json"), hand)
    ids = people.annotation_ids.tolist()
    assert len(set(ids)) < len(ids)
    assert match(people, perfect(people), hand).tolist() == list(range(len(people)))


def test_ids_that_two_predictions_have_do_not_say_whose_they_are(coco):
    _, skeleton, people = coco
    predictions = perfect(people, annotation_ids=np.full(len(people), people.annotation_ids[0]))
    assert match(people, predictions, skeleton).tolist() == list(range(len(people)))


def test_predictions_have_the_annotation_file_s_own_keypoints_unless_said(tmp_path):
    """AP-10K's animals: COCO's 17 joints were taken for them."""
    file = real_data("formats/ap10k/test_ap10k.json")
    people = read_people(file, load_skeleton("ap10k17"))
    rows = perfect(people).to_coco()
    (tmp_path / "p.json").write_text(json.dumps(rows))
    given = ("--data", file, "--predictions", tmp_path / "p.json")
    for options in ((), ("--skeleton", "data"), ("--skeleton", "ap10k17")):
        result = command(*given, *options)
        assert result.exit_code == 0, result.output
        assert "root_of_tail" in result.output
    result = command(*given, "--skeleton", "hand21")
    assert "is not a COCO results file for the 21 keypoints" in str(result.exception)


def test_predictions_made_for_another_file_are_refused(coco):
    file, skeleton, people = coco
    other = people.annotation_ids[people.image_ids != people.image_ids[0]][0]
    for column, row, value, message in (
        ("image_ids", 2, 5, "mine: row 2 has image_id 5, which .* lacks; evaluate it on"),
        ("annotation_ids", 1, 6, "mine: row 1 has annotation_id 6, which .* lacks"),
        ("annotation_ids", 0, other, "mine: row 0 has image_id .*, which is of another"),
    ):
        ids = getattr(people, column).copy()
        ids[row] = value
        with pytest.raises(DataError, match=message):
            evaluate_predictions(perfect(people, **{column: ids}), file, skeleton, name="mine")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": 97.5}, "the score 97.5 is not between 0 and 1"),
        ({"score": float("nan")}, "the score nan is not between 0 and 1"),
        ({"bbox": [9000, 0, 50, 50]}, "the boxes do not fit .*outside the picture"),
        ({"category_id": 3}, r"no boxes for the 4 pictures; .* category_id of theirs \(1\)"),
    ],
)
def test_detections_that_would_rank_or_count_wrongly_are_refused(
    coco, tmp_path, weights_file, change, message
):
    file, _, people = coco
    row = {"image_id": int(people.image_ids[0]), "category_id": 1, "bbox": [0, 0, 90, 90]}
    detections = tmp_path / "detections.json"
    detections.write_text(json.dumps([{**row, "score": 0.5, **change}]))
    with pytest.raises(DataError, match=message):
        evaluate(PoseEstimator(str(weights_file)), file, boxes=detections)


def test_predictions_survive_a_file(coco, tmp_path):
    file, skeleton, people = coco
    regions = np.stack([people.boxes[:, :2], people.boxes[:, 2:]], axis=1)
    predictions = perfect(people, regions=regions)
    saved = tmp_path / "predictions.json"
    saved.write_text(json.dumps(predictions.to_coco()))
    again = read_predictions(saved, skeleton)
    for name in ("image_ids", "keypoints", "scores", "regions", "annotation_ids"):
        np.testing.assert_allclose(getattr(again, name), getattr(predictions, name), atol=1e-3)
    assert "bbox" not in json.loads(saved.read_text())[0]
    first = evaluate_predictions(predictions, file, skeleton)
    assert evaluate_predictions(again, file, skeleton).figures == pytest.approx(
        first.figures, abs=1e-3
    )


def test_mpii_with_head_boxes_is_measured_by_pckh(tmp_path):
    """As in the official code: gt_valid.mat beside valid.json; here five people, whose heads are a
    tenth of their scale."""
    source = real_data("formats/mpii/test_mpii.json")
    (tmp_path / "valid.json").write_bytes(source.read_bytes())
    rows = json.loads(source.read_text())
    low = np.array([row["center"] for row in rows]).T
    high = low + [[20 * row["scale"] for row in rows]] * 2
    savemat(tmp_path / "gt_valid.mat", {"headboxes_src": np.stack([low, high])})
    skeleton = load_skeleton("mpii16")
    people = read_people(tmp_path / "valid.json", skeleton, source.parent)
    sizes = 0.6 * 20 * np.sqrt(2) * np.array([row["scale"] for row in rows])
    np.testing.assert_allclose(people.head_sizes, sizes)

    found = perfect(people)
    found.keypoints[:, skeleton.index("left_knee"), 0] += 0.105 * sizes  # between 0.10 and 0.11
    found.keypoints[:, skeleton.index("pelvis"), 0] += 1000  # which does not count
    official, mmpose = (
        evaluate_predictions(
            found, tmp_path / "valid.json", skeleton, images=source.parent, protocol=protocol
        ).figures
        for protocol in ("official", "mmpose")
    )
    assert official["PCKh@0.5"] == mmpose["PCKh@0.5"] == 100
    assert official["PCKh@0.1"] == 100
    assert 90 < mmpose["PCKh@0.1"] < 95
    assert official["Knee"] == 100
    assert "AP" not in official


def test_head_sizes_of_people_with_other_joints_than_mpii_s(coco, tmp_path):
    """As where MPII is merged with another data set, whose people have no head sizes."""
    source, skeleton, people = coco
    content = json.loads(source.read_text())
    with_head = people.annotation_ids[:6].tolist()
    for row in content["annotations"]:
        if row["id"] in with_head:
            row["head_size"] = 10.0
    file = tmp_path / "heads.json"
    file.write_text(json.dumps(content))
    found = perfect(people)
    found.keypoints[:, skeleton.index("left_knee"), 0] += 5.1
    found.keypoints[:, skeleton.index("right_knee"), 0] += 4.9
    evaluation = evaluate_predictions(found, file, skeleton, images=source.parent)
    assert evaluation.per_joint["PCKh@0.5"]["left_knee"] == 0
    assert evaluation.per_joint["PCKh@0.5"]["right_knee"] == 100
    assert evaluation.figures["PCKh@0.5"] == pytest.approx(100 * 16 / 17)
    assert "of 6 people" in evaluation.protocol["measures"]["PCKh@0.5"]


def test_hands_without_a_prediction_count_in_the_auc():
    file = real_data("formats/onehand10k/test_onehand10k.json")
    hand = load_skeleton("hand21")
    people = read_people(file, hand)
    first = perfect(people.select(np.arange(len(people)) == 0))
    figures = evaluate_predictions(first, file, hand).figures
    labelled = people.keypoints[..., 2] > 0
    share = np.mean(labelled[0] / labelled.sum(axis=0))
    assert figures["AUC"] == pytest.approx(0.95 * share)  # nothing is closer than 0
    assert figures["PCK@0.2"] == pytest.approx(100 * share)
    assert figures["EPE"] == 0


def test_ap_of_several_kinds_says_how_it_was_made():
    """Whose prediction is whose tells its kind; without that, all are of one."""
    file = real_data("formats/ap10k/test_ap10k.json")
    skeleton = load_skeleton("ap10k17")
    people = read_people(file, skeleton)
    for ids, note in ((people.annotation_ids, "mean over the 2"), (None, "of all together")):
        evaluation = evaluate_predictions(perfect(people, annotation_ids=ids), file, skeleton)
        assert evaluation.figures["AP"] == pytest.approx(1)
        assert note in evaluation.protocol["measures"]["AP"]


def test_a_picture_that_is_listed_twice_keeps_its_ids(coco, tmp_path):
    file = coco[0]
    card = recipe(file, "coco17").model
    save_model(build_model(card).network, card, tmp_path / "tiny.safetensors")
    picture = coco[2].files[0]
    boxes = [[10, 10, 50, 80], [100, 40, 60, 90], [20, 30, 70, 60]]
    rows = [
        {"image_id": i, "category_id": 1, "bbox": box, "score": 0.5}
        for i, box in zip((2, 1, 2), boxes, strict=True)
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(rows))
    estimator = PoseEstimator(tmp_path / "tiny.safetensors", device="cpu")
    found = predict_detections(estimator, tmp_path / "boxes.json", {1: picture, 2: picture}, {1})
    with pytest.raises(DataError, match=r"no boxes for the 1 pictures; .* theirs \(7\)"):
        predict_detections(estimator, tmp_path / "boxes.json", {1: picture}, {7})
    assert found.image_ids.tolist() == [2, 2, 1]
    assert found.boxes[:, 0].tolist() == [10, 20, 100]


@pytest.fixture
def export(tmp_path):
    """Writes what CVAT exports of people with a joint or two, in two pictures: the box is the
    joints' extent, and its width times its height the area."""

    def write(*people):
        for number in (1, 2):
            picture = np.random.default_rng(number).integers(0, 255, (160, 200, 3), np.uint8)
            write_image(tmp_path / "images" / f"{number}.png", picture)
        skeleton = load_skeleton("coco17")
        rows = []
        for number, joints in enumerate(people, 1):
            keypoints = np.zeros((17, 3))
            for name, (x, y) in joints.items():
                keypoints[skeleton.index(name)] = x, y, 2
            x, y = np.array(list(joints.values()) or [(0, 0)], float).T
            bbox = [x.min(), y.min(), np.ptp(x), np.ptp(y)]
            row = {
                "id": number, "image_id": 1 + number % 2, "category_id": 1, "segmentation": [],
                "area": bbox[2] * bbox[3], "bbox": bbox, "iscrowd": 0,
                "attributes": {"occluded": False}, "keypoints": keypoints.ravel().tolist(),
                "num_keypoints": len(joints),
            }  # fmt: skip
            rows.append(row)
        images = [{"id": n, "width": 200, "height": 160, "file_name": f"{n}.png"} for n in (1, 2)]
        content = {"images": images, "annotations": rows, "categories": [skeleton.to_category()]}
        file = tmp_path / "people.json"
        file.write_text(json.dumps(content))
        return file, content

    return write


@pytest.fixture
def tiny(tmp_path):
    card = recipe(tmp_path / "people.json", "coco17").model
    save_model(build_model(card).network, card, tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


def test_training_on_one_joint_in_every_box(export, tmp_path, capfd):
    file, _ = export({"nose": (50, 60)}, {"nose": (120, 70)}, {"left_knee": (90, 100)}, {})
    trained = train(recipe(file, "coco17"), tmp_path / "run")
    said = (
        "3 people (left out: 1 without a labelled joint; box from the joints: 3 with a box of no "
        "width or height)"
    )
    assert f"people.json: {said}\n" in capfd.readouterr().err
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    counts = {
        "people": 3,
        "left_out": {"without a labelled joint": 1},
        "box_from_joints": {"with a box of no width or height": 3},
    }
    assert record["people_by_file"] == {"people.json": counts}
    reached = trained.evaluations["people.json"].protocol
    assert {key: reached[key] for key in counts} == counts
    events = next((tmp_path / "run").glob("log/*/events.out.tfevents.*")).read_bytes()
    assert said.encode() in events


def test_where_nobody_can_be_trained_on_it_is_said_why(export, tmp_path):
    file, _ = export({}, {"nose": (250, 60)})
    with pytest.raises(
        DataError,
        match=r"train on in people.json: 0 people \(left out: 1 without a labelled joint, 1",
    ):
        train(recipe(file, "coco17"), tmp_path / "run")


@pytest.mark.parametrize("protocol", ["official", "mmpose"])
def test_an_evaluation_says_who_is_left_out_and_whose_box_is_from_the_joints(
    export, tiny, tmp_path, protocol
):
    """A level pair, a single joint, a row without joints and box, a crowd, somebody with a box, and
    somebody with neither a box nor a joint in the picture."""
    level = {"left_shoulder": (90, 60), "right_shoulder": (50, 60)}
    whole = {**level, "left_hip": (85, 120), "right_hip": (55, 118)}
    file, content = export(level, {"nose": (50, 60)}, {}, whole, whole, {"nose": (250, 60)})
    rows = content["annotations"]
    rows[0]["area"] = None
    del rows[2]["bbox"]
    rows[3]["iscrowd"] = 1
    rows[5]["bbox"] = None
    file.write_text(json.dumps(content))
    options = ("--model", tiny, "--device", "cpu", "--data", file, "--protocol", protocol)
    result = command(*options, "--out", tmp_path / "report")
    assert result.exit_code == 0, result.output
    assert (
        "people.json: 3 people (left out: 1 without a labelled joint, 1 marked as a crowd, 1 "
        "without a usable box and without a joint in the picture; box from the joints: 2 with a "
        "box of no width or height), boxes: gt" in result.output
    )
    report = json.loads((tmp_path / "report" / "figures.json").read_text())["protocol"]
    assert report["annotations"] == 6
    assert report["people"] == 3
    assert report["left_out"]["marked as a crowd"] == 1
    assert report["box_from_joints"] == {"with a box of no width or height": 2}
    table = (tmp_path / "report" / "figures.md").read_text()
    assert "| left_out without a labelled joint | 1 |" in table
    assert "| box_from_joints with a box of no width or height | 2 |" in table

    # All three count in OKS, by the areas of the boxes from their joints.
    people = read_people(file, load_skeleton("coco17"), protocol=protocol)
    assert people.annotation_ids.tolist() == [1, 2, 5]
    evaluation = evaluate_predictions(
        perfect(people), file, load_skeleton("coco17"), protocol=protocol
    )
    assert evaluation.figures["AP"] == pytest.approx(1)
    moved = perfect(people)
    moved.keypoints[0, :, 0] += 3 * np.sqrt(people.areas[0])
    missed = evaluate_predictions(moved, file, load_skeleton("coco17"), protocol=protocol)
    assert missed.figures["AR"] == pytest.approx(2 / 3)


def command(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)], catch_exceptions=True)


def test_where_nothing_can_be_written_is_said_before_anything_is_predicted(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for option, path, message in (
        ("--out", file, "is a file; give a folder"),
        ("--save-predictions", tmp_path, "is a folder; give a file"),
    ):
        result = command("--data", tmp_path / "none.json", option, path)
        assert isinstance(result.exception, ConfigError)
        assert message in str(result.exception)


def test_detected_boxes_and_saved_predictions(tmp_path, coco):
    """A detector's boxes give other people than the labelled ones, and AP with its scores."""
    file = coco[0]
    detections = real_data("formats/coco/test_coco_det_AP_H_56.json")
    saved = tmp_path / "predictions.json"
    card = recipe(file, "coco17").model
    weights = tmp_path / "tiny.safetensors"
    save_model(build_model(card).network, card, weights)
    result = command(
        "--model", weights, "--data", file, "--boxes", detections, "--save-predictions", saved
    )
    assert result.exit_code == 0, result.output
    assert "boxes: test_coco_det_AP_H_56.json" in result.output
    rows = json.loads(saved.read_text())
    boxes = [d for d in json.loads(detections.read_text()) if d["category_id"] == 1]
    assert len(rows) == len(boxes)
    assert "annotation_id" not in rows[0]
    centers = np.array([[d["bbox"][0] + d["bbox"][2] / 2 for d in boxes]])
    assert np.abs(np.sort([r["center"][0] for r in rows]) - np.sort(centers)).max() < 1e-2

    again = command("--data", file, "--predictions", saved)
    figures = [line.split()[:2] for line in result.output.splitlines() if line.startswith("  A")]
    assert figures == [
        line.split()[:2] for line in again.output.splitlines() if line.startswith("  A")
    ]
    assert len(figures) == 10

    mixed = command("--data", file, "--predictions", saved, "--flip-test")
    assert "leave out --model" in str(mixed.exception)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[{}]", "KeyError: 'keypoints'"),
        ('{"a": 1}', "TypeError"),
        ('[{"image_id": 1, "keypoints": [1, 2, 3], "score": 1}]', "cannot reshape"),
        (
            f'[{{"image_id": 1, "keypoints": [{", ".join(["NaN"] * 51)}], "score": 1}}]',
            "not finite",
        ),
    ],
)
def test_results_files_that_are_none_are_refused(content, message, tmp_path):
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(Exception, match=f"r.json is not a COCO results file.*{message}"):
        read_predictions(tmp_path / "r.json", load_skeleton("coco17"))


def test_the_report_names_its_protocol(coco):
    file, skeleton, people = coco
    evaluation = evaluate_predictions(perfect(people), file, skeleton, name="labels")
    protocol = to_dict(evaluation)["protocol"]
    assert protocol["model"] == "labels"
    assert protocol["people"] == 12
    assert len(protocol["data_sha256"]) == 64
    assert {"hrnet", "torch", "numpy", "pycocotools"} <= set(protocol["versions"])
    table = markdown(evaluation, [])
    assert "| AP | 1.000 |" in table
    assert "| left_knee |" in table
    assert protocol["data_sha256"] in table


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--skeleton", "coco17"], "--skeleton is for --predictions"),
        (["--predictions", "p.json", "--device", "cpu"], "leave out --model, .*--device"),
        (["--predictions", "p.json", "--flip-test"], "leave out --model, .*--flip-test"),
        (
            ["--predictions", "p.json", "--skeleton", "coco17"],
            "there is no predictions file p.json",
        ),
    ],
)
def test_options_that_would_do_nothing_are_refused(options, message):
    result = CliRunner().invoke(app, ["evaluate", "--data", "people.json", *options])
    assert isinstance(result.exception, ConfigError | DataError)
    assert re.search(message, str(result.exception))
