"""Pictures that their EXIF data turn, labelled in stored pixels or on the picture turned upright:
in either reading everything is as if the picture that was labelled had no such data."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from hrnet.cli import app
from hrnet.data.batches.loading import CropDataset
from hrnet.data.batches.plan import Augmentation
from hrnet.data.check.checking import check
from hrnet.data.check.sheet import checked_sheet
from hrnet.data.reading import read_people
from hrnet.errors import ConfigError
from hrnet.evaluation.evaluate import evaluate
from hrnet.evaluation.report import worst_people
from hrnet.images import read_stored, turn_upright
from hrnet.predicting.estimator import PoseEstimator
from hrnet.training.recipe import load_recipe
from hrnet.training.run import train
from hrnet.zoo.build import build_model, save_model
from planted import COCO, data_set, write

pytestmark = pytest.mark.usefixtures("whole_pictures")

ORIENTATIONS = range(1, 9)
INVERSE = {6: 8, 8: 6}  # the others undo themselves
READINGS = ["stored", "exif"]


def save(file, labelled, orientation, reading, **options):
    """A picture whose pixels in that reading are those that were labelled."""
    stored = labelled
    if reading == "exif":
        stored = turn_upright(labelled, INVERSE.get(orientation, orientation))
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(stored).save(file, exif=exif, **options)


def labelled_set(folder, orientation=None, reading="stored"):
    """The planted data set, with pictures that tell every corner apart, each of the orientation."""
    content = data_set(folder, people=3)
    rng = np.random.default_rng(0)
    for image in content["images"]:
        picture = np.kron(rng.integers(0, 256, (18, 12, 3)), np.ones((10, 10, 1))).astype(np.uint8)
        image["file_name"] = f"{image['id']}.png"
        save(folder / "images" / image["file_name"], picture, orientation or 1, reading)
    return write(folder, content)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return labelled_set(tmp_path_factory.mktemp("plain"))


@pytest.fixture
def turned(tmp_path):
    return lambda orientation, reading: labelled_set(tmp_path / "turned", orientation, reading)


def crops(file, augmentation, **options):
    people = read_people(file, COCO, **options)
    dataset = CropDataset([(people, augmentation)], COCO, (48, 64), seed=1)
    return dataset[np.array([[0, 0], [3, 1], [4, 2]])]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("augmentation", [None, Augmentation()], ids=["plain", "augmented"])
def test_training_sees_the_crops_of_the_plain_picture(
    plain, turned, orientation, reading, augmentation
):
    expected = crops(plain, augmentation)
    found = crops(turned(orientation, reading), augmentation, orient=reading)
    for a, b in zip(expected, found, strict=True):
        assert (a == b).all()


def test_the_other_reading_gives_other_crops(plain, turned):
    """Or the test before would show nothing."""
    for orientation in range(2, 9):
        found = crops(turned(orientation, "exif"), None, orient="stored")
        assert (found.crops != crops(plain, None).crops).any()


def test_sources_may_read_one_picture_differently(turned):
    people = read_people(turned(3, "stored"), COCO)
    both = CropDataset([(people, None), (replace(people, orient="exif"), None)], COCO, (48, 64))
    batch = both[np.array([[0, 0], [0, 3]])]
    assert (batch.points[0] == batch.points[1]).all()
    assert (batch.crops[0] != batch.crops[1]).any()


def test_a_selection_of_people_is_read_as_they_are(turned):
    people = read_people(turned(3, "exif"), COCO, orient="exif")
    assert people.select(np.array([True, False, True])).orient == "exif"


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_large_jpeg_is_reduced_and_turned(tmp_path, orientation):
    rng = np.random.default_rng(0)
    whole = np.kron(rng.integers(0, 256, (12, 16, 3)), np.ones((32, 32, 1))).astype(np.uint8)
    save(tmp_path / "plain.jpg", whole, 1, "stored", quality=95, subsampling=0)
    save(tmp_path / "turned.jpg", whole, orientation, "exif", quality=95, subsampling=0)
    expected, factor = read_stored(tmp_path / "plain.jpg", 9)
    found, its = read_stored(tmp_path / "turned.jpg", 9, orient=True)
    assert its == factor == 8
    assert np.abs(found.astype(int) - expected).max() <= 12  # of JPEG's rounding
    # 390 is a multiple of 2 only: reduced by 4, the last pixels would be half as wide.
    save(tmp_path / "odd.jpg", whole[:, :390], orientation, "exif")
    found, factor = read_stored(tmp_path / "odd.jpg", 9, orient=True)
    assert (found.shape, factor) == ((192, 195, 4), 2)


TINY = [
    "model.input_size=[64, 64]", "model.network.base_channel=4", "model.network.num_blocks=1",
    "model.network.layer1_channels=16", "training.threads=1", "training.steps=1",
    "training.batch_size=2", "data.workers=0",
]  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    torch.manual_seed(0)
    card = load_recipe("hrnet_w32_small_coco17", TINY).model
    file = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_model(build_model(card).network, card, file)
    return file


@pytest.fixture(scope="module")
def detections(tmp_path_factory):
    rows = [
        {"image_id": id_, "category_id": 1, "bbox": [10, 5, 100, 165], "score": 0.5}
        for id_ in (1, 2, 3)
    ]
    return write(tmp_path_factory.mktemp("boxes"), rows)


@pytest.fixture(scope="module")
def expected(plain, tiny, detections):
    """Of the plain pictures, by their own boxes and by a detector's."""
    estimator = PoseEstimator(tiny, device="cpu")
    return estimator, evaluate(estimator, plain), evaluate(estimator, plain, boxes=detections)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("reading", READINGS)
def test_evaluation_predicts_as_on_the_plain_picture(
    turned, expected, detections, orientation, reading
):
    file = turned(orientation, reading)
    estimator, by_true_boxes, by_detections = expected
    found = evaluate(estimator, file, orient=reading)
    np.testing.assert_array_equal(found.predictions.keypoints, by_true_boxes.predictions.keypoints)
    assert found.figures == by_true_boxes.figures
    assert found.protocol["orient"] == reading
    np.testing.assert_array_equal(worst_people(found), worst_people(by_true_boxes))
    found = evaluate(estimator, file, boxes=detections, orient=reading)
    np.testing.assert_array_equal(found.predictions.keypoints, by_detections.predictions.keypoints)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_evaluates_in_either_reading(plain, turned, tiny):
    options = ("--model", tiny, "--device", "cpu")
    expected = run("evaluate", "--data", plain, *options)
    assert expected.exit_code == 0, expected.output
    found = run("evaluate", "--data", turned(6, "exif"), "--orient", "exif", *options)
    assert found.output.splitlines()[1:] == expected.output.splitlines()[1:]


def test_a_recipe_s_sources_say_how_they_are_read(turned, tmp_path):
    file = turned(6, "exif")

    def recipe(source):
        changes = [f"data.sources=[{source}]", f"data.validation=[{source}]", *TINY]
        return load_recipe("hrnet_w32_small_coco17", changes)

    assert recipe(f'{{file="{file}"}}').data.sources[0].orient == "stored"
    with pytest.raises(ConfigError, match="orient"):
        recipe(f'{{file="{file}", orient="upright"}}')
    trained = train(recipe(f'{{file="{file}", orient="exif"}}'), tmp_path / "run")
    assert trained.evaluations[str(file)].protocol["orient"] == "exif"
    record = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert record["data"]["sources"][0]["orient"] == "exif"


# --- data check -----------------------------------------------------------------------------


def findings(report):
    return {finding.kind: finding.cases for finding in report.findings}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("reading", READINGS)
def test_the_right_reading_has_no_faults_and_turned_pictures_are_noted(
    turned, orientation, reading
):
    file = turned(orientation, reading)
    report = check(file, orient=reading)
    assert report.ok
    told = "the sizes" if orientation >= 5 else "--orient"
    what = f'orientation {orientation}: by {told} "{reading}"'
    noted = {"turned_picture": [(id_, what) for id_ in (1, 2, 3)]}
    assert findings(report) == ({} if orientation == 1 else noted)
    assert report.orient == report.to_dict()["orient"] == reading


@pytest.mark.parametrize("orientation", range(5, 9))
@pytest.mark.parametrize(("reading", "other"), [READINGS, READINGS[::-1]])
def test_where_the_sizes_tell_the_wrong_reading_is_one_fault(turned, orientation, reading, other):
    """And not wrong sizes, nor joints outside the picture."""
    report = check(turned(orientation, reading), orient=other)
    what = f'orientation {orientation}: by the sizes "{reading}"'
    assert findings(report) == {"orientation": [(id_, what) for id_ in (1, 2, 3)]}


@pytest.mark.parametrize("orientation", range(5, 9))
def test_unasked_the_reading_is_training_s_default(turned, orientation):
    assert check(turned(orientation, "stored")).ok
    report = check(turned(orientation, "exif"))
    assert list(findings(report)) == ["orientation"]
    assert report.orient == "stored"  # as a recipe that says nothing has it


@pytest.mark.parametrize("orientation", [2, 3, 4])
@pytest.mark.parametrize("reading", READINGS)
def test_upside_down_and_mirrored_pictures_have_to_be_spoken_of(turned, orientation, reading):
    report = check(turned(orientation, reading))
    what = f'orientation {orientation}: the sizes do not tell; "exif" or "stored"'
    assert findings(report) == {"orientation": [(id_, what) for id_ in (1, 2, 3)]}


def test_pictures_of_the_file_whose_sizes_tell_speak_for_the_others(turned):
    for reading in READINGS:
        file = turned(3, reading)
        image = np.array(Image.open(file.parent / "images" / "2.png"))
        if reading == "exif":
            image = turn_upright(image, 3)
        save(file.parent / "images" / "2.png", image, 8, reading)
        report = check(file)
        assert report.ok == (reading == "stored")
        (cases,) = findings(report).values()
        assert sorted(cases) == [
            (1, f'orientation 3: by the sizes "{reading}"'),
            (2, f'orientation 8: by the sizes "{reading}"'),
            (3, f'orientation 3: by the sizes "{reading}"'),
        ]


def test_without_sizes_or_with_wrong_ones_nothing_tells(turned):
    file = turned(6, "stored")
    content = json.loads(file.read_text())
    del content["images"][0]["width"]
    content["images"][1].update(width=60, height=90)
    content["images"][2].update(width=180, height=180)
    file.write_text(json.dumps(content))
    found = findings(check(file))
    assert [id_ for id_, _ in found["orientation"]] == [1, 2, 3]
    assert found["wrong_size"] == [
        (2, "2.png is 120 x 180, not 60 x 90"),
        (3, "3.png is 120 x 180, not 180 x 180"),
    ]
    assert "orientation" not in findings(check(file, orient="stored"))


def test_the_command_asks_for_the_reading_and_draws_it(turned, plain, tmp_path):
    file = turned(2, "exif")
    result = run("data", "check", file)
    assert result.exit_code == 1
    assert 'orientation 2: the sizes do not tell; "exif" or "stored"' in result.output
    assert 'or of the stored pixels ("stored"); say which' in result.output
    assert run("data", "check", file, "--orient", "exif").exit_code == 0
    np.testing.assert_array_equal(
        checked_sheet(check(file, orient="exif")), checked_sheet(check(plain))
    )
