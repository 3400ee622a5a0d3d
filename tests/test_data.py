import json

import cv2
import numpy as np
import pytest

from hrnet.data import read_people
from hrnet.data.augmentation import Augmentation, random_crop
from hrnet.data.coco import read_coco, read_skeleton
from hrnet.data.crops import CropDataset, EndlessSampler, Mixture, collate
from hrnet.errors import DataError
from hrnet.geometry import transform_points
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


def test_crowds_people_without_joints_and_empty_boxes_are_left_out(coco_file):
    file = coco_file(
        annotation(1),
        annotation(2, iscrowd=1),
        annotation(3, keypoints=[0] * 51),
        annotation(4, bbox=[20, 20, 1, 90]),
        annotation(5, bbox=[200, 20, 50, 90]),
    )
    assert read_coco(file).annotation_ids.tolist() == [1]


def test_boxes_are_cleaned_as_in_the_official_code(coco_file):
    """x2 = min(W - 1, x1 + max(0, w - 1)), after x1 = max(0, x): lib/dataset/coco.py."""
    people = read_coco(coco_file(annotation(1), annotation(2, bbox=[-10, -5, 50, 300])))
    assert people.boxes.tolist() == [[20, 20, 69, 109], [0, 0, 49, 119]]


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


def dots_under(sample):
    """Brightness of the crop at each visible joint that is well inside."""
    inside = (
        sample.visible & (sample.points > 3).all(1) & (sample.points < np.array(SIZE) - 4).all(1)
    )
    x, y = sample.points[inside].round().astype(int).T
    return sample.crop[y, x, 0]


def test_points_follow_the_picture_through_every_augmentation(coco_file):
    people = read_coco(coco_file(annotation(1)))
    augmentation = Augmentation(truncation=0.4)
    dataset = CropDataset(people, SKELETON, SIZE, augmentation=augmentation, unbiased=True)
    brightness = np.concatenate([dots_under(dataset[draw, 0]) for draw in range(200)])
    assert len(brightness) > 800
    assert np.mean(brightness > 128) > 0.98  # a few dots are thinner than a pixel when zoomed out


def test_mirroring_swaps_left_and_right(coco_file):
    keypoints = np.zeros((17, 3))
    keypoints[5] = 30, 40, 2  # left shoulder alone
    people = read_coco(coco_file(annotation(1, keypoints=keypoints.ravel().tolist())))
    flips = {}
    for probability in (0.0, 1.0):
        augmentation = Augmentation(flip=probability, rotation=0, scale=0, half_body=0)
        flips[probability] = CropDataset(people, SKELETON, SIZE, augmentation=augmentation)[0, 0]
    assert np.flatnonzero(flips[0.0].visible).tolist() == [5]
    assert np.flatnonzero(flips[1.0].visible).tolist() == [6]
    x, y = flips[0.0].points[5]
    np.testing.assert_allclose(flips[1.0].points[6], [SIZE[0] - 1 - x, y], atol=1e-4)


def test_a_crop_depends_on_seed_and_draw_alone(coco_file):
    people = read_coco(coco_file(annotation(1)))
    first, again, other_seed = (
        CropDataset(people, SKELETON, SIZE, augmentation=Augmentation(), seed=seed)
        for seed in (1, 1, 2)
    )
    first[5, 0]  # drawing in another order changes nothing
    np.testing.assert_array_equal(first[3, 0].crop, again[3, 0].crop)
    assert not np.array_equal(first[3, 0].points, first[4, 0].points)
    assert not np.array_equal(first[3, 0].points, other_seed[3, 0].points)


def test_augmentation_is_drawn_as_in_the_paper():
    """Scale N(1, 0.35) cut at one deviation, rotation N(0, 45) for 60 %, flips for half."""
    rng = np.random.default_rng(0)
    box = np.array([20.0, 20, 70, 110])
    keypoints = np.reshape(annotation(1)["keypoints"], (17, 3))
    augmentation = Augmentation(half_body=0)
    crops = [
        random_crop(rng, augmentation, box, keypoints, SKELETON, SIZE, padding=1.25, unbiased=False)
        for _ in range(4000)
    ]
    linear = np.array([c.matrix[:, :2] for c in crops])
    flips = np.array([c.flip for c in crops])
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
    np.testing.assert_allclose(
        [transform_points(c.matrix, [[45, 65]])[0] for c in crops if not c.flip][:5],
        np.tile(np.array(SIZE) / 2, (5, 1)),
    )


def test_half_bodies_show_one_half():
    rng = np.random.default_rng(0)
    box = np.array([20.0, 20, 70, 110])
    keypoints = np.reshape(annotation(1)["keypoints"], (17, 3))
    augmentation = Augmentation(half_body=1, scale=0, rotation=0, flip=0)
    centers = []
    for _ in range(300):
        crop = random_crop(
            rng, augmentation, box, keypoints, SKELETON, SIZE, padding=1.25, unbiased=False
        )
        y = transform_points(crop.matrix, keypoints[5:, :2])[:, 1]
        centers.append(y[:6].mean() if abs(y[:6].mean() - 64) < 1 else y[6:].mean())
    assert np.allclose(centers, SIZE[1] / 2)


def test_truncation_blackens_and_unlabels_what_lies_beyond(coco_file):
    people = read_coco(coco_file(annotation(1)))
    augmentation = Augmentation(truncation=1, rotation=0, scale=0, flip=0)
    dataset = CropDataset(people, SKELETON, SIZE, augmentation=augmentation)
    samples = [dataset[draw, 0] for draw in range(60)]
    counts = [int(s.visible.sum()) for s in samples]
    assert min(counts) >= 3
    assert 0.3 < np.mean([c < 12 for c in counts]) < 0.7  # half are only cropped
    # A dot at the cut itself is half black.
    assert np.concatenate([dots_under(s) for s in samples]).min() > 60
    gone = [s._replace(visible=~s.visible & (np.arange(17) >= 5)) for s in samples]
    # A dot just beyond the cut may touch what stays.
    assert np.mean(np.concatenate([dots_under(s) for s in gone]) > 0) < 0.1


def test_an_epoch_takes_everybody_as_often_as_asked():
    sampler = iter(EndlessSampler([3, 2], [1, 4], seed=0))
    epochs = [[next(sampler) for _ in range(11)] for _ in range(2)]
    for epoch in epochs:
        assert sorted((d, i) for d, _, i in epoch) == [(0, i) for i in range(3)] + [
            (1, i) for i in range(2) for _ in range(4)
        ]
    keys = [key for epoch in epochs for key in epoch]
    assert len(set(keys)) == 22  # no draw twice
    assert [k[::2] for k in epochs[0]] != [k[::2] for k in epochs[1]]


@pytest.mark.parametrize("start", [0, 4, 11, 25])
def test_a_sampler_goes_on_where_another_stopped(start):
    whole, rest = (iter(EndlessSampler([3, 2], [1, 4], 0, s)) for s in (0, start))
    expected = [next(whole) for _ in range(start + 20)][start:]
    assert [next(rest) for _ in range(20)] == expected


def test_batches(coco_file):
    people = read_coco(coco_file(annotation(1), annotation(2)))
    mixture = Mixture([CropDataset(people, SKELETON, SIZE), CropDataset(people, SKELETON, SIZE)])
    batch = collate([mixture[0, 0, 1], mixture[1, 0, 0]])
    assert batch.crops.shape == (2, 128, 96, 3)
    assert batch.points.shape == (2, 17, 2)
    assert batch.visible.sum().item() == 24


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


def test_wflw_s_boxes_come_from_centre_and_scale():
    """As MMPose's WFLWDataset: a square of 200 times the scale, 0.425 for the first face."""
    people = read_people(real_data("formats/wflw/test_wflw.json"), load_skeleton("face_wflw98"))
    assert people.boxes[0].tolist() == [482.5 - 42.5, 164.5 - 42.5, 482.5 + 42.5, 164.5 + 42.5]


def test_mmpose_s_boxes_do_not_lose_a_pixel(coco_file):
    """np.clip(x, 0, W - 1), np.clip(x + w, 0, W - 1): base_coco_style_dataset.py."""
    file = coco_file(annotation(1), annotation(2, bbox=[-10, -5, 50, 300]))
    people = read_coco(file, cleaning="mmpose")
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


def test_a_file_s_own_limbs_count_only_if_they_fit():
    """CrowdPose's file has COCO's limbs, which end at 17 of its 14 points."""
    assert read_skeleton(real_data("formats/crowdpose/test_crowdpose.json")).limbs == ()
    hand = read_skeleton(real_data("formats/onehand10k/test_onehand10k.json"))
    assert hand.limbs[0] == ("wrist", "thumb1")
    with pytest.raises(DataError, match="names no keypoints"):
        read_skeleton(real_data("formats/wflw/test_wflw.json"))
