"""The recipes of the package: what each is for, and that it says what its makers did."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from typer.testing import CliRunner

from hrnet.cli import app, main
from hrnet.errors import ConfigError
from hrnet.training.recipe import augmentation_of, list_recipes, load_recipe, load_stages
from hrnet.training.run import train
from hrnet.zoo import find_model, list_models
from hrnet.zoo.build import build_model
from real_data import real_data

ROOT = Path(__file__).parents[1]

DETECTOR = "hrnet_w32_small_person"
PACKAGED = "hrnet_w32_small_coco17"
FINE_TUNING = ("finetune", "finetune_head_first")
PUBLISHED = [n for n in list_recipes() if n not in (PACKAGED, DETECTOR, *FINE_TUNING)]
WITH_RECIPE = re.compile(
    r"hrnet_w(32|48)_(coco|coco_wholebody|mpii|crowdpose|ap10k)_\d+x\d+(_dark|_udp|_official)?"
)


def test_each_published_model_of_people_and_animals_has_its_recipe():
    assert set(PUBLISHED) == set(filter(WITH_RECIPE.fullmatch, list_models()))
    assert len(PUBLISHED) == 31


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_recipe_is_of_the_card_s_model_and_for_its_figures(name):
    recipe, card = load_recipe(name), find_model(name).card
    assert recipe.published == card.figures
    nothing_measured = {
        key: type(card).model_fields[key].default
        for key in (
            *("description", "trained_on", "licence", "source", "weights", "figures"),
            "calibration",
        )
    }
    assert recipe.model == card.model_copy(update=nothing_measured)
    assert recipe.model.codec.sigma == (3 if card.input_size == (288, 384) else 2)
    kind = name.rpartition("_")[2]
    assert recipe.model.codec.kind == (kind if kind in ("dark", "udp") else "plain")


@pytest.mark.slow
def test_all_networks_can_be_built():
    sizes = {}
    with torch.device("meta"):
        for name in set(list_recipes()) - {DETECTOR}:
            card = load_recipe(name).model
            key = (card.network, len(card.skeleton))
            if key not in sizes:
                sizes[key] = sum(p.numel() for p in build_model(card).network.parameters())
    found = {(net.base_channel, joints): n for (net, joints), n in sizes.items() if n > 1e7}
    assert found.keys() == {(w, k) for w in (32, 48) for k in (16, 17, 133)} | {(32, 14)}
    # Of the official networks for COCO; the head has a weight a channel, and a bias, each joint.
    assert found[32, 17] == 28_536_113
    assert found[48, 17] == 63_595_745
    assert found[32, 133] == 28_536_113 + 116 * 33


def test_the_packaged_model_s_recipe_has_its_figures():
    stages = load_stages(PACKAGED)
    assert stages[-1].published == find_model(PACKAGED).card.figures


COCO, MPII = 149_813, 22_246


@pytest.mark.parametrize(
    ("name", "people", "batch", "devices", "epoch", "rate", "warmup"),
    [
        ("hrnet_w32_coco_256x192", COCO, 64, 8, 293, 5e-4, 500),
        ("hrnet_w32_coco_384x288_udp", COCO, 64, 8, 293, 5e-4, 500),
        ("hrnet_w48_coco_256x192", COCO, 32, 8, 586, 5e-4, 500),
        ("hrnet_w48_coco_384x288_dark", COCO, 32, 8, 586, 5e-4, 500),
        ("hrnet_w32_coco_256x192_official", COCO, 32, 4, 1171, 1e-3, 0),
        ("hrnet_w48_coco_256x192_official", COCO, 32, 4, 1171, 1e-3, 0),
        ("hrnet_w48_coco_384x288_official", COCO, 24, 4, 1561, 1e-3, 0),
        ("hrnet_w32_mpii_256x256", MPII, 64, 8, 44, 5e-4, 500),
        ("hrnet_w48_mpii_256x256_dark", MPII, 64, 8, 44, 5e-4, 500),
        ("hrnet_w48_mpii_256x256_official", MPII, 32, 4, 174, 1e-3, 0),
    ],
)
def test_schedules_are_those_of_their_makers(name, people, batch, devices, epoch, rate, warmup):
    """The numbers of people are those that the official code trains on of COCO train2017 and of
    MPII's train.json. MMPose: the files `td-hm_hrnet-w*` (8xb64 or 8xb32), or for MPII's W32
    (which says 16 today) `hrnet_w32_mpii_256x256.py` of version 0.x, from when its weights are;
    Adam without decay, linear warm-up. Official: BATCH_SIZE_PER_GPU, GPUS and LR of
    `experiments/{coco,mpii}/hrnet/*.yaml`; its WD is never given to Adam."""
    training = load_recipe(name).training
    assert (training.batch_size, training.accumulate) == (batch, devices)
    assert -(-people // (batch * devices)) == epoch
    assert (training.optimizer, training.weight_decay, training.loss) == ("adam", 0, "mse")
    assert (training.learning_rate, training.epochs) == (rate, 210)
    assert training.validate_every == pytest.approx(10 * people / (batch * devices), rel=0.01)

    steps = 210 * epoch
    at = [1000, 169.9 * epoch, 170.1 * epoch, 199.9 * epoch, 200.1 * epoch, steps - 1]
    factors = [training.rate(int(step), steps) for step in at]
    np.testing.assert_allclose(factors, [1, 1, 0.1, 0.1, 0.01, 0.01])
    assert training.rate(0, steps) == (1 / warmup if warmup else 1)
    assert training.rate(249, steps) == (0.5 if warmup else 1)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_description_says_the_batch_and_whose_recipe_it_is(name):
    """As the page of recipes says, a batch of one device is as large as in the original, and one
    device takes those of all, one after the other."""
    recipe = load_recipe(name)
    training, text = recipe.training, " ".join(recipe.description.split())
    batch, devices = training.batch_size, training.accumulate
    assert f"takes {batch * devices} people: {batch} on each of {devices} devices" in text
    assert f"or {devices} batches of {batch} on one" in text
    official = name.endswith("_official")
    assert ("as the authors trained it." if official else "as MMPose trained it.") in text
    assert f"HRNet-W{recipe.model.network.base_channel} " in text
    assert f" {len(recipe.model.skeleton)} keypoints" in text
    assert "{1} x {0},".format(*recipe.model.input_size) in text
    mpii = "_mpii_" in name  # whose regions nobody clips
    assert {s.protocol for s in (*recipe.data.sources, *recipe.data.validation)} == {
        "official" if official or mpii else "mmpose"
    }


# Degrees, scale, half bodies and of how many joints at least (more than), shift.
AUGMENTATION = {
    "hrnet_w32_coco_256x192": (45, 0.35, 0.3, 8, 0.16),
    "hrnet_w48_coco_384x288_udp": (45, 0.35, 0.3, 8, 0.16),
    "hrnet_w48_coco_384x288_official": (45, 0.35, 0.3, 8, 0),
    "hrnet_w48_mpii_256x256_official": (30, 0.25, 0, 8, 0),
    "hrnet_w48_mpii_256x256_dark": (40, 0.5, 0, 8, 0),
    "hrnet_w32_crowdpose_256x192": (40, 0.5, 0.3, 6, 0.16),
    "hrnet_w48_coco_wholebody_384x288_dark": (40, 0.5, 0.3, 8, 0.16),
    "hrnet_w48_ap10k_256x256": (40, 0.5, 0.3, 8, 0.16),
}


@pytest.mark.parametrize("name", AUGMENTATION)
def test_augmentation_is_that_of_the_makers(name):
    """Official: ROT_FACTOR, SCALE_FACTOR, PROB_HALF_BODY (-1 for MPII) and NUM_JOINTS_HALF_BODY of
    `experiments/*/hrnet/*.yaml`. MMPose but for COCO: TopDownGetRandomScaleRotation and
    TopDownHalfBodyTransform of version 0.x. COCO: the paper's, see the page of recipes. Shift:
    TopDownRandomShiftBboxCenter of version 0.x, which MPII's configurations lack."""
    a = load_recipe(name).augmentation
    found = (a.rotation, a.scale, a.half_body, a.half_body_min_joints, a.shift)
    assert found == AUGMENTATION[name]
    assert (a.flip, a.rotation_probability, a.mosaic, a.color) == (0.5, 0.6, 0, 0)


def test_coco_s_augmentation_spreads_about_as_far_as_mmpose_s():
    """RandomBBoxTransform of MMPose 1.x: 80 degrees and 0.5 times a normal number that is drawn
    again when it is beyond 1."""
    normal = np.random.default_rng(0).standard_normal(200_000)
    truncated = normal[abs(normal) < 1]
    a = load_recipe("hrnet_w32_coco_256x192").augmentation
    rotation = a.rotation * np.clip(normal, -2, 2).std()
    assert rotation == pytest.approx(80 * truncated.std(), rel=0.01)
    scale = a.scale * np.clip(normal, -1, 1).std()
    assert scale == pytest.approx(0.5 * truncated.std(), rel=0.1)


@pytest.mark.parametrize("name", PUBLISHED)
def test_networks_start_from_imagenet_but_for_the_one_that_was_trained_on_coco_first(name):
    training = load_recipe(name).training
    start = f"hrnet_w{load_recipe(name).model.network.base_channel}_imagenet"
    if name == "hrnet_w48_coco_wholebody_384x288_dark":
        assert find_model(name).card.trained_on.startswith("COCO train2017, then")
        start = "hrnet_w48_coco_384x288_dark"
    assert (training.start_from, training.start_head) == (start, "skip")


def test_figures_are_of_the_package_s_recipe_and_its_data_alone(tmp_path):
    name = "hrnet_w48_coco_256x192_dark"
    for change in ("data.root=elsewhere", "data.workers=8", "training.accumulate=1"):
        assert load_recipe(name, [change]).published == find_model(name).card.figures
    for change in (
        'data.sources=[{file="other.json"}]',
        'data={sources=[{file="other.json"}]}',
        "model.input_size=[96, 128]",
        "model.card=hrnet_w32_coco_256x192",
        "model.name=mine",
    ):
        assert load_recipe(name, [change]).published == ()
    own = tmp_path / "own.toml"
    own.write_text(f"schema = 1\nextends = '{name}'\n[data]\nroot = 'elsewhere'")
    assert load_recipe(str(own)).model == load_recipe(name).model
    assert load_recipe(str(own)).published == ()
    (tmp_path / f"{name}.toml").write_text(own.read_text())
    assert load_recipe(f"{tmp_path}/{name}.toml").published == ()


@pytest.mark.parametrize(
    ("change", "nearest"),
    [
        ("training.epoch=3", "epochs"),
        ("trainings.epochs=3", "training"),
        ("data.worker=2", "workers"),
        ('data.sources=[{file="a.json", image="b"}]', "images"),
        ("augmentation.rotations=3", "rotation"),
        ("model.network.base_channels=3", "base_channel"),
    ],
)
def test_an_unknown_key_names_the_nearest(change, nearest):
    with pytest.raises(ConfigError, match=rf"there is no key .*; did you mean {nearest}\b"):
        load_recipe("hrnet_w32_coco_256x192", [change])


def test_the_list_says_what_each_recipe_is_for_and_needs_no_torch():
    code = (
        "import sys; from hrnet.cli import app; sys.argv = ['hrnet', 'train', '--list']; "
        "app(standalone_mode=False); print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    *rows, has_torch = run.stdout.splitlines()
    assert has_torch == "False", run.stderr
    listed = {name: rest for name, *rest in (row.split("\t") for row in rows)}
    assert sorted(listed) == list_recipes()
    assert listed["hrnet_w48_coco_384x288_official"] == [
        "HRNet-W48 for COCO's 17 keypoints, plain heatmaps, 384 x 288, as the authors trained it",
        "AP 0.763, COCO val2017, boxes of a person detector with 56.4 AP, flip test on",
    ]
    assert listed["hrnet_w48_mpii_256x256_official"][1] == ""  # no figure is published


def test_the_list_fits_a_terminal(monkeypatch):
    """No name is cut, and no line is longer than the terminal is wide."""
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    monkeypatch.setenv("COLUMNS", "100")
    output = CliRunner().invoke(app, ["train", "--list"]).output
    lines = re.sub("\x1b\\[[0-9;]*m", "", output).splitlines()
    assert max(map(len, lines)) <= 100
    assert set(list_recipes()) <= {line.partition(" ")[0] for line in lines}


def test_without_a_recipe_one_sentence_says_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["hrnet", "train"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        "error: say what to train: a name of hrnet train --list, or a TOML file\n"
    )


def test_a_recipe_trains_on_coco_as_it_is_unpacked(tmp_path, monkeypatch):
    """One step of the real recipe on real people, of a network that is small, from a file without
    a head as ImageNet's is."""
    annotations = real_data("formats/coco/test_coco.json")
    (tmp_path / "annotations").mkdir()
    for part in ("train", "val"):
        os.symlink(annotations, tmp_path / "annotations" / f"person_keypoints_{part}2017.json")
        os.symlink(annotations.parent, tmp_path / f"{part}2017", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    tiny = [
        "model.network.base_channel=4",
        "model.network.num_blocks=1",
        "model.network.num_modules=[1, 1, 1]",
        "model.network.layer1_channels=16",
        "model.network.layer1_blocks=1",
        "data.workers=0",
        "training.steps=1",
        "training.batch_size=4",
        "training.accumulate=2",
        "training.validate_every=1",
        "training.milestones=[1]",
        "training.warmup_steps=0",
        "training.start_from=start.safetensors",
    ]
    recipe = load_recipe("hrnet_w32_coco_256x192", tiny)
    start = build_model(recipe.model).network.state_dict()
    save_file({k: t for k, t in start.items() if "final_layer" not in k}, "start.safetensors")
    weights = train(recipe, tmp_path / "run").weights

    with safe_open(weights, framework="pt") as file:
        card = json.loads(file.metadata()["hrnet_card"])
        trained = file.get_tensor("conv1.weight").float()
    assert card["input_size"] == [192, 256]
    assert not card["figures"]  # nothing that another network reached
    # Adam's first step moves a weight by the rate, whatever its gradient; float16 rounds.
    moved = (trained - start["conv1.weight"]).abs()
    assert moved.median().item() == pytest.approx(5e-4, rel=0.05)
    assert moved.max() < 7e-4
    log = next((tmp_path / "run").glob("log/*/metrics.csv")).read_text()
    assert "pck" in log.splitlines()[0]


def test_a_source_may_have_truncation_of_its_own():
    change = 'data.sources=[{file="a.json", truncation=0}, {file="b.json"}]'
    recipe = load_recipe("hrnet_w32_coco_256x192", [change, "augmentation.truncation=0.3"])
    drawn = [augmentation_of(recipe, source) for source in recipe.data.sources]
    assert [augmentation.truncation for augmentation in drawn] == [0, 0.3]
    assert [augmentation.shift for augmentation in drawn] == [0.16, 0.16]
    assert load_recipe("hrnet_w32_coco_256x192").augmentation.truncation == 0


@pytest.mark.parametrize("change", ["flip=1.5", "scale=1", "downscale=0.5", "truncation=-0.1"])
def test_augmentation_out_of_bounds_is_refused(change):
    with pytest.raises(ConfigError, match=rf"augmentation\.{change.partition('=')[0]}: input sho"):
        load_recipe("hrnet_w32_coco_256x192", [f"augmentation.{change}"])


def test_what_is_trained_anew_has_no_probabilities_until_they_are_fitted():
    """A card's calibration is of its weights, and of as many joints as its skeleton has."""
    found = find_model(PACKAGED).card.calibration
    assert found is not None
    assert load_recipe(PACKAGED).model.calibration is None
    assert load_recipe("finetune", ["model.skeleton=lsp14"]).model.calibration is None
