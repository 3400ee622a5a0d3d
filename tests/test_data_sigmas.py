"""OKS sigmas from labels of the same people by several."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from hrnet.cli import app
from hrnet.data.sigmas import measure_sigmas
from hrnet.errors import ConfigError, DataError
from planted import COCO, data_set, write

PLANTED = np.linspace(0.01, 0.04, 17)


def relabelled(content, seed, sigmas=PLANTED):
    """The same people by somebody whose labels scatter about the true places, in both directions
    together by sigma times the root of the area."""
    content = json.loads(json.dumps(content))
    rng = np.random.default_rng(seed)
    for person in content["annotations"]:
        points = np.reshape(person["keypoints"], (17, 3))
        scatter = sigmas * np.sqrt(person["area"] / 2)
        points[:, :2] += rng.normal(size=(17, 2)) * scatter[:, None]
        person["keypoints"] = points.ravel().tolist()
    return content


@pytest.fixture(scope="module")
def true(tmp_path_factory):
    folder = tmp_path_factory.mktemp("true")
    return folder, data_set(folder, people=50)


@pytest.mark.parametrize("labellers", [2, 3])
def test_the_planted_spread_is_found(true, labellers):
    folder, content = true
    files = [write(folder, relabelled(content, seed), f"{seed}.json") for seed in range(labellers)]
    spread = measure_sigmas(files)
    assert (spread.people, spread.alone) == (50, 0)
    np.testing.assert_allclose(spread.sigmas, PLANTED, rtol=0.3)
    assert (spread.sigmas / PLANTED).mean() == pytest.approx(1, abs=0.05)
    assert (spread.joints == 50).all()


def test_people_are_known_by_their_place(true):
    """In one picture, listed in another order; and one whom only one labelled."""
    folder, content = true
    both = {**content, "images": content["images"][:1]}
    one, two, three = json.loads(json.dumps(content["annotations"][:3]))
    for shift, person in ((0, one), (300, two), (900, three)):
        points = np.reshape(person["keypoints"], (17, 3))
        points[:, 0] += shift
        person.update(image_id=1, keypoints=points.ravel().tolist(), bbox=[10 + shift, 5, 100, 165])
    both["images"] = [{**both["images"][0], "width": 2000}]
    first = write(folder, {**both, "annotations": [one, two, three]}, "first.json")
    moved = json.loads(json.dumps([two, one]))
    moved[0]["keypoints"][0] += 2  # the nose of the second
    second = write(folder, {**both, "annotations": moved}, "second.json")
    spread = measure_sigmas([first, second])
    assert (spread.people, spread.alone) == (2, 1)
    # One of two noses 2 pixels off: each a pixel from their mean, 2 in all, over 8000.
    assert spread.sigmas[0] == pytest.approx(np.sqrt(2 / 8000 / 2))
    assert (spread.sigmas[1:] == 0).all()


def test_the_command_prints_a_line_for_the_toml_file(true):
    folder, content = true
    files = [str(write(folder, relabelled(content, seed), f"{seed}.json")) for seed in range(2)]
    result = CliRunner().invoke(app, ["data", "sigmas", *files])
    assert result.exit_code == 0, result.output
    last = result.output.splitlines()[-1]
    assert last.startswith("sigmas = [0.0")
    values = json.loads(last.removeprefix("sigmas = "))
    assert len(values) == len(COCO)


def test_what_is_not_the_same_is_refused(true, tmp_path):
    folder, content = true
    file = write(folder, content, "alone.json")
    with pytest.raises(ConfigError, match="two files or more"):
        measure_sigmas([file])
    other = data_set(tmp_path, people=2)
    for image in other["images"]:
        image["file_name"] = f"other_{image['file_name']}"
    with pytest.raises(DataError, match="have no person in common"):
        measure_sigmas([file, write(tmp_path, other)])
