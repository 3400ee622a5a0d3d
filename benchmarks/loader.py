"""How fast pictures become training batches, beside the official data set class.

    python benchmarks/loader.py --official PATH --data FOLDER [--rounds 9]

PATH: a checkout of github.com/leoxiaobin/deep-high-resolution-net.pytorch (commit 6f69e46), whose
`lib/dataset/coco.py` is timed. FOLDER: annotation files in COCO's keypoint format, as
`lsp/train_coco17.json` (one person a picture, small pictures) and `coco/train.json` (several
people a picture, about 640 x 480), each with `images` beside it.

One epoch over the same people, in batches of 32 at 192 x 256, with the augmentation of the
official w32_256x192_adam_lr1e-3.yaml, on one thread; all ways one after the other in every round.
The table gives CPU time a sample: medians and quartiles over the rounds, and the quartiles of the
ratios within the rounds. The official class makes normalised floats and targets sample by sample;
ours makes uint8 batches, of which the training device makes both. "all in" has this work on the CPU
too, on the same thread.
"""

import argparse
import importlib
import json
import random
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader

import hrnet
from hrnet.data.batches.loading import ChunkSampler, CropDataset, TrainingBatches
from hrnet.data.batches.plan import Augmentation
from hrnet.data.coco import read_coco
from hrnet.data.people import People
from hrnet.skeletons import load_skeleton

FILES = {"LSP": "lsp/train_coco17.json", "COCO": "coco/train.json"}
PICTURES = 1024  # of each file, at most
BATCH, INPUT = 32, (192, 256)
Way = Callable[[], object]


def to_tensor(picture: np.ndarray) -> torch.Tensor:
    """torchvision's ToTensor for (H, W, 3) uint8."""
    return torch.from_numpy(picture.transpose(2, 0, 1)).contiguous().float().div_(255)


def normalize(tensor: torch.Tensor) -> torch.Tensor:
    """torchvision's Normalize, with the numbers in tools/train.py."""
    return tensor.sub_(_MEAN).div_(_STD)


_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
_STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def official_class(checkout: Path) -> type:
    """`COCODataset`, without what only evaluation needs."""
    sys.modules["json_tricks"] = json
    sys.modules["nms"] = ModuleType("nms")
    sys.modules["nms.nms"] = ModuleType("nms.nms")
    sys.modules["nms.nms"].__dict__.update(oks_nms=None, soft_oks_nms=None)
    package = ModuleType("dataset")  # whose __init__ imports more
    package.__path__ = [str(checkout / "lib" / "dataset")]
    sys.modules["dataset"] = package
    np.float = float  # which NumPy no longer has
    sys.path.insert(0, str(checkout / "lib"))
    return importlib.import_module("dataset.coco").COCODataset


def official(checkout: Path, file: Path, people: People) -> Way:
    config = SimpleNamespace(
        OUTPUT_DIR="",
        DATASET=SimpleNamespace(
            DATA_FORMAT="jpg",
            SCALE_FACTOR=0.35,
            ROT_FACTOR=45,
            FLIP=True,
            NUM_JOINTS_HALF_BODY=8,
            PROB_HALF_BODY=0.3,
            COLOR_RGB=True,
            SELECT_DATA=False,
        ),
        MODEL=SimpleNamespace(
            TARGET_TYPE="gaussian",
            IMAGE_SIZE=list(INPUT),
            HEATMAP_SIZE=[INPUT[0] // 4, INPUT[1] // 4],
            SIGMA=2,
        ),
        LOSS=SimpleNamespace(USE_DIFFERENT_JOINTS_WEIGHT=False),
        TEST=SimpleNamespace(
            NMS_THRE=1.0,
            IMAGE_THRE=0.0,
            SOFT_NMS=False,
            OKS_THRE=0.9,
            IN_VIS_THRE=0.2,
            COCO_BBOX_FILE="",
            USE_GT_BBOX=True,
        ),
    )
    names = {int(i): str(f) for i, f in zip(people.image_ids, people.files, strict=True)}

    class Dataset(official_class(checkout)):  # type: ignore[misc]
        """With files that are elsewhere than in COCO's folders."""

        def _get_ann_file_keypoint(self) -> str:
            return str(file)

        def _load_image_set_index(self) -> list[int]:
            return list(names)

        def image_path_from_index(self, index: int) -> str:
            return names[index]

    dataset = Dataset(config, "", "train", True, lambda picture: normalize(to_tensor(picture)))
    assert len(dataset) == len(people), "the two readers disagree on who is labelled"
    loader = DataLoader(dataset, batch_size=BATCH, shuffle=True)
    return lambda: [None for _ in loader]


def ours(people: People, with_targets: bool) -> Way:
    skeleton = load_skeleton("coco17")
    dataset = CropDataset([(people, Augmentation())], skeleton, INPUT)
    repeats = np.ones(len(people), dtype=np.int64)
    model = hrnet.create_model("hrnet_w32_coco_256x192", weights=None)

    def epoch() -> None:
        sampler = ChunkSampler(dataset.pictures, repeats, BATCH, seed=random.randrange(2**32))
        whole = -(-len(people) // sampler.chunk_size)
        chunks = list(islice(sampler, whole))
        chunks[-1] = chunks[-1][: len(people) - (whole - 1) * sampler.chunk_size]
        for batch in TrainingBatches(dataset, chunks, BATCH):
            if with_targets:
                model.codec.encode(batch.points, batch.visible, INPUT)
                model.normalise(batch.crops)

    return epoch


def decoding(files: list[Path]) -> Way:
    """The bare decoder, of bytes in memory."""
    pictures = [np.fromfile(file, np.uint8) for file in files]
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    return lambda: [None for picture in pictures if cv2.imdecode(picture, flags) is None]


def table(name: str, people: People, ways: dict[str, Way], rounds: int) -> None:
    times: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds + 1):  # the first one warms up
        for way, run in ways.items():
            start = time.process_time()
            run()
            if number:
                times[way].append((time.process_time() - start) / len(people))
    print(f"\n{name}: {len(people)} people in {len(set(people.files))} pictures, {rounds} rounds")
    for way, t in times.items():
        low, middle, high = np.percentile(t, [25, 50, 75]) * 1e6
        print(
            f"{way:<22} {middle:7.0f} us   [{low:.0f}, {high:.0f}]   {1e6 / middle:6.0f} a second"
        )
    theirs = np.array(times["official class"])
    for way in ("ours", "ours, all in"):
        low, middle, high = np.percentile(theirs / times[way], [25, 50, 75])
        print(f"official class / {way}: {middle:.2f}   [{low:.2f}, {high:.2f}]")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--official", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print(f"OpenCV {cv2.__version__}, torch {torch.__version__}")
    for name, file in FILES.items():
        people = read_coco(options.data / file)
        rng = np.random.default_rng(0)
        chosen = rng.permutation(np.unique(people.image_ids))[:PICTURES]
        people = people.select(np.isin(people.image_ids, chosen))
        ways = {
            "decode each sample": decoding(people.files),
            "decode each picture": decoding(list(dict.fromkeys(people.files))),
            "official class": official(options.official, options.data / file, people),
            "ours": ours(people, with_targets=False),
            "ours, all in": ours(people, with_targets=True),
        }
        table(name, people, ways, options.rounds)


if __name__ == "__main__":
    main()
