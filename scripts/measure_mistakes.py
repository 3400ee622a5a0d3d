"""Measure what tutorials get wrong, and write it into the page about it, in both languages.

    python scripts/measure_mistakes.py DATA

DATA holds coco/ and lsp/ (measured on) and coco_more/ (trained on), annotation files in COCO's
format with their pictures. Every mistake of docs/mistakes.toml is made and compared with the right
way: its network, whether published weights load; its joints, those of the packaged model; what it
does to training, in short trainings of a small network with several seeds. Writes
docs/mistakes.json, and the table of it between marks in docs/en/mistakes.md and
docs/zh/mistakes.md. Takes about a quarter of an hour on one core.
"""

import json
import math
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from pages import between_marks, write_pages
from torch import Tensor, nn

from hrnet.codec import HeatmapCodec
from hrnet.data.batches.pixels import cut_crops
from hrnet.data.batches.plan import Augmentation, CropPlan, plain_plan, random_numbers, random_plan
from hrnet.data.coco import read_coco
from hrnet.data.people import People
from hrnet.evaluation.oks import oks_ap
from hrnet.evaluation.pck import pck
from hrnet.evaluation.predictions import Predictions, predict_people, survivors
from hrnet.geometry import invert, transform_points, warp
from hrnet.model import Normalise
from hrnet.network import BasicBlock, Downsampling, HighResolutionNet, StageModule, Upsampling
from hrnet.predicting.estimator import PoseEstimator
from hrnet.runtime.torch_session import TorchSession
from hrnet.similarity import mean_similarity, sigmas_of
from hrnet.skeletons import find_skeleton
from hrnet.tables import read_json
from hrnet.zoo.build import create_model

DOCS = Path(__file__).parents[1] / "docs"
LANGUAGES = ("en", "zh")
COCO17 = find_skeleton("coco17")
MEASURED_ON = {"coco": "coco/val.json", "lsp": "lsp/test_coco17.json"}
TRAINED_ON = "coco_more/train.json"
SURE = 0.2  # joints are followed that the right way gives a score over this

Figures = dict[str, Any]
Images = NDArray[np.uint8]
Floats = NDArray[np.float64]

# Mistakes in the network, made before weights are loaded.


def bias(network: HighResolutionNet) -> None:
    for exchange in network.modules():
        if isinstance(exchange, Upsampling | Downsampling):
            for layer in exchange.modules():
                if isinstance(layer, nn.Conv2d):
                    bound = 1 / math.sqrt(layer.weight[0].numel())  # PyTorch's own start
                    start = torch.empty(layer.out_channels).uniform_(-bound, bound)
                    layer.bias = nn.Parameter(start)


def relu(network: HighResolutionNet) -> None:
    for exchange in network.modules():
        if isinstance(exchange, Downsampling):
            exchange[-1].append(nn.ReLU())


def shallow(network: HighResolutionNet) -> None:
    network.transition2[2] = network.transition2[2][0]


def stride_twice(network: nn.Module, stride: int = 1) -> None:
    for block in network.modules():
        if isinstance(block, BasicBlock):
            block.conv1.stride = block.conv2.stride = (stride, stride)


def all_four(network: HighResolutionNet) -> None:
    last = network.stage4[-1]
    c = network.final_layer.in_channels
    network.stage4[-1] = StageModule(4, 4, c, num_blocks=len(last.branches[0]))


def bilinear(network: HighResolutionNet) -> None:
    for exchange in network.modules():
        if isinstance(exchange, Upsampling):
            exchange.mode = "bilinear"


def nothing(network: HighResolutionNet) -> None:
    """The mistake is elsewhere."""


NETWORKS: dict[str, Callable[[HighResolutionNet], None]] = {
    "bias": bias,
    "relu": relu,
    "shallow": shallow,
    "stride": stride_twice,
    "all_four": all_four,
    "bilinear": bilinear,
    "prefix": nothing,
}


def load(row: str, network: HighResolutionNet, published: dict[str, Tensor]) -> dict[str, int]:
    """Make a mistake in a network, and load what fits into it: entries in all, missing and
    unexpected ones."""
    torch.manual_seed(0)
    NETWORKS[row](network)
    if row == "prefix":  # of what was trained on several GPUs, and saved as it was
        published = {f"module.{name}": tensor for name, tensor in published.items()}
    missing, unexpected = network.load_state_dict(published, strict=False)
    return {
        "entries": len(published),
        "missing": len(missing),
        "unexpected": len(unexpected),
    }


def loading() -> dict[str, Figures]:
    """Of each wrong W32, how the names of the right one's weights fit."""
    published = HighResolutionNet(32, 17).state_dict()
    return {row: load(row, HighResolutionNet(32, 17), published) for row in NETWORKS}


def strides() -> Figures:
    """How many basic blocks W32 has, how many of them with a stride, and what comes of a map of 16
    x 16 in one with stride 2 given twice."""
    blocks = [m for m in HighResolutionNet(32, 17).modules() if isinstance(m, BasicBlock)]
    strided = sum(max(*block.conv1.stride, *block.conv2.stride) > 1 for block in blocks)
    stride_twice(blocks[0], 2)
    size = blocks[0].conv2(blocks[0].conv1(torch.zeros(1, 32, 16, 16))).shape[-1]
    return {"blocks": len(blocks), "strided": strided, "size": size}


# Mistakes around the packaged model.


class PlainCells(HeatmapCodec):
    """A codec that reads its heatmaps as the plain one's: four pixels a cell."""

    def cell_size(self, input_size: tuple[int, int]) -> tuple[float, float]:
        return 4.0, 4.0


class PeaksOnly(HeatmapCodec):
    """A codec that takes the largest cell for the joint."""

    def decode(self, heatmaps: Tensor) -> Tensor:
        scores, cell = heatmaps.flatten(2).max(dim=2)
        width = heatmaps.shape[-1]
        return torch.stack([cell % width, cell // width, scores], dim=2)


def resized(image: Images, matrix: Floats, input_size: tuple[int, int]) -> Images:
    """What `cv2.resize` of the cut-out region shows where the joints' map has no half pixel."""
    scale = np.diag(matrix[:, :2])
    return warp(image, np.column_stack([matrix[:, :2], matrix[:, 2] + (scale - 1) / 2]), input_size)


def swap_channels(estimator: PoseEstimator) -> None:
    module = estimator.runner.session.module
    module.register_forward_pre_hook(lambda _, crops: (crops[0].flip(3),))


def set_codec(kind: type[HeatmapCodec]) -> Callable[[PoseEstimator], None]:
    def change(estimator: PoseEstimator) -> None:
        module = estimator.runner.session.module
        module.codec = kind(**vars(module.codec))

    return change


def shift(estimator: PoseEstimator) -> None:
    estimator.runner.session.module.flip_shift = True


def pad(estimator: PoseEstimator) -> None:
    estimator.padding = 1.25


AROUND: dict[str, Callable[[PoseEstimator], None]] = {
    "bgr": swap_channels,
    "half_pixel": lambda estimator: None,  # made by another `warp`
    "cells": set_codec(PlainCells),
    "argmax": set_codec(PeaksOnly),
    "shift": shift,
    "padding": pad,
}
WITH_FLIP_TEST = ("shift",)


def right_estimator(flip_test: bool = False) -> PoseEstimator:
    return PoseEstimator(device="cpu", runtime="torch", precision="fp32", flip_test=flip_test)


def wrong_estimator(row: str) -> PoseEstimator:
    estimator = right_estimator(row in WITH_FLIP_TEST)
    if row in NETWORKS:
        right, model = create_model(), create_model(weights=None)
        load(row, model.network, right.network.state_dict())
        estimator.runner = replace(estimator.runner, session=TorchSession(model, "cpu"))
    else:
        AROUND[row](estimator)
    return estimator


def predict(estimator: PoseEstimator, people: People, row: str = "") -> Predictions:
    with patch("hrnet.predicting.estimator.warp", resized if row == "half_pixel" else warp):
        return predict_people(estimator, people)


def figures(file: Path, people: People, predictions: Predictions) -> Figures:
    """AP and PCK of those people of a file, as `hrnet evaluate` has them."""
    content = read_json(file, "annotation file")
    ids = set(people.annotation_ids.tolist())
    content["annotations"] = [a for a in content["annotations"] if a["id"] in ids]
    rows = predictions.to_coco()
    rows = [rows[i] for i in survivors(predictions, COCO17, "region")]
    found = pck(predictions.keypoints, people.keypoints, COCO17)
    return {"AP": round(oks_ap(content, rows, COCO17)["AP"], 4), "PCK": round(found.mean, 2)}


def similarity(people: People, points: Floats) -> Floats:
    """OKS of each person: (P,)."""
    squared = np.square(points[..., :2] - people.keypoints[..., :2]).sum(axis=-1)
    labelled = people.keypoints[..., 2] > 0
    return mean_similarity(squared, people.areas, sigmas_of(COCO17), labelled)


def moved(right: Predictions, wrong: Predictions) -> float:
    """Mean distance in pixels of the joints that the right way is sure of."""
    distances = np.linalg.norm((right.keypoints - wrong.keypoints)[..., :2], axis=-1)
    return float(distances[right.keypoints[..., 2] > SURE].mean())


def accuracy(sets: dict[str, tuple[Path, People]]) -> Figures:
    """Of each mistake, figures beside those of the right way, and how everybody's OKS differs: mean
    and standard error."""
    rights: dict[bool, dict[str, Predictions]] = {}
    for flip_test in (False, True):
        estimator = right_estimator(flip_test)
        rights[flip_test] = {name: predict(estimator, people) for name, (_, people) in sets.items()}
    result: Figures = {"people": {name: len(people) for name, (_, people) in sets.items()}}
    result["rows"] = {}
    for row in (*NETWORKS, *AROUND):
        print(row, flush=True)
        estimator = wrong_estimator(row)
        measured: Figures = {}
        changes = []
        for name, (file, people) in sets.items():
            right, wrong = rights[row in WITH_FLIP_TEST][name], predict(estimator, people, row)
            measured[name] = {
                "right": figures(file, people, right),
                "wrong": figures(file, people, wrong),
                "moved": round(moved(right, wrong), 3),
            }
            before, after = (similarity(people, p.keypoints) for p in (right, wrong))
            changes.append(after - before)
        change = np.concatenate(changes)
        measured["oks"] = round(float(change.mean()), 5)
        measured["oks_error"] = round(float(change.std(ddof=1) / math.sqrt(len(change))), 5)
        result["rows"][row] = measured
    return result


# Mistakes in training.

SEEDS, STEPS, BATCH, RATE = 3, 250, 16, 4e-3
SIZE = (64, 96)  # width and height of crops
PADDING = 1.25
CODEC = HeatmapCodec("plain", sigma=1.5)
LEAST_JOINTS = 10


def cut(plan: CropPlan, people: People, random: bool) -> Images:
    pictures = [(file, people.orient) for file in people.files]
    return cut_crops(plan, pictures, SIZE, reducible=np.full(len(people), random))[0]


Sample = tuple[Images, Tensor, Tensor]  # crops, points, and visibility as labelled


def batches(people: People, seed: int, padding: float) -> list[Sample]:
    """A training's batches: of people in an order, and in crops, that the seed says."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(people))[: STEPS * BATCH].reshape(STEPS, BATCH)
    result = []
    for step, chosen in enumerate(np.sort(order, axis=1)):
        own = people.select(np.isin(np.arange(len(people)), chosen))
        numbers = random_numbers(seed, np.full(BATCH, step), chosen)
        plan = random_plan(
            numbers,
            Augmentation(half_body=0),
            own.boxes,
            own.keypoints,
            COCO17,
            SIZE,
            padding=padding,
            unbiased=False,
        )
        points = transform_points(plan.matrices, own.keypoints[..., :2])
        points = np.concatenate([points, own.keypoints[..., 2:]], axis=2)
        points[plan.flips] = points[plan.flips][:, COCO17.flip_order]
        x_y_v = torch.from_numpy(points).float()
        result.append((cut(plan, own, random=True), x_y_v[..., :2], x_y_v[..., 2]))
    return result


def train(samples: list[Sample], seed: int, *, two_is_weight: bool) -> HighResolutionNet:
    """A small network after one pass, by the squared error of heatmaps."""
    torch.manual_seed(seed)
    network = HighResolutionNet(
        16, 17, num_modules=(1, 1, 1), num_blocks=1, layer1_channels=64, layer1_blocks=1
    ).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, len(samples), pct_start=0.1)
    normalise = Normalise()
    for crops, points, visibility in samples:
        targets, weights = CODEC.encode(points, visibility > 0, SIZE)
        if two_is_weight:
            weights = weights * visibility
        outputs = network(normalise(torch.from_numpy(crops)))
        loss = ((outputs - targets).square().mean(dim=(2, 3)) * weights).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def trained_pck(network: HighResolutionNet, people: People) -> float:
    plan = plain_plan(people.boxes, SIZE, padding=PADDING, unbiased=False)
    images = Normalise()(torch.from_numpy(cut(plan, people, random=False)))
    with torch.inference_mode():
        points = CODEC.decode(torch.cat([network(part) for part in images.split(BATCH)]))
    points = points[..., :2] * torch.tensor(CODEC.cell_size(SIZE))
    found = transform_points(invert(plan.matrices), points.numpy())
    return round(pck(found, people.keypoints, COCO17).mean, 2)


def training(data: Path) -> Figures:
    """PCK@0.2 after trainings the right way and with each mistake, seed by seed."""
    people = read_coco(data / TRAINED_ON, skeleton=COCO17)
    people = people.select((people.keypoints[..., 2] > 0).sum(axis=1) >= LEAST_JOINTS)
    measured_on = read_coco(data / MEASURED_ON["coco"], skeleton=COCO17)
    reached: dict[str, list[float]] = {"right": [], "visibility": [], "unpadded": []}
    for seed in range(SEEDS):
        print("training, seed", seed, flush=True)
        padded = batches(people, seed, PADDING)
        for row, samples in {
            "right": padded,
            "visibility": padded,
            "unpadded": batches(people, seed, 1.0),
        }.items():
            network = train(samples, seed, two_is_weight=row == "visibility")
            reached[row].append(trained_pck(network, measured_on))
    return {"people": len(people), "steps": STEPS, "batch": BATCH, "PCK": reached}


# What the table says of it.


def verdict(mean: float, error: float, errors: float) -> str:
    """In which direction, if the mean is so many standard errors from 0."""
    if abs(mean) <= errors * error:
        return "same"
    return "better" if mean > 0 else "worse"


def accuracy_verdict(row: Figures) -> str:
    if max(row[name]["moved"] for name in MEASURED_ON) == 0:
        return "equal"
    return verdict(row["oks"], row["oks_error"], 2.0)


def training_difference(row: str, measured: Figures) -> tuple[float, float]:
    """Mean over seeds of what the mistake changes, and its standard deviation."""
    reached = measured["training"]["PCK"]
    change = np.subtract(reached[row], reached["right"])
    return float(change.mean()), float(change.std(ddof=1))


def what_happens(row: str, measured: Figures, words: dict[str, str]) -> str:
    if row in measured["training"]["PCK"]:
        reached = measured["training"]["PCK"]
        mean, deviation = training_difference(row, measured)
        t = 4.303  # Student's t of three differences, 95 %
        found = verdict(mean, deviation / math.sqrt(SEEDS), t)
        means = {name: float(np.mean(reached[name])) for name in ("right", row)}
        return words["trained"].format(
            right=means["right"],
            wrong=means[row],
            mean=mean,
            deviation=deviation,
            verdict=words[f"trained_{found}"],
        )
    said = []
    if row in measured["loading"]:
        names = measured["loading"][row]
        fits = names["missing"] == names["unexpected"] == 0
        said.append(words["loads" if fits else "does_not_load"].format(**names))
    if row == "stride":
        said.append(words["strides"].format(**measured["strides"]))
    of_row = measured["accuracy"]["rows"][row]
    said.append(words[accuracy_verdict(of_row)].format(**of_row))
    return words["between"].join(said)


def table(language: str, measured: Figures) -> str:
    content = tomllib.loads((DOCS / "mistakes.toml").read_text(encoding="utf-8"))
    words = content["words"][language]
    lines = [words["header"], "|---|---|---|---|---|"]
    for number, row in enumerate(content["rows"], 1):
        wrong, right = (f"`{row[key]}`" for key in ("wrong", "right"))
        happens = what_happens(row["id"], measured, words)
        lines.append(f"| {number} | {row[language]} | {wrong} | {right} | {happens} |")
    return "\n".join(lines)


def pages(measured: Figures) -> dict[Path, str]:
    """Both pages with the table as it is to be."""
    files = {language: DOCS / language / "mistakes.md" for language in LANGUAGES}
    return {
        file: between_marks(file.read_text(encoding="utf-8"), "mistakes", table(language, measured))
        for language, file in files.items()
    }


def main() -> None:
    torch.set_num_threads(1)
    data = Path(sys.argv[1])
    files = {name: data / file for name, file in MEASURED_ON.items()}
    sets = {name: (file, read_coco(file, skeleton=COCO17)) for name, file in files.items()}
    measured = {
        "loading": loading(),
        "strides": strides(),
        "accuracy": accuracy(sets),
        "training": training(data),
    }
    write_pages({DOCS / "mistakes.json": json.dumps(measured, indent=1) + "\n", **pages(measured)})


if __name__ == "__main__":
    main()
