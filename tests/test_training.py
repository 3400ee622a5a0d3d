import hashlib
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import hrnet
from hrnet.cli import app
from hrnet.errors import ConfigError, DataError, WeightsError
from hrnet.images import write_image
from hrnet.skeletons import load_skeleton, skeleton_of_names
from hrnet.training import pose, run, sources, stages
from hrnet.training.losses import distilled, joints_cross_entropy, joints_mse
from hrnet.training.optimising import layer_depth
from hrnet.training.pose import PoseTraining
from hrnet.training.recipe import TrainingConfig, load_recipe, load_stages
from hrnet.training.run import train
from hrnet.training.stages import train_stages
from hrnet.training.start import load_start
from hrnet.zoo import find_model
from hrnet.zoo.build import build_model, save_model
from real_data import real_data

SMALL = [
    "model.input_size=[64, 64]",
    "model.network.base_channel=4",
    "model.network.num_blocks=1",
    "model.network.layer1_channels=16",
    "training.batch_size=4",
    "training.warmup_steps=2",
    "training.validate_every=100",
    "training.threads=1",
    "data.workers=0",
]


def test_mse_is_the_official_one():
    """mean over joints of 0.5 * mean((w p - w t)^2), lib/core/loss.py."""
    rng = np.random.default_rng(0)
    outputs, targets = rng.normal(size=(2, 3, 5, 4, 6))
    weights = np.array([[1, 0, 1, 1, 0], [0, 0, 1, 1, 1], [1, 1, 1, 1, 1.0]])
    expected = 0.0
    for k in range(5):
        p, t = outputs[:, k].reshape(3, -1), targets[:, k].reshape(3, -1)
        expected += 0.5 * np.mean((weights[:, k, None] * p - weights[:, k, None] * t) ** 2) / 5
    total, count = joints_mse(*map(torch.from_numpy, (outputs, targets, weights)))
    assert (total / count).item() == pytest.approx(expected)


def cross_entropy(*arguments):
    total, count = joints_cross_entropy(*arguments)
    return total / count


def gaussian(x, y, sigma=1.5):
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(18.0), indexing="ij")
    return torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))


def test_cross_entropy_is_least_at_the_target_s_own_logarithm():
    """There it is the entropy of a normal distribution in two dimensions, log(2 pi e sigma^2)."""
    targets = gaussian(9, 12)[None, None]
    logits = targets.clamp(min=1e-30).log()
    weights = torch.ones(1, 1)
    least = cross_entropy(logits, targets, weights)
    assert least.item() == pytest.approx(math.log(2 * math.pi * math.e * 1.5**2), abs=1e-3)
    noise = torch.randn(targets.shape, generator=torch.Generator().manual_seed(0))
    assert cross_entropy(logits + 0.1 * noise, targets, weights) > least


def test_cross_entropy_leaves_out_joints_without_weight_and_outside_of_the_crop():
    targets = torch.stack([gaussian(9, 12), gaussian(4, 5), gaussian(-3, 12)])[None]
    logits = torch.randn(1, 3, 24, 18, generator=torch.Generator().manual_seed(0))
    loss = cross_entropy(logits, targets, torch.tensor([[1.0, 0.0, 1.0]]))
    alone = cross_entropy(logits[:, :1], targets[:, :1], torch.ones(1, 1))
    assert loss.item() == pytest.approx(alone.item())


def test_of_distilled_targets_a_share_is_what_the_teacher_sees():
    """The cross-entropy is linear in the target; a joint without a label, or beyond the crop's
    edge, still does not count; the share is the same where the edge cuts the Gaussian."""
    targets = torch.stack([gaussian(9, 12), gaussian(0, 5), gaussian(-3, 12)])[None]
    seen = torch.stack([gaussian(4, 4), gaussian(9, 9), gaussian(9, 9)])[None] * 3
    weights = torch.tensor([[1.0, 1.0, 1.0]])
    mixed = distilled(targets, seen, 0.25)
    torch.testing.assert_close(mixed.sum((2, 3)), targets.sum((2, 3)))
    logits = torch.randn(1, 3, 24, 18, generator=torch.Generator().manual_seed(0))
    label = cross_entropy(logits, targets, weights)
    teacher = cross_entropy(logits, distilled(targets, seen, 1.0), weights)
    expected = 0.75 * label + 0.25 * teacher
    assert cross_entropy(logits, mixed, weights).item() == pytest.approx(expected.item())
    of_two = cross_entropy(logits[:, :2], seen[:, :2], weights[:, :2])
    assert teacher.item() == pytest.approx(of_two.item())
    unlabelled = distilled(torch.zeros_like(targets), seen, 0.25)
    assert unlabelled.abs().max() == 0


def test_cross_entropy_of_nobody_is_zero():
    outputs = torch.randn(2, 3, 24, 18, requires_grad=True)
    total, count = joints_cross_entropy(outputs, torch.zeros_like(outputs), torch.zeros(2, 3))
    total.backward()
    assert (total.item(), count.item()) == (0, 0)
    assert outputs.grad.abs().max() == 0


@pytest.fixture(scope="module")
def eight_people(tmp_path_factory):
    """The first eight people of LSP with all twelve limb joints, as an annotation file."""
    source = real_data("lsp/train_coco17.json")
    content = json.loads(source.read_text())
    rows = [a for a in content["annotations"] if all(a["keypoints"][17::3])][:8]
    ids = {a["image_id"] for a in rows}
    folder = tmp_path_factory.mktemp("data")
    content["annotations"] = rows
    content["images"] = [i for i in content["images"] if i["id"] in ids]
    (folder / "people.json").write_text(json.dumps(content))
    source_table = {"file": "people.json", "images": str(source.parent / "images")}
    return [
        f"data.root={folder}",
        f'data.sources=[{{file="people.json", images="{source_table["images"]}"}}]',
    ]


def recipe(eight_people, *changes):
    return load_recipe("hrnet_w32_small_coco17", [*SMALL, *eight_people, *changes])


@pytest.mark.slow
def test_eight_people_are_learnt_by_heart(eight_people, tmp_path):
    """From annotation file to weights file to estimator: every part of the path must be right."""
    changes = [
        "training.steps=150",
        "training.batch_size=8",
        "model.network.base_channel=16",
        "model.input_size=[96, 96]",
        "augmentation.flip=0",
        "augmentation.rotation=0",
        "augmentation.scale=0",
        "augmentation.half_body=0",
        "training.learning_rate=4e-3",
    ]
    learnt = recipe(eight_people, *changes)
    weights = train(learnt, tmp_path / "run").weights
    from hrnet.evaluation.evaluate import evaluate

    figures = evaluate(
        hrnet.PoseEstimator(str(weights)),
        f"{learnt.data.root}/people.json",
        images=learnt.data.sources[0].images,
    )
    assert figures.figures["PCK@0.2"] == 100
    assert figures.figures["AP"] > 0.9
    assert figures.protocol["people"] == 8


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        [],
        ["training.ema=0.9", "training.accumulate=2"],
        ["training.layer_decay=0.5", "training.head_first_steps=9"],  # all learn after resuming
        ["training.distillation=0.5"],
    ],
)
def test_resuming_gives_the_same_weights_as_no_interruption(eight_people, tmp_path, changes):
    """In the middle of an epoch, with shuffling and augmentation. What teaches is what the run
    began with, and not what it has become."""
    if changes == ["training.distillation=0.5"]:
        first = train(recipe(eight_people, "training.steps=1"), tmp_path / "first").weights
        changes = [*changes, f"training.start_from={first}"]
    whole = train(recipe(eight_people, "training.steps=12", *changes), tmp_path / "whole").weights

    class Stop(Exception):
        pass

    step = PoseTraining.training_step

    def stop_at_eight(self, batch, index):
        if self.global_step == 8:
            raise Stop
        return step(self, batch, index)

    changes = ["training.steps=12", "training.checkpoint_minutes=1e-6", *changes]
    often = recipe(eight_people, *changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PoseTraining, "training_step", stop_at_eight)
        with pytest.raises(Stop):
            train(often, tmp_path / "parts")
    assert not list((tmp_path / "parts").glob("*.safetensors"))
    resumed = train(often, tmp_path / "parts", resume=True).weights

    expected, found = load_file(whole), load_file(resumed)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_what_a_run_starts_from_teaches_it(eight_people, tmp_path, monkeypatch):
    """In every step it is what it was, with the flip test and batch norm's averages."""
    often = "training.steps=3", "training.checkpoint_minutes=1e-6"
    first = train(recipe(eight_people, *often), tmp_path / "first").weights
    known = hrnet.create_model(first, flip_test=True)
    step, crops, shares, off = PoseTraining.training_step, [], [], []

    def kept(self, batch, index):
        crops.append(batch.crops)
        return step(self, batch, index)

    def compared(targets, seen, share):
        expected = known.heatmaps(crops[-1])
        shares.append(share)
        off.append(((seen - expected).abs().max() / expected.max()).item())
        return distilled(targets, seen, share)

    monkeypatch.setattr(PoseTraining, "training_step", kept)
    monkeypatch.setattr("hrnet.training.pose.distilled", compared)
    changes = f"training.start_from={first}", "training.learning_rate=0.1"
    train(recipe(eight_people, *often, *changes), tmp_path / "alone", device="cpu")
    assert shares == []
    taught = recipe(eight_people, *often, *changes, "training.distillation=0.25")
    train(taught, tmp_path / "taught", device="cpu")
    assert shares == [0.25] * 3
    assert max(off) < 1e-4
    last = torch.load(tmp_path / "taught" / "checkpoints" / "last.ckpt", weights_only=True)
    assert all(name.startswith("model.") for name in last["state_dict"])


def test_what_cannot_teach_is_refused(eight_people, tmp_path):
    first = train(recipe(eight_people, "training.steps=1"), tmp_path / "first").weights
    card = find_model(first).card.model_copy(update={"skeleton": load_skeleton("ap10k17")})
    animals = tmp_path / "animals.safetensors"
    save_model(build_model(card).network, card, animals)
    for changes, message in (
        ([], r"training\.distillation is of the weights that a run starts from"),
        ([f"training.start_from={animals}"], "has another keypoints; leave out"),
        ([f"training.start_from={first}", 'model.codec={kind="dark"}'], "has another codec"),
        (
            [f"training.start_from={first}", "model.output=heatmaps"],
            "output, which is to be logits",
        ),
    ):
        wrong = recipe(eight_people, "training.steps=1", "training.distillation=0.5", *changes)
        with pytest.raises(ConfigError, match=message):
            train(wrong, tmp_path / "wrong")
        assert not (tmp_path / "wrong").exists()


def test_a_measurement_is_not_lost_with_an_interruption(eight_people, tmp_path):
    """A checkpoint of the step that it is due after would be resumed from behind it."""
    changes = ["training.steps=5", "training.checkpoint_minutes=1e-6", "training.validate_every=4"]
    people = ["data.validation=" + eight_people[1].removeprefix("data.sources=")]
    often = recipe(eight_people, *people, *changes)

    class Killed(Exception):
        pass

    def killed(self, batch, index):
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PoseTraining, "validation_step", killed)
        with pytest.raises(Killed):
            train(often, tmp_path)
    assert train(often, tmp_path, resume=True).measured is not None


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("model.network.base_channel=8", r"model\.network"),
        ("training.learning_rate=0.5", r"training\.learning_rate"),
        ("training.head_first_steps=1", r"training\.head_first_steps"),
        ("training.ema=0.9", r"training\.ema"),
        ("training.layer_decay=0.5", r"training\.layer_decay"),
    ],
)
def test_a_run_is_not_resumed_with_another_recipe_s_network(eight_people, tmp_path, change, key):
    changes = ["training.steps=1", "training.checkpoint_minutes=1e-6"]
    train(recipe(eight_people, *changes), tmp_path)
    other = recipe(eight_people, *changes, change)
    with pytest.raises(ConfigError, match=f"was begun with another {key}; resume it with"):
        train(other, tmp_path, resume=True)


def test_people_held_out_are_known_by_their_pictures(tmp_path):
    """A file made of another's pictures, with ids of its own, does not bring them back."""
    source = real_data("lsp/train_coco17.json")
    content = json.loads(source.read_text())
    names = ["lsp_0001.jpg", "lsp_0002.jpg", "lsp_0003.jpg", "lsp_0004.jpg", "lsp_0005.jpg"]
    content["images"] = [i for i in content["images"] if i["file_name"] in names]
    ids = [i["id"] for i in content["images"]]
    rows = [a for a in content["annotations"] if a["image_id"] in ids]
    content["annotations"] = [row | {"id": number} for number, row in enumerate(rows, 1)]
    (tmp_path / "mine.json").write_text(json.dumps(content))
    changes = [
        *SMALL,
        f"data.root={source.parent.parent}",
        f'data.sources=[{{file="{tmp_path / "mine.json"}", images="lsp/images"}}]',
        "training.steps=1",
    ]
    trained = train(load_recipe("hrnet_w32_small_coco17", changes), tmp_path / "run")
    assert trained.people == 2  # 0001 and 0005
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["people"] == {"trained_on": 3, "measured_on": 2}


def test_a_run_starts_from_weights(eight_people, tmp_path):
    first = train(recipe(eight_people, "training.steps=1"), tmp_path / "first").weights
    still = recipe(
        eight_people,
        "training.steps=1",
        f"training.start_from={first}",
        "training.learning_rate=1e-12",
    )
    second = train(still, tmp_path / "second").weights
    a, b = load_file(first), load_file(second)
    assert torch.allclose(a["conv2.weight"], b["conv2.weight"])
    written = json.loads((tmp_path / "second" / "recipe.json").read_text())
    assert written["training"]["start_from"] == str(first)


def test_a_run_starts_from_a_file_without_a_head(eight_people, tmp_path):
    first = load_file(train(recipe(eight_people, "training.steps=1"), tmp_path / "first").weights)
    backbone = tmp_path / "backbone.safetensors"
    save_file({k: t for k, t in first.items() if not k.startswith("final_layer")}, backbone)
    changes = (
        "training.steps=1",
        f"training.start_from={backbone}",
        "training.learning_rate=1e-12",
        "training.seed=5",
    )
    with pytest.raises(WeightsError, match="has no pose head"):
        train(recipe(eight_people, *changes), tmp_path / "second")
    skipping = recipe(eight_people, *changes, "training.start_head=skip")
    second = load_file(train(skipping, tmp_path / "third").weights)
    assert torch.allclose(first["conv2.weight"], second["conv2.weight"])
    assert not torch.allclose(first["final_layer.weight"], second["final_layer.weight"])


def start(weights, skeleton):
    """The packaged network with another skeleton's head, before and after the start by name."""
    card = find_model("hrnet_w32_small_coco17").card.model_copy(update={"skeleton": skeleton})
    network = build_model(card).network
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    config = TrainingConfig(steps=1, start_from=str(weights), start_head="by_name")
    load_start(network, card, config)
    return before, network.state_dict()


def test_a_start_by_name_takes_over_the_heatmaps_that_both_have(weights_file, tmp_path):
    """12 of Leeds Sports Pose's 14, in another order; neck and head_top are not COCO's."""
    given = load_file(weights_file)
    given["final_layer.bias"] += torch.arange(17)  # not all of them zero
    with safe_open(weights_file, "pt") as content:
        save_file(given, tmp_path / "x.safetensors", metadata=content.metadata())
    before, after = start(tmp_path / "x.safetensors", load_skeleton("lsp14"))
    assert torch.equal(after["conv2.weight"], given["conv2.weight"].float())
    for key in ("final_layer.weight", "final_layer.bias"):
        found, own, theirs = after[key], before[key], given[key].float()
        assert torch.equal(found[0], theirs[16])  # right_ankle
        assert torch.equal(found[9], theirs[5])  # left_shoulder
        assert torch.equal(found[[12, 13]], own[[12, 13]])


def test_a_start_by_name_without_any_in_common_leaves_the_head(weights_file):
    names = skeleton_of_names("arrow", ["tip", "left_wing", "right_wing"])
    before, after = start(weights_file, names)
    assert torch.equal(after["final_layer.weight"], before["final_layer.weight"])
    assert not torch.equal(after["conv2.weight"], before["conv2.weight"])


@pytest.mark.slow
def test_two_points_that_only_their_sides_tell_apart_are_learnt(tmp_path, capsys):
    """Two equal discs, `first` on the left and `second` on the right, as no name says: mirrored
    pictures with mirrored labels would make them the same thing (box PCK of about a half, and the
    same by a flip test)."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(24):
        picture = np.zeros((64, 64, 3), np.uint8)
        points = np.array([[18, 32], [46, 32]]) + rng.uniform(-6, 6, (2, 2))
        for x, y in points:
            cv2.circle(picture, (round(x), round(y)), 6, (255, 255, 255), -1)
        write_image(tmp_path / f"{number}.png", picture)
        images.append({"id": number, "file_name": f"{number}.png", "width": 64, "height": 64})
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": 1,
                "bbox": [0, 0, 64, 64],
                "keypoints": np.insert(points, 2, 2, axis=1).ravel().tolist(),
            }
        )
    category = {"id": 1, "name": "dial", "keypoints": ["first", "second"]}
    content = {"images": images, "annotations": annotations, "categories": [category]}
    (tmp_path / "dials.json").write_text(json.dumps(content))
    given = [
        *SMALL,
        *("model.network.base_channel=8", "training.batch_size=8", "training.steps=120"),
        *("training.learning_rate=5e-3", "model.skeleton=data", f"data.root={tmp_path}"),
        'data.sources=[{file="dials.json"}]',
        'data.validation=[{file="dials.json"}]',
    ]
    trained = train(load_recipe("hrnet_w32_small_coco17", given), tmp_path / "run", device="cpu")
    assert "pictures are not mirrored, and there is no flip test: skeleton dial" in (
        capsys.readouterr().err
    )
    (evaluation,) = trained.evaluations.values()
    assert evaluation.figures["PCK@0.2"] > 95
    assert evaluation.protocol["flip_test"] is False
    with pytest.raises(ConfigError, match="dial has no left and right, nor does it say"):
        hrnet.PoseEstimator(trained.weights, flip_test=True)


@pytest.mark.parametrize(("device", "asked"), [("cpu", "cpu"), ("gpu", "cuda"), ("auto", "auto")])
def test_the_last_evaluation_runs_on_the_run_s_device(
    eight_people, tmp_path, monkeypatch, device, asked
):
    seen = []
    monkeypatch.setattr(sources, "PoseEstimator", lambda *a, **k: seen.append(k))
    monkeypatch.setattr(pose, "evaluate", lambda *a, **k: None)
    validation = eight_people[1].replace("data.sources", "data.validation")
    pose.evaluate_weights(recipe(eight_people, validation), tmp_path / "x.safetensors", device)
    assert [(own["device"], own["flip_test"]) for own in seen] == [(asked, True)]


@pytest.fixture
def two_stages(eight_people, tmp_path):
    """Two runs of a few steps, the second one at half the rate."""
    file = tmp_path / "two.toml"
    file.write_text(
        'schema = 1\nextends = "hrnet_w32_small_coco17"\n'
        "[[stages]]\ntraining = { steps = 3 }\n"
        "[[stages]]\ntraining = { steps = 2, learning_rate = 1e-3 }\n"
    )
    return load_stages(str(file), [*SMALL, *eight_people, "training.seed=7"])


def test_each_stage_starts_from_the_weights_of_the_one_before(two_stages, tmp_path):
    assert [s.training.steps for s in two_stages] == [3, 2]
    assert [s.training.learning_rate for s in two_stages] == [1.5e-3, 1e-3]
    assert {s.training.seed for s in two_stages} == {7}  # what is given holds for all
    trained = train_stages(two_stages, tmp_path / "run", device="cpu")
    assert trained.weights == tmp_path / "run" / "hrnet_w32_small_coco17.safetensors"
    last = tmp_path / "run" / "stage_2"
    assert trained.weights.read_bytes() == (last / trained.weights.name).read_bytes()
    begun = json.loads((last / "recipe.json").read_text())["training"]
    first = tmp_path / "run" / "stage_1" / trained.weights.name
    assert begun["start_from"] == str(first)
    alone = train(
        two_stages[1].model_copy(
            update={
                "training": two_stages[1].training.model_copy(update={"start_from": str(first)})
            }
        ),
        tmp_path / "alone",
        device="cpu",
    )
    assert load_file(alone.weights).keys() == load_file(trained.weights).keys()
    for name, tensor in load_file(alone.weights).items():
        assert torch.equal(tensor, load_file(trained.weights)[name]), name


@pytest.mark.parametrize("stopped", [0, 1])
def test_stages_go_on_where_they_were_interrupted(two_stages, tmp_path, monkeypatch, stopped):
    """In the first, or after it: the weights are those of a run without interruption."""
    whole = train_stages(two_stages, tmp_path / "whole", device="cpu")
    calls = []

    def interrupted(*arguments, **options):
        calls.append(options["resume"])
        if len(calls) > stopped:
            raise KeyboardInterrupt
        return train(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(stages, "train", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_stages(two_stages, tmp_path / "run", device="cpu")
    if not stopped:
        with pytest.raises(ConfigError, match="there is no stage in .*run to resume"):
            train_stages(two_stages, tmp_path / "run", resume=True, device="cpu")
        return
    with pytest.raises(ConfigError, match="run holds a run already; go on with it"):
        train_stages(two_stages, tmp_path / "run", device="cpu")
    resumed = train_stages(two_stages, tmp_path / "run", resume=True, device="cpu")
    assert resumed.weights.read_bytes() == whole.weights.read_bytes()
    with pytest.raises(ConfigError, match="all stages in .* have ended"):
        train_stages(two_stages, tmp_path / "run", resume=True, device="cpu")
    with pytest.raises(ConfigError, match="a recipe with stages trains in one process"):
        train_stages(two_stages, tmp_path / "two", devices=2)


def test_a_wrong_key_in_a_stage_is_named_with_it(tmp_path):
    file = tmp_path / "x.toml"
    file.write_text(
        'schema = 1\nextends = "finetune"\n[[stages]]\n[[stages]]\ntraining = { stepps = 5 }\n'
    )
    with pytest.raises(ConfigError, match=r"^stage 2: recipe .*stepps.*did you mean steps"):
        load_stages(str(file))
    assert load_recipe(str(file)).training.steps == 300


def test_the_packaged_model_s_legs_are_those_that_it_was_trained_in():
    """The table in docs/en/packaged-model.md, and the commands that stood there."""
    legs = load_stages("hrnet_w32_small_coco17", ["data.root=DATA"])
    configs = [leg.training for leg in legs]
    steps = [2700, 1650, 4250, 4200, 3200, 2900, 3600, 10_500, 10_200, 12_000, 9_000, 8_000, 8_500]
    assert [c.steps for c in configs] == steps
    assert [1e4 * c.learning_rate for c in configs] == pytest.approx(
        [20, 15, 15, 15, 15, 12, 12, 15, 12, 12, 12, 12, 12]
    )
    assert [c.seed for c in configs] == [*range(11), 12, 13]
    assert [c.ema for c in configs] == [None] * 4 + [0.998] * 9
    assert [c.start_share for c in configs] == [0.0] * 10 + [0.4] * 3
    assert [c.distillation for c in configs] == [0.0] * 12 + [0.5]
    assert [leg.model.input_size for leg in legs] == [(96, 128)] + [(128, 160)] * 12
    lsp = [next(s for s in leg.data.sources if s.file.startswith("lsp")) for leg in legs]
    assert [s.truncation for s in lsp] == [0.2, 0.3, 0.3, 0.4, 0.4, 0.4, 0.35, 0.35] + [0.3] * 5
    assert [s.relabel for s in lsp] == [None] * 5 + ["correct"] * 8
    coco = [next(s for s in leg.data.sources if s.file.startswith("coco/")) for leg in legs]
    assert [s.repeat for s in coco] == [3, 6, 6, 8, 8, 8, 12, 3, 4] + [6] * 4
    changes = [leg.augmentation for leg in legs]
    assert [a.rotation_probability for a in changes] == [0.6, 0.4, 0.4, 0.4, 0.4] + [0.5] * 8
    assert [a.scale for a in changes] == [0.3] + [0.2] * 4 + [0.25] * 3 + [0.2] * 5
    assert [a.half_body for a in changes] == [0.2] + [0.1] * 12
    assert [a.mosaic for a in changes] == [0.0] * 4 + [0.5] * 9
    assert [a.color for a in changes] == [0.0] * 4 + [0.15] + [0.2] * 8
    assert [a.downscale for a in changes] == [1.0] * 6 + [5.0, 3.0] + [2.0] * 5
    assert all(leg.data.held_out == "lsp_coco.held_out.json" for leg in legs)


def few(source, folder, file, count):
    """The first people of a file of the test data, with their pictures."""
    content = json.loads(real_data(source).read_text())
    rows = [a for a in content["annotations"] if a["num_keypoints"] > 5][:count]
    shown = {a["image_id"] for a in rows}
    images = [i for i in content["images"] if i["id"] in shown]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content | {"annotations": rows, "images": images}))
    folder.mkdir(parents=True, exist_ok=True)
    for image in images:
        picture = real_data(source).parent / "images" / image["file_name"]
        (folder / image["file_name"]).symlink_to(picture)


@pytest.mark.slow
def test_the_packaged_model_s_recipe_runs_from_data_to_the_file_by_one_command(tmp_path):
    """Every leg, each a step: with its data, its relabelling and whom it measures on."""
    data = tmp_path / "data"
    for name in ("coco", "coco_more"):
        few(f"{name}/train.json", data / name / "images", data / name / "train.json", 12)
    folder = data / "stanford40" / "JPEGImages"  # whose pictures are not at hand: COCO's
    few("coco/val.json", folder, data / "stanford40" / "train.json", 5)
    whole = json.loads(real_data("lsp/train_coco17.json").read_text())
    names = {"lsp_0001.jpg", "lsp_0002.jpg", "lsp_0003.jpg"}
    names |= set([i["file_name"] for i in whole["images"] if "lspet" in i["file_name"]][:4])
    whole["images"] = [i for i in whole["images"] if i["file_name"] in names]
    shown = {i["id"] for i in whole["images"]}
    whole["annotations"] = [a for a in whole["annotations"] if a["image_id"] in shown]
    (data / "lsp" / "images").mkdir(parents=True)
    (data / "lsp" / "train_coco17.json").write_text(json.dumps(whole))
    for name in names:
        picture = real_data("lsp/train_coco17.json").parent / "images" / name
        (data / "lsp" / "images" / name).symlink_to(picture)
    changes = [*SMALL, "training.steps=1", f"data.root={data}"]
    arguments = ["train", "hrnet_w32_small_coco17", *changes, "--device", "cpu", "--out"]
    result = CliRunner().invoke(app, [*arguments, str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run" / "hrnet_w32_small_coco17.safetensors").is_file()
    record = json.loads((tmp_path / "run" / "stage_8" / "run.json").read_text())
    people = record["people_by_file"]
    assert people["lsp/train_coco17.json (lspet_*)"]["people"] == 4
    assert "relabelled" in people["lsp/train_coco17.json (lspet_*)"]
    assert people["stanford40/train.json"]["people"] == 5
    assert record["people"]["measured_on"] >= 1  # lsp_0001.jpg


def test_a_start_by_name_needs_the_names(weights_file, tmp_path):
    save_file(load_file(weights_file), tmp_path / "bare.safetensors")  # no card
    with pytest.raises(ConfigError, match=r"which keypoints .*bare.* has, .*start_head=skip"):
        start(tmp_path / "bare.safetensors", load_skeleton("lsp14"))


def test_nothing_to_resume_and_other_keypoints_are_refused(eight_people, tmp_path):
    with pytest.raises(ConfigError, match="no checkpoint"):
        train(recipe(eight_people, "training.steps=1"), tmp_path, resume=True)
    lsp14 = real_data("lsp/test.json")
    other = recipe(
        eight_people,
        f"data.root={lsp14.parent}",
        'data.sources=[{file="test.json"}]',
        "training.steps=1",
    )
    with pytest.raises(
        DataError, match="has the 14 keypoints right_ankle.* nose, left_eye.* are missing there"
    ):
        train(other, tmp_path)


def test_people_without_labels_are_refused(eight_people, tmp_path):
    folder = Path(eight_people[0].removeprefix("data.root="))
    content = json.loads((folder / "people.json").read_text())
    for row in content["annotations"]:
        row["keypoints"] = [0] * 51
    (tmp_path / "nobody.json").write_text(json.dumps(content))
    source = f'data.sources=[{{file="{tmp_path / "nobody.json"}"}}]'
    with pytest.raises(DataError, match="no people with labelled keypoints to train on in"):
        train(recipe(eight_people, source), tmp_path / "run")


def test_a_file_of_nobody_is_refused(tmp_path):
    category = {"id": 1, "name": "person", "keypoints": load_skeleton("coco17").keypoints}
    content = {"images": [], "annotations": [], "categories": [category]}
    (tmp_path / "nobody.json").write_text(json.dumps(content))
    changes = [f"data.root={tmp_path}", 'data.sources=[{file="nobody.json"}]']
    with pytest.raises(DataError, match=r"no people with labelled keypoints .* in nobody.json"):
        train(load_recipe("hrnet_w32_small_coco17", changes), tmp_path / "run")


def test_a_recipe_takes_the_architecture_of_a_card_and_nothing_that_was_measured():
    card = load_recipe("hrnet_w32_small_coco17").model
    assert card.input_size == (128, 160)
    assert (card.figures, card.weights, card.trained_on) == ((), None, "")


OWN_SKELETON = """
schema = 1
name = "arrow"
keypoints = ["tip", "left_wing", "right_wing"]
pairs = [["left_wing", "right_wing"]]
limbs = [["tip", "left_wing"], ["tip", "right_wing"]]
"""


def test_a_skeleton_of_one_s_own(tmp_path):
    (tmp_path / "arrow.toml").write_text(OWN_SKELETON)
    changes = [f"model.skeleton={tmp_path / 'arrow.toml'}", "model.name=arrows"]
    skeleton = load_recipe("hrnet_w32_small_coco17", changes).model.skeleton
    assert skeleton.keypoints == ("tip", "left_wing", "right_wing")
    assert skeleton.flip_order.tolist() == [0, 2, 1]
    assert skeleton.sigmas is None  # none of the card's remains

    (tmp_path / "arrow.toml").write_text(OWN_SKELETON.replace("left_wing", "wing", 1))
    with pytest.raises(ConfigError, match=r"arrow.toml.*'left_wing' is not among the keypoints"):
        load_recipe("hrnet_w32_small_coco17", changes)
    with pytest.raises(ConfigError, match=r"there is no file .*bow.toml"):
        load_recipe("hrnet_w32_small_coco17", [f"model.skeleton={tmp_path / 'bow.toml'}"])
    with pytest.raises(ConfigError, match="no skeleton 'coco16'; did you mean coco17"):
        load_recipe("hrnet_w32_small_coco17", ["model.skeleton=coco16"])


def test_the_skeleton_of_the_data_s_own_category(tmp_path):
    names = ["tip", "wing_l", "wing_r"]
    category = {"id": 3, "name": "arrow", "keypoints": names, "skeleton": [[1, 2], [1, 3]]}
    content = {"images": [], "annotations": [], "categories": [category]}
    (tmp_path / "arrows.json").write_text(json.dumps(content))
    changes = [
        "model.skeleton=data",
        f"data.root={tmp_path}",
        'data.sources=[{file="arrows.json"}]',
    ]
    skeleton = load_recipe("hrnet_w32_small_coco17", changes).model.skeleton
    assert skeleton.name == "arrow"
    assert skeleton.pairs == (("wing_l", "wing_r"),)
    assert skeleton.limbs == (("tip", "wing_l"), ("tip", "wing_r"))


def rates(steps, *changes):
    config = load_recipe("hrnet_w32_small_coco17", list(changes)).training
    return np.array([config.rate(step, steps) for step in range(steps)])


def test_the_rate_rises_and_falls_along_half_a_cosine():
    found = rates(1000, "training.warmup_steps=100")
    np.testing.assert_allclose(found[:100], np.arange(1, 101) / 100)
    assert found[550] == pytest.approx(0.5)
    assert found[-1] < 1e-5
    assert (np.diff(found[100:]) < 0).all()


def test_the_rate_falls_at_the_official_milestones():
    """A tenth from epoch 170 of 210 and a hundredth from 200 (w32_256x192_adam_lr1e-3.yaml)."""
    config = TrainingConfig(epochs=210, schedule="step", milestones=(170, 200), warmup_steps=0)
    found = np.array([config.rate(step, 2100) for step in range(2100)])  # ten steps an epoch
    np.testing.assert_allclose(found, np.repeat([1, 0.1, 0.01], [1700, 300, 100]))


def rates_by_part(config):
    """At each of ten steps {attribute of the network: rate}, by the optimiser's own groups."""
    card = find_model("hrnet_w32_small_coco17").card
    training = PoseTraining(build_model(card), card, config, 10)
    chosen = training.configure_optimizers()
    optimizer, scheduler = chosen["optimizer"], chosen["lr_scheduler"]["scheduler"]
    names = {p: name.partition(".")[0] for name, p in training.model.network.named_parameters()}
    found = []
    for _ in range(10):
        part_rates = [(names[p], g["lr"]) for g in optimizer.param_groups for p in g["params"]]
        assert len(part_rates) == len(names)  # each parameter once
        assert len(set(part_rates)) == len({name for name, _ in part_rates})
        found.append(dict(part_rates))
        optimizer.step()
        scheduler.step()
    return found, optimizer


def test_the_rate_falls_by_layer_decay_from_the_head_to_the_stem():
    config = TrainingConfig(steps=10, learning_rate=1.0, warmup_steps=2, layer_decay=0.5)
    found, _ = rates_by_part(config)
    parts = {
        "final_layer": 1,
        "stage4": 1 / 2,
        "stage3": 1 / 4,
        "transition3": 1 / 4,
        "stage2": 1 / 8,
        "transition2": 1 / 8,
        "layer1": 1 / 16,
        "transition1": 1 / 16,
        **dict.fromkeys(["conv1", "bn1", "conv2", "bn2"], 1 / 32),
    }
    assert found[0] == {part: rate / 2 for part, rate in parts.items()}
    assert found[1] == found[2] == parts
    assert found[6] == pytest.approx({part: rate / 2 for part, rate in parts.items()})


def test_of_two_layer_heads_both_layers_are_the_head():
    assert [layer_depth(name) for name in ("head.0.weight", "final_layer.bias")] == [0, 0]


def test_the_head_learns_first_and_the_rest_joins_the_schedule_where_it_is():
    """cos^2(pi / 8) at a quarter of the half cosine's way, cos^2(3 pi / 16) at three eighths."""
    config = TrainingConfig(steps=10, learning_rate=1.0, warmup_steps=2, head_first_steps=4)
    found, _ = rates_by_part(config)
    quarter, three_eighths = math.cos(math.pi / 8) ** 2, math.cos(3 * math.pi / 16) ** 2
    head = [rates["final_layer"] for rates in found[:7]]
    assert head == pytest.approx(
        [0.5, 1, 1, math.cos(math.pi / 16) ** 2, quarter, three_eighths, 0.5]
    )
    for part in found[0].keys() - {"final_layer"}:
        rest = [rates[part] for rates in found[:7]]
        assert rest == pytest.approx([0, 0, 0, 0, quarter / 2, three_eighths, 0.5])


@pytest.mark.parametrize(("decay", "groups"), [(1.0, 2), (0.5, 12)])
def test_batch_norm_and_biases_go_without_decay_in_every_group(decay, groups):
    """With one rate the groups are two: checkpoints of earlier runs have these."""
    config = TrainingConfig(steps=10, weight_decay=0.1, layer_decay=decay)
    _, optimizer = rates_by_part(config)
    assert len(optimizer.param_groups) == groups
    for group in optimizer.param_groups:
        convolutions = {parameter.ndim == 4 for parameter in group["params"]}
        assert convolutions == {group["weight_decay"] == 0.1}


def test_epochs_are_as_many_steps_as_they_take(eight_people, tmp_path):
    """8 people in batches of 4, two of them a step, 3 times."""
    changes = ["training.accumulate=2", "training.checkpoint_minutes=1e-6"]
    train(recipe(eight_people, "training.epochs=3", *changes), tmp_path / "run")
    checkpoint = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 3


def test_of_two_lengths_the_one_given_last_counts():
    config = load_recipe("hrnet_w32_small_coco17", ["training.epochs=3"]).training
    assert (config.steps, config.epochs) == (None, 3)
    config = load_recipe(
        "hrnet_w32_small_coco17", ["training.epochs=3", "training.steps=5"]
    ).training
    assert (config.steps, config.epochs) == (5, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["training.schedule=step"], "milestones belong"),
        (["training.milestones=[3]"], "milestones belong"),
        (["training.optimizer=adam"], "weight_decay is for adamw"),
        (["training.ema=1"], "ema"),
        (["training.distillation=0.5", "training.loss=mse"], 'needs loss = "cross_entropy"'),
    ],
)
def test_training_keys_that_do_not_go_together_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        load_recipe("hrnet_w32_small_coco17", changes)


def test_a_recipe_may_extend_another(tmp_path):
    (tmp_path / "long.toml").write_text(
        "schema = 1\nextends = 'hrnet_w32_small_coco17'\n[training]\nsteps = 9\nema = 0.99"
    )
    extended, base = (load_recipe(n) for n in (f"{tmp_path}/long.toml", "hrnet_w32_small_coco17"))
    assert (extended.training.steps, extended.training.ema) == (9, 0.99)
    changed = extended.training.model_copy(update={"steps": base.training.steps, "ema": None})
    assert changed == base.training
    assert extended.data == base.data
    (tmp_path / "self.toml").write_text(f"extends = '{tmp_path}/self.toml'")
    with pytest.raises(ConfigError, match="extends too many others, or itself"):
        load_recipe(f"{tmp_path}/self.toml")
    (tmp_path / "none.toml").write_text("extends = 'hrnet_w32_smal_coco17'")
    with pytest.raises(ConfigError, match="did you mean hrnet_w32_small_coco17"):
        load_recipe(f"{tmp_path}/none.toml")


def test_a_run_stops_early_with_the_best_weights(eight_people, tmp_path):
    """Two measurements no better than the first one: three in all."""
    file = eight_people[1].removeprefix("data.sources=")
    changes = [
        f"data.validation={file}",
        "training.steps=50",
        "training.validate_every=1",
        "training.early_stopping=2",
        "training.learning_rate=1e-12",
    ]
    stopped = train(recipe(eight_people, *changes), tmp_path / "run")
    best = torch.load(tmp_path / "run/checkpoints/best.ckpt", weights_only=True)
    assert best["global_step"] == 1
    name = "layer1.0.bn1.running_mean"  # which no rate keeps from moving
    found = load_file(stopped.weights)[name]
    assert torch.equal(found, best["state_dict"][f"model.network.{name}"].half())
    log = (tmp_path / "run/log/from_step_0/metrics.csv").read_text().splitlines()
    column = log[0].split(",").index("pck")
    first = next(float(v) for v in (row.split(",")[column] for row in log[1:]) if v)
    assert stopped.measured == pytest.approx(first)
    sheets = sorted(p.name for p in (tmp_path / "run/log/pictures").iterdir())
    assert sheets == ["step_1.jpg", "step_2.jpg", "step_3.jpg"]
    assert list((tmp_path / "run/log/from_step_0").glob("events.out.tfevents.*"))

    with pytest.raises(ConfigError, match="early_stopping needs people to measure on"):
        train(recipe(eight_people, "training.early_stopping=2"), tmp_path / "none")


def test_a_run_says_what_it_ran_on_and_what_it_reached(eight_people, tmp_path):
    file = eight_people[1].removeprefix("data.sources=")
    changes = [f"data.validation={file}", "training.steps=1", "training.seed=7"]
    trained = train(recipe(eight_people, *changes), tmp_path)
    assert trained.people == 8
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["seed"] == 7
    assert record["packages"]["torch"] == torch.__version__
    folder = eight_people[0].removeprefix("data.root=")
    digest = hashlib.sha256(Path(folder, "people.json").read_bytes()).hexdigest()
    assert record["data"] == {"people.json": digest}
    figures = trained.evaluations["people.json"].figures
    assert record["reached"]["people.json"]["AP"] == figures["AP"]
    assert trained.evaluations["people.json"].protocol["flip_test"] is True


def test_a_run_with_nothing_left_to_train_keeps_the_average(eight_people, tmp_path):
    changes = ["training.ema=0.5", "training.steps=2", "training.checkpoint_minutes=1e-6"]
    first = load_file(train(recipe(eight_people, *changes), tmp_path).weights)
    again = load_file(train(recipe(eight_people, *changes), tmp_path, resume=True).weights)
    assert all(torch.equal(first[name], again[name]) for name in first)
    with pytest.raises(ConfigError, match="holds a run already; go on with it"):
        train(recipe(eight_people, *changes), tmp_path)


def test_devices_that_are_not_there_are_refused(eight_people, tmp_path):
    with pytest.raises(ConfigError, match="cannot train on these devices"):
        train(recipe(eight_people, "training.steps=1"), tmp_path, device="gpu", devices=64)


ARROWS = {
    "images": [],
    "annotations": [],
    "categories": [{"id": 1, "name": "arrow", "keypoints": ["tip", "left_wing", "right_wing"]}],
}


def test_the_recipes_for_fine_tuning_take_the_points_of_the_data(tmp_path):
    (tmp_path / "arrows.json").write_text(json.dumps(ARROWS))
    data = [f"data.root={tmp_path}", 'data.sources=[{file="arrows.json"}]']
    everything, head_first = (
        load_recipe(name, data) for name in ("finetune", "finetune_head_first")
    )
    assert everything.model.skeleton.keypoints == ("tip", "left_wing", "right_wing")
    assert everything.model.output == "logits"
    assert everything.training.head_first_steps == 0
    assert 0 < head_first.training.head_first_steps < head_first.training.steps
    same = everything.training.model_dump(exclude={"head_first_steps"})
    assert head_first.training.model_dump(exclude={"head_first_steps"}) == same


@pytest.mark.parametrize("changes", [[], ["data.root=/x"], ["data.sources=[]"]])
def test_training_asks_for_data_where_a_recipe_leaves_them_to_the_user(tmp_path, changes):
    with pytest.raises(ConfigError, match="leaves it to you .* give data.sources, such as"):
        train(load_recipe("finetune", changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_bf16_is_left_to_processors_that_have_it(eight_people, tmp_path, monkeypatch, capsys):
    """Elsewhere training is in float32, and says so; run.json has what it was."""
    for has, precision in ((False, "32-true"), (True, "bf16-mixed")):
        out = tmp_path / precision
        with monkeypatch.context() as patch:
            patch.setattr(run, "multiplies_bf16", lambda has=has: has)
            train(
                recipe(eight_people, "training.steps=1", "training.precision=bf16-mixed"),
                out,
                device="cpu",
            )
        said = "this processor has no bf16 instructions, without which bf16-mixed is slower"
        assert (said in capsys.readouterr().err) == (not has)
        assert json.loads((out / "run.json").read_text())["precision"] == precision
