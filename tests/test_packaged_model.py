import json
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pytest

import hrnet
from hrnet.data.coco import read_coco
from hrnet.evaluation.pck import pck
from hrnet.images import read_image
from hrnet.training.recipe import RECIPES
from hrnet.zoo import DEFAULT_MODEL, find_model
from hrnet.zoo.card import read_card
from real_data import real_data

WEIGHTS = files("hrnet.zoo") / "packaged" / f"{DEFAULT_MODEL}.safetensors"

# A picture made as the package's sample was, see src/hrnet/samples/README.md.
JUMPING = Path(__file__).with_name("pictures") / "jumping.jpg"


@pytest.fixture(scope="module")
def estimator():
    return hrnet.PoseEstimator(detector="whole")


def test_the_file_s_card_is_the_package_s():
    ours = find_model(DEFAULT_MODEL).card
    with as_file(WEIGHTS) as file:
        theirs = read_card(file)
        assert file.stat().st_size <= 12_000_000
    assert theirs.model_copy(update={"weights": ours.weights, "figures": ours.figures}) == ours


def test_the_sample_s_joints_are_where_a_person_sees_them(estimator):
    """Pixels read off the photograph; shoulder to hip is 140 of them."""
    sample = JUMPING
    poses = estimator(sample.read_bytes())
    seen = {
        "nose": (236, 116),
        "left_eye": (245, 111),
        "right_eye": (229, 111),
        "left_ear": (253, 115),
        "right_ear": (221, 116),
        "left_shoulder": (272, 143),
        "right_shoulder": (195, 143),
        "left_elbow": (325, 147),
        "right_elbow": (130, 139),
        "left_wrist": (370, 111),
        "right_wrist": (81, 117),
        "left_hip": (262, 280),
        "right_hip": (202, 280),
        "left_knee": (278, 375),
        "right_knee": (190, 372),
        "left_ankle": (291, 472),  # in the high shoe, not at the trousers' end
        "right_ankle": (165, 471),
    }
    assert seen.keys() == set(poses.skeleton.keypoints)
    for name, point in seen.items():
        found = poses.keypoints[0, poses.skeleton.index(name)]
        assert np.linalg.norm(found - point) < 20, f"{name} at {found}, not {point}"


def test_people_set_aside_from_training_are_found(estimator):
    held_out = json.loads((RECIPES / "lsp_coco.held_out.json").read_text())
    people = read_coco(real_data("lsp/train_coco17.json"))
    names = held_out["lsp/images"][::5]
    people = people.select(np.array([file.name in names for file in people.files]))
    assert len(people) == 50
    sources = [read_image(file, orient=False) for file in people.files]
    poses = estimator(sources, boxes=[box[None] for box in people.boxes])
    predicted = np.concatenate([p.keypoints for p in poses])
    assert pck(predicted, people.keypoints, estimator.card.skeleton).mean > 78


def test_mirrored_pictures_give_mirrored_poses(estimator):
    """Left and right stay the person's own: a mirror-image bug swaps them."""
    image = read_image(JUMPING)
    poses, mirrored = estimator([image, image[:, ::-1]])
    back = mirrored.keypoints[0, poses.skeleton.flip_order] * [-1, 1] + [image.shape[1] - 1, 0]
    assert np.abs(poses.keypoints[0] - back).max() < 20
    left, right = (poses.skeleton.index(n) for n in ("left_shoulder", "right_shoulder"))
    assert poses.keypoints[0, left, 0] > poses.keypoints[0, right, 0] + 50
