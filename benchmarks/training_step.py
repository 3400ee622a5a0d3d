"""How fast a training step is, beside the official network and loss in the official loop.

    python benchmarks/training_step.py --official PATH [--model NAME] [--batch 8] [--rounds 9]
        [--threads 2] [--device cuda] [--precision bf16-mixed]

PATH: a checkout of github.com/leoxiaobin/deep-high-resolution-net.pytorch (commit 6f69e46), whose
network, loss and accuracy (`lib/models/pose_hrnet.py`, `lib/core/loss.py`, `lib/core/evaluate.py`)
are timed as `lib/core/function.py` calls them: NCHW, float32, Adam, `zero_grad`, `loss.item()`,
and after the step the accuracy on the CPU, which has a row of its own. NAME is a model of
`hrnet models`; of one that the official code cannot describe, with a smaller `layer1`, its
`_make_layer` and `_make_transition_layer` are called with that one's width and blocks.

Ours is what `hrnet train` runs, PyTorch Lightning's `Trainer` with `PoseTraining`, here with the
official loss and Adam; Lightning's own work is included. It starts from uint8 crops and points; the
official step from normalised pictures and heatmaps, which its loader has made (benchmarks/loader.py
times that). A step of each, in turn, on the same random batch; both networks start from the same
weights, and their first losses must agree. The table gives medians and quartiles over the rounds,
and the quartiles of the ratios within the rounds: of CPU time with --threads 1, which other work on
the machine disturbs less, else of time. --precision is ours alone: the official code has float32.
"""

import argparse
import importlib
import logging
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from hrnet.data.batches.loading import Batch
from hrnet.model import PoseModel
from hrnet.training.pose import PoseTraining
from hrnet.training.recipe import TrainingConfig
from hrnet.zoo import find_model
from hrnet.zoo.build import build_model
from hrnet.zoo.card import ModelCard, NetworkCard

MODELS = ["hrnet_w32_coco_256x192", "hrnet_w32_small_coco17"]
WARM_UP = 3  # rounds
LEARNING_RATE = 1e-3


def random_batch(card: ModelCard, size: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    width, height = card.input_size
    joints = len(card.skeleton)
    crops = torch.randint(256, (size, height, width, 3), dtype=torch.uint8, generator=generator)
    points = torch.rand(size, joints, 2, generator=generator) * torch.tensor([width, height])
    return Batch(crops, points, torch.ones(size, joints, dtype=torch.bool))


def official_network(checkout: Path, network: NetworkCard, joints: int) -> torch.nn.Module:
    sys.path.insert(0, str(checkout / "lib"))
    pose_hrnet = importlib.import_module("models.pose_hrnet")

    class Network(pose_hrnet.PoseHighResolutionNet):  # type: ignore[misc, name-defined]
        """With the width and the blocks of `layer1` as the card has them."""

        def _make_layer(self, block: Any, *_: int) -> torch.nn.Sequential:
            width = network.layer1_channels // block.expansion
            return super()._make_layer(block, width, network.layer1_blocks)

        def _make_transition_layer(self, before: list[int], after: list[int]) -> torch.nn.Module:
            if len(before) == 1:
                before = [network.layer1_channels]
            return super()._make_transition_layer(before, after)

    def stage(branches: int, modules: int) -> dict[str, object]:
        return {
            "NUM_MODULES": modules,
            "NUM_BRANCHES": branches,
            "BLOCK": "BASIC",
            "NUM_BLOCKS": [network.num_blocks] * branches,
            "NUM_CHANNELS": [network.base_channel * 2**b for b in range(branches)],
            "FUSE_METHOD": "SUM",
        }

    stages = {f"STAGE{n}": stage(n, m) for n, m in zip((2, 3, 4), network.num_modules, strict=True)}
    extra = {"FINAL_CONV_KERNEL": 1, "PRETRAINED_LAYERS": ["*"], **stages}
    return Network({"MODEL": {"NUM_JOINTS": joints, "EXTRA": extra}})


def official_step(
    model: PoseModel, card: ModelCard, batch: Batch, options: argparse.Namespace
) -> Callable[[], tuple[float, float, float]]:
    """A function that does one step and returns its seconds, without and with the accuracy, and
    its loss."""
    network = official_network(options.official, card.network, len(card.skeleton))
    network.load_state_dict(model.network.state_dict())
    network.to(options.device).train()
    criterion = importlib.import_module("core.loss").JointsMSELoss(use_target_weight=True)
    accuracy = importlib.import_module("core.evaluate").accuracy
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    images = model.normalise(batch.crops).contiguous()
    targets, weights = model.codec.encode(batch.points, batch.visible, card.input_size)

    def step() -> tuple[float, float, float]:
        start = now(options)
        output = network(images.to(options.device))
        target = targets.to(options.device)
        loss = criterion(output, target, weights[..., None].to(options.device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        value = loss.item()
        trained = now(options)
        accuracy(output.detach().cpu().numpy(), target.detach().cpu().numpy())
        return trained - start, now(options) - start, value

    return step


def now(options: argparse.Namespace) -> float:
    if options.device == "cuda":
        torch.cuda.synchronize()
    elif options.threads == 1:
        return time.process_time()
    return time.perf_counter()


def times(card: ModelCard, options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds a step of each way, round by round."""
    torch.manual_seed(0)
    model = build_model(card)
    batch = random_batch(card, options.batch)
    step = official_step(model, card, batch, options)
    rounds = WARM_UP + options.rounds
    config = TrainingConfig(
        optimizer="adam", learning_rate=LEARNING_RATE, warmup_steps=0, steps=rounds
    )
    module = PoseTraining(model, card, config, rounds)
    trainer = pl.Trainer(
        accelerator=options.device,
        devices=1,
        max_steps=rounds + 1,  # the last one's end is not seen
        precision=options.precision,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    found: dict[str, list[float]] = {"official": [], "official with accuracy": [], "ours": []}
    losses: list[tuple[float, float]] = []

    def batches() -> Iterator[Batch]:
        """Whenever Lightning asks for a batch, it has done a step with the one before. The first
        answer is to its asking one ahead."""
        yield batch
        while True:
            *seconds, loss = step()
            start = now(options)
            yield batch
            for way, second in zip(found, [*seconds, now(options) - start], strict=True):
                found[way].append(second)
            losses.append((loss, float(trainer.callback_metrics["loss"])))

    trainer.fit(module, batches())
    theirs, mine = losses[0]
    if not math.isclose(theirs, mine, rel_tol=1e-2 if options.precision != "32-true" else 1e-4):
        raise SystemExit(f"the first losses differ: {theirs} and {mine}")
    return {way: seconds[WARM_UP:] for way, seconds in found.items()}


def table(card: ModelCard, found: dict[str, list[float]], options: argparse.Namespace) -> None:
    width, height = card.input_size
    rounds = len(found["ours"])
    print(f"\n{card.name}: {options.batch} crops of {width} x {height}, {rounds} rounds")
    for way, seconds in found.items():
        low, middle, high = np.percentile(seconds, [25, 50, 75]) * 1e3
        speed = options.batch * 1e3 / middle
        print(f"{way:<24} {middle:7.0f} ms   [{low:.0f}, {high:.0f}]   {speed:6.1f} crops a second")
    ours = np.array(found["ours"])
    for way in ("official", "official with accuracy"):
        low, middle, high = np.percentile(found[way] / ours, [25, 50, 75])
        print(f"{way} / ours: {middle:.2f}   [{low:.2f}, {high:.2f}]")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--official", type=Path, required=True)
    parser.add_argument("--model", action="append", help=f"default: {' and '.join(MODELS)}")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", default="32-true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.backends.cudnn.benchmark = True  # as the official tools/train.py has it
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    where = f"{options.threads} threads"
    if options.device == "cuda":
        where = torch.cuda.get_device_name()
    print(f"torch {torch.__version__}, {where}, ours {options.precision}, official 32-true")
    for name in options.model or MODELS:
        card = find_model(name).card
        table(card, times(card, options), options)


if __name__ == "__main__":
    main()
