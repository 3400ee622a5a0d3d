import json
from importlib.resources import as_file, files

import numpy as np
import pytest

import hrnet
from hrnet.data.coco import read_coco
from hrnet.evaluation.pck import pck
from hrnet.images import read_image
from hrnet.training.recipe import RECIPES
from hrnet.zoo import DEFAULT_MODEL, model_card
from hrnet.zoo.card import read_card
from real_data import real_data

WEIGHTS = files("hrnet.zoo") / "packaged" / f"{DEFAULT_MODEL}.safetensors"


@pytest.fixture(scope="module")
def estimator():
    return hrnet.PoseEstimator()


def test_the_file_s_card_is_the_package_s():
    ours = model_card(DEFAULT_MODEL)
    with as_file(WEIGHTS) as file:
        theirs = read_card(file)
        assert file.stat().st_size <= 12_000_000
    assert theirs.model_copy(update={"weights": ours.weights, "figures": ours.figures}) == ours


def test_the_sample_s_face_is_where_a_person_sees_it(estimator):
    """Pixels read off the photograph; the face is 100 pixels wide."""
    sample = files("hrnet") / "samples" / "astronaut.jpg"
    poses = estimator(sample.read_bytes())
    seen = {
        "nose": (224, 120),
        "left_eye": (246, 103),
        "right_eye": (203, 101),
    }
    for name, point in seen.items():
        found = poses.keypoints[0, poses.skeleton.index(name)]
        assert np.linalg.norm(found - point) < 25, f"{name} at {found}, not {point}"


def test_people_set_aside_from_training_are_found(estimator):
    held_out = json.loads((RECIPES / "lsp_coco.held_out.json").read_text())
    people = read_coco(real_data("lsp/train_coco17.json"))
    names = held_out["lsp/images"][::5]
    people = people.select(np.array([file.name in names for file in people.files]))
    assert len(people) == 50
    sources = [read_image(file, orient=False) for file in people.files]
    poses = estimator(sources, boxes=[box[None] for box in people.boxes])
    predicted = np.concatenate([p.keypoints for p in poses])
    assert pck(predicted, people.keypoints, estimator.card.skeleton).mean > 72


def test_mirrored_pictures_give_mirrored_poses(estimator):
    """Left and right stay the person's own: a mirror-image bug swaps them."""
    image = read_image((files("hrnet") / "samples" / "astronaut.jpg").read_bytes())
    poses, mirrored = estimator([image, image[:, ::-1]])
    back = mirrored.keypoints[0, poses.skeleton.flip_order] * [-1, 1] + [image.shape[1] - 1, 0]
    face = slice(0, 5)
    assert np.abs(poses.keypoints[0, face] - back[face]).max() < 20
    left_eye, right_eye = (poses.skeleton.index(n) for n in ("left_eye", "right_eye"))
    assert poses.keypoints[0, left_eye, 0] > poses.keypoints[0, right_eye, 0]
