import dataclasses
import json
from itertools import islice

import cv2
import numpy as np
import pytest
import torch

from hrnet.data.batches.loading import ChunkSampler, CropDataset, TrainingBatches
from hrnet.data.batches.plan import NUMBERS, Augmentation, random_numbers, random_plan
from hrnet.data.coco import read_coco
from hrnet.data.people import in_words
from hrnet.data.reading import read_people, read_skeleton
from hrnet.errors import DataError, ImageError
from hrnet.geometry import crop_matrices, crop_regions, transform_points, warp
from hrnet.images import read_image, read_stored
from hrnet.skeletons import load_skeleton, skeleton_of_names
from real_data import real_data

SKELETON = load_skeleton("coco17")
SIZE = (96, 128)


def annotation(number, **changes):
    keypoints = np.zeros((17, 3))
    keypoints[5:, 0] = np.linspace(25, 60, 12)
    keypoints[5:, 1] = np.linspace(22, 105, 12)
    keypoints[5:, 2] = 2
    row = {"id": number, "image_id": 7, "category_id": 1, "iscrowd": 0, "area": 4000.0}
    return {**row, "bbox": [20, 20, 50, 90], "keypoints": keypoints.ravel().tolist(), **changes}


@pytest.fixture
def coco_file(tmp_path):
    """Writes an annotation file of one picture with a bright dot at every labelled joint."""

    def write(*annotations, name="people.json"):
        image = np.zeros((120, 100, 3), np.uint8)
        for row in annotations:
            for x, y, v in np.reshape(row["keypoints"], (-1, 3)):
                if v:
                    cv2.circle(image, (round(x), round(y)), 2, (255, 255, 255), -1)
        (tmp_path / "images").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "images" / "7.png"), image)
        content = {
            "images": [{"id": 7, "file_name": "7.png", "width": 100, "height": 120}],
            "annotations": annotations,
            "categories": [{"id": 1, "name": "person", "keypoints": SKELETON.keypoints}],
        }
        file = tmp_path / name
        file.write_text(json.dumps(content))
        return file

    return write


def labelled(**places):
    """Keypoints of a person with some joints labelled."""
    keypoints = np.zeros((17, 3))
    for name, (x, y) in places.items():
        keypoints[SKELETON.index(name)] = x, y, 2
    return keypoints.ravel().tolist()


def without(key, row):
    return {k: value for k, value in row.items() if k != key}


LEVEL = labelled(left_shoulder=(60, 40), right_shoulder=(20, 40))
OUTSIDE = labelled(nose=(150, 40))


def test_who_is_left_out_is_counted_by_reason(coco_file):
    """Nobody with a labelled joint in the picture, whatever their box."""
    file = coco_file(
        annotation(1),
        annotation(2, iscrowd=1),
        annotation(3, keypoints=[0] * 51),
        annotation(4, bbox=[20, 20, 1, 90]),
        annotation(5, bbox=[200, 20, 50, 90]),
        without("bbox", annotation(6, keypoints=[0] * 51)),
        annotation(7, bbox=None, keypoints=OUTSIDE),
        annotation(8, keypoints=OUTSIDE),
        without("bbox", annotation(9, iscrowd=1, keypoints=[])),
    )
    people = read_coco(file)
    assert people.annotation_ids.tolist() == [1, 4, 5, 8]
    counts = {
        "people": 4,
        "left_out": {
            "marked as a crowd": 2,
            "without a labelled joint": 2,
            "without a usable box and without a joint in the picture": 1,
        },
        "box_from_joints": {
            "with a box of no width or height": 1,
            "with a box outside the picture": 1,
        },
    }
    assert people.counts() == counts
    assert read_people(file, SKELETON).counts() == counts
    assert in_words(counts) == (
        "4 people (left out: 2 marked as a crowd, 2 without a labelled joint, 1 without a usable "
        "box and without a joint in the picture; box from the joints: 1 with a box of no width or "
        "height, 1 with a box outside the picture)"
    )
    of_one = people.select(people.annotation_ids == 5).counts()
    assert of_one["left_out"] == counts["left_out"]
    assert of_one["box_from_joints"] == {"with a box outside the picture": 1}


@pytest.mark.parametrize("protocol", ["official", "mmpose"])
@pytest.mark.parametrize(
    ("bbox", "fault"),
    [
        ([20.0, 40.0, 40.0, 0.0], "with a box of no width or height"),  # as CVAT writes it
        ([0, 0, 0, 0], "with a box of no width or height"),
        ([20, 40, 40, -3], "with a box of no width or height"),
        ([], "without a box"),
        (None, "without a box"),
        ([float("nan")] * 4, "with a box that is not finite"),
        ([20, 20, float("inf"), 20], "with a box that is not finite"),
        ([100, 20, 50, 50], "with a box outside the picture"),
        ([-60, 20, 50, 50], "with a box outside the picture"),
        ([20, 500, 50, 50], "with a box outside the picture"),
    ],
)
def test_a_box_that_cannot_be_used_is_made_from_the_joints(coco_file, bbox, fault, protocol):
    """Two level joints 40 pixels apart: their extent and 12 % of 40 on all sides."""
    people = read_coco(
        coco_file(annotation(1, bbox=bbox, area=0.0, keypoints=LEVEL)), protocol=protocol
    )
    np.testing.assert_allclose(people.boxes, [[15.2, 35.2, 64.8, 44.8]])
    np.testing.assert_allclose(people.areas, [0.53 * 49.6 * 9.6])
    assert people.box_faults.tolist() == [fault]


def test_a_row_without_a_box_is_read(coco_file):
    file = coco_file(without("bbox", annotation(1, area=123.0, keypoints=LEVEL)))
    people = read_coco(file)
    assert people.counts()["box_from_joints"] == {"without a box": 1}
    np.testing.assert_allclose(people.boxes, [[15.2, 35.2, 64.8, 44.8]])
    assert people.areas.tolist() == [123]


SINGLE = [43.75, 53.75, 56.25, 66.25]


@pytest.mark.parametrize(
    ("joints", "box"),
    [
        # An eighth of the picture's 100 pixels about a single joint, but for what is outside.
        ({"nose": (50, 60)}, SINGLE),
        ({"nose": (2, 118)}, [0, 111.75, 8.25, 119]),
        # Two pixels apart, and as far around them as makes 12.5 pixels.
        ({"left_eye": (51, 60), "right_eye": (49, 60)}, [43.75, 54.75, 56.25, 65.25]),
        # Those outside do not count.
        (
            {"nose": (50, 60), "left_eye": (100, 60), "left_ear": (50, -1)},
            SINGLE,
        ),
    ],
)
def test_boxes_from_few_joints_have_a_least_extent(coco_file, joints, box):
    people = read_coco(coco_file(annotation(1, bbox=[0, 0, 0, 0], keypoints=labelled(**joints))))
    np.testing.assert_allclose(people.boxes, [box])


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, ""),
        ({"center": [float("nan"), 5]}, "with a box that is not finite"),
        ({"scale": 0}, "with a box of no width or height"),
    ],
)
def test_a_centre_and_a_scale_that_cannot_be_used(coco_file, change, fault):
    row = {**annotation(1, keypoints=LEVEL), "center": [40, 50], "scale": 0.2, **change}
    people = read_coco(coco_file(row))
    assert people.box_faults.tolist() == [fault]
    np.testing.assert_allclose(
        people.boxes, [[15.2, 35.2, 64.8, 44.8]] if fault else [[20, 30, 60, 70]]
    )


def test_boxes_are_cleaned_as_in_the_official_code(coco_file):
    """x2 = min(W - 1, x1 + max(0, w - 1)), after x1 = max(0, x): lib/dataset/coco.py."""
    people = read_coco(coco_file(annotation(1), annotation(2, bbox=[-10, -5, 50, 300])))
    assert people.boxes.tolist() == [[20, 20, 69, 109], [0, 0, 49, 119]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": [float("nan"), 30, 2] + [0] * 48}, "keypoints is not finite"),
        ({"bbox": [20, 50, 90]}, "not enough values"),
        ({"bbox": 5}, "not iterable"),
        ({"keypoints": 5}, "not subscriptable"),
        ({"id": 7.5}, "id 7.5 is no whole number"),
        ({"image_id": 8}, "KeyError: 8"),
    ],
)
def test_whoever_cannot_be_read_is_named(coco_file, change, message):
    file = coco_file(annotation(1), annotation(7))
    content = json.loads(file.read_text())
    content["annotations"][1].update(change)
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match=f"annotation {change.get('id', 7)} cannot.*{message}"):
        read_coco(file)


def test_an_image_id_in_quotes_is_refused_before_anything_is_predicted(coco_file):
    file = coco_file(annotation(1))
    content = json.loads(file.read_text())
    content["images"][0]["id"] = content["annotations"][0]["image_id"] = "7"
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match="annotation 1 .*image_id '7' is no whole number"):
        read_coco(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "not in COCO's keypoint format"),
        ('{"images": [], "annotations": [], "categories": []}', "not in COCO's keypoint format"),
        ("\x00\xff", "cannot be read as JSON"),
    ],
)
def test_files_of_other_formats_are_refused(tmp_path, text, message):
    file = tmp_path / "x.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=message):
        read_coco(file)
    with pytest.raises(DataError, match="there is no annotation file"):
        read_coco(tmp_path / "y.json")


def crops_of(people, augmentation, draws, **settings):
    """Crops, points and visibility, as arrays, of the first person's first draws."""
    dataset = CropDataset([(people, augmentation)], SKELETON, SIZE, **settings)
    return [t.numpy() for t in dataset[np.stack([np.arange(draws), np.zeros(draws, int)], axis=1)]]


def dots_under(crops, points, visible):
    """Brightness of the crops at each visible joint that is well inside."""
    inside = visible & (points > 3).all(2) & (points < np.array(SIZE) - 4).all(2)
    x, y = points[inside].round().astype(int).T
    return crops[np.nonzero(inside)[0], y, x, 0]


def test_points_follow_the_picture_through_every_augmentation(coco_file):
    people = read_coco(coco_file(annotation(1)))
    augmentation = Augmentation(truncation=0.4, shift=0.1, stretch=0.5)
    brightness = dots_under(*crops_of(people, augmentation, 200, unbiased=True))
    assert len(brightness) > 800
    assert np.mean(brightness > 128) > 0.98  # a few dots are thinner than a pixel when zoomed out


def test_mirroring_swaps_left_and_right(coco_file):
    keypoints = np.zeros((17, 3))
    keypoints[5] = 30, 40, 2  # left shoulder alone
    people = read_coco(coco_file(annotation(1, keypoints=keypoints.ravel().tolist())))
    flips = {}
    for probability in (0.0, 1.0):
        augmentation = Augmentation(flip=probability, rotation=0, scale=0, half_body=0)
        _, points, visible = crops_of(people, augmentation, 1)
        flips[probability] = points[0], np.flatnonzero(visible).tolist()
    assert flips[0.0][1] == [5]
    assert flips[1.0][1] == [6]
    x, y = flips[0.0][0][5]
    np.testing.assert_allclose(flips[1.0][0][6], [SIZE[0] - 1 - x, y], atol=1e-4)


def test_a_crop_depends_on_seed_draw_and_person_alone(coco_file):
    people = read_coco(coco_file(annotation(1), annotation(2)))
    first, other_seed = (
        CropDataset([(people, Augmentation())], SKELETON, SIZE, seed=seed) for seed in (1, 2)
    )
    keys = np.array([[5, 0], [3, 0], [3, 1], [4, 0]])
    together = first[keys]
    for row, key in enumerate(keys):
        alone = first[key[None]]
        assert all((a[0] == t[row]).all() for a, t in zip(alone, together, strict=True))
    points = [*together.points, other_seed[keys[:1]].points[0]]
    assert len({p.numpy().tobytes() for p in points}) == 5  # the same box, other chances


def test_random_numbers_are_uniform_and_independent():
    draws, people = (a.ravel() for a in np.mgrid[:50, :200])
    numbers = random_numbers(7, draws, people)
    assert numbers.shape == (10_000, NUMBERS)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    tenths = np.stack([np.histogram(column, 10, (0, 1))[0] for column in numbers.T])
    assert np.abs(tenths - 1000).max() < 5 * np.sqrt(900)
    # With each other, with the next person's and with the next draw's.
    table = np.concatenate([numbers[:-200], numbers[1:-199], numbers[200:]], axis=1)
    correlation = np.corrcoef(table.T) - np.eye(3 * NUMBERS)
    assert np.abs(correlation).max() < 0.05
    assert not np.isin(random_numbers(8, draws, people), numbers).any()


def drawn(augmentation, keypoints, count, numbers=None):
    return random_plan(
        np.random.default_rng(0).random((count, NUMBERS)) if numbers is None else numbers,
        augmentation,
        np.tile([20.0, 20, 70, 110], (count, 1)),
        np.tile(keypoints, (count, 1, 1)),
        SKELETON,
        SIZE,
        padding=1.25,
        unbiased=False,
    )


def test_what_is_drawn_stays_as_it_was():
    """Each chance has the number that it had before they were named: a run that is resumed, and
    the recipe of the packaged model, draw what they drew."""
    augmentation = Augmentation(
        truncation=0.5,
        half_body=0.5,
        shift=0.16,
        stretch=0.3,
        erasing=0.5,
        mosaic=0.5,
        downscale=5,
        color=0.2,
    )
    numbers = random_numbers(7, np.arange(200), np.zeros(200, int))
    assert numbers[0, [0, 29]].tolist() == [0.17173719855229574, 0.273417382167665]
    keypoints = np.reshape(annotation(1)["keypoints"], (17, 3))
    plan = drawn(augmentation, keypoints, 200, numbers)
    matrix = [
        [1.1522097134603466, 1.2062944095450254, -94.35536869236246],
        [-1.4757089275971702, 0.9418552059814462, 59.741331079703215],
    ]
    np.testing.assert_allclose(plan.matrices[0], matrix, rtol=1e-9)
    assert plan.flips[:6].tolist() == [False, True, True, False, True, False]
    assert plan.kept[[0, 1, 3], [1, 3, 0]].tolist() == [40, 70, 51]
    assert plan.erased[:2].tolist() == [[14, 37, 45, 53], [0, 0, 0, 0]]
    np.testing.assert_allclose(plan.behind[:2], [-1, 0.5395608933578571])
    np.testing.assert_allclose(plan.shrinks[:2], [1.5527822172909758, 1])
    tones = [1.194046073000074, 1.1159710094823891, 1.2630679454665685, 1.3099673879367155]
    np.testing.assert_allclose(plan.tones[0], tones)
    # All of them: each row times its number, summed.
    found = [np.tensordot(np.arange(1, 201), np.clip(v, -5e3, 5e3), 1).sum() for v in plan]
    np.testing.assert_allclose(
        found,
        [
            449170.30527724203,
            10451.0,
            -6758541.0,
            2251409.0,
            -4295.414411072179,
            34571.26820605749,
            81885.6156809186,
        ],
    )


def test_augmentation_is_drawn_as_in_the_paper():
    """Scale N(1, 0.35) cut at one deviation, rotation N(0, 45) for 60 %, flips for half."""
    keypoints = np.reshape(annotation(1)["keypoints"], (17, 3))
    matrices, flips, *_ = drawn(Augmentation(half_body=0), keypoints, 4000)
    linear = matrices[..., :2]
    region = 90 * 1.25  # the box's height, padded, in picture pixels
    scale = SIZE[1] / region / np.sqrt(np.abs(np.linalg.det(linear)))
    assert flips.mean() == pytest.approx(0.5, abs=0.03)
    assert (np.linalg.det(linear) < 0).tolist() == flips.tolist()
    assert scale.min() == pytest.approx(0.65)
    assert scale.max() == pytest.approx(1.35)
    assert (scale > 1.349).mean() == pytest.approx(0.159, abs=0.02)  # beyond one deviation
    angle = np.degrees(np.arctan2(linear[:, 1, 0], linear[:, 1, 1]))
    assert (np.abs(angle) < 1e-9).mean() == pytest.approx(0.4, abs=0.03)
    assert np.abs(angle).max() <= 90 + 1e-9
    centers = transform_points(matrices[~flips], np.array([[45, 65]]))[:, 0]
    np.testing.assert_allclose(centers, np.tile(np.array(SIZE) / 2, (len(centers), 1)))


def test_shifted_crops_are_off_centre_by_a_share_of_their_size():
    """Of MMPose: uniform to 0.16 of the padded region, for 30 %."""
    keypoints = np.reshape(annotation(1)["keypoints"], (17, 3))
    augmentation = Augmentation(shift=0.16, half_body=0, rotation=0, flip=0)
    matrices, *_ = drawn(augmentation, keypoints, 4000)
    zoom = np.linalg.det(matrices[:, :, :2]) ** 0.5
    middle = transform_points(matrices, np.array([[45, 65]]))[:, 0]
    height = 90 * 1.25  # the padded region's, in picture pixels
    region = np.array([height * SIZE[0] / SIZE[1], height])
    shift = (np.array(SIZE) / 2 - middle) / zoom[:, None] / region
    moved = np.abs(shift).max(1) > 1e-9
    assert moved.mean() == pytest.approx(0.3, abs=0.03)
    assert np.abs(shift).max() == pytest.approx(0.16, abs=1e-3)
    np.testing.assert_allclose(shift[moved].std(0), 0.32 / 12**0.5, rtol=0.05)
    assert abs(np.corrcoef(shift[moved].T)[0, 1]) < 0.1


def test_half_bodies_show_one_half():
    """The upper one in 69 % of the crops; joints 5 to 10 are upper, 11 to 16 lower ones."""
    keypoints = np.reshape(annotation(1)["keypoints"], (17, 3))
    augmentation = Augmentation(half_body=1, scale=0, rotation=0, flip=0)
    matrices, *_ = drawn(augmentation, keypoints, 2000)
    points = transform_points(matrices, keypoints[:, :2])
    middles = np.stack([points[:, 5:11].mean(1), points[:, 11:].mean(1)], axis=1)
    centred = np.isclose(middles, np.array(SIZE) / 2).all(2)
    assert (centred.sum(1) == 1).all()
    assert centred[:, 0].mean() == pytest.approx(0.6915, abs=0.03)
    zoom = np.linalg.det(matrices[:, :, :2]) ** 0.5
    height = np.ptp(keypoints[5:11, 1])
    np.testing.assert_allclose(zoom, SIZE[1] / (1.5 * height))  # 1.5 times the half's extent


@pytest.mark.parametrize("case", ["one point", "few joints", "nobody"])
def test_what_has_no_half_body_is_cropped_whole(case):
    keypoints = np.reshape(annotation(1)["keypoints"], (17, 3)).copy()
    if case == "one point":
        keypoints[:, :2] = 40
    else:
        keypoints[8 if case == "few joints" else 0 :, 2] = 0
    augmentation = Augmentation(half_body=1, scale=0, rotation=0, flip=0)
    matrices, *_ = drawn(augmentation, keypoints, 50)
    whole = crop_matrices(*crop_regions([20, 20, 70, 110], SIZE), SIZE)
    np.testing.assert_allclose(matrices, np.tile(whole, (50, 1, 1)))


def test_truncation_blackens_and_unlabels_what_lies_beyond(coco_file):
    people = read_coco(coco_file(annotation(1)))
    augmentation = Augmentation(truncation=1, rotation=0, scale=0, flip=0)
    crops, points, visible = crops_of(people, augmentation, 200)
    counts = visible.sum(1)
    assert counts.min() >= 3
    # Half are only cropped, of those cut twice a quarter.
    assert np.mean(counts < 12) == pytest.approx(0.5 + 0.3 * 0.25, abs=0.07)
    # A dot at the cut itself is half black, and its middle may be.
    assert np.mean(dots_under(crops, points, visible) > 60) > 0.98
    # A dot just beyond the cut may touch what stays.
    gone = ~visible & (np.arange(17) >= 5)
    assert np.mean(dots_under(crops, points, gone) > 0) < 0.1


def test_some_are_truncated_at_two_edges():
    keypoints = np.reshape(annotation(1)["keypoints"], (17, 3))
    crops = drawn(Augmentation(truncation=1), keypoints, 4000)
    edges = (np.abs(crops.kept) < 1000).sum(axis=1)  # those that cut the picture
    # Twice both the second time and black both times, less where it is the same edge again.
    same = np.square([0.15, 0.15, 0.15, 0.55]).sum()
    assert (edges == 2).mean() == pytest.approx(0.3 * 0.25 * (1 - same), abs=0.02)
    assert edges.max() == 2


def test_stretching_changes_the_ratio_of_sides_and_leaves_the_middle():
    keypoints = np.reshape(annotation(1)["keypoints"], (17, 3))
    settings = {"half_body": 0, "rotation_probability": 1}
    plain = drawn(Augmentation(**settings), keypoints, 2000)
    matrices = drawn(Augmentation(**settings, stretch=0.5), keypoints, 2000).matrices
    # A picture's axes, as they lie in the crop.
    across, down = (np.linalg.norm(matrices[..., axis], axis=1) for axis in (0, 1))
    assert (across / down).max() == pytest.approx(1.5, rel=0.01)
    assert (down / across).max() == pytest.approx(1.5, rel=0.01)
    assert np.median(across / down) == pytest.approx(1, abs=0.03)
    np.testing.assert_allclose(
        np.linalg.det(matrices[..., :2]), np.linalg.det(plain.matrices[..., :2])
    )
    middle = np.array([[45, 65]])
    np.testing.assert_allclose(
        transform_points(matrices, middle), transform_points(plain.matrices, middle)
    )


def test_erasing_blackens_a_rectangle_and_keeps_its_labels(coco_file):
    people = read_coco(coco_file(annotation(1)))
    settings = {"rotation": 0, "scale": 0, "flip": 0, "half_body": 0}
    plain, points, visible = crops_of(people, Augmentation(**settings, color=0.2), 400)
    erased, *same = crops_of(people, Augmentation(**settings, color=0.2, erasing=0.5), 400)
    assert (same[0] == points).all()
    assert (same[1] == visible).all()
    changed = (erased != plain).any(axis=3)
    assert (erased[changed] == 0).all()
    brightness = dots_under(erased, points, visible)
    assert 0.85 < np.mean(brightness > 100) < 0.97  # dots under rectangles
    crops = drawn(Augmentation(erasing=0.5), people.keypoints[0], 4000)
    x1, y1, x2, y2 = crops.erased.T
    assert (crops.erased >= 0).all()
    assert x2.max() <= SIZE[0]
    assert y2.max() <= SIZE[1]
    drawn_ones = x2 > x1
    assert drawn_ones.mean() == pytest.approx(0.5, abs=0.03)
    share = ((x2 - x1) * (y2 - y1))[drawn_ones] / (SIZE[0] * SIZE[1])
    assert share.min() == pytest.approx(0.03, rel=0.05)
    assert share.max() == pytest.approx(0.3, rel=0.05)
    assert np.median(share) == pytest.approx((0.03 * 0.3) ** 0.5, rel=0.1)
    # Anywhere inside: the room that is left is divided evenly.
    room = (SIZE[0] - x2 + x1)[drawn_ones]
    assert (x1[drawn_ones] / room).mean() == pytest.approx(0.5, abs=0.03)


def test_mosaic_fills_what_was_erased(coco_file):
    people = read_coco(coco_file(annotation(1)))
    settings = {"rotation": 0, "scale": 0, "flip": 0, "half_body": 0}
    erased = crops_of(people, Augmentation(**settings, erasing=1), 100)[0]
    filled = crops_of(people, Augmentation(**settings, erasing=1, mosaic=1), 100)[0]
    around = crops_of(people, None, 1)[0]
    # The only other one here is the same, and fits without a seam.
    assert (erased != around).any(axis=(1, 2, 3)).mean() > 0.5  # the picture is black but for dots
    assert (filled == around).all()


def test_downscaling_draws_half_the_crops_from_fewer_pixels(coco_file):
    people = read_coco(coco_file(annotation(1)))
    settings = {"rotation": 0, "scale": 0, "flip": 0, "half_body": 0}
    plain = crops_of(people, Augmentation(**settings), 300)[0].astype(float)
    reduced = crops_of(people, Augmentation(**settings, downscale=4), 300)[0]
    changed = (reduced != plain).any(axis=(1, 2, 3))
    assert changed.mean() == pytest.approx(0.5, abs=0.1)
    # Light neither comes nor goes, but is spread; nor does it move.
    total = reduced[changed].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(total, plain[changed].mean(axis=(1, 2, 3)), rtol=0.05)
    detail = np.abs(np.diff(reduced[changed].astype(float), axis=2)).mean(axis=(1, 2, 3))
    assert 0.2 < (detail / np.abs(np.diff(plain[0], axis=1)).mean()).min() < 0.6
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    for axis in (x, y):
        middle = (reduced[changed, ..., 0] * axis).sum((1, 2)) / reduced[changed, ..., 0].sum(
            (1, 2)
        )
        expected = (plain[0, ..., 0] * axis).sum() / plain[0, ..., 0].sum()
        np.testing.assert_allclose(middle, expected, atol=0.7)


def test_mosaic_shows_somebody_else_where_the_crop_is_black(coco_file):
    """There and nowhere else, half the time; whoever it is has no points there."""
    people = read_coco(coco_file(annotation(1)))
    settings = {"truncation": 1, "rotation": 0, "scale": 0, "flip": 0}
    crops, points, visible = crops_of(people, Augmentation(**settings), 200)
    mixed, *same = crops_of(people, Augmentation(**settings, mosaic=1), 200)
    assert (same[0] == points).all()
    assert (same[1] == visible).all()
    around = crops_of(people, None, 1)[0]  # the only other one here is the same
    changed = (mixed != crops).any(axis=3)
    assert (crops[changed] == 0).all()
    assert (mixed[changed] == np.broadcast_to(around, mixed.shape)[changed]).all()
    often = changed.any(axis=(1, 2))
    assert often.sum() > 50
    half = crops_of(people, Augmentation(**settings, mosaic=0.5), 200)[0]
    assert (half != crops).any(axis=(1, 2, 3))[often].mean() == pytest.approx(0.5, abs=0.15)


def test_colour_changes_the_tones_and_keeps_black_black(coco_file):
    people = read_coco(coco_file(annotation(1)))
    settings = {"rotation": 0, "scale": 0, "flip": 0, "half_body": 0}
    plain = crops_of(people, Augmentation(**settings), 300)[0]
    tinted = crops_of(people, Augmentation(**settings, color=0.2), 300)[0]
    assert (tinted[plain == 0] == 0).all()
    # A level goes through (level / 255) ** gamma * gain, gamma in 0.8 to 1.2; a gain is one
    # channel's factor, in 0.8 to 1.2 as well, times the mean of the three.
    level = plain[0].max()
    row, column = np.argwhere(plain[0, ..., 0] == level)[0]
    found = tinted[:, row, column].astype(float)
    share = level / 255
    assert found.max() <= min(255, 255 * share**0.8 * 1.2**2) + 1
    assert found.min() >= 255 * share**1.2 * 0.8**2 - 1
    assert found.std(axis=0).min() > 5
    assert (found[:, 0] - found[:, 2]).std() > 5  # the channels go ways of their own


def whole_picture(file):
    """The annotation file of one person who fills the picture."""
    height, width = cv2.imread(str(file)).shape[:2]
    return {
        "images": [{"id": 7, "file_name": file.name, "width": width, "height": height}],
        "annotations": [annotation(1, bbox=[0, 0, width, height])],
        "categories": [{"id": 1, "name": "person", "keypoints": SKELETON.keypoints}],
    }


@pytest.fixture(params=["made", "real"])
def large_picture(request, tmp_path):
    """A person who fills a large picture, of odd sides where it is made."""
    if request.param == "real":
        file = real_data("formats/mpii/005808361.jpg")
    else:
        file = tmp_path / "made.jpg"
        noise = np.random.default_rng(0).random((803, 1201, 3)).astype(np.float32)
        image = cv2.normalize(cv2.GaussianBlur(noise, None, 40), None, 0, 255, cv2.NORM_MINMAX)
        cv2.imwrite(str(file), image.astype(np.uint8))
    (tmp_path / "x.json").write_text(json.dumps(whole_picture(file)))
    return read_coco(tmp_path / "x.json", file.parent)


@pytest.mark.parametrize(("size", "factor"), [((48, 64), 8), ((120, 160), 4), ((240, 320), 2)])
def test_crops_of_reduced_pictures_are_where_those_of_whole_ones_are(large_picture, size, factor):
    keys = np.stack([np.arange(6), np.zeros(6, int)], axis=1)
    numbers = random_numbers(3, *keys.T)
    augmentation = Augmentation(half_body=0, scale=0.1)
    maps, flips, *_ = random_plan(
        numbers,
        augmentation,
        large_picture.boxes[keys[:, 1]],
        large_picture.keypoints[keys[:, 1]],
        SKELETON,
        size,
        padding=1.25,
        unbiased=False,
    )
    assert 0 < flips.sum() < 6
    zooms = np.abs(np.linalg.det(maps[..., :2])) ** 0.5
    assert read_stored(large_picture.files[0], 0.5 / zooms.max())[1] == factor
    dataset = CropDataset([(large_picture, augmentation)], SKELETON, size, seed=3)
    whole = read_image(large_picture.files[0], orient=False)
    for key, matrix in zip(keys, maps, strict=True):
        found = dataset[key[None]].crops[0].numpy()
        expected = warp(whole, matrix, size)
        inside = warp(np.full_like(whole, 255), matrix, size).min(axis=2) == 255
        moved = np.abs(shift(found, expected, inside)).max()
        assert moved < 0.1
        if large_picture.files[0].name == "made.jpg":  # without detail that warping would miss
            assert moved < 0.01
            assert np.abs(found.astype(int) - expected)[inside].mean() < 2


def shift(found, expected, inside):
    """How far `found` lies to the right and below: least squares of the difference against the
    gradient."""
    found, expected = (cv2.cvtColor(c, cv2.COLOR_RGB2GRAY).astype(float) for c in (found, expected))
    inside = cv2.erode(inside.astype(np.uint8), np.ones((3, 3))) > 0
    down, right = np.gradient(expected)
    gradient = np.stack([right[inside], down[inside]], axis=1)
    return -np.linalg.lstsq(gradient, (found - expected)[inside], rcond=None)[0]


def test_evaluation_never_sees_a_reduced_picture(large_picture):
    """What is evaluated is what prediction sees."""
    dataset = CropDataset([(large_picture, None)], SKELETON, SIZE)
    matrix = crop_matrices(*crop_regions(large_picture.boxes, SIZE), SIZE)[0]
    expected = warp(read_image(large_picture.files[0], orient=False), matrix, SIZE)
    assert (dataset[np.array([[0, 0]])].crops[0].numpy() == expected).all()


def test_a_crop_of_a_reduced_picture_does_not_depend_on_who_is_loaded_with_it(large_picture):
    """A close and a far crop of one picture, of which only the far one may be reduced."""
    half = large_picture.boxes * [1, 1, 0.2, 0.2]
    people = dataclasses.replace(
        large_picture,
        boxes=np.concatenate([large_picture.boxes, half]),
        keypoints=np.repeat(large_picture.keypoints, 2, axis=0),
        files=[large_picture.files[0]] * 2,
        annotation_ids=np.arange(2),
    )
    dataset = CropDataset([(people, Augmentation(half_body=0))], SKELETON, (48, 64), seed=3)
    keys = np.array([[0, 0], [0, 1]])
    alone = [dataset[key[None]].crops[0] for key in keys]
    together = dataset[keys].crops
    assert all((a == b).all() for a, b in zip(alone, together, strict=True))


def test_truncation_cuts_reduced_pictures_too(large_picture):
    """Beyond the cut, at the same place as in the whole picture, to a pixel, it is black."""
    points = np.array([[500.0, 100], [550, 120], [600, 150]])  # three, so that it may be cut
    keypoints = np.zeros((1, 17, 3))
    keypoints[0, :3] = np.c_[points, [2, 2, 2]]
    people = dataclasses.replace(large_picture, keypoints=keypoints)
    augmentation = Augmentation(truncation=1, flip=0, rotation=0, scale=0, half_body=0)
    keys = np.stack([np.arange(200), np.zeros(200, int)], axis=1)
    maps, _, kept, *_ = random_plan(
        random_numbers(0, *keys.T),
        augmentation,
        np.repeat(people.boxes, 200, axis=0),
        np.repeat(keypoints, 200, axis=0),
        SKELETON,
        SIZE,
        padding=1.25,
        unbiased=False,
    )
    bottom = np.flatnonzero(kept[:, 3] < 2**31)[:3]
    assert len(bottom) == 3
    dataset = CropDataset([(people, augmentation)], SKELETON, SIZE)
    crops = dataset[keys[bottom]].crops.numpy()
    for crop, matrix, y2 in zip(crops, maps[bottom], kept[bottom, 3], strict=True):
        edge = transform_points(matrix, [[600, y2 - 0.5]])[0, 1]
        dark = np.flatnonzero(crop[:, SIZE[0] // 2].max(axis=1) < 3)
        assert abs(dark[dark > SIZE[1] // 2][0] - edge) < 1.5


@pytest.fixture
def crowd(tmp_path):
    """60 people in 20 pictures of different kinds."""
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    images, rows = [], []
    for number in range(20):
        name = f"{number}.{'png' if number % 5 == 0 else 'jpg'}"
        pixels = rng.integers(0, 255, (140 + number, 120, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / "images" / name), pixels)
        images.append({"id": number, "file_name": name, "width": 120, "height": 140 + number})
        rows += [annotation(3 * number + i, image_id=number) for i in range(3)]
    content = {
        "images": images,
        "annotations": rows,
        "categories": [{"id": 1, "name": "person", "keypoints": SKELETON.keypoints}],
    }
    (tmp_path / "crowd.json").write_text(json.dumps(content))
    return read_coco(tmp_path / "crowd.json")


def training_batches(people, workers, count, *, start=0, seed=5):
    dataset = CropDataset([(people, Augmentation(truncation=0.2))], SKELETON, SIZE, seed=seed)
    repeats = np.ones(len(people), dtype=int)
    sampler = ChunkSampler(dataset.pictures, repeats, 16, seed=seed, start=start)
    return list(islice(TrainingBatches(dataset, sampler, 16, workers), count))


def assert_same(found, expected):
    for batch, other in zip(found, expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(batch, other, strict=True))


def test_batches_are_the_same_whatever_the_number_of_workers(crowd):
    """Two epochs and more, hence over the ends of chunks."""
    expected = training_batches(crowd, 0, 20)
    for workers in (1, 2):
        assert_same(training_batches(crowd, workers, 20), expected)
    assert expected[0].crops.shape == (16, 128, 96, 3)
    assert expected[0].points.dtype == torch.float32
    assert expected[0].visible.sum() > 100
    other = training_batches(crowd, 0, 1, seed=6)
    assert not torch.equal(other[0].points, expected[0].points)


@pytest.mark.parametrize("step", [1, 7, 8, 19])
def test_a_run_goes_on_with_the_batches_it_would_have_had(crowd, step):
    expected = training_batches(crowd, 0, 20)[step:]
    assert_same(training_batches(crowd, 0, len(expected), start=16 * step), expected)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.unlink(), "there is no picture {}"),
        (lambda file: file.write_bytes(file.read_bytes()[:-100]), "{} is cut off: its end"),
        (lambda file: file.write_bytes(b"<html>"), "{} is not a picture"),
    ],
)
def test_a_broken_picture_is_one_sentence_with_its_name(crowd, damage, message, workers):
    broken = crowd.files[30]
    damage(broken)
    with pytest.raises(ImageError) as raised:
        training_batches(crowd, workers, 20)
    text = str(raised.value)
    assert text.startswith(message.format(broken))
    assert "\n" not in text


def test_a_picture_is_decoded_once_for_all_its_people_in_a_chunk(crowd, monkeypatch):
    dataset = CropDataset([(crowd, Augmentation())], SKELETON, SIZE)
    sampler = ChunkSampler(dataset.pictures, np.ones(60, dtype=int), 16, seed=0)
    keys = next(iter(sampler))
    read = []

    def counting(file, shrink, **options):
        read.append(file)
        return read_stored(file, shrink, **options)

    monkeypatch.setattr("hrnet.data.batches.pixels.read_stored", counting)
    dataset[keys]
    assert len(keys) == 128
    assert len(read) == 20


def keys_of(sampler, count):
    """The first keys as pairs, and the first chunks' lengths."""
    chunks, keys = [], []
    for chunk in sampler:
        chunks.append(len(chunk))
        keys += map(tuple, chunk.tolist())
        if len(keys) >= count:
            return keys[:count], chunks


# Five people, the first two in one picture, the last two four times an epoch.
PICTURES, REPEATS = np.array([0, 0, 1, 2, 2]), np.array([1, 1, 1, 4, 4])


def test_an_epoch_takes_everybody_as_often_as_asked():
    keys, _ = keys_of(ChunkSampler(PICTURES, REPEATS, 4, seed=0), 220)
    epochs = [keys[i : i + 11] for i in range(0, 220, 11)]
    for epoch in epochs:
        assert sorted(person for _, person in epoch) == [0, 1, 2, 3, 3, 3, 3, 4, 4, 4, 4]
    assert len(set(keys)) == 220  # no draw twice
    assert len({tuple(person for _, person in epoch) for epoch in epochs}) > 10


def test_people_of_a_picture_share_a_chunk_but_are_shuffled_in_it():
    pictures = np.repeat(np.arange(1000), 3)
    sampler = ChunkSampler(pictures, np.ones(3000, dtype=int), 32, seed=0)
    keys, chunks = keys_of(sampler, 3000)
    assert set(chunks) == {128}
    person = np.array(keys)[:, 1]
    where = np.empty(3000, dtype=int)
    where[person] = np.arange(3000)
    chunk = (where // 128).reshape(1000, 3)
    assert np.mean(np.ptp(chunk, axis=1) == 0) > 0.95  # all but those at a chunk's end
    batch = (where // 32).reshape(1000, 3)
    assert np.mean(batch[:, 0] == batch[:, 1]) == pytest.approx(1 / 4, abs=0.05)
    assert abs(np.corrcoef(pictures[person], np.arange(3000))[0, 1]) < 0.1


def test_repeats_of_a_picture_are_anywhere_in_the_epoch():
    pictures = np.arange(1000)
    keys, _ = keys_of(ChunkSampler(pictures, np.full(1000, 2), 32, seed=0), 2000)
    where = np.array([[i for i, (_, p) in enumerate(keys) if p == n] for n in range(50)])
    assert np.ptp(where, axis=1).mean() > 400


@pytest.mark.parametrize("start", [0, 4, 12, 24, 128, 252])  # whole batches
def test_a_sampler_goes_on_where_another_stopped(start):
    whole, _ = keys_of(ChunkSampler(PICTURES, REPEATS, 4, seed=0), start + 200)
    rest, _ = keys_of(ChunkSampler(PICTURES, REPEATS, 4, seed=0, start=start), 200)
    assert rest == whole[start:]


@pytest.mark.parametrize("start", [0, 24])
def test_processes_share_every_batch(start):
    """Of 4 people, two processes have two each, in the order that one process has."""
    whole, _ = keys_of(ChunkSampler(PICTURES, REPEATS, 4, seed=0, start=start), 200)
    first, second = (
        keys_of(
            ChunkSampler(PICTURES, REPEATS, 4, seed=0, start=start, process=process, processes=2),
            100,
        )[0]
        for process in (0, 1)
    )
    shared = [key for i in range(0, 100, 2) for part in (first, second) for key in part[i : i + 2]]
    assert shared == whole


def test_sources_keep_their_own_people_and_augmentation(coco_file):
    shoulder = np.zeros((17, 3))
    shoulder[5] = 30, 40, 2
    one = read_coco(coco_file(annotation(1), name="a.json"))
    two = read_coco(coco_file(annotation(2, keypoints=shoulder.ravel().tolist()), name="b.json"))
    mirrored = Augmentation(flip=1, rotation=0, scale=0, half_body=0)
    dataset = CropDataset([(one, None), (two, mirrored)], SKELETON, SIZE)
    batch = dataset[np.array([[0, 1], [0, 0]])]
    assert batch.visible.sum(1).tolist() == [1, 12]
    assert batch.visible[0, 6]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("left_knee", "right_knee"),
        ("kneeLeft", "kneeRight"),
        ("l_knee", "r_knee"),
        ("knee_l", "knee_r"),
        ("L_Knee", "R_Knee"),
        ("LKnee", "RKnee"),
        ("LEFT KNEE", "RIGHT KNEE"),
    ],
)
def test_pairs_are_found_by_name(left, right):
    skeleton = skeleton_of_names("own", ["ankle", left, "tail", right, "leftover"])
    assert skeleton.pairs == ((left, right),)
    assert skeleton.flip_order.tolist() == [0, 3, 2, 1, 4]


FORMATS = [  # file, skeleton, how many are labelled and no crowd
    ("coco/test_coco", "coco17", 12),
    ("coco/test_coco_wholebody", "coco17", 12),
    ("coco/test_coco_wholebody", "coco_wholebody133", 12),
    ("coco/test_coco_wholebody", "hand21", 10),
    ("coco/test_coco_wholebody", "face_coco_wholebody68", 4),
    ("crowdpose/test_crowdpose", "crowdpose14", 4),
    ("ap10k/test_ap10k", "ap10k17", 2),
    ("onehand10k/test_onehand10k", "hand21", 4),
    ("wflw/test_wflw", "face_wflw98", 4),
]


@pytest.mark.parametrize(("name", "skeleton", "count"), FORMATS)
def test_public_files_are_read(name, skeleton, count):
    skeleton = load_skeleton(skeleton)
    people = read_people(real_data(f"formats/{name}.json"), skeleton)
    assert len(people) == count
    assert people.keypoints.shape == (count, len(skeleton), 3)
    assert set(np.unique(people.keypoints[..., 2])) <= {0, 1, 2}
    assert all(file.is_file() for file in people.files)
    # Wherever the boxes come from, they are where the joints are.
    for box, points in zip(people.boxes, people.keypoints, strict=True):
        center = points[points[:, 2] > 0, :2].mean(axis=0)
        assert (center > box[:2]).all()
        assert (center < box[2:]).all()


def test_whole_bodies_hands_and_faces_are_the_same_points():
    file = real_data("formats/coco/test_coco_wholebody.json")
    whole, hands, faces = (
        read_people(file, load_skeleton(name))
        for name in ("coco_wholebody133", "hand21", "face_coco_wholebody68")
    )
    of_whole = {
        int(i): points for i, points in zip(whole.annotation_ids, whole.keypoints, strict=True)
    }
    for i, face in zip(faces.annotation_ids, faces.keypoints, strict=True):
        np.testing.assert_array_equal(face, of_whole[int(i)][23:91])
    for i, hand in zip(hands.annotation_ids, hands.keypoints, strict=True):
        left, right = of_whole[int(i)][91:112], of_whole[int(i)][112:]
        assert (hand == left).all() or (hand == right).all()


def test_hands_that_are_not_labelled_are_counted():
    """12 people have two hands each, of which 10 are valid."""
    file = real_data("formats/coco/test_coco_wholebody.json")
    people = read_people(file, load_skeleton("hand21"))
    rows = json.loads(file.read_text())["annotations"]
    valid = [r["lefthand_valid"] + r["righthand_valid"] for r in rows if not r["iscrowd"]]
    assert people.counts() == {
        "people": 10,
        "left_out": {"without a labelled joint": 2 * len(valid) - 10},
        "box_from_joints": {},
    }
    assert sum(valid) == 10


def test_wflw_s_boxes_come_from_centre_and_scale():
    """As MMPose's WFLWDataset: a square of 200 times the scale, 0.425 for the first face."""
    people = read_people(real_data("formats/wflw/test_wflw.json"), load_skeleton("face_wflw98"))
    assert people.boxes[0].tolist() == [482.5 - 42.5, 164.5 - 42.5, 482.5 + 42.5, 164.5 + 42.5]


def test_mmpose_s_boxes_do_not_lose_a_pixel(coco_file):
    """np.clip(x, 0, W - 1), np.clip(x + w, 0, W - 1): base_coco_style_dataset.py."""
    file = coco_file(annotation(1), annotation(2, bbox=[-10, -5, 50, 300]))
    people = read_coco(file, protocol="mmpose")
    assert people.boxes.tolist() == [[20, 20, 70, 110], [0, 0, 40, 119]]


def test_columns_come_in_the_skeleton_s_order_and_missing_joints_are_named(coco_file):
    file = coco_file(annotation(1))
    own = skeleton_of_names("own", ["right_wrist", "nose"])
    people = read_people(file, own)
    everything = read_coco(file)
    np.testing.assert_array_equal(people.keypoints[0], everything.keypoints[0][[10, 0]])
    with pytest.raises(DataError, match="of these tail are missing"):
        read_people(file, skeleton_of_names("own", ["nose", "tail"]))


def test_a_missing_area_is_about_half_the_box(coco_file):
    row = annotation(1)
    del row["area"]
    assert read_coco(coco_file(row)).areas.tolist() == [pytest.approx(0.53 * 49 * 89)]


def test_a_file_s_own_skeleton(tmp_path):
    """The package's where the names are its; limbs that cannot be its own are not taken, such as
    COCO's in CrowdPose's file, which end at 17 of its 14 points."""
    crowdpose = real_data("formats/crowdpose/test_crowdpose.json")
    assert read_skeleton(crowdpose) is load_skeleton("crowdpose14")
    content = json.loads(crowdpose.read_text())
    content["categories"][0]["keypoints"][12] = "top"
    (tmp_path / "own.json").write_text(json.dumps(content))
    assert read_skeleton(tmp_path / "own.json").limbs == ()
    assert len(read_skeleton(tmp_path / "own.json").pairs) == 6
    assert read_skeleton(real_data("formats/onehand10k/test_onehand10k.json")).name == "hand21"
    with pytest.raises(DataError, match="names no keypoints"):
        read_skeleton(real_data("formats/wflw/test_wflw.json"))


def test_what_tools_export_beside_the_keypoints(coco_file):
    """Categories of other labels, annotations without keypoints, no categories at all."""
    without = annotation(2)
    del without["keypoints"]
    file = coco_file(annotation(1, category_id=1), {**without, "keypoints": []})
    content = json.loads(file.read_text())
    del content["annotations"][1]["keypoints"]
    content["categories"].append({"id": 2, "name": "kite"})
    content["annotations"][1]["category_id"] = 2
    file.write_text(json.dumps(content))
    assert read_coco(file).annotation_ids.tolist() == [1]
    content["categories"] = []
    file.write_text(json.dumps(content))
    assert read_people(file, SKELETON).annotation_ids.tolist() == [1]
    with pytest.raises(DataError, match="categor"):
        read_coco(file)
