import json
import re

import numpy as np
import pytest

from hrnet.errors import ConfigError
from hrnet.skeletons import Skeleton, list_skeletons, load_skeleton, skeleton_of_names
from hrnet.skeletons.sides import pairs_by_name, unclear_pairs
from hrnet.tables import validate
from hrnet.training.recipe import list_recipes, load_recipe
from hrnet.zoo import find_model, list_models
from hrnet.zoo.card import ModelCard


def refused(message):
    return pytest.raises(ConfigError, match=re.escape(message))


@pytest.mark.parametrize("name", list_skeletons())
def test_skeletons_are_consistent(name):
    skeleton = load_skeleton(name)
    assert skeleton.name == name
    order = skeleton.flip_order
    np.testing.assert_array_equal(order[order], np.arange(len(skeleton)))
    for i, keypoint in enumerate(skeleton.keypoints):
        other = skeleton.keypoints[order[i]]
        swapped = {"left": "right", "right": "left"}.get(keypoint.split("_")[0])
        expected = keypoint if swapped is None else swapped + "_" + keypoint.split("_", 1)[1]
        assert other == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoints": []}, "keypoints"),
        ({"pairs": [["a", "b"], ["a", "c"]]}, "'a' is paired twice"),
        ({"pairs": [["a", "a"]]}, "'a' is paired twice"),
        ({"sigmas": [0.1, 0, 0.1]}, "sigmas.1"),
        ({"sigmas": [0.1]}, "1 sigmas for 3 keypoints"),
        ({"torso": ["a", "d"]}, "'d' is not among the keypoints"),
    ],
)
def test_skeletons_that_cannot_work_are_refused(changes, message):
    table = {"schema": 1, "name": "own", "keypoints": ["a", "b", "c"]}
    with refused(message):
        validate(Skeleton, table | changes, "own.toml")


def test_names_with_two_sides_are_paired_once():
    names = ["left_hand_l", "left_hand_r", "right_hand_l", "right_hand_r"]
    pairs = (("left_hand_l", "right_hand_l"), ("left_hand_r", "right_hand_r"))
    assert skeleton_of_names("hands", names).pairs == pairs


@pytest.mark.parametrize(
    ("pairs", "others"),
    [
        ("l_knee r_knee", "nose"),
        ("LeftKnee RightKnee LKnee RKnee", ""),
        ("eyeL eyeR", ""),
        ("Lknee Rknee", ""),
        ("lEye rEye", "tip"),
        ("l r", "tip"),
        ("FL_paw FR_paw HL_paw HR_paw", ""),
        ("fl fr rl rr", ""),
        ("左膝 右膝", "鼻"),
        ("genou_gauche genou_droit main_gauche main_droite", "nez"),
        ("genou_g genou_d", ""),
        ("Knie_links Knie_rechts linkes_Auge rechtes_Auge", "Nase"),
        ("Li_Knie Re_Knie", ""),
        ("rodilla_izquierda rodilla_derecha ojo_izq ojo_der", "nariz"),
        ("", "ball barr elbow lip rip"),
        ("", "p_a p_d p_g p_l p_r"),
        ("", "first second"),
        ("", "left_knee left_hip"),
        ("", "ankle leftover"),
    ],
)
def test_pairs_are_found_by_words_and_letters_for_the_sides(pairs, others):
    found = pairs_by_name([*pairs.split(), *others.split()])
    assert [name for pair in found for name in pair] == pairs.split()


@pytest.mark.parametrize(
    ("names", "unclear"),
    [
        ("first second", [("first", "second")]),
        ("ear_1 ear_2 nose", [("ear_1", "ear_2")]),
        ("wing_a wing_b left_eye right_eye", [("wing_a", "wing_b")]),
        ("ball barr", [("ball", "barr")]),
        ("left_eye right_eye nose neck", []),  # of one word, beside pairs
        ("upper_lip lower_lip nose tail", []),  # understood: not the sides
        (" ".join(f"face_{i}" for i in range(68)), []),  # points of a row
    ],
)
def test_two_names_that_differ_in_a_mark_and_are_no_pair_are_a_question(names, unclear):
    keypoints = names.split()
    assert unclear_pairs(keypoints, pairs_by_name(keypoints)) == unclear


def test_what_has_no_pairs_does_not_mirror_unless_its_points_lie_on_the_axis():
    assert not skeleton_of_names("dial", ["first", "second"]).mirrors
    assert skeleton_of_names("eyes", ["eyeL", "eyeR"]).mirrors
    table = {"schema": 1, "name": "rod", "keypoints": ["top", "bottom"], "on_axis": True}
    assert validate(Skeleton, table, "rod.toml").mirrors
    # As published: MMPose mirrors hands, of which nothing says whether they are left or right.
    assert all(load_skeleton(name).mirrors for name in list_skeletons())


def test_coco17_has_coco_s_order_and_sigmas():
    params = pytest.importorskip("pycocotools.cocoeval").Params("keypoints")
    skeleton = load_skeleton("coco17")
    np.testing.assert_allclose(skeleton.sigmas, params.kpt_oks_sigmas)
    assert skeleton.keypoints[5:7] == ("left_shoulder", "right_shoulder")
    # COCO's own 1-based limbs.
    limbs = [16, 14, 14, 12, 17, 15, 15, 13, 12, 13, 6, 12, 7, 13, 6, 7, 6, 8, 7, 9, 8, 10, 9, 11]
    limbs += [2, 3, 1, 2, 1, 3, 2, 4, 3, 5, 4, 6, 5, 7]
    assert (np.array(skeleton.limb_indices) + 1).ravel().tolist() == limbs


def test_a_skeleton_with_an_unknown_name_is_refused():
    table = {"schema": 1, "name": "x", "keypoints": ["a", "b"], "limbs": [["a", "c"]]}
    with refused("skeleton x: 'c' is not among the keypoints"):
        validate(Skeleton, table, "skeleton x")


def test_unknown_names_are_answered_with_the_nearest():
    with refused("did you mean coco17 or"):
        load_skeleton("coco_17")
    with refused("did you mean hrnet_w32_small_coco17 or"):
        find_model("hrnet_w32_small_coco")
    with refused("did you mean hrnet_w32_small_coco17 or"):
        load_recipe("hrnet_small_coco17")


@pytest.mark.parametrize("name", list_models())
def test_cards_are_valid_and_travel_as_json(name):
    card = find_model(name).card
    assert card.name == name
    assert ModelCard.model_validate(json.loads(card.to_json())) == card


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_size": [190, 256]}, "must be multiples of 4"),
        ({"codec": {"kind": "udp"}, "flip_shift": True}, "flip_shift must be false"),
        ({"codec": {"blur_kernel": 10}}, "it must be odd"),
        ({"codec": {"knd": "udp"}}, "no key 'codec.knd'; did you mean kind?"),
        ({"networks": {}}, "no key 'networks'; did you mean network?"),
        ({"schema": 2}, "schema: "),
    ],
)
def test_wrong_cards_are_refused(change, message):
    table = {"schema": 1, "name": "x", "skeleton": "coco17", **change}
    with refused(message):
        validate(ModelCard, table, "card x")


@pytest.mark.parametrize("name", list_recipes())
def test_recipes_are_valid_and_travel_as_json(name):
    recipe = load_recipe(name)
    assert type(recipe).model_validate_json(recipe.model_dump_json(by_alias=True)) == recipe


def test_recipe_keys_can_be_changed():
    recipe = load_recipe(
        "hrnet_w32_small_coco17",
        [
            "training.steps=7",
            "model.input_size=[96, 128]",
            "model.codec.kind=dark",
            "data.root=/x y",
        ],
    )
    assert recipe.training.steps == 7
    assert recipe.model.input_size == (96, 128)
    assert recipe.model.codec.kind == "dark"
    assert recipe.model.codec.sigma == 1.5  # the rest of the card's table stays
    assert recipe.data.root == "/x y"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.step=7", "no key 'training.step'; did you mean steps"),
        ("training.steps=many", "training.steps: input should be a valid integer"),
        ("training.steps=0", "training.steps: input should be greater than or equal to 1"),
        ("training.threads=-1", "training.threads: input should be greater than or equal to 1"),
        ("training.loss=l1", "training.loss: input should be 'mse' or 'cross_entropy'"),
        ("model.card=w32", "no model 'w32'"),
        ("steps", "'steps' is not of the form key=value"),
        ("schema.x=1", "schema is not a table"),
    ],
)
def test_wrong_recipe_keys_and_values_are_refused(override, message):
    with refused(message):
        load_recipe("hrnet_w32_small_coco17", [override])
