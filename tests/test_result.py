import json

import numpy as np
import pytest

from hrnet.drawing import draw_poses
from hrnet.result import Poses
from hrnet.skeletons import load_skeleton

SKELETON = load_skeleton("coco17")


def poses(people=2, **changes):
    keypoints = np.zeros((people, 17, 2), np.float32)
    keypoints[..., 0] = np.linspace(20, 180, 17)
    keypoints[..., 1] = 50 + 40 * np.arange(people)[:, None]
    scores = np.full((people, 17), 0.9, np.float32)
    values = {
        "keypoints": keypoints,
        "scores": scores,
        "boxes": np.tile(np.float32([10, 20, 190, 120]), (people, 1)),
        "box_scores": np.ones(people, np.float32),
        "skeleton": SKELETON,
        "box_source": "given",
    }
    return Poses(**{**values, **changes})


def test_a_pose_scores_the_mean_of_its_joints_over_0_2_times_its_box():
    scores = np.full((2, 17), 0.1, np.float32)
    scores[0, :4] = [0.2, 0.4, 0.6, 1.1]
    found = poses(scores=scores, box_scores=np.float32([0.5, 1]))
    np.testing.assert_allclose(found.pose_scores, [0.5 * (0.4 + 0.6 + 1.1) / 3, 0])


def test_shapes_must_fit():
    with pytest.raises(ValueError, match=r"scores has shape \(2, 16\), not \(2, 17\)"):
        poses(scores=np.zeros((2, 16), np.float32))


def test_json_holds_everything():
    content = json.loads(json.dumps(poses().to_dict(), allow_nan=False))
    assert content["schema"] == 1
    assert content["box_source"] == "given"
    assert content["skeleton"]["keypoints"][0] == "nose"
    first = content["people"][0]
    assert first["keypoints"][1] == [30, 50, 0.9]
    assert first["box"] == [10, 20, 190, 120]
    assert first["score"] == pytest.approx(0.9)
    tracked = poses(track_ids=np.array([7, 9])).to_dict()
    assert [p["track_id"] for p in tracked["people"]] == [7, 9]


def test_coco_results():
    rows = poses().to_coco(image_id=785)
    assert len(rows) == 2
    assert rows[1]["image_id"] == 785
    assert rows[1]["keypoints"][:6] == pytest.approx([20, 90, 0.9, 30, 90, 0.9])
    assert len(rows[1]["keypoints"]) == 51
    assert rows[0]["score"] == pytest.approx(0.9)


def test_nobody():
    nobody = poses(people=0)
    assert len(nobody) == 0
    assert nobody.pose_scores.shape == (0,)
    assert nobody.to_dict()["people"] == nobody.to_coco(1) == []
    image = np.zeros((100, 200, 3), np.uint8)
    np.testing.assert_array_equal(nobody.draw(image), image)


def test_joints_are_drawn_in_their_side_s_colour_where_they_are():
    image = np.zeros((100, 200, 3), np.uint8)
    keypoints = np.zeros((1, 17, 2), np.float32)
    keypoints[0, 9], keypoints[0, 10] = (30, 40), (150.0, 60)  # wrists, left and right
    scores = np.zeros((1, 17), np.float32)
    scores[0, 9:11] = 0.5
    drawn = draw_poses(image, keypoints, scores, SKELETON)
    assert tuple(drawn[40, 30]) == SKELETON.colours.left
    assert tuple(drawn[60, 150]) == SKELETON.colours.right
    assert image.max() == 0  # the picture itself stays
    rows, columns = np.nonzero(drawn.max(axis=2))
    assert len(rows) < 200  # two dots, no limb between joints that do not belong together
    assert columns.min() > 24
    assert columns.max() < 156


def test_joints_and_limbs_below_the_least_score_are_not_drawn():
    image = np.zeros((100, 200, 3), np.uint8)
    assert poses(scores=np.full((2, 17), 0.19, np.float32)).draw(image).max() == 0
    assert poses(scores=np.full((2, 17), 0.21, np.float32)).draw(image).max() > 0


def test_points_far_outside_do_not_break_drawing():
    image = np.zeros((100, 200, 3), np.uint8)
    far = np.full((1, 17, 2), 1e9, np.float32)
    draw_poses(image, far, np.ones((1, 17), np.float32), SKELETON)
