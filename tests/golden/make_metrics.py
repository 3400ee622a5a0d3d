"""Golden figures of the original programs' metrics.

    python tests/golden/make_metrics.py FOLDER DATA

FOLDER holds `official`, `mmpose1`, `mmcv2`, see make_checkpoints.py, and in `xtcocotools` what
`pip install --no-deps --target` makes of xtcocotools==1.14.3, which needs matplotlib. DATA is the
folder of MMPose's test data: `coco/test_coco.json`, `coco/test_coco_wholebody.json`,
`crowdpose/test_crowdpose.json`, `mpii/test_mpii.json`, `onehand10k/test_onehand10k.json` and
`wflw/test_wflw.json`. It also needs pycocotools and scipy.

People and predictions come from predictions.py. metrics.json gets, by program and setting, the
figures under our names for them, and of OKS metrics also `poses`, how many are left by suppression.

MPII's gt_valid.mat is not to be had freely; the script writes one in its form, with head boxes by
rule.

Nothing of theirs is copied: their functions are called.
"""

import importlib
import json
import sys
import tempfile
import types
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from checkouts import bare_packages, stand_in
from make_codec import load
from predictions import (
    WHOLEBODY_KEYS,
    Predictions,
    copies,
    detections,
    mpii,
    people,
    pixels,
)

from hrnet.skeletons import load_skeleton

FILE = Path(__file__).with_name("metrics.json")
COCO = ("AP", "AP50", "AP75", "AP(M)", "AP(L)", "AR", "AR50", "AR75", "AR(M)", "AR(L)")
CROWD = ("AP", "AP50", "AP75", "AR", "AR50", "AR75", "AP(E)", "AP(M)", "AP(H)")
PARTS = ("body", "foot", "face", "left hand", "right hand", "whole")
MPII = ("Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "PCKh@0.5", "PCKh@0.1")
MPII_NAMES = (
    "rank", "rkne", "rhip", "lhip", "lkne", "lank", "pelv", "thor",
    "neck", "head", "rwri", "relb", "rsho", "lsho", "lelb", "lwri",
)  # fmt: skip
INPUT = (192, 256)


def prepare_official(folder: Path) -> tuple[types.ModuleType, types.ModuleType]:
    """Its `dataset.coco` and `dataset.mpii`."""
    sys.modules["json_tricks"] = json
    for name in ("cpu_nms", "gpu_nms"):  # compiled, of boxes, and not called
        module = types.ModuleType(f"nms.{name}")
        setattr(module, name, None)
        sys.modules[module.__name__] = module
    np.float = float
    return tuple(load(folder / "official", "dataset.coco", "dataset.mpii"))


def official_dataset(module: types.ModuleType, file: Path) -> object:
    from pycocotools import coco

    dataset = object.__new__(module.COCODataset)
    settings = {
        "coco": coco.COCO(file),
        "num_joints": 17,
        "aspect_ratio": INPUT[0] / INPUT[1],
        "pixel_std": 200,
        "classes": ["__background__", "person"],
        "_class_to_coco_ind": {"person": 1},
        "in_vis_thre": 0.2,
        "soft_nms": False,
        "image_set": "val",
    }
    for name, value in settings.items():
        setattr(dataset, name, value)
    return dataset


def regions(dataset: object, found: Predictions) -> np.ndarray:
    """(D, 4) centre and scale by the official rule."""
    boxes = found.boxes.astype(np.float64)
    rows = [dataset._xywh2cs(x1, y1, x2 - x1, y2 - y1) for x1, y1, x2, y2 in boxes]
    return np.array([np.concatenate(row) for row in rows])


def official_coco(dataset: object, found: Predictions, threshold: float) -> dict[str, float]:
    """`COCODataset.evaluate`."""
    dataset.oks_thre = threshold
    table = np.zeros((len(found.boxes), 6))
    table[:, :4] = regions(dataset, found)
    table[:, 4] = np.prod(table[:, 2:4] * 200, 1)
    table[:, 5] = found.box_scores
    files = [f"{image:012d}.jpg" for image in found.image_ids]
    with tempfile.TemporaryDirectory() as out:
        config = SimpleNamespace(RANK=0)
        figures, _ = dataset.evaluate(config, found.keypoints, out, table, files)
        (written,) = Path(out, "results").glob("*.json")
        poses = len(json.loads(written.read_text()))
    return named(COCO, figures.values()) | {"poses": poses}


def official_mpii(module: types.ModuleType, truth: tuple) -> dict[str, float]:
    """`MPIIDataset.evaluate`."""
    from scipy.io import savemat

    true, predicted, heads = truth
    names = np.empty((1, 16), dtype=object)
    names[0] = MPII_NAMES
    with tempfile.TemporaryDirectory() as root:
        Path(root, "annot").mkdir()
        content = {
            "dataset_joints": names,
            "jnt_missing": 1 - true[..., 2].T,
            "pos_gt_src": true[..., :2].transpose(1, 2, 0),
            "headboxes_src": heads.transpose(1, 2, 0),
        }
        savemat(Path(root, "annot", "gt_valid.mat"), content)
        config = SimpleNamespace(DATASET=SimpleNamespace(TEST_SET="valid", ROOT=root))
        figures, _ = module.MPIIDataset.evaluate(None, config, predicted - 1, None)
    return named(MPII, figures.values())


def prepare_mmpose(folder: Path) -> tuple[types.ModuleType, ...]:
    """Its modules of COCO's, COCO-WholeBody's and the other metrics."""
    sys.path[:0] = [str(folder / name) for name in ("mmcv2", "mmpose1", "xtcocotools")]
    masks = types.ModuleType("xtcocotools._mask")  # compiled, of segmentation, and not called
    names = ("iou", "merge", "frPyObjects", "encode", "decode", "area", "toBbox")
    masks.__dict__.update(dict.fromkeys(names))
    sys.modules[masks.__name__] = masks
    stand_in("munkres", "torchvision")
    bare_packages(
        folder / "mmpose1",
        *(f"mmpose.{name}" for name in ("codecs", "evaluation")),
        *(f"mmpose.evaluation.{name}" for name in ("functional", "metrics")),
    )
    functional = sys.modules["mmpose.evaluation.functional"]
    for name in ("keypoint_eval", "nms", "transforms"):
        module = importlib.import_module(f"mmpose.evaluation.functional.{name}")
        functional.__dict__.update({k: v for k, v in vars(module).items() if k[:2] != "__"})
    names = ("coco_metric", "coco_wholebody_metric", "keypoint_2d_metrics")
    return tuple(importlib.import_module(f"mmpose.evaluation.metrics.{name}") for name in names)


def mmpose_coco(
    metric: object, skeleton: str, found: Predictions, scales: np.ndarray | None = None
) -> dict[str, float]:
    """`CocoMetric`: as its top-down models call it if there are `scales`, the sizes of the regions,
    else as those do that take no boxes."""
    sigmas = np.array(load_skeleton(skeleton).sigmas)
    metric.dataset_meta = {"num_keypoints": len(sigmas), "sigmas": sigmas}
    for i, image in enumerate(found.image_ids):
        boxes = found.boxes[i : i + 1]
        sample = {
            "id": i,
            "img_id": image,
            "pred_instances": {
                "keypoints": found.keypoints[i : i + 1, :, :2],
                "keypoint_scores": found.keypoints[i : i + 1, :, 2],
            },
            "gt_instances": {"bboxes": boxes, "bbox_scores": found.box_scores[i : i + 1]},
        }
        if scales is not None:
            sample["pred_instances"]["bboxes"] = boxes
            sample["gt_instances"]["bbox_scales"] = scales[i : i + 1]
        metric.process([], [sample])
    with tempfile.TemporaryDirectory() as out:
        metric.outfile_prefix = f"{out}/results"
        figures = metric.compute_metrics(metric.results)
        poses = len(json.loads(Path(out, "results.keypoints.json").read_text()))
    names = CROWD if metric.iou_type == "keypoints_crowd" else COCO
    return named(names, figures.values()) | {"poses": poses}


def mmpose_wholebody(
    module: types.ModuleType, file: Path, found: Predictions, scales: np.ndarray
) -> dict[str, float]:
    """`CocoWholeBodyMetric`, which prints the figures of all parts and returns those of the last:
    they are taken where it makes its evaluators."""
    evaluators = []
    kind = module.COCOeval

    def spy(*args: object, **kwargs: object) -> object:
        evaluators.append(kind(*args, **kwargs))
        return evaluators[-1]

    module.COCOeval = spy
    metric = module.CocoWholeBodyMetric(str(file))
    poses = mmpose_coco(metric, "coco_wholebody133", found, scales)["poses"]
    figures = {"poses": poses}
    for part, evaluator in zip(PARTS, evaluators, strict=True):
        figures |= named([f"{part} {name}" for name in COCO], evaluator.stats)
    return figures


def mmpose_joints(metric: object, true: np.ndarray, predicted: np.ndarray, **truth: object) -> dict:
    """One of the metrics that go by joints; `truth` are arrays of what else is known of people."""
    samples = [
        {
            "pred_instances": {"keypoints": predicted[i : i + 1, :, :2]},
            "gt_instances": {
                "keypoints": true[i : i + 1, :, :2],
                "keypoints_visible": true[i : i + 1, :, 2],
                **{name: array[i : i + 1] for name, array in truth.items()},
            },
        }
        for i in range(len(true))
    ]
    metric.process([], samples)
    return {name: float(value) for name, value in metric.compute_metrics(metric.results).items()}


def named(names: object, values: object) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def main(folder: Path, data: Path) -> None:
    coco_module, mpii_module = prepare_official(folder)
    coco_metric, wholebody_metric, joint_metrics = prepare_mmpose(folder)

    def content(name: str) -> object:
        return json.loads((data / name).read_text())

    golden = {}
    with tempfile.TemporaryDirectory() as out:

        def written(name: str) -> tuple[Path, dict]:
            rows = copies(content(name))
            file = Path(out, Path(name).name)
            file.write_text(json.dumps(rows))
            return file, rows

        file, rows = written("coco/test_coco.json")
        found = detections("coco", *people(rows), np.array(load_skeleton("coco17").sigmas))
        dataset = official_dataset(coco_module, file)
        scales = regions(dataset, found)[:, 2:] * 200
        golden["coco official region"] = official_coco(dataset, found, 0.9)
        golden["coco official none"] = official_coco(dataset, found, 1.0)
        make = coco_metric.CocoMetric
        golden["coco mmpose region"] = mmpose_coco(make(str(file)), "coco17", found, scales)
        golden["coco mmpose extent"] = mmpose_coco(make(str(file)), "coco17", found)

        file, rows = written("crowdpose/test_crowdpose.json")
        sigmas = np.array(load_skeleton("crowdpose14").sigmas)
        found = detections("crowdpose", *people(rows), sigmas)
        metric = make(str(file), use_area=False, iou_type="keypoints_crowd")
        scales = regions(dataset, found)[:, 2:] * 200
        golden["crowdpose mmpose region"] = mmpose_coco(metric, "crowdpose14", found, scales)

        file, rows = written("coco/test_coco_wholebody.json")
        sigmas = np.array(load_skeleton("coco_wholebody133").sigmas)
        found = detections("wholebody", *people(rows, WHOLEBODY_KEYS), sigmas)
        scales = regions(dataset, found)[:, 2:] * 200
        golden["wholebody mmpose region"] = mmpose_wholebody(wholebody_metric, file, found, scales)

    truth = mpii(content("mpii/test_mpii.json"))
    golden["mpii official"] = official_mpii(mpii_module, truth)
    true, predicted, heads = truth
    sizes = 0.6 * np.linalg.norm(heads[:, 1] - heads[:, 0], axis=1)
    figures = mmpose_joints(
        joint_metrics.MpiiPCKAccuracy(), true, predicted - 1, head_size=sizes[:, None, None]
    )
    golden["mpii mmpose"] = named(MPII, figures.values())
    golden["mpii mmpose PCKh"] = mmpose_joints(
        joint_metrics.PCKAccuracy(0.5, "head"), true, predicted, head_size=sizes[:, None, None]
    )

    true, predicted, boxes = pixels("hands", content("onehand10k/test_onehand10k.json"), 21)
    for metric in (
        joint_metrics.PCKAccuracy(0.05),
        joint_metrics.AUC(),
        joint_metrics.EPE(),
    ):
        figures = mmpose_joints(metric, true, predicted, bboxes=boxes)
        golden["hands mmpose"] = golden.get("hands mmpose", {}) | figures

    true, predicted, boxes = pixels("faces", content("wflw/test_wflw.json"), 98)
    metric = joint_metrics.NME("keypoint_distance")
    metric.dataset_meta = {"dataset_name": "wflw"}
    golden["wflw mmpose"] = mmpose_joints(metric, true, predicted)
    sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    metric = joint_metrics.NME("use_norm_item", "box_size")
    golden["wflw mmpose by box"] = mmpose_joints(metric, true, predicted, box_size=sides)
    golden["normalisers of NME"] = joint_metrics.NME.DEFAULT_KEYPOINT_INDICES

    FILE.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
