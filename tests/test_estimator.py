import json
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

import numpy as np
import pytest
import torch

import hrnet
from hrnet.detection.boxes import check_boxes, whole_picture
from hrnet.detection.card import SecondLook
from hrnet.detection.find import PACKAGED
from hrnet.errors import BoxError, ConfigError, ImageError, WeightsError
from hrnet.images import read_image, write_image
from hrnet.predicting.estimator import PoseEstimator
from hrnet.predicting.picture import Picture

pytestmark = pytest.mark.usefixtures("whole_pictures")

RNG = np.random.default_rng(0)
PICTURES = [RNG.integers(0, 255, (h, w, 3), dtype=np.uint8) for h, w in ((60, 90), (80, 50))]
BOXES = [
    [[5, 5, 40, 50], [30.5, 10, 80, 58], [-10, -10, 30, 30]],
    [[2, 3, 45, 70]],
]


class TwoThreads:
    """Of a session what a stream asks of it."""

    parallel = 2

    def workers(self):
        return ThreadPoolExecutor(self.parallel, "hrnet-run")


class MeanColours:
    """A runner whose points tell the crops apart to the last digit, whatever the batch; the
    refinement of a random network's flat heatmaps would magnify rounding."""

    def __init__(self, card):
        self.card = card
        self.session = TwoThreads()

    def __call__(self, crops):
        means = crops.reshape(len(crops), -1, 3).mean(axis=1)
        points = means[:, None] * np.linspace(0.5, 1, 17)[:, None]
        return points[..., [0, 1, 2, 2]].astype(np.float32)


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

    def __init__(self, card, points):
        self.card = card
        self.session = TwoThreads()
        self.points = np.asarray(points, np.float32)
        self.sizes = []

    def __call__(self, crops):
        width, height = self.card.input_size
        assert crops.shape[1:] == (height, width, 3)
        assert crops.dtype == np.uint8
        self.sizes.append(len(crops))
        return np.repeat(self.points[None], len(crops), axis=0)


class Recorder(FixedPoints):
    """Keeps the crops as well."""

    def __call__(self, crops):
        self.seen.append(crops)
        return super().__call__(crops)


@pytest.fixture
def fixed(weights_file):
    """An estimator whose joints 0 to 4 are the crop's centre and corners, by pixel centres."""
    estimator = PoseEstimator(weights_file, device="cpu", padding=1.25)
    width, height = estimator.card.input_size
    right, bottom = width - 1, height - 1
    points = np.ones((17, 4))
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
    results = list(streaming.stream(map(Picture, pictures, boxes)))
    assert len(results) == 4
    for result, picture, own in zip(results, pictures, boxes, strict=True):
        assert result.picture.source is picture
        assert result.size == (picture.shape[1], picture.shape[0])
        same(result.poses, estimator(picture, own))


def test_a_batch_is_never_larger_than_asked(fixed):
    fixed.batch_size = 2
    fixed(PICTURES[0], [[5, 5, 40, 50]] * 5)
    assert fixed.runner.sizes == [1] * 5  # two calls at once, one each


def test_batches_are_full_but_for_the_last_whatever_people_a_picture_has(fixed):
    fixed.batch_size = 32
    five = [[5, 5, 40, 50]] * 5
    results = list(fixed.stream(Picture(PICTURES[0], five) for _ in range(40)))
    assert [len(result.poses) for result in results] == [5] * 40
    assert sorted(fixed.runner.sizes) == [8, *[16] * 12]  # two calls at once share a batch


def test_nobody_in_any_picture_is_answered_without_a_run(fixed):
    results = list(fixed.stream(Picture(PICTURES[0], []) for _ in range(500)))
    assert [len(result.poses) for result in results] == [0] * 500
    assert fixed.runner.sizes == []


@pytest.mark.parametrize("boxes", [BOXES[1], []])
def test_a_stream_takes_no_more_pictures_than_a_few_batches_ahead(fixed, boxes):
    fixed.batch_size = 4
    taken = 0

    def pictures():
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield Picture(PICTURES[1], boxes)

    stream = fixed.stream(pictures())
    for number in range(1, 200):
        next(stream)
        assert taken - number < 200
    stream.close()
    assert taken < 400


def test_pictures_read_ahead_hold_a_bounded_number_of_bytes(fixed, monkeypatch):
    held = most = 0

    class Counted:
        """A detector that sees how many pictures are read and not yet cropped."""

        name, padding, batch_size, second_look = "counted", None, 1, None

        def __call__(self, images):
            nonlocal held
            held -= 1
            return [np.array([[5, 5, 40, 50, 1.0]]) for _ in images]

    def read(picture):
        nonlocal held, most
        held += 1
        most = max(most, held)
        return picture.source, 1

    fixed.detector = Counted()
    monkeypatch.setattr(Picture, "read", read)
    monkeypatch.setattr("hrnet.predicting.estimator.MAX_HELD", 3 * PICTURES[0].size)
    assert len(list(fixed.stream(Picture(PICTURES[0]) for _ in range(100)))) == 100
    assert 2 <= most <= 5  # without the bound, a batch of 32


def test_a_fault_stands_in_its_place_and_leaves_a_stream_going(estimator, tmp_path):
    pictures = [
        Picture(PICTURES[0], BOXES[0], key="a"),
        Picture(PICTURES[0], [[1, 2, 3]], key="b"),
        Picture(tmp_path / "none.png", key="c"),
        Picture(PICTURES[1], BOXES[1], key="d"),
    ]
    results = list(estimator.stream(pictures))
    assert [result.picture.key for result in results] == ["a", "b", "c", "d"]
    assert [type(result.error) for result in results] == [
        type(None),
        BoxError,
        ImageError,
        type(None),
    ]
    assert [result.poses and len(result.poses) for result in results] == [3, None, None, 1]


def test_an_error_of_the_caller_s_own_comes_after_the_results_before_it(estimator):
    def pictures():
        yield Picture(PICTURES[0], BOXES[0])
        raise OSError("the disk is gone")

    stream = estimator.stream(pictures())
    assert len(next(stream).poses) == 3
    with pytest.raises(OSError, match="the disk is gone"):
        next(stream)


@pytest.mark.parametrize("end", ["close", "interrupt", "finish", "fault"])
def test_a_stream_leaves_no_thread(fixed, end):
    def pictures():
        for number in range(200):
            if end == "interrupt" and number == 100:
                raise KeyboardInterrupt
            yield Picture(PICTURES[0], BOXES[0])

    if end == "fault":
        fixed.runner.points = "no array"
    stream = fixed.stream(pictures())
    if end in ("interrupt", "fault"):
        with pytest.raises((KeyboardInterrupt, TypeError, IndexError)):
            list(stream)
    elif end == "finish":
        list(stream)
    else:
        next(stream)
        stream.close()
    assert not [t.name for t in threading.enumerate() if t.name.startswith("hrnet")]


def test_crops_are_what_the_runner_gets(fixed):
    seen = []
    fixed.runner.__class__ = Recorder
    fixed.runner.seen = seen
    (result,) = fixed.stream([Picture(PICTURES[0], BOXES[0])])
    np.testing.assert_array_equal(seen[0], result.crops())


def test_small_pictures_are_kept_to_draw_on_and_others_read_again(fixed, tmp_path, monkeypatch):
    write_image(tmp_path / "a.png", PICTURES[0])
    monkeypatch.setattr("hrnet.predicting.estimator.MAX_KEPT", PICTURES[0].size)
    large = np.zeros((61, 90, 3), np.uint8)
    results = list(fixed.stream([Picture(tmp_path / "a.png"), Picture(large)], keep_pixels=True))
    assert [result.kept is not None for result in results] == [True, False]
    np.testing.assert_array_equal(results[0].pixels(), PICTURES[0])
    np.testing.assert_array_equal(results[1].pixels(), large)
    (result,) = fixed.stream([Picture(tmp_path / "a.png")])
    assert result.kept is None


def test_an_estimator_and_its_results_pickle(network):
    (result,) = network.stream([Picture(PICTURES[0], BOXES[0], key=("a", 1))])
    again = pickle.loads(pickle.dumps(result))
    assert again.picture.key == ("a", 1)
    same(again.poses, result.poses)
    copy = pickle.loads(pickle.dumps(network))
    same(copy(PICTURES[0], BOXES[0]), result.poses)


def test_threads_of_torch_are_as_before(network):
    before = torch.get_num_threads()
    list(network.stream(Picture(PICTURES[0], BOXES[0]) for _ in range(25)))
    others = []
    thread = threading.Thread(target=lambda: others.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert (torch.get_num_threads(), others) == (before, [before])


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
        ([[5, 5, 9, 9, 1.0010001]], "the score 1.0010001 is not"),  # not "the score 1"
        ([[5, 5, 9, 9, float("nan")]], "the score nan is not between 0 and 1"),
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
    _, scores = check_boxes([[5, 5, 9, 9, np.float32(1.0000001)]], 90, 60)  # rounding
    assert scores.tolist() == [1]
    np.testing.assert_array_equal(whole_picture(90, 60), [[0, 0, 89, 59]])


def test_as_many_boxes_as_pictures(estimator):
    with pytest.raises(BoxError, match="2 pictures and boxes for 1"):
        estimator(PICTURES, [None])
    with pytest.raises(BoxError, match="1 pictures and boxes for 2"):
        estimator(PICTURES[:1], BOXES)


def test_a_broken_picture_of_a_list_is_named(estimator, tmp_path):
    with pytest.raises(ImageError, match=r"none\.png") as held:
        estimator([PICTURES[0], tmp_path / "none.png", *[PICTURES[1]] * 50])
    assert held  # which keeps what raised it, and nothing is left running all the same
    assert not [t.name for t in threading.enumerate() if t.name.startswith("hrnet")]


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


def test_a_large_picture_from_the_network_is_not_fetched_again(fixed, monkeypatch):
    fetched = []
    monkeypatch.setattr(
        "hrnet.predicting.picture.read_oriented",
        lambda source, color: fetched.append(source) or (PICTURES[0], 1),
    )
    monkeypatch.setattr("hrnet.predicting.estimator.MAX_KEPT", 1)
    (result,) = fixed.stream([Picture("https://x.org/a.jpg")], keep_pixels=True)
    result.pixels()
    assert fetched == ["https://x.org/a.jpg"]


class Guessing:
    """A detector that finds the same boxes everywhere."""

    name, padding, batch_size, threshold = "guessing", None, 1, 0.5

    def __init__(self, boxes, second_look):
        self.boxes, self.second_look = boxes, second_look

    def __call__(self, images):
        return [self.boxes[self.boxes[:, 4] > self.threshold] for _ in images]


def test_joints_have_their_say_in_who_is_somebody(monkeypatch):
    """Of boxes with the same score those stay in which joints are found."""
    sample = files("hrnet") / "samples" / "group.jpg"
    picture = read_image(sample.read_bytes())
    people = hrnet.PoseEstimator(detector=PACKAGED)(picture).boxes
    assert len(people) == 6
    width = picture.shape[1]
    sky = [[10, 5, 60, 90], [width - 70, 5, width - 15, 100]]
    boxes = np.column_stack([np.concatenate([sky, people]), np.full(8, 0.25)])
    look = SecondLook(candidates=0.2, threshold=0.5, box=1.0, joints=3.0, height=0.2, constant=0.9)
    for own, count in ((look, 6), (None, 0)):
        detector = Guessing(boxes, own)
        monkeypatch.setattr("hrnet.predicting.estimator.find_detector", lambda *_, d=detector: d)
        (result,) = hrnet.PoseEstimator(detector="guessing").stream(
            [Picture(picture)], keep_pixels=True
        )
        assert len(result.poses) == len(result.crops()) == count
    monkeypatch.setattr(
        "hrnet.predicting.estimator.find_detector", lambda *_: Guessing(boxes, look)
    )
    poses = hrnet.PoseEstimator(detector="guessing")(picture)
    people = people[[np.abs(people - box).max(axis=1).argmin() for box in poses.boxes]]
    np.testing.assert_allclose(poses.boxes, people, atol=1e-3)
    heights = (people[:, 3] - people[:, 1]) / max(picture.shape)
    logit = np.log(0.25 / 0.75) + 0.2 * np.log(heights) + 0.9
    mean = poses.probability.astype(float).mean(axis=1)
    expected = 1 / (1 + np.exp(-logit - 3 * np.log(mean / (1 - mean))))
    np.testing.assert_allclose(poses.box_scores, expected, atol=1e-6)
    # A model whose joints have no probabilities goes by the detector's own threshold.
    weights = hrnet.PoseEstimator().runner.weights
    assert len(hrnet.PoseEstimator(weights=weights, detector="guessing")(picture)) == 0
