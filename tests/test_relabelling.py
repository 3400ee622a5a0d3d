"""Labels mended by the model that training starts from."""

import json
import shutil

import numpy as np
import pytest

from hrnet.data.reading import read_people
from hrnet.errors import ConfigError, DataError
from hrnet.skeletons import load_skeleton
from hrnet.training import relabelling
from hrnet.training.recipe import load_recipe
from hrnet.training.relabelling import corrected, relabel
from hrnet.training.run import train
from hrnet.training.sources import read_recipe_people
from real_data import real_data

COCO = load_skeleton("coco17")
FLIP = COCO.flip_order
SIZE = np.array([100.0])


@pytest.fixture
def seen():
    """Somebody of 17 joints far apart, as a model sees them: (1, 17, 3), score 1."""
    points = np.random.default_rng(0).uniform(0, 1000, (1, 17, 2))
    return np.concatenate([points, np.ones((1, 17, 1))], axis=2)


@pytest.fixture
def labels(seen):
    return seen * [1, 1, 2] + [3, 4, 0]  # each 5 pixels off


def test_labels_that_agree_stay(seen, labels):
    found, counts = corrected(labels, seen, SIZE, FLIP, "complete")
    assert np.array_equal(found, labels)
    assert counts == (0, 0, 0)


def test_left_and_right_change_places_where_the_model_sees_them_so(seen, labels):
    found, counts = corrected(labels[:, FLIP], seen, SIZE, FLIP)
    assert np.array_equal(found, labels)
    assert counts == (1, 0, 0)


def test_one_limb_on_the_other_side_is_not_worth_a_swap(seen, labels):
    wrong = labels.copy()
    wrong[:, [9, 10]] = wrong[:, [10, 9]]  # wrists
    found, counts = corrected(wrong, seen, SIZE, FLIP)
    assert counts == (0, 2, 0)
    assert np.flatnonzero(found[0, :, 2] == 0).tolist() == [9, 10]
    assert np.array_equal(np.delete(found, [9, 10], 1), np.delete(labels, [9, 10], 1))


@pytest.mark.parametrize(
    ("off", "score", "stays"), [(14.9, 1, True), (15.1, 1, False), (15.1, 0.49, True)]
)
def test_a_label_goes_where_the_model_is_sure_of_another_place(seen, labels, off, score, stays):
    labels[0, 7, :2] = seen[0, 7, :2] + [0, off]  # 0.15 of the size is the limit
    seen[0, 7, 2] = score
    found, counts = corrected(labels, seen, SIZE, FLIP)
    assert (found[0, 7, 2] == 2) == stays
    assert counts == (0, int(not stays), 0)


def test_only_completing_puts_joints_in(seen, labels):
    labels[0, [0, 5]] = 0
    seen[0, 5, 2] = 0.69
    assert corrected(labels, seen, SIZE, FLIP)[1] == (0, 0, 0)
    found, counts = corrected(labels, seen, SIZE, FLIP, "complete")
    assert counts == (0, 0, 1)
    assert found[0, 0].tolist() == [*seen[0, 0, :2], 2]
    assert found[0, 5, 2] == 0


@pytest.fixture(scope="module")
def lsp(tmp_path_factory):
    """Five of LSP's people, and one of them with left and right swapped."""
    source = real_data("lsp/test_coco17.json")
    content = json.loads(source.read_text())
    content["annotations"] = content["annotations"][:5]
    shown = {a["image_id"] for a in content["annotations"]}
    content["images"] = [i for i in content["images"] if i["id"] in shown]
    swapped = content["annotations"][2]
    points = np.reshape(swapped["keypoints"], (17, 3))
    swapped["keypoints"] = points[FLIP].ravel().tolist()
    folder = tmp_path_factory.mktemp("lsp")
    (folder / "images").mkdir()
    for image in content["images"]:
        shutil.copy(source.parent / "images" / image["file_name"], folder / "images")
    (folder / "people.json").write_text(json.dumps(content))
    return folder


def test_the_packaged_model_sees_who_is_swapped(lsp, tmp_path):
    from hrnet import PoseEstimator

    people = read_people(lsp / "people.json", COCO)
    estimator = PoseEstimator(flip_test=True, device="cpu")
    mended, counts = relabel(people, estimator, "correct", tmp_path)
    assert counts["with left and right swapped"] == 1
    limbs = range(5, 17)
    right = people.keypoints[2][FLIP]
    still = mended.keypoints[2][:, 2] > 0
    assert np.array_equal(mended.keypoints[2][still], right[still])
    assert still[limbs].sum() >= 10


def small(lsp, *changes):
    return load_recipe(
        "finetune",
        [
            f"data.root={lsp}",
            'data.sources=[{file="people.json", relabel="correct"}]',
            "model.skeleton=coco17",
            "model.input_size=[64, 64]",
            "training.steps=1",
            "training.batch_size=4",
            "training.threads=1",
            "data.workers=0",
            *changes,
        ],
    )


def test_training_says_how_many_labels_were_mended_and_resumes_with_the_same(
    lsp, tmp_path, monkeypatch, capsys
):
    train(small(lsp), tmp_path, device="cpu")
    record = json.loads((tmp_path / "run.json").read_text())
    changes = record["people_by_file"]["people.json"]["relabelled"]
    assert changes["with left and right swapped"] == 1
    assert "relabelled: 1 with left and right swapped, " in capsys.readouterr().err.replace(
        "\n", " "
    )
    monkeypatch.setattr(relabelling, "predict_people", None)  # not made a second time
    people = read_recipe_people(small(lsp), tmp_path, "cpu")
    assert people.counts["people.json"]["relabelled"] == changes


def test_there_is_to_be_a_model_that_mends(lsp, tmp_path):
    recipe = small(lsp)
    training = recipe.training.model_copy(update={"start_from": None})
    recipe = recipe.model_copy(update={"training": training})
    with pytest.raises(ConfigError, match=r"people.json is to be relabelled .*start_from"):
        train(recipe, tmp_path, device="cpu")


def test_a_source_may_be_some_of_a_file_s_pictures(lsp, tmp_path):
    names = sorted(f.name for f in (lsp / "images").iterdir())
    sources = f'data.sources=[{{file="people.json", pictures="*{names[1][-8:]}"}}]'
    train(small(lsp, sources), tmp_path, device="cpu")
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["people"]["trained_on"] == 1
    with pytest.raises(DataError, match=r"people.json has nobody in a picture named none\*"):
        train(small(lsp, sources.replace("*" + names[1][-8:], "none*")), tmp_path / "no")
