"""Metrics against the original programs' figures (see golden/make_metrics.py), small cases by hand,
and what holds for any predictions."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_metrics import COCO, CROWD, FILE, INPUT, MPII, PARTS
from predictions import WHOLEBODY_KEYS, copies, detections, mpii, people, pixels

from hrnet.errors import DataError
from hrnet.evaluation.distances import box_lengths, epe, nme, normalised_distances
from hrnet.evaluation.oks import crowdpose_ap, oks_ap, oks_ap_by_joint, wholebody_ap
from hrnet.evaluation.pck import auc, box_pck, head_pck, mpii_pckh, pck
from hrnet.evaluation.predictions import Predictions, different_people, survivors
from hrnet.geometry import crop_regions
from hrnet.result import rescore
from hrnet.similarity import found_once, oks, oks_nms
from hrnet.skeletons import load_skeleton, skeleton_of_names
from real_data import real_data

GOLDEN = json.loads(FILE.read_text())
COCO17 = load_skeleton("coco17")
CROWDPOSE = load_skeleton("crowdpose14")
WHOLEBODY = load_skeleton("coco_wholebody133")
WFLW = load_skeleton("face_wflw98")
HAND = load_skeleton("hand21")


def read(name):
    return json.loads(real_data(f"formats/{name}").read_text())


@pytest.fixture
def truth(tmp_path):
    """Writes annotations to a file."""

    def write(content):
        file = tmp_path / "truth.json"
        file.write_text(json.dumps(content))
        return file

    return write


def rows_of(found, skeleton, nms, boxes=False):
    """Rows of a results file, rescored and after suppression."""
    corners = found.boxes.astype(np.float64)
    predictions = Predictions(
        image_ids=np.array(found.image_ids),
        keypoints=found.keypoints,
        scores=rescore(found.keypoints[..., 2], found.box_scores),
        regions=np.stack(crop_regions(corners, INPUT), axis=1),
        boxes=corners,
    )
    rows = predictions.to_coco(boxes=boxes)
    return [rows[i] for i in survivors(predictions, skeleton, nms)]


def assert_golden(figures, name, names=None, unit=1.0):
    golden = GOLDEN[name]
    for key in names or golden:
        assert figures[key] == pytest.approx(unit * golden[key], abs=1e-4), key


# The originals, on real annotations


@pytest.mark.parametrize(
    ("program", "nms", "boxes"),
    [
        ("official", "region", False),
        ("official", "none", False),
        # MMPose's top-down models give a pose its box, whose area goes before the joints' extent.
        ("mmpose", "region", True),
        ("mmpose", "extent", False),
    ],
)
def test_coco_with_suppression_and_rescoring(truth, program, nms, boxes):
    content = copies(read("coco/test_coco.json"))
    found = detections("coco", *people(content), np.array(COCO17.sigmas))
    rows = rows_of(found, COCO17, nms, boxes)
    assert len(rows) == GOLDEN[f"coco {program} {nms}"]["poses"]
    assert_golden(oks_ap(truth(content), rows, COCO17), f"coco {program} {nms}", COCO)


def test_crowdpose(truth):
    content = copies(read("crowdpose/test_crowdpose.json"))
    found = detections("crowdpose", *people(content), np.array(CROWDPOSE.sigmas))
    rows = rows_of(found, CROWDPOSE, "region")
    assert len(rows) == GOLDEN["crowdpose mmpose region"]["poses"]
    figures = crowdpose_ap(truth(content), rows, CROWDPOSE)
    assert tuple(figures) == CROWD
    assert_golden(figures, "crowdpose mmpose region", CROWD)


def test_wholebody(truth):
    content = copies(read("coco/test_coco_wholebody.json"))
    found = detections("wholebody", *people(content, WHOLEBODY_KEYS), np.array(WHOLEBODY.sigmas))
    rows = rows_of(found, WHOLEBODY, "region")
    assert len(rows) == GOLDEN["wholebody mmpose region"]["poses"]
    figures = wholebody_ap(truth(content), rows, WHOLEBODY)
    assert tuple(figures) == tuple(f"{part} {name}" for part in PARTS for name in COCO)
    assert_golden(figures, "wholebody mmpose region", tuple(figures))


@pytest.mark.parametrize("protocol", ["official", "mmpose"])
def test_mpii(protocol):
    true, predicted, heads = mpii(read("mpii/test_mpii.json"))
    sizes = 0.6 * np.linalg.norm(heads[:, 1] - heads[:, 0], axis=1)
    figures = mpii_pckh(predicted, true, sizes, protocol=protocol)
    assert set(figures.figures) == set(MPII)
    assert_golden(figures.figures, f"mpii {protocol}")
    # The figure at 0.1 that the two print is not at the same threshold.
    place = 11 if protocol == "official" else 10
    assert figures.thresholds[place] == {"official": 0.11, "mmpose": 0.1}[protocol]
    assert figures.curve[place] == pytest.approx(figures.figures["PCKh@0.1"])
    assert figures.curve[50] == pytest.approx(figures.mean)


def test_pck_by_the_head():
    true, predicted, heads = mpii(read("mpii/test_mpii.json"))
    sizes = 0.6 * np.linalg.norm(heads[:, 1] - heads[:, 0], axis=1)
    figures = head_pck(predicted, true, sizes, load_skeleton("mpii16"))
    assert figures.mean == pytest.approx(100 * GOLDEN["mpii mmpose PCKh"]["PCKh"], abs=1e-4)


def test_pck_by_the_box_auc_and_epe():
    true, predicted, boxes = pixels("hands", read("onehand10k/test_onehand10k.json"), 21)
    golden = GOLDEN["hands mmpose"]
    share = box_pck(predicted, true, boxes, HAND, threshold=0.05)
    assert share.figures == {"PCK@0.05": pytest.approx(100 * golden["PCK"], abs=1e-4)}
    area = auc(predicted, true, HAND)
    assert area.figures == {"AUC": pytest.approx(golden["AUC"], abs=1e-4)}
    assert np.mean(area.curve) == pytest.approx(area.mean)
    assert area.thresholds[-1] == 28.5
    distance = epe(predicted, true, HAND)
    assert distance.figures == {"EPE": pytest.approx(golden["EPE"], abs=1e-4)}


def test_nme_by_the_eyes_and_by_the_box():
    true, predicted, boxes = pixels("faces", read("wflw/test_wflw.json"), 98)
    figures = nme(predicted, true, WFLW)
    # Among the labels that the golden script takes away is an eye's corner, of whose position
    # MMPose makes use all the same; with them for lengths the figures are the same.
    a, b = (WFLW.index(name) for name in WFLW.interocular)
    eyes = np.linalg.norm(true[:, a, :2] - true[:, b, :2], axis=1)
    assert figures.people == (true[:, [a, b], 2] > 0).all(axis=1).sum() < len(true)
    figures = nme(predicted, true, WFLW, lengths=eyes)
    assert figures.mean == pytest.approx(100 * GOLDEN["wflw mmpose"]["NME"], abs=1e-4)
    figures = nme(predicted, true, WFLW, lengths=box_lengths(boxes))
    assert figures.mean == pytest.approx(100 * GOLDEN["wflw mmpose by box"]["NME"], abs=1e-4)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("face_300w68", "300w"),
        ("face_coco_wholebody68", "coco_wholebody_face"),
        ("face_cofw29", "cofw"),
        ("face_wflw98", "wflw"),
    ],
)
def test_normalisers_of_faces(name, data):
    skeleton = load_skeleton(name)
    indices = [skeleton.index(joint) for joint in skeleton.interocular]
    assert indices == GOLDEN["normalisers of NME"][data]


# OKS and suppression


def test_oks_by_hand():
    true = np.zeros((2, 2, 2))
    true[1] = 100
    predicted = np.zeros((1, 2, 2))
    predicted[0, 1] = [3, 4]
    found = oks(predicted, true, [50.0, 50.0], [0.5, 0.25])
    # d^2 / (2 area (2 sigma)^2) is 25 / (2 * 50 * 0.25) = 1 for the second joint
    assert found.shape == (1, 2)
    assert found[0, 0] == pytest.approx((1 + np.exp(-1)) / 2)
    assert found[0, 1] < 1e-9
    first_only = oks(predicted, true, [50.0, 50.0], [0.5, 0.25], labelled=[[1, 0], [0, 0]])
    assert first_only[0, 0] == 1
    assert np.isnan(first_only[0, 1])


def test_oks_nms_by_hand():
    """Of poses a, b, c in a row a is like b and b like c: b is the worst, c is not like a."""
    points = np.zeros((3, 1, 2))
    points[:, 0, 0] = [0, 10, 20]
    sigmas, areas = [0.5], [475.0] * 3  # OKS is exp(-100 / 950) = 0.900 at 10 pixels, 0.656 at 20
    assert oks(points, points, areas, sigmas)[0, 1] == pytest.approx(0.9001, abs=1e-4)
    assert oks_nms(points, [0.9, 0.5, 0.8], areas, sigmas).tolist() == [0, 2]
    # The best suppresses both neighbours.
    assert oks_nms(points, [0.5, 0.9, 0.8], areas, sigmas).tolist() == [1]
    # A suppressed one suppresses nobody: c stays although b, better than c, is like it.
    assert oks_nms(points, [0.9, 0.8, 0.5], areas, sigmas).tolist() == [0, 2]
    # Where it is just the threshold, both stay; a pair's area is the mean of the two.
    exact = float(oks(points, points, areas, sigmas)[0, 1])
    assert len(oks_nms(points, [3, 2, 1], areas, sigmas, threshold=exact)) == 3
    assert oks_nms(points[:2], [2, 1], [949.0, 0.0], sigmas).tolist() == [0, 1]
    assert oks_nms(points[:2], [2, 1], [951.0, 0.0], sigmas).tolist() == [0]
    assert oks_nms(np.zeros((0, 1, 2)), [], [], sigmas).tolist() == []


WHOLE = [[0, 0], [10, 0], [5, 20], [0, 50], [10, 50]]
HALF = [[0, 0], [10, 0], [5, 20], [0, 20], [10, 20]]  # of whom the feet are guesses
BESIDE = [[30, 0], [40, 0], [35, 20], [30, 50], [40, 50]]
BOXES = np.array([[0, 0, 10, 50], [0, 0, 10, 20], [30, 0, 40, 50]])
SURE = np.array([[0.9] * 5, [0.9, 0.9, 0.9, 0.2, 0.2], [0.9] * 5])
SIGMAS = [0.25] * 5


def test_somebody_found_as_a_whole_and_as_a_half_is_one():
    """Joints count by the product of the probabilities. By the half's area, 106 square pixels, feet
    30 pixels off are worth 4e-8."""
    points = np.array([WHOLE, HALF, BESIDE], float)
    # Without probabilities it is OKS-NMS, by which a half is not the whole.
    assert found_once(points, [0.8, 0.6, 0.7], BOXES, SIGMAS, None).tolist() == [0, 2, 1]
    assert found_once(points, [0.8, 0.6, 0.7], BOXES, SIGMAS, SURE).tolist() == [0, 2]
    assert found_once(points, [0.6, 0.8, 0.7], BOXES, SIGMAS, SURE).tolist() == [1, 2]
    # Sure of all its joints, it is like the whole in three of five, and not in three of nine.
    surer = np.where(SURE < 0.5, 0.9, SURE)
    assert found_once(points, [0.8, 0.6, 0.7], BOXES, SIGMAS, surer).tolist() == [0, 2]
    more, sure = (a[:, [0, 1, 2, 3, 4, 3, 4, 3, 4]] for a in (points, surer))
    assert found_once(more, [0.8, 0.6, 0.7], BOXES, [0.25] * 9, sure).tolist() == [0, 2, 1]
    # One joint in common is too few to say so, whoever is sure of it.
    sure = np.where([True, False, False, False, False], 1.0, 0.0) + np.zeros((3, 1))
    assert len(found_once(points, [0.8, 0.6, 0.7], BOXES, SIGMAS, sure)) == 3
    assert found_once(np.zeros((0, 5, 2)), [], BOXES[:0], SIGMAS, SURE[:0]).tolist() == []


def test_of_two_poses_that_are_the_same_one_stays_whatever_their_boxes():
    """By OKS with the mean of the areas; by the smaller area, 5 pixels are worth 0.07."""
    points = np.array([WHOLE, np.add(WHOLE, [3, 4])], float)
    boxes = np.array([[0, 0, 60, 60], [0, 0, 6, 6]])
    assert found_once(points, [0.8, 0.6], boxes, SIGMAS, SURE[[0, 2]]).tolist() == [0]


@pytest.mark.parametrize("calibrated", [True, False])
def test_who_is_not_accepted_makes_nobody_a_double(calibrated):
    """In use, boxes below the threshold are not there, though a pose in one may have the better
    score. People of other pictures are others."""
    same = np.array([WHOLE, WHOLE, WHOLE, HALF, WHOLE, HALF], float)
    found = Predictions(
        image_ids=np.array([7, 3, 7, 3, 7, 5]),
        keypoints=np.concatenate([same, np.ones((6, 5, 1))], axis=2),
        scores=np.array([0.3, 2.0, 0.5, 0.9, 0.4, 0.1]),
        boxes=BOXES[[0, 0, 0, 1, 0, 1]],
        accepted=np.array([True, True, False, True, True, False]),
        probability=SURE[[0, 0, 0, 1, 0, 1]] if calibrated else None,
    )
    skeleton = skeleton_of_names("five", list("abcde")).model_copy(update={"sigmas": SIGMAS})
    different = [False, True, False, not calibrated, True, True]
    assert different_people(found, skeleton).tolist() == different


def test_suppression_needs_sigmas_and_regions():
    nobody = Predictions(np.zeros(0, np.int64), np.zeros((0, 16, 3)), np.zeros(0))
    with pytest.raises(DataError, match="mpii16 has no sigmas"):
        survivors(nobody, load_skeleton("mpii16"), "extent")
    with pytest.raises(DataError, match="do not say which regions"):
        survivors(nobody, COCO17, "region")
    assert len(survivors(nobody, load_skeleton("mpii16"), "none")) == 0
    assert len(survivors(nobody, COCO17, "extent")) == 0


def test_rescoring():
    scores = [[0.2, 0.4, 0.8], [0.1, 0.0, -1.0], [1.0, 1.2, 0.3]]
    assert rescore(scores, [0.5, 1, 1]).tolist() == pytest.approx([0.3, 0, 2.5 / 3])


# Average precision


def person(i, joints=17):
    rng = np.random.default_rng(i)
    keypoints = np.concatenate([rng.uniform(0, 200, (joints, 2)), np.full((joints, 1), 2)], axis=1)
    return {
        "id": i,  # the first is 0, which pycocotools takes for nobody
        "image_id": i % 3,
        "category_id": 1,
        "iscrowd": 0,
        "area": 5000.0 + 9000 * (i % 2),
        "bbox": [0, 0, 200, 200],
        "keypoints": keypoints.ravel().tolist(),
    }


def annotations(number=6, joints=17):
    crowds = (0.1, 0.5, 0.9)
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg", "crowdIndex": crowds[i]} for i in range(3)],
        "annotations": [person(i, joints) for i in range(number)],
        "categories": [],
    }


def perfect(content, keys=("keypoints",)):
    return [
        {
            "image_id": row["image_id"],
            "category_id": 1,
            "keypoints": [number for key in keys for number in row[key]],
            "score": 0.5 + row["id"] / 100,
        }
        for row in content["annotations"]
    ]


def crowd(content):
    for row in content["annotations"]:
        row["keypoints"] = row["keypoints"][: 3 * 14]
        row["num_keypoints"] = 14
        del row["area"]
    return content


def whole(content):
    """Annotations of 133 keypoints, in COCO-WholeBody's parts."""
    for row in content["annotations"]:
        parts = np.split(np.reshape(row["keypoints"], (133, 3)), np.cumsum([17, 6, 68, 21]))
        row |= {key: p.ravel().tolist() for key, p in zip(WHOLEBODY_KEYS, parts, strict=True)}
    return content


def test_perfect_predictions_have_ap_1(truth):
    content = annotations()
    figures = oks_ap(truth(content), perfect(content), COCO17)
    assert figures == dict.fromkeys(COCO, pytest.approx(1))
    figures = oks_ap_by_joint(truth(content), perfect(content), COCO17)
    assert figures == dict.fromkeys(COCO17.keypoints, pytest.approx(1))
    content = crowd(annotations())
    figures = crowdpose_ap(truth(content), perfect(content), CROWDPOSE)
    assert figures == dict.fromkeys(CROWD, pytest.approx(1))
    content = whole(annotations(joints=133))
    figures = wholebody_ap(truth(content), perfect(content, WHOLEBODY_KEYS), WHOLEBODY)
    assert len(figures) == 60
    assert figures == dict.fromkeys(figures, pytest.approx(1))


def test_ap_does_not_depend_on_the_order_of_rows(truth):
    content = annotations()
    rows = perfect(content)
    for i, row in enumerate(rows):
        row["keypoints"] = [
            number + 4 * i * (j % 3 < 2) for j, number in enumerate(row["keypoints"])
        ]
    figures = oks_ap(truth(content), rows, COCO17)
    assert 0 < figures["AP"] < 1
    content["annotations"].reverse()
    assert oks_ap(truth(content), rows[::-1], COCO17) == figures


def test_oks_of_a_picture_equals_pycocotools():
    """With somebody who has only a box, inside and outside of which poses lie."""
    from pycocotools.coco import COCO as Annotations  # noqa: N811
    from pycocotools.cocoeval import COCOeval

    from hrnet.evaluation.keypoint_eval import KeypointEval

    rng = np.random.default_rng(0)
    people = [person(i) | {"image_id": 0} for i in (1, 2, 3, 4)]
    for row in people:
        row["keypoints"] = np.array(row["keypoints"])
        row["keypoints"][2::3] *= rng.random(17) < 0.7
        row["num_keypoints"] = 17
        row["bbox"] = [50.0, 60.0, 30.0, 20.0]
    people[2]["keypoints"][:] = 0
    found = [
        row | {"keypoints": row["keypoints"] + rng.normal(0, 15, 51), "score": rng.random()}
        for row in people * 6  # more than the 20 that count
    ]
    for i, row in enumerate(found):
        row["id"] = i + 1
    sides = []
    for rows in (people, found):
        sides.append(Annotations())
        sides[-1].dataset = {
            "images": [{"id": 0}],
            "categories": [{"id": 1}],
            "annotations": rows,
        }
        sides[-1].createIndex()
    theirs, ours = (kind(*sides, "keypoints") for kind in (COCOeval, KeypointEval))
    for evaluation in (theirs, ours):
        evaluation.evaluate()
    assert theirs.ious[0, 1].shape == (20, 4)
    assert 0.1 < theirs.ious[0, 1][:, 2].max() < 1
    np.testing.assert_allclose(ours.ious[0, 1], theirs.ious[0, 1], rtol=0, atol=1e-12)


def test_ap_by_joint_is_of_that_joint_alone(truth):
    content = annotations()
    rows = perfect(content)
    for annotation, row in zip(content["annotations"], rows, strict=True):
        row["keypoints"][3 * 3] += 1000  # left ear
        annotation["keypoints"][3 * 9 + 2] = 0  # left wrist: nowhere labelled
        if annotation["id"]:
            annotation["keypoints"][3 * 5 + 2] = 0  # left shoulder: labelled once
    figures = oks_ap_by_joint(truth(content), rows, COCO17)
    assert list(figures) == list(COCO17.keypoints)
    assert figures["left_ear"] == 0
    assert figures["left_wrist"] == -1
    assert figures["left_shoulder"] == pytest.approx(1)
    assert figures["nose"] == pytest.approx(1)


def test_nothing_to_find_is_minus_1_and_nothing_found_0(truth):
    content = annotations()
    assert set(oks_ap(truth(content), [], COCO17).values()) == {0}
    rows = perfect(content)
    for row in content["annotations"]:
        row["keypoints"] = [0] * 51
    assert set(oks_ap(truth(content), rows, COCO17).values()) == {-1}
    content["annotations"] = []
    assert set(oks_ap(truth(content), rows, COCO17).values()) == {-1}


def test_crowdpose_counts_as_its_own_program(truth):
    content = crowd(annotations())
    easy = content["annotations"][0]
    for picture in content["images"]:
        picture["crowdIndex"] = min(picture["crowdIndex"], 0.5)
    assert easy["image_id"] == 0
    easy["num_keypoints"] = 0  # labelled, but none visible: need not be found
    rows = [row for row in perfect(content) if row["score"] > 0.5]
    figures = crowdpose_ap(truth(content), rows, CROWDPOSE)
    assert figures["AP(E)"] == pytest.approx(1)
    assert figures["AR"] == pytest.approx(1)
    assert figures["AP(H)"] == -1  # no picture is that crowded
    # The area is 0.53 of the box: all joints off by d have OKS as by the formula.
    content["annotations"] = content["annotations"][1:2]
    rows = perfect(content)
    shift = 20
    rows[0]["keypoints"] = [n + shift * (j % 3 == 0) for j, n in enumerate(rows[0]["keypoints"])]
    similar = np.exp(-(shift**2) / (2 * 0.53 * 200**2 * (2 * np.array(CROWDPOSE.sigmas)) ** 2))
    assert 0.5 < similar.mean() < 0.8
    expected = np.mean(similar.mean() >= np.linspace(0.5, 0.95, 10))
    assert crowdpose_ap(truth(content), rows, CROWDPOSE)["AP"] == pytest.approx(expected)
    # Who sees nothing is not counted: alone, it leaves nothing found.
    rows[0]["keypoints"][2::3] = [0] * 14
    assert crowdpose_ap(truth(content), rows, CROWDPOSE)["AP"] == 0


def test_wholebody_parts_are_apart(truth):
    content = whole(annotations(joints=133))
    rows = perfect(content, WHOLEBODY_KEYS)
    for row in rows:
        for joint in range(91, 112):
            row["keypoints"][3 * joint] += 1000
    for row in content["annotations"]:
        row["foot_kpts"][2::3] = [0] * 6
    figures = wholebody_ap(truth(content), rows, WHOLEBODY)
    assert figures["left hand AP"] == 0
    assert figures["foot AP"] == -1
    for name in ("body AP", "face AR", "right hand AP"):
        assert figures[name] == pytest.approx(1)
    assert 0 < figures["whole AP"] < 1  # 21 of 127 labelled joints are off: OKS is 0.83
    assert figures["whole AP"] == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ({"keypoints": [1.0] * 50}, "17 keypoints"),
        ({"keypoints": [float("nan")] * 51}, "not finite"),
        ({"score": None}, "17 keypoints"),
        ({"image_id": 77}, "name image_id 77"),
        ({"bbox": [1]}, "17 keypoints"),
    ],
)
def test_rows_that_do_not_fit_are_refused(truth, damage, words):
    content = annotations()
    rows = perfect(content)
    rows[2] |= damage
    with pytest.raises(DataError, match=words):
        oks_ap(truth(content), rows, COCO17)


def test_files_that_do_not_fit_are_refused(truth, tmp_path):
    content = annotations()
    rows = perfect(content)
    with pytest.raises(DataError, match="no annotation file"):
        oks_ap(tmp_path / "nowhere.json", rows, COCO17)
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    with pytest.raises(DataError, match="cannot be read as JSON"):
        oks_ap(broken, rows, COCO17)
    with pytest.raises(DataError, match="TypeError"):
        oks_ap(truth([1]), rows, COCO17)
    with pytest.raises(DataError, match="annotation 0 has 17 keypoints.*and 14 keypoints"):
        crowdpose_ap(truth(content), rows, CROWDPOSE)
    with pytest.raises(DataError, match="annotation 0 has 17 keypoints"):
        wholebody_ap(truth(content), rows, WHOLEBODY)
    with pytest.raises(DataError, match="mpii16 has no sigmas"):
        content["annotations"] = []
        oks_ap(truth(content), [], load_skeleton("mpii16"))
    content = annotations()
    _, _, width, height = content["annotations"][3]["bbox"]
    content["annotations"][3]["area"] = 0.53 * width * height
    expected = oks_ap(truth(content), rows, COCO17)
    del content["annotations"][3]["area"]  # as MMPose and xtcocotools fill it in
    assert oks_ap(truth(content), rows, COCO17) == expected
    for key, value in (("bbox", [1, 2, 3]), ("keypoints", [float("nan")] * 51)):
        content = annotations()
        content["annotations"][3][key] = value
        with pytest.raises(DataError, match="annotation 3 has"):
            oks_ap(truth(content), rows, COCO17)
    with pytest.raises(DataError, match="coco17 has 17 keypoints, not 133"):
        wholebody_ap(truth(content), rows, COCO17)
    content = crowd(annotations())
    del content["images"][1]["crowdIndex"]
    with pytest.raises(DataError, match="no crowdIndex"):
        crowdpose_ap(truth(content), perfect(content), CROWDPOSE)


# Measures by joint


def faces(number=3):
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 100, (number, 98, 2))
    return np.concatenate([points, np.ones((number, 98, 1))], axis=2)


def test_mpii_by_hand():
    true = np.zeros((2, 16, 3))
    true[..., 2] = 1
    true[1, 0, 2] = 0  # right ankle
    predicted = np.zeros((2, 16, 2))
    predicted[:, 6:8] = 1000  # pelvis and thorax do not count
    predicted[0, 9] = [3, 4]  # head: just half of the head's size
    predicted[0, 5] = [1.05, 0]  # left ankle: between 0.1 and 0.11
    predicted[1, 15] = [100, 0]  # left wrist
    predicted[1, 0] = 1000  # not labelled
    sizes = [10.0, 10.0]
    official = mpii_pckh(predicted, true, sizes)
    assert (official.people, official.joints) == (2, 27)
    assert official.mean == official.figures["PCKh@0.5"] == pytest.approx(100 * 26 / 27)
    assert official.figures["Head"] == official.figures["Ankle"] == 100
    assert official.figures["Wrist"] == 75
    assert official.figures["PCKh@0.1"] == pytest.approx(100 * 25 / 27)
    assert official.per_joint["left_wrist"] == 50
    assert "pelvis" not in official.per_joint
    mmpose = mpii_pckh(predicted, true, sizes, protocol="mmpose")
    assert mmpose.figures["Head"] == 50
    assert mmpose.figures["PCKh@0.1"] == pytest.approx(100 * 24 / 27)
    unknown = mpii_pckh(predicted, true, [np.nan, 10.0])
    assert (unknown.people, unknown.joints) == (1, 13)


def test_pck_by_the_box_is_a_mean_of_joints():
    true = np.zeros((3, 21, 3))
    true[..., 2] = 1
    true[1:, 1, 2] = 0
    predicted = np.zeros((3, 21, 2))
    predicted[0, :2] = [0, 8]  # two joints just under and just over 0.2 of 40 pixels
    predicted[0, 0] = [0, 7.9]
    boxes = [[0, 0, 30, 40], [5, 0, 5, 0], [0, 0, 40, 20]]  # the second has no size
    figures = box_pck(predicted, true, boxes, HAND)
    assert figures.mean == pytest.approx(100 * 20 / 21)
    assert (figures.people, figures.joints) == (2, 41)
    assert figures.per_joint["thumb1"] == 0
    assert figures.per_joint["wrist"] == 100


def test_nme_and_epe_by_hand():
    true = faces(2)
    a, b = (WFLW.index(name) for name in WFLW.interocular)
    true[:, a, :2] = 0
    true[:, b, :2] = [[30, 40], [60, 80]]
    true[0, 5, 2] = 0
    predicted = true[..., :2] + [0, 5]
    predicted[0, 5] = 1000
    figures = nme(predicted, true, WFLW)
    assert figures.joints == 195
    assert figures.mean == pytest.approx((97 * 10 + 98 * 5) / 195)  # 5 of 50, and of 100 pixels
    assert figures.per_joint["right_jaw_6"] == pytest.approx(5)
    assert "right_eye_1 to left_eye_1" in figures.protocol
    assert epe(predicted, true, WFLW).figures == {"EPE": pytest.approx(5)}
    assert box_lengths([[10, 10, 50, 100], [50, 100, 10, 10]]).tolist() == [60, 0]


@given(seed=st.integers(0, 999))
@settings(max_examples=10, deadline=None)
def test_measures_of_any_predictions(seed):
    rng = np.random.default_rng(seed)
    true = faces(4)
    true[..., 2] = rng.random((4, 98)) < 0.9
    true[:, [60, 72], 2] = 1
    predicted = true[..., :2] + rng.normal(0, 5, (4, 98, 2))
    lengths = rng.uniform(20, 60, 4)
    boxes = np.concatenate([np.zeros((4, 2)), rng.uniform(20, 60, (4, 2))], axis=1)
    order = rng.permutation(4)
    measures = [
        (lambda p, t, o: nme(p, t, WFLW), 0),
        (lambda p, t, o: nme(p, t, WFLW, lengths=lengths[o]), 0),
        (lambda p, t, o: epe(p, t, WFLW), 0),
        (lambda p, t, o: auc(p, t, WFLW), 0.95),  # nothing is closer than 0
        (lambda p, t, o: box_pck(p, t, boxes[o], WFLW), 100),
        (lambda p, t, o: head_pck(p, t, lengths[o], WFLW), 100),
    ]
    same = np.arange(4)
    for measure, best in measures:
        assert measure(true[..., :2], true, same).mean == pytest.approx(best)
        figures = measure(predicted, true, same)
        moved = measure(predicted[order], true[order], order)
        assert moved.mean == pytest.approx(figures.mean)
        assert list(figures.per_joint) == list(WFLW.keypoints)
        assert figures.joints == (true[..., 2] > 0).sum()


def test_no_labelled_joint_is_nan():
    true = np.zeros((2, 98, 3))
    for figures in (
        nme(true[..., :2], true, WFLW),
        epe(true, true, WFLW),
        auc(true, true, WFLW),
        box_pck(true, true, np.ones((2, 4)), WFLW),
        epe(np.zeros((0, 98, 2)), np.zeros((0, 98, 3)), WFLW),
        mpii_pckh(np.zeros((0, 16, 2)), np.zeros((0, 16, 3)), []),
    ):
        assert np.isnan(figures.mean)
        assert (figures.people, figures.joints) == (0, 0)


def test_arrays_that_do_not_fit_are_refused():
    true = faces(2)
    with pytest.raises(DataError, match=r"predicted keypoints have shape \(2, 97, 2\)"):
        epe(true[:, 1:, :2], true, WFLW)
    with pytest.raises(DataError, match=r"true keypoints have shape \(2, 98, 2\)"):
        epe(true[..., :2], true[..., :2], WFLW)
    with pytest.raises(DataError, match=r"lengths have shape \(3,\)"):
        nme(true, true, WFLW, lengths=[1, 2, 3])
    for measure, skeleton in ((pck, COCO17), (nme, WFLW), (auc, WFLW)):
        with pytest.raises(DataError, match=r"true keypoints have shape \(98, 2\)"):
            measure(true[..., :2], true[0, :, :2], skeleton)
    with pytest.raises(DataError, match=r"boxes have shape \(4,\)"):
        box_pck(true, true, [0, 0, 9, 9], WFLW)
    with pytest.raises(DataError, match="no interocular distance"):
        nme(true[:, :17], true[:, :17], COCO17)
    with pytest.raises(DataError, match="names no torso"):
        pck(true, true, WFLW)
    predicted = true[..., :2].copy()
    predicted[1, 3] = np.nan
    with pytest.raises(DataError, match="not finite"):
        epe(predicted, true, WFLW)
    true[1, 3, 2] = 0  # where nothing is labelled, anything may be predicted
    assert np.isnan(normalised_distances(predicted, true, 1, WFLW)[1, 3])


def test_the_file_s_columns_may_come_in_another_order_or_be_more():
    """A model of five of COCO's points, in an order of its own, is held to those."""
    content = read("coco/test_coco.json")
    own = skeleton_of_names("own", ["right_ankle", "nose", "left_wrist", "left_hip", "left_ear"])
    own = own.model_copy(update={"sigmas": (0.089, 0.026, 0.062, 0.107, 0.035)})
    columns = [COCO17.index(name) for name in own.keypoints]
    rows = []
    for person in content["annotations"]:
        points = np.reshape(person["keypoints"], (17, 3))[columns].astype(float)
        if points[:, 2].any() and not person["iscrowd"]:
            image = person["image_id"]
            rows.append({"image_id": image, "keypoints": points.ravel(), "score": 1.0})
    assert oks_ap(content, rows, own)["AP"] == pytest.approx(1)
    for row in rows:
        row["keypoints"] = np.reshape(row["keypoints"], (5, 3))[::-1].ravel()
    assert oks_ap(content, rows, own)["AP"] < 0.1


def test_ap_by_category_is_the_mean_of_the_categories():
    """As MMPose has it for AP-10K: a lone bear weighs as much as all antelopes."""
    content = annotations()
    for i, row in enumerate(content["annotations"]):
        row["category_id"] = 7 if i else 3
    rows = [
        {**row, "category_id": person["category_id"]}
        for row, person in zip(perfect(content), content["annotations"], strict=True)
    ]
    assert oks_ap(content, rows, COCO17, by_category=True)["AP"] == pytest.approx(1)
    without_one = rows[1:]  # the only one of category 3
    assert oks_ap(content, without_one, COCO17, by_category=True)["AP"] == pytest.approx(0.5)
    assert oks_ap(content, without_one, COCO17)["AP"] > 0.5
    for row in rows:
        row["category_id"] = 3
    assert oks_ap(content, rows, COCO17, by_category=True)["AP"] < 0.6
    assert oks_ap(content, rows, COCO17)["AP"] == pytest.approx(1)
