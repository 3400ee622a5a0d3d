"""Golden points of the original programs' whole path: box, crop, network, flip test, decoding, way
back into the picture, rescoring.

    python tests/golden/make_whole_path.py FOLDER DATA

FOLDER holds `official`, `mmpose1` and `mmcv2`, see make_checkpoints.py; DATA is the file
test_coco.json of MMPose's test data, with its pictures beside it. OpenCV 4 and 5 crop a little
differently: run it with one of each (4.12.0 and 5.0.0 here), and whole_path.npz beside this file
gets the values of both.

Paths: "plain" is the official repository's; "dark" and "udp" are mmpose's with the test settings
of its td-hm_hrnet-w32_{dark,udp}-8xb64-210e_coco-256x192.py. All run the same small network, whose
weights are made by rule. The official and mmpose's full networks give what ours give by
make_network.py and make_checkpoints.py.

For OpenCV's major version V and each PATH:

    boxes                  (P, 4) x1, y1, x2, y2 after the official cleaning; the same for all
    box_scores             (P,)
    PATH_regions           (P, 2, 2) centre and size of the region, padding included
    PATH_matrices          (P, 2, 3) from picture to crop
    V_PATH_crops           (P, 3, 3) of each crop's channel, RGB: mean, and mean of value times x
                           and times y; no picture itself may be published
    V_PATH_points          (P, K, 3) x, y in the picture, score
    V_PATH_pose_scores     (P,) after the official rescoring

Nothing of theirs is copied: their functions are called.
"""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import torch
from checkouts import bare_packages, stand_in
from make_codec import load
from make_network import official_network
from rule import fill, numbers

FILE = Path(__file__).with_name("whole_path.npz")
INPUT, CELLS = (192, 256), (48, 64)
PATHS = ("plain", "dark", "udp")

# Annotations: a whole person; two of a picture, nearly square; a tiny one; and four that touch or
# come close to the bottom, the right, the right and bottom (and wider than high), and the left.
PEOPLE = (442619, 198196, 230195, 508900, 1717641, 531914, 533949, 543117)

NETWORK = {"base_channel": 16, "num_modules": (1, 1, 1), "num_blocks": 1}
# Rows of the last layer, of 2,000 by rule: those whose heatmaps on these pictures, mirrored ones of
# the paired joint included, have a peak inside that stays (to 0.006 pixel of the picture) when the
# crops are cut by mmpose's matrices, which are rounded to single precision. That changes some tens
# of a crop's 147,456 values by one, and a random network's flat peaks move by it; a trained
# network's do not. The factor puts the peaks on both sides of the 0.2 from which joints count in a
# pose's score.
ROWS = (
    1793, 573, 581, 671, 446, 1295, 1706, 1733, 1000, 801, 1935, 119, 1514, 1513, 1414, 118, 772
)  # fmt: skip
FACTOR = 1 / 12


def set_weights(network: torch.nn.Module) -> None:
    """By rule; names are those of the official pose network."""
    fill(network)
    channels = NETWORK["base_channel"]
    rows = [numbers(f"final_layer.weight {row}", (channels, 1, 1)) * FACTOR for row in ROWS]
    with torch.no_grad():
        network.final_layer.weight.copy_(torch.from_numpy(np.stack(rows)))
        network.final_layer.bias.zero_()


def moments(crop: np.ndarray) -> np.ndarray:
    """(3, 3) of a crop (H, W, 3): each channel's mean, and mean of value times x and times y."""
    height, width = crop.shape[:2]
    y, x = np.mgrid[:height, :width]
    weights = np.stack([np.ones_like(x), x, y])
    return np.einsum("whc,nwh->cn", crop, weights) / (height * width)


def official_path(folder: Path, coco: object, pictures: Path) -> dict[str, np.ndarray]:
    stand_in("json_tricks", "nms")
    dataset, inference, transforms = load(
        folder / "official", "dataset.coco", "core.inference", "utils.transforms"
    )
    dataset.np.float = float
    network = official_network(
        folder / "official" / "lib",
        NETWORK["base_channel"],
        len(ROWS),
        NETWORK["num_modules"],
        NETWORK["num_blocks"],
    )
    set_weights(network)
    flip_pairs = [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10], [11, 12], [13, 14], [15, 16]]
    settings = SimpleNamespace(
        coco=coco,
        num_joints=17,
        aspect_ratio=INPUT[0] / INPUT[1],
        pixel_std=200,
        _coco_ind_to_class_ind={1: 1},
        image_path_from_index=str,
        in_vis_thre=0.2,
        oks_thre=0.9,
        soft_nms=False,
        image_set="test",
    )
    kind = dataset.COCODataset
    settings._xywh2cs = lambda *box: kind._xywh2cs(settings, *box)
    settings._box2cs = lambda box: kind._box2cs(settings, box)
    for image in {coco.anns[person]["image_id"] for person in PEOPLE}:
        kind._load_coco_keypoint_annotation_kernal(settings, image)  # it cleans the boxes

    boxes, centers, scales, matrices, crops = [], [], [], [], []
    for person in PEOPLE:
        box = coco.anns[person]["clean_bbox"]
        center, scale = settings._box2cs(box)
        matrix = transforms.get_affine_transform(center, scale, 0, INPUT)
        picture = read(pictures, coco, person)[..., ::-1].copy()
        # The line in JointsDataset.__getitem__, which is not to be had apart from the rest.
        crops.append(cv2.warpAffine(picture, matrix, INPUT, flags=cv2.INTER_LINEAR))
        boxes.append([box[0], box[1], box[0] + box[2], box[1] + box[3]])
        centers.append(center)
        scales.append(scale)
        matrices.append(matrix)

    config = SimpleNamespace(TEST=SimpleNamespace(POST_PROCESS=True))
    # torchvision's ToTensor and Normalize with the numbers in tools/test.py
    mean, deviation = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])

    def predict(crops: np.ndarray) -> np.ndarray:
        inputs = (crops.astype(np.float32) / 255 - mean) / deviation
        inputs = torch.from_numpy(inputs.transpose(0, 3, 1, 2).copy())
        with torch.inference_mode():
            heatmaps = network(inputs)
            flipped = transforms.flip_back(network(inputs.flip(3)).numpy(), flip_pairs)
        flipped = torch.from_numpy(flipped.copy())
        flipped[:, :, :, 1:] = flipped.clone()[:, :, :, 0:-1]  # as in core/function.py
        heatmaps = ((heatmaps + flipped) * 0.5).numpy()
        points, scores = inference.get_final_preds(config, heatmaps, centers, scales)
        return np.concatenate([points, scores], axis=2)

    points = predict(np.stack(crops))
    scores = box_scores()
    rescored = rescore(dataset, settings, points, scores)
    return {
        "boxes": np.array(boxes),
        "box_scores": scores,
        "plain_regions": np.stack([np.stack(centers), np.stack(scales) * 200], axis=1),
        "plain_matrices": np.stack(matrices),
        "V_plain_crops": np.stack([moments(crop) for crop in crops]),
        "V_plain_points": points,
        "V_plain_pose_scores": rescored,
        "rescore": lambda other: rescore(dataset, settings, other, scores),
    }


def box_scores() -> np.ndarray:
    return np.linspace(0.3, 1, len(PEOPLE))


def rescore(
    dataset: object, settings: SimpleNamespace, points: np.ndarray, scores: np.ndarray
) -> np.ndarray:
    """What `COCODataset.evaluate` makes of the scores; nobody is suppressed."""
    written = []
    settings._write_coco_keypoint_results = lambda people, _: written.extend(people)
    dataset.oks_nms = lambda people, _: list(range(len(people)))
    dataset.os.makedirs = lambda _: None
    table = np.zeros((len(points), 6))
    table[:, 5] = scores
    files = [f"{person:012d}.jpg" for person in range(len(points))]
    config = SimpleNamespace(RANK=0)
    dataset.COCODataset.evaluate(settings, config, points, "nowhere", table, files)
    return np.array([people[0]["score"] for people in written])


def mmpose_path(folder: Path, path: str, boxes: np.ndarray, picture: Callable) -> dict:
    from mmengine import Config
    from mmengine.registry import init_default_scope
    from mmpose.registry import MODELS, TRANSFORMS

    init_default_scope("mmpose")
    name = f"td-hm_hrnet-w32_{path}-8xb64-210e_coco-256x192.py"
    config = Config.fromfile(
        folder / "mmpose1" / "configs/body_2d_keypoint/topdown_heatmap/coco" / name
    )
    model = config.model
    model.backbone.init_cfg = None
    for branches, modules in zip((2, 3, 4), NETWORK["num_modules"], strict=True):
        stage = model.backbone.extra[f"stage{branches}"]
        stage.num_modules = modules
        stage.num_blocks = (NETWORK["num_blocks"],) * branches
        stage.num_channels = tuple(NETWORK["base_channel"] * 2**b for b in range(branches))
    model.head.in_channels = NETWORK["base_channel"]
    estimator = MODELS.build(model).eval()

    plain = official_network(
        folder / "official" / "lib",
        NETWORK["base_channel"],
        len(ROWS),
        NETWORK["num_modules"],
        NETWORK["num_blocks"],
    )
    set_weights(plain)
    estimator.load_state_dict(
        {
            ("head." if key.startswith("final_layer") else "backbone.") + key: value
            for key, value in plain.state_dict().items()
        }
    )

    steps = [TRANSFORMS.build(step) for step in config.val_pipeline if step.type != "LoadImage"]
    samples, matrices, crops = [], [], []
    warp = cv2.warpAffine

    def spy(image: np.ndarray, matrix: np.ndarray, *args: object, **kwargs: object) -> np.ndarray:
        matrices.append(matrix)
        crops.append(warp(image, matrix, *args, **kwargs))
        return crops[-1]

    cv2.warpAffine = spy
    for person, box in zip(PEOPLE, boxes, strict=True):
        sample = {
            "img": picture(person),
            "bbox": box[None].astype(np.float32),
            "bbox_score": np.ones(1, np.float32),
            "flip_indices": [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15],
        }
        for step in steps:
            sample = step(sample)
        samples.append(sample)
    cv2.warpAffine = warp

    def predict(crops: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            results = estimator.test_step(
                {
                    "inputs": [torch.from_numpy(crop.transpose(2, 0, 1).copy()) for crop in crops],
                    "data_samples": [sample["data_samples"].clone() for sample in samples],
                }
            )
        found = [result.pred_instances for result in results]
        return np.stack([np.c_[f.keypoints[0], f.keypoint_scores[0]] for f in found])

    regions = [(d.input_center, d.input_scale) for d in (s["data_samples"] for s in samples)]
    return {
        f"{path}_regions": np.array(regions, dtype=np.float64),
        f"{path}_matrices": np.stack(matrices).astype(np.float64),
        f"V_{path}_crops": np.stack([moments(crop[..., ::-1]) for crop in crops]),
        f"V_{path}_points": predict(np.stack(crops)),
    }


def read(pictures: Path, coco: object, person: int) -> np.ndarray:
    name = coco.imgs[coco.anns[person]["image_id"]]["file_name"]
    return cv2.imread(str(pictures / name), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)


def prepare_mmpose(folder: Path) -> None:
    sys.path[:0] = [str(folder / "mmcv2"), str(folder / "mmpose1")]
    stand_in("xtcocotools", "munkres", "torchvision")
    bare_packages(
        folder / "mmpose1",
        *(f"mmpose.{name}" for name in ("models", "datasets", "evaluation")),
        *(f"mmpose.models.{name}" for name in ("backbones", "heads", "pose_estimators")),
        "mmpose.models.heads.heatmap_heads",
        "mmpose.datasets.transforms",
        "mmpose.evaluation.functional",
    )
    sys.modules["mmpose.evaluation.functional"].pose_pck_accuracy = None  # for training only
    for module in (
        "codecs",
        "models.backbones.hrnet",
        "models.data_preprocessors",
        "models.heads.heatmap_heads.heatmap_head",
        "models.losses",
        "models.pose_estimators.topdown",
        "datasets.transforms.common_transforms",
        "datasets.transforms.formatting",
        "datasets.transforms.topdown_transforms",
    ):
        importlib.import_module(f"mmpose.{module}")


def main(folder: Path, data: Path) -> None:
    from pycocotools.coco import COCO

    torch.set_num_threads(1)
    coco = COCO(data)
    golden = official_path(folder, coco, data.parent)
    rescore_like_official = golden.pop("rescore")
    prepare_mmpose(folder)
    for path in ("dark", "udp"):
        golden |= mmpose_path(
            folder, path, golden["boxes"], lambda person: read(data.parent, coco, person)
        )
        points = golden[f"V_{path}_points"]
        golden[f"V_{path}_pose_scores"] = rescore_like_official(points)
    major = f"opencv{cv2.__version__.split('.')[0]}"
    whole = dict(np.load(FILE)) if FILE.exists() else {}
    whole |= {key.replace("V_", f"{major}_"): value for key, value in golden.items()}
    np.savez_compressed(FILE, **whole)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
