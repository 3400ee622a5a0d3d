import json
import subprocess
import sys

import numpy as np
import pytest

from hrnet.detection import check_boxes, whole_picture
from hrnet.errors import BoxError, ConfigError, ImageError, WeightsError
from hrnet.predicting.estimator import PoseEstimator

RNG = np.random.default_rng(0)
PICTURES = [RNG.integers(0, 255, (h, w, 3), dtype=np.uint8) for h, w in ((60, 90), (80, 50))]
BOXES = [
    [[5, 5, 40, 50], [30.5, 10, 80, 58], [-10, -10, 30, 30]],
    [[2, 3, 45, 70]],
]


class MeanColours:
    """A runner whose points tell the crops apart to the last digit, whatever the batch; the
    refinement of a random network's flat heatmaps would magnify rounding."""

    device = "cpu"

    def __init__(self, card):
        self.card = card

    def __call__(self, crops):
        means = crops.reshape(len(crops), -1, 3).mean(axis=1)
        return (means[:, None] * np.linspace(0.5, 1, 17)[:, None]).astype(np.float32)


@pytest.fixture(scope="module")
def network(weights_file):
    return PoseEstimator(str(weights_file), device="cpu")


@pytest.fixture
def estimator(weights_file):
    estimator = PoseEstimator(weights_file, device="cpu")
    estimator.runner = MeanColours(estimator.card)
    return estimator


def same(a, b):
    np.testing.assert_allclose(a.keypoints, b.keypoints, atol=1e-3)
    np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)
    np.testing.assert_array_equal(a.boxes, b.boxes)
    assert a.box_source == b.box_source


class FixedPoints:
    """A runner that finds every person's joints at the same points of the crop."""

    device = "cpu"

    def __init__(self, card, points):
        self.card = card
        self.points = np.asarray(points, np.float32)
        self.sizes = []

    def __call__(self, crops):
        width, height = self.card.input_size
        assert crops.shape[1:] == (height, width, 3)
        assert crops.dtype == np.uint8
        self.sizes.append(len(crops))
        return np.repeat(self.points[None], len(crops), axis=0)


@pytest.fixture
def fixed(weights_file):
    """An estimator whose joints 0 to 4 are the crop's centre and corners, by pixel centres."""
    estimator = PoseEstimator(weights_file, device="cpu", padding=1.25)
    width, height = estimator.card.input_size
    right, bottom = width - 1, height - 1
    points = np.ones((17, 3))
    points[:5, :2] = [
        (right / 2, bottom / 2), (0, 0), (right, 0), (0, bottom), (right, bottom)
    ]  # fmt: skip
    estimator.runner = FixedPoints(estimator.card, points)
    return estimator


# --- geometry, whatever the weights ---------------------------------------------------------


def test_the_crops_centre_and_corners_are_those_of_the_padded_box(fixed):
    assert fixed.card.unbiased
    width, height = fixed.card.input_size
    x1, y1, x2, y2 = 20.25, 10.5, 60.25, 10.5 + 40 * height / width  # the input's shape
    (points,) = fixed(np.zeros((100, 120, 3), np.uint8), [[x1, y1, x2, y2]]).keypoints
    cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
    half_width, half_height = 1.25 * (x2 - x1) / 2, 1.25 * (y2 - y1) / 2
    expected = [
        (cx, cy),
        (cx - half_width, cy - half_height),
        (cx + half_width, cy - half_height),
        (cx - half_width, cy + half_height),
        (cx + half_width, cy + half_height),
    ]
    np.testing.assert_allclose(points[:5], expected, atol=1e-3)


def test_a_box_of_another_shape_is_widened_or_heightened_about_its_centre(fixed):
    width, height = fixed.card.input_size
    boxes = [[10, 20, 90, 30], [40, 5, 44, 95]]  # far too wide, far too high
    points = fixed(np.zeros((100, 120, 3), np.uint8), boxes).keypoints
    np.testing.assert_allclose(points[:, 0], [(50, 25), (42, 50)], atol=1e-3)
    extent = points[:, 4] - points[:, 1]
    expected = 1.25 * np.array([(80, 80 * height / width), (90 * width / height, 90)])
    np.testing.assert_allclose(extent, expected, atol=1e-3)


def test_padding_of_ones_own_replaces_the_models(fixed):
    fixed.padding = 1.0
    width, height = fixed.card.input_size
    box = [20, 10, 60, 10 + 40 * height / width]
    (points,) = fixed(np.zeros((100, 120, 3), np.uint8), [box]).keypoints
    np.testing.assert_allclose(points[[1, 4]].ravel(), box, atol=1e-3)


def test_without_boxes_the_whole_picture_is_one_person_without_padding(fixed):
    width, height = fixed.card.input_size
    picture = np.zeros((2 * height - 1, 2 * width - 1, 3), np.uint8)
    poses = fixed(picture)
    assert poses.box_source == "whole"
    right, bottom = 2 * width - 2, 2 * height - 2
    assert poses.boxes.tolist() == [[0, 0, right, bottom]]
    # The box from the first pixel's centre to the last one's has not quite the input's shape.
    (points,) = poses.keypoints
    np.testing.assert_allclose(points[0], (right / 2, bottom / 2), atol=1e-3)
    assert np.abs(points[[1, 4]].ravel() - (0, 0, right, bottom)).max() < 0.5
    assert fixed(picture, [[0, 0, right, bottom]]).box_source == "given"


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 9, 3), (9, 1, 3)])
def test_a_picture_of_one_pixel_or_line_has_finite_joints(network, shape):
    poses = network(np.zeros(shape, np.uint8))
    assert np.isfinite(poses.keypoints).all()
    json.dumps(poses.to_dict(), allow_nan=False)


# --- one and many ---------------------------------------------------------------------------


def test_a_list_gives_what_each_picture_gives_alone(estimator):
    together = estimator(PICTURES, BOXES)
    assert [len(poses) for poses in together] == [3, 1]
    for picture, boxes, poses in zip(PICTURES, BOXES, together, strict=True):
        same(poses, estimator(picture, boxes))
        np.testing.assert_array_equal(poses.boxes, np.float32(boxes))
        assert poses.box_source == "given"
        assert poses.box_scores.tolist() == [1.0] * len(boxes)
    assert np.ptp(together[0].keypoints, axis=0).max() > 1  # people differ


def test_the_network_too_gives_what_each_picture_gives_alone(network):
    together = network(PICTURES, BOXES)
    for picture, boxes, poses in zip(PICTURES, BOXES, together, strict=True):
        alone = network(picture, boxes)
        np.testing.assert_allclose(poses.scores, alone.scores, atol=1e-4)
        assert np.median(np.abs(poses.keypoints - alone.keypoints)) < 1e-2
    assert np.ptp(together[0].scores, axis=0).max() > 1e-3  # so people are told apart


def test_a_list_may_have_boxes_for_some_pictures_only(estimator):
    first, second = estimator(PICTURES, [None, BOXES[1]])
    assert (first.box_source, second.box_source) == ("whole", "given")
    same(first, estimator(PICTURES[0]))
    assert estimator([]) == []


@pytest.mark.parametrize("boxes", [[], [[]], np.empty((0, 4))])
def test_no_people_are_arrays_of_length_zero(estimator, boxes):
    poses = estimator(PICTURES[0], boxes)
    assert len(poses) == 0
    assert poses.keypoints.shape == (0, 17, 2)
    assert poses.scores.shape == (0, 17)
    assert poses.boxes.shape == (0, 4)
    assert poses.pose_scores.shape == (0,)
    assert poses.box_source == "given"
    assert poses.to_dict()["people"] == []
    assert poses.to_coco(1) == []
    np.testing.assert_array_equal(poses.draw(PICTURES[0]), PICTURES[0])


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_a_stream_keeps_the_order_whatever_the_batch(weights_file, estimator, batch_size):
    streaming = PoseEstimator(weights_file, device="cpu", batch_size=batch_size)
    streaming.runner = estimator.runner
    pictures = [PICTURES[0], PICTURES[1], PICTURES[0], PICTURES[1]]
    boxes = [BOXES[0], [], None, BOXES[1]]
    prepared = map(streaming.prepare, pictures, boxes)
    results = list(streaming.stream(prepared))
    assert len(results) == 4
    for (prepared, poses), picture, own in zip(results, pictures, boxes, strict=True):
        assert prepared.image is picture
        same(poses, estimator(picture, own))


def test_a_batch_is_never_larger_than_asked(fixed):
    fixed.batch_size = 2
    fixed(PICTURES[0], [[5, 5, 40, 50]] * 5)
    assert fixed.runner.sizes == [2, 2, 1]


def test_a_stream_holds_no_more_pictures_than_a_batch_takes(fixed):
    fixed.batch_size = 4
    taken = 0

    def pictures():
        nonlocal taken
        for boxes in [BOXES[1]] + [[]] * 50:
            taken += 1
            yield fixed.prepare(PICTURES[1], boxes)

    next(fixed.stream(pictures()))
    assert taken == 4


def test_a_stream_holds_fewer_pictures_if_they_are_large(fixed, monkeypatch):
    monkeypatch.setattr("hrnet.predicting.estimator.MAX_HELD", 3 * 80 * 50)
    pictures = (fixed.prepare(PICTURES[1], BOXES[1]) for _ in range(8))
    assert len(list(fixed.stream(pictures))) == 8
    assert fixed.runner.sizes == [3, 3, 2]


def test_a_picture_that_cannot_be_prepared_leaves_a_stream_going(estimator):
    def pictures():
        for key, boxes in enumerate([BOXES[0], [[1, 2, 3]], BOXES[1]]):
            try:
                yield estimator.prepare(PICTURES[0], boxes, key=key)
            except BoxError:
                faults.append(key)

    faults = []
    found = [(picture.key, len(poses)) for picture, poses in estimator.stream(pictures())]
    assert found == [(0, 3), (2, 1)]
    assert faults == [1]


def test_crops_are_what_the_runner_gets(fixed):
    seen = []
    fixed.runner = lambda crops: seen.append(crops) or np.ones((len(crops), 17, 3), np.float32)
    prepared = fixed.prepare(PICTURES[0], BOXES[0])
    list(fixed.stream([prepared]))
    np.testing.assert_array_equal(seen[0], list(prepared.crops()))


def test_scores_of_boxes_are_those_of_the_poses(estimator):
    scored = np.column_stack([BOXES[0], [0.5, 1, 0]])
    poses = estimator(PICTURES[0], scored)
    plain = estimator(PICTURES[0], BOXES[0])
    same(poses, plain)
    assert poses.box_scores.tolist() == [0.5, 1, 0]
    np.testing.assert_allclose(poses.pose_scores, plain.pose_scores * [0.5, 1, 0])


def test_bgr_is_turned_round_before_the_network_sees_it(estimator):
    picture, boxes = PICTURES[0], BOXES[0]
    bgr = np.ascontiguousarray(picture[..., ::-1])
    same(estimator(bgr, boxes, color="bgr"), estimator(picture, boxes))
    wrong = estimator(bgr, boxes)
    assert np.abs(wrong.scores - estimator(picture, boxes).scores).max() > 1e-5


# --- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([5, 5, 20, 40], r"shape \(4,\)"),
        ([[5, 5, 20]], r"shape \(1, 3\)"),
        ([[1, 2, 3], [1, 2, 3, 4]], "must be numbers"),
        ([["left", 1, 2, 3]], "must be numbers"),
        ("x", "must be numbers"),
        ({}, "must be numbers"),
        ([[1, 2, 3, 10**400]], "must be numbers"),
        ([[0, 0, 9, 9], [float("nan"), 2, 30, 40]], r"box 1 \(nan.*not four finite"),
        ([[0, 0, float("inf"), 9]], "not four finite"),
        ([[None, 2, 30, 40]], "not four finite"),
        ([[-1e39, -1e39, 1e39, 1e39]], "not four finite numbers below 10,000,000"),
        ([[5, 5, 5, 40]], "box 0.*is empty"),
        ([[9, 5, 5, 40]], "x1 < x2"),
        ([[5, 5, 5 + 1e-9, 5 + 1e-9]], "is empty"),
        ([[90, 5, 99, 9]], "outside the picture of 90 x 60"),
        ([[-9, 5, -1, 9]], "outside"),
        ([[5, 60, 9, 70]], "outside"),
        ([[5, 5, 9, 9, 1.5]], "box 0.*the score 1.5"),
        ([[5, 5, 9, 9, float("nan")]], "the score nan, which is not between 0 and 1"),
    ],
)
def test_boxes_that_cannot_be_are_refused_with_their_number(boxes, message):
    with pytest.raises(BoxError, match=message):
        check_boxes(boxes, 90, 60)


def test_boxes_may_reach_beyond_the_picture_or_just_touch_it():
    boxes = [[-50, -50, 500, 500], [89, 59, 100, 100], [-10, -10, 0, 0]]
    checked, scores = check_boxes(boxes, 90, 60)
    np.testing.assert_array_equal(checked, boxes)
    assert scores.tolist() == [1, 1, 1]
    np.testing.assert_array_equal(whole_picture(90, 60), [[0, 0, 89, 59]])


def test_as_many_boxes_as_pictures(estimator):
    with pytest.raises(BoxError, match="2 pictures and boxes for 1"):
        estimator(PICTURES, [None])
    with pytest.raises(BoxError, match="1 pictures and boxes for 2"):
        estimator(PICTURES[:1], BOXES)


def test_a_broken_picture_of_a_list_is_named(estimator, tmp_path):
    with pytest.raises(ImageError, match=r"none\.png"):
        estimator([PICTURES[0], tmp_path / "none.png"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"padding": 0.0}, "padding is 0"),
        ({"padding": float("nan")}, "padding is nan"),
        ({"device": "nonsense"}, "device 'nonsense'"),
        ({"device": "meta"}, "device 'meta'"),
        ({"device": "hpu"}, "device 'hpu'"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(weights_file, options, message):
    with pytest.raises(ConfigError, match=message):
        PoseEstimator(weights_file, **options)


def test_the_nearest_model_is_suggested_and_a_missing_file_named(tmp_path):
    with pytest.raises(ConfigError, match="did you mean hrnet_w32_small_coco17"):
        PoseEstimator("hrnet_w32_small_coco")
    with pytest.raises(WeightsError, match=r"no weights file .*none\.safetensors"):
        PoseEstimator(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    "module", ["hrnet", "hrnet.cli", "hrnet.predicting.estimator", "hrnet.zoo"]
)
def test_importing_does_not_load_torch(module):
    code = f"import sys, {module}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_padding_is_the_card_s_unless_given(weights_file, estimator):
    assert estimator.padding == estimator.card.padding
    assert PoseEstimator(weights_file, padding=1.5).padding == 1.5
