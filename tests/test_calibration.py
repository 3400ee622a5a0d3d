"""Probabilities of joints: what they are made from, fitted, and checked against."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import hrnet
from hrnet.calibration import Calibration, evidence, fit, reliability, tolerances
from hrnet.cli import app
from hrnet.codec import HeatmapCodec
from hrnet.data.people import People
from hrnet.errors import ConfigError, DataError
from hrnet.evaluation.calibrating import cross_validated, judge
from hrnet.evaluation.predictions import Predictions
from hrnet.skeletons import load_skeleton, skeleton_of_names
from hrnet.zoo import find_model
from hrnet.zoo.build import build_model, save_model
from hrnet.zoo.card import read_card
from real_data import real_data

pytestmark = pytest.mark.usefixtures("whole_pictures")

COCO = load_skeleton("coco17")
SAMPLE = Path(__file__).with_name("pictures") / "jumping.jpg"
WEIGHTS = {"similarity": 0.8, "peak": 0.3, "size": 0.5, "person": 1.0}


def gaussian(x, y, sigma, size=(40, 32)):
    rows, columns = torch.meshgrid(*(torch.arange(float(n)) for n in size), indexing="ij")
    return torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))


@pytest.mark.parametrize(("sigma", "spread"), [(1.5, 1.5), (1.5, 6.0), (3.0, 1.5)])
def test_the_similarity_expected_of_a_gaussian(sigma, spread):
    """The mean of exp(-d^2 / 2 s^2) under a Gaussian of deviation t is s^2 / (s^2 + t^2)."""
    heatmap = 0.3 * gaussian(15.0, 20.0, sigma)[None, None] - 1e-3  # of any height, and noise below
    found = HeatmapCodec().expected_similarity(
        heatmap.clamp(min=-1e-4), torch.tensor([[[15.0, 20.0]]]), torch.tensor([spread])
    )
    assert found.item() == pytest.approx(spread**2 / (spread**2 + sigma**2), rel=0.02)


def test_two_places_halve_the_similarity_and_nothing_at_all_has_none():
    two = gaussian(6.0, 6.0, 1.0) + gaussian(25.0, 30.0, 1.0)
    points, spread = torch.tensor([[[6.0, 6.0]] * 2]), torch.tensor([3.0, 3.0])
    found = HeatmapCodec().expected_similarity(
        torch.stack([two, -two])[None], points.view(1, 2, 2), spread
    )
    assert found[0].tolist() == pytest.approx([0.45, 0.0], abs=0.005)


def test_a_model_gives_the_similarity_beside_the_score(weights_file):
    """By the definition, from the heatmaps, cell by cell."""
    model = build_model(find_model(weights_file).card, weights_file).eval()
    crops = torch.randint(0, 255, (2, 160, 128, 3), dtype=torch.uint8)
    with torch.inference_mode():
        points, maps = model(crops), model.heatmaps(crops)
    at = points[..., :2] / torch.tensor(model.codec.cell_size((128, 160)))
    padding = find_model(weights_file).card.padding
    for k in (0, 11):
        x, y = at[1, k].tolist()
        spread = 2 * COCO.sigmas[k] * math.sqrt(0.53 * 40 * 32) / padding
        near = gaussian(x, y, spread)
        expected = (maps[1, k] * near).sum() / maps[1, k].sum()
        assert points[1, k, 3].item() == pytest.approx(expected.item(), rel=1e-3)


def test_tolerances_are_those_of_oks():
    eye, hip = tolerances([0.025, 0.107], padding=1.25)
    # A box of 100 x 200 in a crop of 125 x 250: half of 1 at 6.1 and 25.9 pixels.
    half = math.sqrt(2 * math.log(2) * 125 * 250)
    assert [eye * half, hip * half] == pytest.approx([6.06, 25.94], abs=0.01)


def test_evidence():
    points = np.array([[[64, 80, 1, 0.5], [3, 80, 0.1, 0.9], [64, 157, 0, 1]]], np.float32)
    found = evidence(points, np.array([0.25]))
    logits = [0, math.log(9), math.log(0.9999 / 0.0001)]
    peaks = [0, math.log(0.5), math.log(0.5)]  # the least that counts
    size, person = math.log(0.5), sum(logits) / 3
    expected = [[a, b, size, person] for a, b in zip(logits, peaks, strict=True)]
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


def planted(people=4000, seed=0):
    """Evidence of 5 joints, which of them were found by a known calibration, and that one."""
    rng = np.random.default_rng(seed)
    known = rng.normal(size=(people, 5, 4)) * [1, 0.5, 0.3, 0.3]
    truth = Calibration(**WEIGHTS, joints=(-1.0, 0.0, 0.5, 1.0, 2.0))
    found = rng.uniform(size=(people, 5)) < truth.probability(known)
    return known, found, truth


def test_fitting_finds_what_was_planted():
    known, found, truth = planted()
    fitted = fit(known, found, np.ones_like(found))
    for name in WEIGHTS:
        assert getattr(fitted, name) == pytest.approx(getattr(truth, name), abs=0.15)
    np.testing.assert_allclose(fitted.joints, truth.joints, atol=0.2)
    # Maximum likelihood keeps the number of those found.
    assert fitted.probability(known).sum() == pytest.approx(found.sum(), rel=1e-3)
    other, was_found, _ = planted(seed=1)
    assert reliability(fitted.probability(other).ravel(), was_found.ravel()).error < 0.01


def test_joints_without_a_label_do_not_count():
    known, found, _ = planted(400)
    counted = np.random.default_rng(2).uniform(size=found.shape) < 0.5
    assert fit(known, found, counted) == fit(known, found & counted, counted)
    only = fit(known, found, counted & (np.arange(5) == 2))  # of the others there is no label
    assert np.isfinite(only.probability(known)).all()


def test_where_nobody_is_joints_are_improbable():
    """On a grey picture, and on one of coarse noise."""
    coarse = np.random.default_rng(0).integers(0, 256, (10, 8, 3), dtype=np.uint8)
    pictures = [np.full((200, 160, 3), 128, np.uint8), coarse.repeat(20, 0).repeat(20, 1)]
    for poses in hrnet.PoseEstimator(device="cpu")(pictures):
        assert poses.probability.mean() < 0.2
        assert poses.pose_scores[0] < 0.2


def test_there_must_be_something_to_tell_apart():
    known, found, _ = planted(10)
    with pytest.raises(ValueError, match="found and joints that were not"):
        fit(known, np.ones_like(found), np.ones_like(found))
    with pytest.raises(ValueError, match="found and joints that were not"):
        fit(known, found, np.zeros_like(found))


def test_reliability_by_hand():
    """Bins of a tenth: 0.05 and 0.15 (one of two found), 0.95 twice (both found), 1 (not)."""
    probability = np.array([0.05, 0.12, 0.18, 0.95, 0.95, 1.0])
    found = np.array([False, True, False, True, True, False])
    r = reliability(probability, found)
    assert r.counts.tolist() == [1, 2, 0, 0, 0, 0, 0, 0, 0, 3]
    assert r.probability[[0, 1, 9]] == pytest.approx([0.05, 0.15, 2.9 / 3])
    assert r.found[[0, 1, 9]] == pytest.approx([0, 0.5, 2 / 3])
    assert np.isnan(r.found[2:9]).all()
    assert r.error == pytest.approx((0.05 + 2 * 0.35 + 0.9) / 6)


def test_a_joint_is_found_where_its_oks_term_is_a_half():
    joints = np.zeros((1, 17, 3))
    joints[..., 2] = 2
    area = 10_000.0
    limit = 2 * np.array(COCO.sigmas) * math.sqrt(2 * math.log(2) * area)
    predicted = joints.copy()
    predicted[0, :, 0] = limit * np.where(np.arange(17) % 2, 1.001, 0.999)
    one = np.array([1])
    people = People(["a.jpg"], np.ones((1, 4)), joints, np.array([area]), one, one, [], one)
    judged = judge(people, Predictions(one, predicted, np.ones(1)), np.array([0]), COCO)
    assert judged.found[0].tolist() == [k % 2 == 0 for k in range(17)]
    assert np.exp(-(limit**2) / (2 * area * (2 * np.array(COCO.sigmas)) ** 2)) == pytest.approx(0.5)


def test_cross_validation_does_not_see_its_own_pictures():
    """Where in one half of the pictures that is found which in the other is not, each half's
    probabilities are wrong."""
    known, _, _ = planted(600)
    one = Predictions(np.repeat(np.arange(300), 2), np.zeros((600, 5, 3)), np.ones(600))
    people = People(
        ["a.jpg"] * 600, np.ones((600, 4)), np.ones((600, 5, 3)), np.ones(600),
        one.image_ids, np.arange(600), [], np.ones(600),
    )  # fmt: skip
    judged = judge(people, one, np.arange(600), skeleton_of_five())
    half = np.random.default_rng(0).permutation(300) % 2
    judged.found[:] = (half[one.image_ids] == 1)[:, None] ^ (known[..., 0] > 0)
    probability = cross_validated(judged, known)
    assert (probability[judged.found].mean()) < 0.3 < 0.7 < probability[~judged.found].mean()


def skeleton_of_five():
    return skeleton_of_names("five", [*"abcde"]).model_copy(update={"sigmas": (0.1,) * 5})


def test_a_card_s_calibration_fits_its_skeleton():
    card = find_model().card
    short = Calibration(**WEIGHTS, joints=(0.0,) * 5)
    table = card.model_dump(by_alias=True) | {"calibration": short.model_dump()}
    with pytest.raises(ValueError, match="calibration has 5 joints and the skeleton 17"):
        type(card).model_validate(table)


@pytest.fixture(scope="module")
def lsp(tmp_path_factory):
    """Sixty people of LSP's."""
    source = real_data("lsp/test_coco17.json")
    content = json.loads(source.read_text())
    content["annotations"] = content["annotations"][:60]
    shown = {a["image_id"] for a in content["annotations"]}
    content["images"] = [i for i in content["images"] if i["id"] in shown]
    folder = tmp_path_factory.mktemp("lsp")
    (folder / "images").symlink_to(source.parent / "images")
    (folder / "people.json").write_text(json.dumps(content))
    return folder / "people.json"


@pytest.mark.slow
def test_any_model_is_calibrated_by_one_command(lsp, tmp_path):
    card = find_model().card.model_copy(update={"calibration": None, "weights": None})
    plain, out = tmp_path / "plain.safetensors", tmp_path / "calibrated.safetensors"
    save_model(hrnet.create_model().network, card, plain)
    assert hrnet.PoseEstimator(plain, device="cpu")(SAMPLE).probability is None
    arguments = ["evaluate", "--data", str(lsp), "--model", str(plain), "--device", "cpu"]
    result = CliRunner().invoke(app, [*arguments, "--calibrate", str(out)])
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert (
        "probabilities fitted on 60 people of people.json (expected calibration error 0.0" in said
    )
    fitted = read_card(out).calibration
    assert fitted.similarity > 0
    before, after = (hrnet.PoseEstimator(f, device="cpu")(SAMPLE) for f in (plain, out))
    assert np.array_equal(before.keypoints, after.keypoints)  # the weights are the same
    assert (after.probability > 0.5).all()  # a man seen whole
    other = hrnet.PoseEstimator(out, weights=plain, device="cpu")  # may be any weights
    assert other(SAMPLE).probability is None
    report = tmp_path / "report"
    arguments[4] = str(out)
    result = CliRunner().invoke(app, [*arguments, "--out", str(report)])
    assert result.exit_code == 0, result.output
    content = json.loads((report / "figures.json").read_text())
    assert content["figures"]["ECE"] < 0.05  # on those that it was fitted on
    people = json.loads(lsp.read_text())["annotations"]
    labelled = sum(v > 0 for person in people for v in person["keypoints"][2::3])
    assert sum(content["reliability"]["joints"]) == labelled
    assert (report / "reliability.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--calibrate", "x.pth"], "name a file that ends in .safetensors"),
        (["--calibrate", "x.safetensors", "--predictions", "p.json"], "leave out --predictions"),
    ],
)
def test_mistakes_are_said_in_a_sentence(arguments, sentence):
    result = CliRunner().invoke(app, ["evaluate", "--data", "x.json", *arguments])
    assert result.exit_code != 0
    assert isinstance(result.exception, ConfigError)
    assert sentence in str(result.exception)


def test_without_sigmas_there_is_no_telling():
    skeleton = skeleton_of_five().model_copy(update={"sigmas": None})
    with pytest.raises(DataError, match="has no sigmas"):
        judge(None, None, None, skeleton)
