"""From a photograph and boxes to points and scores: the same as the original programs give.

Golden values come from their own code, see golden/make_whole_path.py; the people are real ones of
COCO. OpenCV 4 and 5 crop a little differently, and each is held to its own golden values.
"""

from itertools import groupby

import cv2
import numpy as np
import pytest
import torch
from make_whole_path import FILE, INPUT, NETWORK, PATHS, PEOPLE, moments, set_weights

from hrnet import PoseEstimator
from hrnet.data.coco import read_coco
from hrnet.geometry import crop_matrices, crop_regions, invert, transform_points, warp
from hrnet.images import read_image
from hrnet.zoo import find_model
from hrnet.zoo.build import build_model, save_model
from hrnet.zoo.card import CodecCard, NetworkCard
from real_data import real_data

pytestmark = pytest.mark.usefixtures("whole_pictures")

GOLDEN = np.load(FILE)
OPENCV = f"opencv{cv2.__version__.split('.')[0]}"
BOXES = GOLDEN["boxes"]


def golden(path, name):
    return GOLDEN[f"{OPENCV}_{path}_{name}"]


@pytest.fixture(scope="module")
def people():
    """All people of the annotation file, by annotation."""
    file = real_data("formats/coco/test_coco.json")
    found = read_coco(file, file.parent)
    return {int(id_): i for i, id_ in enumerate(found.annotation_ids)}, found


@pytest.fixture(scope="module")
def pictures():
    """Each person's picture; the tiny one is not among `people`, having no labelled joint."""
    folder = real_data("formats/coco/test_coco.json").parent
    names = [785, 40083, 40083, 196141, 196141, 197388, 197388, 197388]
    return [folder / f"{name:012d}.jpg" for name in names]


@pytest.fixture(scope="module")
def weights_files(tmp_path_factory):
    """For each path a file with the golden network's weights and its card."""
    files = {}
    for path in PATHS:
        card = find_model("hrnet_w32_small_coco17").card.model_copy(
            update={
                "network": NetworkCard(**NETWORK),
                "codec": CodecCard(kind=path),
                "output": "heatmaps",
                "flip_shift": path != "udp",
                "input_size": INPUT,
                "padding": 1.25,
                "weights": None,
                "calibration": None,
            }
        )
        network = build_model(card).network
        set_weights(network)
        files[path] = tmp_path_factory.mktemp("whole_path") / f"{path}.safetensors"
        save_model(network, card, files[path], dtype=torch.float32)
    return files


def test_boxes_are_cleaned_as_officially(people):
    index, found = people
    labelled = [i for i, person in enumerate(PEOPLE) if person in index]
    ours = found.boxes[[index[PEOPLE[i]] for i in labelled]]
    np.testing.assert_array_equal(ours, BOXES[labelled])
    assert len(labelled) == 7


@pytest.mark.parametrize("path", PATHS)
def test_regions_and_matrices(path):
    centers, sizes = crop_regions(BOXES, INPUT)
    np.testing.assert_allclose(np.stack([centers, sizes], 1), GOLDEN[f"{path}_regions"], rtol=1e-6)
    # Theirs are rounded to single precision: what counts is where they take the region's corners.
    corners = centers[:, None] + sizes[:, None] * [[-0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]
    matrices = crop_matrices(centers, sizes, INPUT, unbiased=path == "udp")
    np.testing.assert_allclose(
        transform_points(matrices, corners),
        transform_points(GOLDEN[f"{path}_matrices"], corners),
        rtol=0,
        atol=2e-4,
    )


@pytest.mark.parametrize("path", PATHS)
def test_crops(path, pictures):
    """To the mean of each colour and to where it is in the crop. A crop that is off by a tenth of
    a pixel has other values."""
    matrices = crop_matrices(*crop_regions(BOXES, INPUT), INPUT, unbiased=path == "udp")
    crops = [
        warp(read_image(file, orient=False), matrix, INPUT)
        for file, matrix in zip(pictures, matrices, strict=True)
    ]
    ours = np.stack([moments(crop) for crop in crops])
    np.testing.assert_allclose(ours, golden(path, "crops"), rtol=1e-4)


def distances(keypoints, path):
    """(P, K) in pixels of the picture."""
    return np.abs(keypoints - golden(path, "points")[..., :2]).max(axis=2)


@pytest.mark.parametrize("path", PATHS)
def test_points_from_the_same_crops(path, pictures, weights_files):
    """Theirs round the matrices to single precision, and that changes some tens of the 147,456
    values of a crop by one. So the crops are cut by their matrices here, and all that follows is
    compared more closely."""
    estimator = PoseEstimator(weights_files[path], device="cpu", flip_test=True)
    crops = np.stack(
        [
            warp(read_image(file, orient=False), matrix, INPUT)
            for file, matrix in zip(pictures, GOLDEN[f"{path}_matrices"], strict=True)
        ]
    )
    points = estimator.runner(crops)
    matrices = crop_matrices(*crop_regions(BOXES, INPUT), INPUT, unbiased=path == "udp")
    keypoints = transform_points(invert(matrices), points[..., :2])

    assert distances(keypoints, path).max() < 0.003
    np.testing.assert_allclose(points[..., 2], golden(path, "points")[..., 2], rtol=0, atol=5e-6)


@pytest.mark.parametrize("path", PATHS)
def test_from_picture_to_scored_poses(path, pictures, weights_files):
    estimator = PoseEstimator(weights_files[path], device="cpu", flip_test=True)
    scored = np.column_stack([BOXES, GOLDEN["box_scores"]])
    by_picture = groupby(range(len(PEOPLE)), key=lambda i: pictures[i])
    groups = [(file, list(rows)) for file, rows in by_picture]
    images = [read_image(file, orient=False) for file, _ in groups]
    poses = estimator(images, boxes=[scored[rows] for _, rows in groups])
    keypoints, scores, pose_scores = (
        np.concatenate([getattr(p, name) for p in poses])
        for name in ("keypoints", "scores", "pose_scores")
    )

    assert distances(keypoints, path).max() < 0.01
    expected = golden(path, "points")[..., 2]
    np.testing.assert_allclose(scores, expected, rtol=0, atol=4e-4)
    assert 0.3 < (expected > 0.2).mean() < 0.7  # not all of them count in a pose's score
    np.testing.assert_allclose(pose_scores, golden(path, "pose_scores"), rtol=0, atol=1e-4)
