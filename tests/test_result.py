import json
import pickle
import sys
from dataclasses import replace

import numpy as np
import pytest

from hrnet.drawing import draw_poses
from hrnet.errors import DataError, HRNetError
from hrnet.result import Poses, probability_columns, row_columns
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


def various():
    rng = np.random.default_rng(0)
    return poses(
        people=3,
        keypoints=rng.uniform(-50, 2000, (3, 17, 2)).astype(np.float32),
        scores=rng.uniform(0, 1.2, (3, 17)).astype(np.float32),
        boxes=np.float32([[1.25, 2, 30, 40], [-9, 0, 99, 98.7654], [5, 5, 6, 6]]),
        box_scores=np.float32([1, 0.123456, 0]),
        track_ids=np.array([4, 2, 9]),
    )


def test_json_comes_back_to_a_thousandth_of_a_pixel():
    before = various()
    after = Poses.from_dict(json.loads(json.dumps(before.to_dict())))
    for name in ("keypoints", "scores", "boxes", "box_scores"):
        value = getattr(after, name)
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, getattr(before, name), atol=6e-4)
    assert after.track_ids.tolist() == [4, 2, 9]
    assert after.skeleton == SKELETON
    assert after.box_source == "given"
    assert after.to_dict() == Poses.from_dict(after.to_dict()).to_dict()
    nobody = Poses.from_dict(poses(people=0).to_dict())
    assert nobody.keypoints.shape == (0, 17, 2)
    assert nobody.track_ids is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema 2, not 1"),
        ({"people": [{}]}, "KeyError: 'keypoints'"),
        ({"people": None}, "TypeError"),
        ({"skeleton": {"schema": 1, "name": "x"}}, "skeleton: keypoints"),
        (
            {"people": [{"keypoints": [[1, 2]] * 17}]},
            r"an entry has shape \(17, 2\), not \(17, 3\)",
        ),
        ({"people": [{"keypoints": [[1, 2, float("nan")]] * 17}]}, "not finite"),
    ],
)
def test_other_tables_are_no_poses(change, message):
    with pytest.raises(DataError, match=message):
        Poses.from_dict({**poses().to_dict(), **change})
    with pytest.raises(DataError):
        Poses.from_dict([])


def test_coco_results_come_back_with_their_scores():
    before = various()
    rows = before.to_coco(image_id=3)
    after = Poses.from_coco(rows, SKELETON)
    np.testing.assert_allclose(after.keypoints, before.keypoints, atol=6e-4)
    np.testing.assert_allclose(after.scores, before.scores, atol=6e-4)
    np.testing.assert_allclose(after.pose_scores, before.pose_scores, atol=1e-3)
    np.testing.assert_allclose(after.box_scores, before.box_scores, atol=1e-3)
    assert after.box_source == "keypoints"
    x, y = after.keypoints[1].T
    assert after.boxes[1].tolist() == [x.min(), y.min(), x.max(), y.max()]
    boxed = Poses.from_coco([{**row, "bbox": [1, 2, 3, 4]} for row in rows], SKELETON)
    assert boxed.boxes[0].tolist() == [1, 2, 4, 6]
    assert len(Poses.from_coco([], SKELETON)) == 0


def test_other_rows_are_no_coco_results():
    rows = poses().to_coco(1)
    with pytest.raises(DataError, match=r"an entry has shape \(3,\), not \(51,\)"):
        Poses.from_coco([{**rows[0], "keypoints": [1, 2, 3]}], SKELETON)
    with pytest.raises(DataError, match="KeyError: 'score'"):
        Poses.from_coco([{"keypoints": rows[0]["keypoints"]}], SKELETON)
    with pytest.raises(DataError, match="several pictures; choose one image_id"):
        Poses.from_coco(rows + poses().to_coco(2), SKELETON)


def test_rows_are_one_a_person_with_every_number_by_name():
    first, second, _ = various().to_rows()
    assert list(first) == [*row_columns(SKELETON), "track_id"]
    assert len(first) == 7 + 3 * 17 + 1
    assert (second["person"], second["x1"], second["y2"]) == (1, -9, 98.765)
    assert second["box_score"] == 0.123
    x, y = various().keypoints[1, 16]
    assert (second["right_ankle_x"], second["right_ankle_y"]) == pytest.approx((x, y), abs=6e-4)


def test_a_dataframe_is_the_rows():
    pandas = pytest.importorskip("pandas")
    table = various().to_dataframe()
    assert table.to_dict("records") == various().to_rows()
    assert table["track_id"].tolist() == [4, 2, 9]
    nobody = poses(people=0).to_dataframe()
    assert nobody.shape == (0, 7 + 3 * 17)
    assert pandas.concat([nobody, table])["nose_x"].notna().all()


def test_supervision_gets_points_scores_and_boxes():
    supervision = pytest.importorskip("supervision")
    found = various().to_supervision()
    assert isinstance(found, supervision.KeyPoints)
    np.testing.assert_array_equal(found.xy, various().keypoints)
    np.testing.assert_array_equal(found[1].data["xyxy"], various().boxes[1:2])
    edges = [(a + 1, b + 1) for a, b in SKELETON.limb_indices]
    image = np.zeros((99, 99, 3), np.uint8)
    supervision.EdgeAnnotator(edges=edges).annotate(image, found)
    assert len(poses(people=0).to_supervision()) == 0


@pytest.mark.parametrize("name", ["pandas", "supervision"])
def test_a_library_that_is_not_there_is_named(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    method = {"pandas": "to_dataframe", "supervision": "to_supervision"}[name]
    with pytest.raises(HRNetError, match=f"{method} needs {name}: pip install {name}"):
        getattr(poses(), method)()


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


def tracked(*ids):
    scores = np.linspace(0.3, 0.9, 17 * len(ids), dtype=np.float32).reshape(-1, 17)
    return poses(len(ids), scores=scores, track_ids=np.array(ids))


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (1, [5]),
        (-1, [9]),
        (slice(1, None), [5, 9]),
        ([2, 0], [9, 7]),
        (np.array([True, False, True]), [7, 9]),
        (np.zeros(3, bool), []),
        ([], []),
    ],
)
def test_some_of_the_people_are_poses_too(index, expected):
    everybody = tracked(7, 5, 9)
    some = everybody[index]
    assert isinstance(some, Poses)
    assert some.track_ids.tolist() == expected
    for name in ("keypoints", "scores", "boxes", "box_scores"):
        assert len(getattr(some, name)) == len(expected)
    for i, number in enumerate(expected):
        was = [7, 5, 9].index(number)
        np.testing.assert_array_equal(some.keypoints[i], everybody.keypoints[was])
        np.testing.assert_array_equal(some.scores[i], everybody.scores[was])


def test_people_are_chosen_by_their_scores():
    everybody = tracked(7, 5, 9)
    assert everybody[everybody.pose_scores > 0.5].track_ids.tolist() == [5, 9]
    assert [len(person) for person in everybody] == [1, 1, 1]
    assert [person.track_ids[0] for person in everybody] == [7, 5, 9]
    assert poses()[0].track_ids is None
    for wrong in (3, [0, 3], np.array([True, False])):
        with pytest.raises(IndexError):
            everybody[wrong]


def test_people_are_joined_in_their_order():
    joined = Poses.concatenate([tracked(7, 5), tracked(9)])
    assert joined.track_ids.tolist() == [7, 5, 9]
    np.testing.assert_array_equal(joined.scores[2], tracked(9).scores[0])
    assert len(Poses.concatenate([Poses.empty(SKELETON), poses(), Poses.empty(SKELETON)])) == 2
    assert Poses.empty(SKELETON).keypoints.shape == (0, 17, 2)
    assert Poses.empty(SKELETON).to_dict()["people"] == []
    for wrong, message in (
        ([], "of one skeleton"),
        ([poses(), Poses.empty(load_skeleton("hand21"))], "of one skeleton"),
        ([poses(), poses(box_source="whole")], "of one box_source"),
        ([poses(), tracked(7)], "must all have track ids"),
        ([tracked(7), tracked(7)], "the same track id"),
    ):
        with pytest.raises(ValueError, match=message):
            Poses.concatenate(wrong)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.array([1, 2, 3]), r"int64 of shape \(3,\).* for each of the 2 people"),
        (np.array(1), r"of shape \(\)"),
        (np.array([1.0, 2.0]), "are float64"),
        (np.array([4, 4]), "the same track id"),
    ],
)
def test_track_ids_are_one_for_each_and_each_once(ids, message):
    with pytest.raises(ValueError, match=message):
        poses(track_ids=ids)
    content = tracked(4, 5).to_dict()
    del content["people"][1]["track_id"]
    with pytest.raises(DataError, match="some people have a track_id"):
        Poses.from_dict(content)


def test_poses_pickle():
    again = pickle.loads(pickle.dumps(tracked(7, 5)))
    assert again.to_dict() == tracked(7, 5).to_dict()


def probable(people=2):
    shares = np.linspace(0.05, 0.9, people * 17, dtype=np.float32).reshape(people, 17)
    return poses(people, probability=shares)


def test_probabilities_go_where_the_poses_go():
    found = probable()
    back = Poses.from_dict(json.loads(json.dumps(found.to_dict())))
    np.testing.assert_allclose(back.probability, found.probability, atol=5e-4)
    assert np.array_equal(found[1].probability, found.probability[1:])
    joined = Poses.concatenate([found[1], Poses.empty(SKELETON), found[0]])
    assert np.array_equal(joined.probability, found.probability[::-1])
    row = found.to_rows()[1]
    assert row[f"{SKELETON.keypoints[16]}_probability"] == 0.9
    assert list(row)[-17:] == probability_columns(SKELETON)
    assert poses().probability is None
    with pytest.raises(ValueError, match=r"probability has shape \(2, 16\), not \(2, 17\)"):
        poses(probability=np.zeros((2, 16), np.float32))
    with pytest.raises(ValueError, match="must all have probability, or none"):
        Poses.concatenate([found, poses()])
    content = found.to_dict()
    del content["people"][0]["probability"]
    with pytest.raises(DataError, match="some people have a probability"):
        Poses.from_dict(content)


def test_people_are_ranked_by_their_mean_probability_times_the_box_s_score():
    found = replace(probable(), box_scores=np.array([1, 0.5], np.float32))
    expected = found.probability.mean(axis=1) * [1, 0.5]
    np.testing.assert_allclose(found.pose_scores, expected, rtol=1e-6)


def test_what_is_improbable_is_not_drawn_however_high_its_peak():
    sure = np.where(np.arange(17) == 0, 0.9, 0.1).astype(np.float32)[None]
    keypoints = np.full((1, 17, 2), 60, np.float32)
    keypoints[0, 0] = 20
    found = poses(1, keypoints=keypoints, scores=np.ones((1, 17), np.float32), probability=sure)
    drawn = found.draw(np.zeros((80, 80, 3), np.uint8))
    assert drawn[20, 20].any()
    assert not drawn[50:, 50:].any()
