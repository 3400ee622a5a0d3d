"""A detector of our own: targets and decoding, canvases, labels, training, use."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import hrnet
from hrnet.cli import app
from hrnet.data.batches.canvases import CanvasDataset, padded
from hrnet.data.batches.plan import CanvasAugmentation
from hrnet.data.boxed_pictures import BoxedPictures, add_others, read_boxed_pictures
from hrnet.detection.card import read_detector_card
from hrnet.detection.find import auto_detector, find_detector
from hrnet.detection.hrnet_detector import HRNetDetector
from hrnet.detection_model import (
    UNIT,
    DetectionModel,
    DetectionNet,
    cell_centers,
    detection_targets,
)
from hrnet.errors import ConfigError, DataError, WeightsError
from hrnet.evaluation.detecting import box_figures, detect
from hrnet.images import write_image
from hrnet.skeletons import load_skeleton
from hrnet.training import run as training_run
from hrnet.training.detection import load_start
from hrnet.training.detection_losses import box_loss, center_loss, generalised_iou
from hrnet.training.recipe import load_pose_recipe, load_recipe
from hrnet.training.run import train
from hrnet.zoo.find import find_model, find_weights
from real_data import real_data

RECIPE = "hrnet_w32_small_person"
NOBODY = [np.nan] * 4
SMALL = Path(__file__).with_name("small_detector.toml")


def small_recipe(*changes):
    return load_recipe(str(SMALL), list(changes))


class Fixed(torch.nn.Module):
    """A network with a fixed output."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, images):
        return self.outputs


def perfect_outputs(boxes, size):
    """(1, 5, h, w): what a network would give that has learnt the targets exactly."""
    targets = detection_targets(torch.tensor([boxes]), torch.tensor([[NOBODY]]), size)
    places = cell_centers(*size, torch.device("cpu"))
    low, high = targets.boxes[0, ..., :2], targets.boxes[0, ..., 2:]
    distances = torch.cat([places - low, high - places], dim=-1).clamp(min=0.5)
    logits = torch.logit(targets.heatmap.clamp(1e-4, 1 - 1e-4))
    outputs = torch.cat([logits, (distances / UNIT).log().permute(2, 0, 1)])
    return outputs[None], targets


def test_targets_and_decoding_are_each_other_s_inverse():
    boxes = [[10.0, 20.0, 70.5, 180.0], [100.0, 30.0, 131.0, 47.0], [200.0, 150.0, 209.0, 163.0]]
    outputs, _ = perfect_outputs([*boxes, NOBODY], (64, 64))
    model = DetectionModel(Fixed(outputs))
    found = model(torch.zeros(1, 256, 256, 3, dtype=torch.uint8))[0]
    assert found.shape == (100, 5)
    assert (found[:3, 4] > 0.999).all()
    assert found[3, 4] < 0.6  # no peaks beside the three
    order = found[:3, 0].argsort()
    torch.testing.assert_close(found[:3][order][:, :4], torch.tensor(boxes), atol=1e-3, rtol=0)


def test_no_picture_gives_nothing():
    """As in the last batch of one of several processes."""
    network = DetectionNet(**small_recipe().model.network.model_dump()).eval()
    found = DetectionModel(network)(torch.zeros(0, 64, 64, 3, dtype=torch.uint8))
    assert found.shape == (0, 100, 5)


def test_a_person_counts_by_the_logarithm_of_the_area_and_the_smaller_one_has_the_place():
    big, small = [0.0, 0.0, 160.0, 240.0], [72.0, 112.0, 88.0, 128.0]
    targets = detection_targets(
        torch.tensor([[big, small]]), torch.tensor([[[200.0, 0.0, 240.0, 40.0], NOBODY]]), (64, 64)
    )
    assert int((targets.heatmap == 1).sum()) == 1  # both have one centre
    # The smaller one's is one cell; the larger one's are those where its Gaussian is over a half,
    # 1.18 standard deviations of 14.4 and 21.6 pixels around, but for those near the smaller one.
    assert targets.central[0, 30, 20] == 1
    ys, xs = np.indices((64, 64))
    around = ((xs - 20) * 4 / 14.4) ** 2 + ((ys - 30) * 4 / 21.6) ** 2 <= 2 * np.log(2)
    around &= (abs(xs - 20) > 1) | (abs(ys - 30) > 1)
    assert around.sum() > 50
    np.testing.assert_allclose(targets.central[0][around], 1 / around.sum(), rtol=1e-5)
    assert targets.central.sum().item() == pytest.approx(2)
    assert targets.boxes[0, 30, 20].tolist() == small
    assert targets.boxes[0, 40, 20].tolist() == big
    expected = 2 + np.log(160 * 240 / 16) + np.log(16)
    assert targets.weights.sum().item() == pytest.approx(expected, rel=1e-4)
    counted = targets.counted[0]
    assert (~counted).sum() == 100  # 10 x 10 cells
    assert [counted[0, 50], counted[0, 49], counted[10, 55]] == [False, True, True]


def test_losses():
    one = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 1.0, 1.0]])
    other = torch.tensor([[1.0, 0.0, 3.0, 2.0], [3.0, 0.0, 4.0, 1.0]])
    # Shared 2 of 6, nothing around; nothing shared, 2 of 4 around are in neither.
    torch.testing.assert_close(generalised_iou(one, other), torch.tensor([1 / 3, -0.5]))
    outputs, targets = perfect_outputs([[10.0, 20.0, 70.0, 180.0]], (64, 64))
    assert box_loss(outputs, targets) / targets.weights.sum() < 1e-3
    # Of all places nearer by 8 pixels to its edges, so that boxes are 44 x 144 of 60 x 160.
    near = torch.tensor([8.0, 8.0, 8.0, 8.0]).view(1, 4, 1, 1)
    smaller = (UNIT * outputs[:, 1:].exp() - near).clamp(min=1e-3)
    narrow = torch.cat([outputs[:, :1], (smaller / UNIT).log()], dim=1)
    loss = box_loss(narrow, targets) / targets.weights.sum()
    assert loss == pytest.approx(5 * (1 - 44 * 144 / (60 * 160)), rel=1e-3)
    # All about the centre a logit of 0, and nothing elsewhere: (q - p)^2 log(2), where p is 1/2 and
    # q how much the place's box overlaps with the person's.
    for boxes, quality in ((outputs, 1.0), (narrow, 44 * 144 / (60 * 160))):
        unsure = torch.cat([torch.full_like(outputs[:, :1], -30.0), boxes[:, 1:]], dim=1)
        unsure[:, 0][targets.central > 0] = 0
        expected = (quality - 0.5) ** 2 * np.log(2)
        assert center_loss(unsure, targets) == pytest.approx(expected, rel=1e-2)
    nothing = targets._replace(counted=torch.zeros_like(targets.counted))
    everywhere = torch.cat([torch.full_like(outputs[:, :1], 5.0), outputs[:, 1:]], dim=1)
    assert center_loss(everywhere, nothing) < 1e-3  # the centre alone counts
    assert center_loss(everywhere, targets) > 1000


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_boxes_are_where_the_people_are_painted(tmp_path, mosaic):
    """White rectangles stand for people: what is white on a canvas is what the boxes say."""
    rng = np.random.default_rng(1)
    files, boxes = [], []
    for number in range(6):
        picture = np.full((150 + 40 * number, 333, 3), 60, np.uint8)
        x1, y1 = rng.integers(0, 200), rng.integers(0, 60)
        x2, y2 = x1 + rng.integers(30, 130), y1 + rng.integers(30, 90)
        picture[y1:y2, x1:x2] = 255
        files.append(tmp_path / f"{number}.png")
        write_image(files[-1], picture)
        boxes.append(np.array([[x1, y1, x2, y2]], np.float64))
    pictures = BoxedPictures(files, boxes, [np.empty((0, 4))] * 6, {})
    augmentation = CanvasAugmentation(size=160, mosaic=mosaic, color=0, scale=(0.3, 2.0))
    dataset = CanvasDataset([pictures], augmentation, seed=3)
    batch = dataset[np.stack(np.meshgrid(range(10), range(6)), axis=-1).reshape(-1, 2)]
    seen = 0
    for canvas, own, ignored in zip(*(tensor.numpy() for tensor in batch), strict=True):
        expected = np.zeros(canvas.shape[:2], np.float32)
        for x1, y1, x2, y2 in [*own[~np.isnan(own[:, 0])], *ignored[~np.isnan(ignored[:, 0])]]:
            cells = [
                np.clip(np.arange(160) + 1, a, b) - np.clip(np.arange(160), a, b)
                for a, b in ((x1, x2), (y1, y2))
            ]
            expected = np.maximum(expected, cells[1][:, None] * cells[0][None])
            seen += 1
        white = (canvas[..., 0].astype(np.float32) - 60).clip(0) / 195
        assert abs(white - expected).max() < 0.8  # an edge is a pixel soft, and no more than one
        assert abs(white - expected).mean() < 0.01
    assert seen > 50
    again = dataset[np.array([[7, 2], [3, 1]])]
    assert (again.pictures[1] == batch.pictures[1 * 10 + 3]).all()  # whoever else is in the batch


def test_others_are_labels_where_the_detector_is_sure():
    own = np.array([[0.0, 0, 100, 100]])
    pictures = BoxedPictures([None, None], [own, own], [np.empty((0, 4))] * 2, {})
    detected = [
        np.array(
            [
                [2.0, 0, 100, 100, 0.9],  # the same person
                [40.0, 0, 140, 100, 0.9],  # perhaps the same
                [200.0, 0, 260, 90, 0.9],
                [300.0, 0, 360, 90, 0.3],
            ]
        ),
        np.empty((0, 5)),
    ]
    added, counts = add_others(pictures, detected)
    assert counts == {"people put in": 1, "regions ignored": 2}
    assert added.boxes[0].tolist() == [[0, 0, 100, 100], [200, 0, 260, 90]]
    assert added.ignored[0].tolist() == [[40, 0, 140, 100], [300, 0, 360, 90]]
    assert (len(added.boxes[1]), len(added.ignored[1])) == (1, 0)


def write_file(folder, annotations, categories=({"id": 1, "name": "person"},)):
    write_image(folder / "a.png", np.full((90, 120, 3), 90, np.uint8))
    write_image(folder / "b.png", np.full((90, 120, 3), 90, np.uint8))
    images = [
        {"id": n, "file_name": f"{name}.png", "width": 120, "height": 90}
        for n, name in ((5, "a"), (7, "b"))
    ]
    content = {"images": images, "annotations": annotations, "categories": list(categories)}
    (folder / "people.json").write_text(json.dumps(content))
    return folder / "people.json"


def test_people_without_keypoints_crowds_and_other_things_in_coco_files(tmp_path):
    of = {"image_id": 7, "category_id": 1, "iscrowd": 0}
    file = write_file(
        tmp_path,
        [
            {**of, "id": 1, "bbox": [10, 5, 30, 50], "keypoints": [0] * 51},
            {**of, "id": 2, "bbox": [100, 5, 30, 50]},  # ends beyond the picture
            {**of, "id": 3, "bbox": [0, 0, 50, 50], "iscrowd": 1},
            {**of, "id": 4, "bbox": [0, 0, 50, 50], "category_id": 2},
            {**of, "id": 5, "bbox": [0, 0, 0, 50]},
        ],
        [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}],
    )
    pictures = read_boxed_pictures(file)
    assert [f.name for f in pictures.files] == ["a.png", "b.png"]
    assert pictures.boxes[0].shape == (0, 4)
    assert pictures.boxes[1].tolist() == [[10, 5, 40, 55], [100, 5, 120, 55]]
    assert pictures.ignored[1].tolist() == [[0, 0, 50, 50]]
    assert pictures.counts()["left_out"] == {
        "marked as a crowd": 1,
        "with a box of no width or height": 1,
    }
    (tmp_path / "broken.json").write_text('{"images": [{}], "annotations": [], "categories": []}')
    with pytest.raises(DataError, match=r"broken\.json is not in COCO's format"):
        read_boxed_pictures(tmp_path / "broken.json")


def test_a_detector_starts_from_a_pose_model(tmp_path):
    card = load_recipe(RECIPE).model
    network = DetectionNet(**card.network.model_dump())
    load_start(network, "hrnet_w32_small_coco17", card)
    pose = hrnet.create_model().network.state_dict()
    shared = [name for name in network.state_dict() if name in pose and "final" not in name]
    assert len(shared) > 300
    for name in shared:
        assert torch.equal(network.state_dict()[name], pose[name])
    outputs = network.eval()(torch.zeros(1, 3, 64, 96))
    assert outputs.shape == (1, 5, 16, 24)
    assert torch.sigmoid(outputs[:, 0]).mean() < 0.05  # nobody, before it has learnt anything


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A small detector that has learnt four of COCO's pictures by heart, from file to file."""
    source = real_data("coco_more/train.json")
    content = json.loads(source.read_text())
    heights = {}
    for a in content["annotations"]:
        heights.setdefault(a["image_id"], []).append(a["bbox"][3])
    ids = [i for i, own in heights.items() if min(own) > 100 and len(own) in (1, 2, 3)][:4]
    for key, of in (("annotations", "image_id"), ("images", "id")):
        content[key] = [entry for entry in content[key] if entry[of] in ids]
    folder = tmp_path_factory.mktemp("four")
    (folder / "four.json").write_text(json.dumps(content))
    images = source.parent / "images"
    changes = [
        f"data.root={folder}",
        f'data.sources=[{{file="four.json", images="{images}"}}]',
        f'data.validation=[{{file="four.json", images="{images}"}}]',
        "augmentation.mosaic=0",
        "augmentation.scale=[0.9, 1.1]",
        "augmentation.color=0",
        "training.steps=150",
        "training.learning_rate=4e-3",
        "training.ema=0.9",
    ]
    trained = train(small_recipe(*changes), folder / "run", device="cpu")
    return trained, content, images


@pytest.mark.slow
def test_four_pictures_are_learnt_by_heart(learnt, tmp_path):
    trained, content, images = learnt
    assert trained.measure == "box AP50"
    assert trained.measured > 95
    detector = find_detector(trained.weights)
    assert isinstance(detector, HRNetDetector)
    assert detector.name == "small"
    detector.threshold = 0.15  # scores are overlaps, which are learnt later
    pictures = {p["id"]: images / p["file_name"] for p in content["images"]}
    figures = box_figures(
        content["annotations"], detect(detector, pictures), {}, detector.threshold
    )
    assert figures["recall"] == 1
    assert figures["box AP50"] > 0.95
    assert figures["box AP"] > 0.5
    assert (trained.weights.parent / "log" / "pictures" / "step_100.jpg").is_file()


@pytest.mark.slow
def test_the_command_line_takes_a_detector_s_file(learnt, tmp_path):
    trained, content, images = learnt
    picture = images / content["images"][0]["file_name"]
    people = sum(a["image_id"] == content["images"][0]["id"] for a in content["annotations"])
    arguments = [
        "predict",
        str(picture),
        "--detector",
        str(trained.weights),
        "--out",
        str(tmp_path),
    ]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    (result,) = tmp_path.glob("*.json")
    found = json.loads(result.read_text())
    assert found["box_source"] == "small"
    assert len(found["people"]) == people
    with pytest.raises(ConfigError, match="is a person detector, not a pose model"):
        find_model(trained.weights)


@pytest.fixture
def four_pictures(tmp_path):
    """As many with a bright rectangle for a person each."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(4):
        picture = np.full((120, 160, 3), 60, np.uint8)
        x, y = rng.integers(0, 60, 2).tolist()
        picture[y : y + 50, x : x + 30] = 200
        write_image(tmp_path / f"{number}.png", picture)
        images.append({"id": number, "file_name": f"{number}.png", "width": 160, "height": 120})
        annotations.append(
            {"id": number, "image_id": number, "category_id": 1, "bbox": [x, y, 30, 50]}
        )
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1}]}
    (tmp_path / "four.json").write_text(json.dumps(content))
    return [
        f"data.root={tmp_path}",
        'data.sources=[{file="four.json"}]',
        'data.validation=[{file="four.json"}]',
        "model.input_size=64",
        "augmentation.size=64",
        "training.validate_every=3",
    ]


@pytest.mark.slow
def test_the_packaged_detector_s_recipe_runs_by_one_command(four_pictures, tmp_path):
    """In all stages, from the packaged pose model's weights; others than those labelled are looked
    for, once."""
    nano = real_data("../peers/yolox_nano.onnx")
    changes = [
        *four_pictures[:1],
        f'data.sources=[{{file="four.json", others="{nano}"}}]',
        "augmentation.size=64",
        "training.steps=2",
        "training.batch_size=2",
        "training.threads=1",
        "training.precision=32-true",
        "data.workers=0",
    ]
    arguments = ["train", RECIPE, *changes, "--device", "cpu", "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, (done.output, done.exception)
    assert "by a detector: 0 people put in" in done.output
    card = read_detector_card(tmp_path / "run" / f"{RECIPE}.safetensors")
    assert (card.name, card.input_size) == (RECIPE, 320)
    records = [json.loads(f.read_text()) for f in sorted(tmp_path.glob("run/stage_*/run.json"))]
    assert [record["steps"] for record in records] == [2] * 6
    assert len(list(tmp_path.glob("run/stage_1/others/*.npz"))) == 1


@pytest.mark.slow
def test_a_detector_s_training_goes_on_where_it_was_interrupted(four_pictures, tmp_path):
    def run(name, steps, **how):
        recipe = small_recipe(*four_pictures, "training.steps=6", "training.ema=0.9")
        if steps != 6:  # interrupted; the schedule is of six
            recipe = recipe.model_copy(
                update={"training": recipe.training.model_copy(update={"checkpoint_minutes": 1e-9})}
            )
        return train(recipe, tmp_path / name, device="cpu", **how)

    whole = load_file(run("whole", 6).weights)

    class Stop(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 4:
                raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        usual = training_run._callbacks
        patch.setattr(training_run, "_callbacks", lambda *a: [*usual(*a), Stop()])
        with pytest.raises(KeyboardInterrupt):
            run("parts", 4)
    resumed = load_file(run("parts", 6, resume=True).weights)
    for name, tensor in whole.items():
        torch.testing.assert_close(resumed[name], tensor, atol=1e-3, rtol=1e-3)


@pytest.mark.slow
def test_the_mean_with_where_it_began(four_pictures, tmp_path):
    first = train(small_recipe(*four_pictures, "training.steps=1"), tmp_path / "first")

    def run(name, share):
        changes = f"training.start_from={first.weights}", f"training.start_share={share}"
        recipe = small_recipe(*four_pictures, "training.steps=3", *changes)
        return load_file(train(recipe, tmp_path / name, device="cpu").weights)

    began, learnt, mean = load_file(first.weights), run("learnt", 0), run("mean", 0.25)
    off = 0.0
    for name, tensor in mean.items():
        if tensor.is_floating_point():
            expected = 0.25 * began[name].float() + 0.75 * learnt[name].float()
            torch.testing.assert_close(tensor.float(), expected, atol=2e-3, rtol=2e-3)
            off = max(off, float((tensor.float() - learnt[name].float()).abs().max()))
    assert off > 0.02
    recipe = small_recipe(*four_pictures, "training.steps=3", "training.start_share=0.25")
    with pytest.raises(ConfigError, match="give training.start_from as well"):
        train(recipe, tmp_path / "nothing")


@pytest.mark.slow
def test_two_processes_train_a_detector_as_one_does(four_pictures, tmp_path):
    """Batches of four in one process, of two in each of two, with batch norm over both."""
    changes = [*four_pictures, "training.steps=4", "training.sync_batchnorm=true"]
    train(small_recipe(*changes), tmp_path / "one", device="cpu", devices=1)
    command = [Path(sys.executable).with_name("hrnet"), "train", SMALL, *changes]
    command += ["training.batch_size=2", "--device", "cpu", "--devices", "2"]
    subprocess.run([*command, "--out", tmp_path / "two"], check=True)
    logs = (tmp_path / run / "log" / "from_step_0" / "metrics.csv" for run in ("one", "two"))
    losses = [[row["loss"] for row in csv.DictReader(log.open()) if row["loss"]] for log in logs]
    assert len(losses[0]) == 4
    one, two = np.array(losses, np.float64)
    np.testing.assert_allclose(one[:2], two[:2], rtol=1e-4)  # of the same weights, and a step on
    np.testing.assert_allclose(one, two, rtol=1e-2)  # Adam makes much of what is next to nothing


def test_a_detector_s_file_that_is_none(tmp_path, weights_of_nothing):
    file, network = weights_of_nothing
    with pytest.raises(WeightsError, match="carries no detector's card"):
        find_detector(find_weights("hrnet_w32_small_coco17"))
    card = small_recipe().model
    tensors = dict(network.state_dict())
    missing = {k: v for k, v in tensors.items() if k != "final_layer.1.bias"}
    save_file(missing, file, metadata={"hrnet_detector": card.to_json()})
    with pytest.raises(WeightsError, match=r"final_layer\.1\.bias is missing"):
        find_detector(file)
    tensors["final_layer.1.bias"] = tensors["final_layer.1.bias"] * np.nan
    save_file(tensors, file, metadata={"hrnet_detector": card.to_json()})
    with pytest.raises(WeightsError, match="holds NaN"):
        find_detector(file)
    assert len(load_file(file)) == len(tensors)


@pytest.fixture
def weights_of_nothing(tmp_path):
    network = DetectionNet(**small_recipe().model.network.model_dump())
    return tmp_path / "x.safetensors", network


class Looking:
    """A session whose boxes a function makes of one canvas."""

    def __init__(self, function, device="cpu"):
        self.function, self.device, self.sizes = function, device, []

    def __call__(self, canvases):
        self.sizes.append(canvases.shape[:3])
        return (np.array([self.function(canvas[None]) for canvas in canvases], np.float32),)


def bright(canvas):
    """A box around each bright spot that is at least 4 pixels wide."""
    count, _, boxes, _ = cv2.connectedComponentsWithStats(
        (canvas[0, ..., 0] > 128).astype(np.uint8)
    )
    rows = [[x, y, x + w, y + h, 0.9] for x, y, w, h, _ in boxes[1:count] if min(w, h) >= 4]
    return (rows + [[0, 0, 1, 1, 0]] * 10)[:10]


def test_large_pictures_are_looked_at_from_closer():
    """People of a size that the whole picture's 128 pixels do not show are found in parts, once
    each, whether they are in one part or in several, cut by an edge of them or large."""
    picture = np.zeros((1200, 1600, 3), np.uint8)
    people = np.array(
        [
            [100, 100, 130, 140],
            [470, 300, 500, 350],  # cut by an edge of the parts
            [800, 590, 830, 640],
            [1560, 1150, 1590, 1190],
            [200, 600, 700, 1150],
        ]
    )
    for x1, y1, x2, y2 in people:
        picture[y1:y2, x1:x2] = 255
    session = Looking(bright)
    detector = HRNetDetector(small_recipe().model, session)
    (found,) = detector([picture])
    found = found[found[:, 0].argsort()]
    expected = people[people[:, 0].argsort()]
    assert len(found) == len(expected)
    np.testing.assert_allclose(found[:, :4], expected, atol=13)
    assert len(session.sizes) > 5
    large = HRNetDetector(
        small_recipe().model, nothing := Looking(lambda canvas: bright(canvas * 0))
    )
    assert large([picture])[0].shape == (0, 5)
    assert len(nothing.sizes) == 5  # the whole and four parts: there is nobody to look closer at
    small = HRNetDetector(small_recipe().model, usual := Looking(bright))
    small([picture[::3, ::3]])
    assert usual.sizes == [(1, 96, 128)]


def test_on_other_devices_pictures_of_one_size_go_together():
    session = Looking(bright, device="cuda")
    detector = HRNetDetector(small_recipe().model, session)
    pictures = [np.full((90 if i % 3 else 60, 120, 3), 0, np.uint8) for i in range(6)]
    for picture in pictures:
        picture[10:40, 20:50] = 255
    found = detector(pictures)
    assert sorted(session.sizes) == [(2, 64, 128), (4, 96, 128)]
    assert [len(own) for own in found] == [1] * 6
    np.testing.assert_allclose(found[3][0, :4], [20, 10, 50, 40], atol=1.5)


def test_any_shape_of_picture():
    """Whatever comes out is inside the picture."""
    card = small_recipe().model

    def everywhere(canvas):
        assert canvas.shape[1] % 32 == canvas.shape[2] % 32 == 0
        assert max(canvas.shape[1:3]) == 128
        height, width = canvas.shape[1:3]
        return [[-5, -5, width + 9.0, height + 9, 0.9], [0, 0, 1, 1, 0.1]]

    detector = HRNetDetector(card, Looking(everywhere))
    for height, width in ((1, 1), (40, 30), (600, 20), (20, 600), (333, 500)):
        (found,) = detector([np.zeros((height, width, 3), np.uint8)])
        expected = [[0, 0, width - 1, height - 1, 0.9]] if min(height, width) > 1 else []
        np.testing.assert_allclose(found, np.reshape(expected, (-1, 5)), atol=1e-6)


def test_recipes_for_detectors(tmp_path):
    with pytest.raises(ConfigError, match="is for a detector; name one for a pose model"):
        load_pose_recipe(RECIPE)
    for change, message in (
        ("task=faces", "task is 'faces'; it must be 'pose' or 'detection'"),
        ("training.loss=mse", r"there is no key .training\.loss"),
        ("augmentation.rotation=3", r"there is no key .augmentation\.rotation"),
        ("model.input_size=100", r"input_size"),
        ("augmentation.scale=[2.0, 1.0]", "scale"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_recipe(RECIPE, [change])
    nothing = small_recipe("data.sources=[]")
    with pytest.raises(ConfigError, match=r"give data\.sources"):
        train(nothing, tmp_path / "run")
    file = write_file(tmp_path, [])
    empty = small_recipe(f'data.sources=[{{file="{file}"}}]')
    with pytest.raises(DataError, match="no people with boxes to train on"):
        train(empty, tmp_path / "run")


def test_padding_of_boxes():
    assert padded([]).shape == (0, 1, 4)
    array = padded([np.ones((2, 4)), np.empty((0, 4))])
    assert array.shape == (2, 2, 4)
    assert np.isnan(array).any(axis=(1, 2)).tolist() == [False, True]


def test_what_auto_is(monkeypatch):
    monkeypatch.delenv("HRNET_DETECTOR", raising=False)
    assert auto_detector(load_skeleton("coco17")) == RECIPE
    assert auto_detector(load_skeleton("coco_wholebody133")) == RECIPE
    for name in ("hand21", "ap10k17", "animalkingdom23", "face_wflw98"):
        assert auto_detector(load_skeleton(name)) == "whole"
    monkeypatch.setenv("HRNET_DETECTOR", "yolox_m")
    assert auto_detector(load_skeleton("coco17")) == "yolox_m"
    assert auto_detector(load_skeleton("hand21")) == "whole"
