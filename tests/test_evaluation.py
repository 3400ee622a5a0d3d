import json

import numpy as np
import pytest

from hrnet.evaluation.oks import oks_ap
from hrnet.evaluation.pck import pck
from hrnet.skeletons import load_skeleton

SKELETON = load_skeleton("coco17")


def person():
    keypoints = np.zeros((17, 3))
    keypoints[:, 0] = np.arange(17) * 10
    keypoints[:, 1] = 100
    keypoints[:, 2] = 2
    return keypoints  # torso: left shoulder (50) to right hip (120), 70 pixels


def test_pck_counts_labelled_body_joints_within_a_fifth_of_the_torso():
    true = person()[None]
    predicted = true[..., :2].copy()
    predicted[0, :5] += 1000  # face points do not count
    predicted[0, 5] += [13.9, 0]
    predicted[0, 6] += [14.1, 0]
    predicted[0, 7] += [9.9, 9.9]  # 14.0007 pixels
    true[0, 8, 2] = 0
    predicted[0, 8] += 1000
    true[0, 9, 2] = 1  # occluded, but labelled
    predicted[0, 9] += 1000
    result = pck(predicted, true, SKELETON)
    assert (result.people, result.joints) == (1, 11)
    assert result.mean == pytest.approx(100 * 8 / 11)
    assert result.per_joint["left_shoulder"] == 100
    assert result.per_joint["right_shoulder"] == 0
    assert np.isnan(result.per_joint["right_elbow"])
    assert "nose" not in result.per_joint


def test_pck_leaves_out_people_without_a_torso():
    true = np.stack([person(), person()])
    true[1, 12, 2] = 0
    result = pck(true, true, SKELETON)
    assert (result.people, result.joints, result.mean) == (1, 12, 100)


@pytest.fixture
def truth(tmp_path):
    rows = []
    for i in range(4):
        keypoints = person()
        keypoints[:, :2] += 7 * i
        rows.append(
            {
                "id": i + 1,
                "image_id": i // 2,
                "category_id": 1,
                "iscrowd": 0,
                "area": 10_000.0,
                "bbox": [0, 90, 160, 20],
                "num_keypoints": 17,
                "keypoints": keypoints.ravel().tolist(),
            }
        )
    content = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 300, "height": 300} for i in (0, 1)],
        "annotations": rows,
        "categories": [{"id": 1, "name": "person", "keypoints": SKELETON.keypoints}],
    }
    file = tmp_path / "truth.json"
    file.write_text(json.dumps(content))
    return file, rows


def results(rows, shift=0.0):
    found = []
    for row in rows:
        keypoints = np.reshape(row["keypoints"], (17, 3)).copy()
        keypoints[:, 0] += shift
        found.append(
            {
                "image_id": row["image_id"],
                "category_id": 1,
                "keypoints": keypoints.ravel().tolist(),
                "score": 0.9,
            }
        )
    return found


def test_perfect_results_have_ap_1(truth, capsys):
    file, rows = truth
    figures = oks_ap(file, results(rows), SKELETON)
    assert figures["AP"] == figures["AR"] == pytest.approx(1)
    assert figures["AP(M)"] == -1  # an area of 10,000 is large
    assert capsys.readouterr().out == ""


def test_ap_follows_oks(truth):
    """OKS = mean exp(-d^2 / (2 area (2 sigma)^2)) over joints (Ronchi & Perona, ICCV 2017)."""
    file, rows = truth
    shift = 8.0
    oks = np.mean(np.exp(-(shift**2) / (2 * 10_000 * (2 * np.array(SKELETON.sigmas)) ** 2)))
    assert 0.5 < oks < 0.95
    expected = np.mean(oks >= np.linspace(0.5, 0.95, 10))
    assert oks_ap(file, results(rows[:1] + rows[2:3], shift), SKELETON)["AP50"] == pytest.approx(
        0.505, abs=0.01
    )
    single = json.loads(file.read_text())
    single["annotations"] = rows[:1]
    file.write_text(json.dumps(single))
    figures = oks_ap(file, results(rows[:1], shift), SKELETON)
    assert figures["AP"] == pytest.approx(expected, abs=1e-6)


def test_nothing_found_has_ap_0(truth):
    assert oks_ap(truth[0], [], SKELETON)["AP"] == 0
