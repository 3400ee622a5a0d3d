"""Golden values of the official crops, targets and decoders.

    python tests/golden/make_codec.py OFFICIAL DARKPOSE MMPOSE

The arguments are checkouts of

- github.com/leoxiaobin/deep-high-resolution-net.pytorch, 6f69e4676ad8d43d0d61b64b1b9726f0c369e7b1
- github.com/ilovepose/DarkPose, 0185b427f34a08d93ea7e948ccc3e7fdc78d88c5
- github.com/open-mmlab/mmpose, 759b39c13fea6ba094afc1fa932f51dc1b11cbf9

Writes codec.npz beside this file. Nothing of theirs is copied: their functions are called.
"""

import importlib
import sys
import types
from pathlib import Path
from types import SimpleNamespace

import numpy as np

INPUT = (72, 96)  # width, height
CELLS = (18, 24)
SIGMA = 2


def inputs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (8, 6, 2) in crop pixels, some outside; heatmaps (8, 6, 24, 18); labelled (8, 6)."""
    rng = np.random.default_rng(0)
    points = rng.uniform([-30, -30], [INPUT[0] + 30, INPUT[1] + 30], (8, 6, 2))
    points[0] = [[0, 0], [71, 95], [-26, 40], [-25.9, 40], [98, 40], [36.5, 47.25]]
    points[1] = [[2, 2], [1.9, 2.1], [6, 90], [70, 3], [97.9, 97.9], [36, 122]]
    labelled = rng.random((8, 6)) < 0.9

    y, x = np.mgrid[: CELLS[1], : CELLS[0]]
    centers = rng.uniform([-1, -1], CELLS, (8, 6, 2))
    centers[0] = [[0, 0], [17, 23], [1, 12], [2, 12], [16, 22], [15, 21]]
    centers[1] = [[9, 0], [9, 1], [9, 2], [9, 23], [9, 22], [9, 21]]
    squared = (x - centers[..., :1, None]) ** 2 + (y - centers[..., 1:, None]) ** 2
    heatmaps = rng.uniform(0.2, 1.1, (8, 6, 1, 1)) * np.exp(-squared / (2 * SIGMA**2))
    heatmaps += rng.normal(0, 0.02, heatmaps.shape)
    # A second peak, wider than the first: its blur is the larger of the two.
    heatmaps[2] += 0.8 * np.exp(-((x - 4) ** 2 + (y - 18) ** 2) / (2 * 3**2))
    heatmaps[3, :3] = np.maximum(heatmaps[3, :3], 0)
    heatmaps[3, 3] = -np.abs(heatmaps[3, 3]) - 0.01  # nothing positive
    heatmaps[3, 4] = 0
    heatmaps[3, 4, 12, 9] = 1  # one cell alone: the logarithm's floor is at work
    heatmaps[3, 5] = np.round(heatmaps[3, 5], 1)  # ties: the first maximum counts
    return points, heatmaps.astype(np.float32), labelled


def load(root: Path, *names: str) -> list[types.ModuleType]:
    """Modules of a checkout's `lib`, apart from those of another checkout with the same names."""
    for name in [n for n in sys.modules if n.split(".")[0] in ("utils", "core", "dataset")]:
        del sys.modules[name]
    sys.path.insert(0, str(root / "lib"))
    # dataset/__init__ imports pycocotools' evaluators and more; the one file is enough.
    package = types.ModuleType("dataset")
    package.__path__ = [str(root / "lib" / "dataset")]
    sys.modules["dataset"] = package
    modules = [importlib.import_module(name) for name in names]
    sys.path.pop(0)
    return modules


def load_mmpose(root: Path) -> tuple[types.ModuleType, types.ModuleType]:
    """Its `codecs/utils` without mmengine and mmcv."""
    package = types.ModuleType("mmutils")
    package.__path__ = [str(root / "mmpose" / "codecs" / "utils")]
    sys.modules["mmutils"] = package
    return (
        importlib.import_module("mmutils.gaussian_heatmap"),
        importlib.import_module("mmutils.refinement"),
    )


def main(official: Path, darkpose: Path, mmpose: Path) -> None:
    points, heatmaps, labelled = inputs()
    golden = {"points": points, "heatmaps": heatmaps, "labelled": labelled}
    settings = SimpleNamespace(
        num_joints=6,
        target_type="gaussian",
        sigma=SIGMA,
        image_size=np.array(INPUT),
        heatmap_size=np.array(CELLS),
        use_different_joints_weight=False,
    )
    config = SimpleNamespace(TEST=SimpleNamespace(POST_PROCESS=True, BLUR_KERNEL=11))
    # A box as large as the heatmap around its middle: the official way back is then the identity.
    middle, whole = np.array(CELLS) / 2, np.array(CELLS) / 200

    # plain: official targets and decoder; crops
    dataset, inference, transforms = load(
        official, "dataset.JointsDataset", "core.inference", "utils.transforms"
    )
    visible = np.repeat(labelled[..., None].astype(np.float32), 3, axis=2)
    targets = [
        dataset.JointsDataset.generate_target(settings, np.c_[p, np.zeros(6)], v)
        for p, v in zip(points, visible, strict=True)
    ]
    golden["plain_targets"], golden["plain_weights"] = _stack(targets)
    decoded, scores = inference.get_final_preds(config, heatmaps.copy(), [middle] * 8, [whole] * 8)
    golden["plain_decoded"] = np.concatenate([decoded, scores], axis=2)

    rng = np.random.default_rng(1)
    boxes = rng.uniform(0, 300, (6, 2))
    boxes = np.concatenate([boxes, boxes + rng.uniform(5, 300, (6, 2))], axis=1)
    rotation = np.array([0, 0, 30, -45, 80, 10.0])
    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    aspect = INPUT[0] / INPUT[1]
    scale = np.stack([np.maximum(width, height * aspect), np.maximum(height, width / aspect)], 1)
    golden["boxes"], golden["rotation"] = boxes, rotation
    golden["matrices"] = np.stack(
        [
            transforms.get_affine_transform(
                c.astype(np.float32), (s * 1.25 / 200).astype(np.float32), r, INPUT
            )
            for c, s, r in zip(center, scale, rotation, strict=True)
        ]
    )

    # dark: DarkPose's targets take points in cells; its crops measure between cells' centres
    dataset, inference = load(darkpose, "dataset.JointsDataset", "core.inference")
    settings.adjust_target_weight = types.MethodType(
        dataset.JointsDataset.adjust_target_weight, settings
    )
    targets = [
        dataset.JointsDataset.generate_target(settings, np.c_[p / 4, np.zeros(6)], v)
        for p, v in zip(points, visible, strict=True)
    ]
    golden["dark_targets"], golden["dark_weights"] = _stack(targets)
    decoded, scores = inference.get_final_preds(
        config, heatmaps.copy(), [middle - 0.5] * 8, [whole] * 8
    )
    golden["dark_decoded"] = np.concatenate([decoded, scores], axis=2)

    # udp: mmpose
    gaussian, refinement = load_mmpose(mmpose)
    cell = (np.array(INPUT) - 1) / (np.array(CELLS) - 1)
    targets = [
        gaussian.generate_udp_gaussian_heatmaps(
            CELLS, (p / cell)[None], v[None].astype(np.float32), SIGMA
        )
        for p, v in zip(points, labelled, strict=True)
    ]
    golden["udp_targets"], golden["udp_weights"] = _stack(targets)
    post = importlib.import_module("mmutils.post_processing")
    decoded = []
    for maps in heatmaps:
        peaks, scores = post.get_heatmap_maximum(maps)
        refined = refinement.refine_keypoints_dark_udp(
            peaks[None].copy(), maps.copy(), blur_kernel_size=11
        )[0]
        decoded.append(np.concatenate([refined, scores[:, None]], axis=1))
    golden["udp_decoded"] = np.stack(decoded)
    np.savez_compressed(Path(__file__).with_name("codec.npz"), **golden)


def _stack(targets: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    heatmaps, weights = zip(*targets, strict=True)
    return np.stack(heatmaps), np.stack(weights).reshape(len(weights), -1)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
