"""The detector in the package, on real pictures."""

import json
from importlib.resources import as_file, files

import cv2
import numpy as np
import pytest

import hrnet
from hrnet.data.coco import pictures_and_categories
from hrnet.detection.card import read_detector_card
from hrnet.detection.find import PACKAGED, find_detector
from hrnet.evaluation.detecting import box_figures
from hrnet.evaluation.evaluate import evaluate
from hrnet.images import read_image
from hrnet.training.recipe import load_recipe
from real_data import real_data

SAMPLE = files("hrnet") / "samples" / "group.jpg"
# Of the sample's people, as scripts/make_pictures.py puts them there: the pixels of their cut-outs.
PEOPLE = np.array(
    [
        [507, 256, 597, 476],
        [694, 284, 834, 500],
        [739, 281, 957, 604],
        [25, 250, 248, 610],
        [539, 310, 750, 690],
        [180, 236, 516, 670],
    ]
)


@pytest.fixture(scope="module")
def detector():
    return find_detector(PACKAGED)


@pytest.fixture(scope="module")
def estimator():
    return hrnet.PoseEstimator(device="cpu")


def test_the_file_s_card_is_the_recipe_s():
    with as_file(files("hrnet.zoo") / "packaged" / f"{PACKAGED}.safetensors") as file:
        assert file.stat().st_size <= 12_000_000
        card = read_detector_card(file)
    recipe = load_recipe(PACKAGED)
    for key in ("name", "network", "input_size", "threshold", "overlap", "trained_on", "licence"):
        assert getattr(card, key) == getattr(recipe.model, key)


def test_a_whole_and_its_half_are_one_person_in_use_and_in_figures(estimator, tmp_path):
    """Three people of whom the detector finds the upper half as well as the whole, and `evaluate`
    counts whom the estimator finds."""
    content = json.loads(real_data("coco/val.json").read_text())
    middles = {9891: [140], 208363: [234, 444]}
    images = [i for i in content["images"] if i["id"] in middles]
    annotations = [a for a in content["annotations"] if a["image_id"] in middles]
    folder = real_data("coco/images")
    poses = {i["id"]: estimator(folder / i["file_name"]) for i in images}
    for number, xs in middles.items():
        centers = poses[number].boxes[:, [0, 2]].mean(axis=1)
        assert [(np.abs(centers - x) < 12).sum() for x in xs] == [1] * len(xs)
    boxes = {
        number: np.column_stack([found.boxes, found.box_scores]).astype(float)
        for number, found in poses.items()
    }
    own = box_figures(annotations, boxes, {}, threshold=0)
    two = tmp_path / "two.json"
    two.write_text(json.dumps({**content, "images": images, "annotations": annotations}))
    figures = evaluate(estimator, two, images=folder, detector=estimator.detector).figures
    for name in ("recall", "recall, over 96", "false boxes"):
        assert figures[name] == own[name]


def test_the_sample_s_people_are_found(estimator):
    poses = estimator(SAMPLE.read_bytes())
    assert poses.box_source == PACKAGED
    assert len(poses) == len(PEOPLE)
    centers = (poses.boxes[:, :2] + poses.boxes[:, 2:]) / 2
    expected = (PEOPLE[:, :2] + PEOPLE[:, 2:]) / 2
    off = np.linalg.norm(centers[:, None] - expected[None], axis=2)
    nearest = off.argmin(axis=0)
    assert sorted(nearest.tolist()) == list(range(len(PEOPLE)))
    assert off.min(axis=0).max() < 25
    # Everybody's nose is in the upper third of the cut-out, feet below hips.
    names = poses.skeleton.keypoints
    for i, (_, top, _, bottom) in zip(nearest, PEOPLE, strict=True):
        points = poses.keypoints[i]
        assert top < points[names.index("nose"), 1] < top + (bottom - top) / 3
        hips, ankles = (
            points[[names.index(f"{s}_{j}") for s in ("left", "right")], 1].mean()
            for j in ("hip", "ankle")
        )
        assert hips < ankles < bottom


def test_mirrored_pictures_give_mirrored_boxes(detector):
    image = read_image(SAMPLE.read_bytes())
    plain, mirrored = detector([image, np.ascontiguousarray(image[:, ::-1])])
    back = mirrored.copy()
    back[:, [0, 2]] = image.shape[1] - mirrored[:, [2, 0]]
    assert len(plain) == len(back)
    off = np.abs(plain[:, None, :4] - back[None, :, :4]).max(axis=2).min(axis=1)
    assert off.max() < 0.1 * 380  # of somebody 380 pixels tall


def test_a_stream_finds_whom_single_calls_find(estimator):
    """By several workers, in order, whatever was asked for before and after."""
    file = real_data("formats/coco/test_coco.json")
    pictures, _ = pictures_and_categories(file)
    sources = [*pictures.values(), SAMPLE.read_bytes(), *pictures.values()]
    stream = list(estimator.stream(hrnet.Picture(source) for source in sources))
    assert [result.error for result in stream] == [None] * len(sources)
    for source, result in zip(sources, stream, strict=True):
        alone = estimator(source)
        np.testing.assert_allclose(result.poses.boxes, alone.boxes, atol=0.1)
        np.testing.assert_allclose(result.poses.keypoints, alone.keypoints, atol=0.5)


@pytest.mark.slow
def test_what_it_reaches_on_coco_s_people():
    """A little below what docs/en/people.md says."""
    file = real_data("coco/val.json")
    estimator = hrnet.PoseEstimator(device="cpu")
    true = evaluate(estimator, file).figures
    others = real_data("coco/val_other_people.json")
    found = evaluate(estimator, file, detector=estimator.detector, ignore=others).figures
    assert found["recall, over 96"] > 0.79
    assert found["false boxes"] < 0.55
    assert found["AP"] > 0.87 * true["AP"]


@pytest.mark.parametrize("scale", [2.4, 3.0])
def test_of_a_large_picture_nobody_is_found_twice(detector, scale):
    """It is looked at in parts as well, whose edges cut people."""
    image = read_image(SAMPLE.read_bytes())
    large = np.asarray(cv2.resize(image, None, fx=scale, fy=scale), np.uint8)
    (found,) = detector([large])
    assert len(found) == len(PEOPLE)
