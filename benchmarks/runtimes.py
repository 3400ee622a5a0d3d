"""How much faster the whole path is, from a JPEG and boxes to points, than the official network's
bare forward, in every runtime and precision that this machine has.

    python benchmarks/runtimes.py --official PATH [--model NAME] [--people 1 8] [--rounds 15]
        [--device cuda]

PATH: a checkout of github.com/leoxiaobin/deep-high-resolution-net.pytorch, whose network
(`lib/models/pose_hrnet.py`) runs in eager float32, contiguous, with as many threads of up to all
processors as make it fastest. Both have the same random weights. In every round each way has its
turn; the table gives medians and quartiles of time a person, and of the ratios within the rounds,
and how much of our time is not the network's. The network in int8 is quantised by crops of chance,
which does for its speed.

The last column is how many of the network's multiplications and additions that is a second. Above
the table is how many of them PyTorch's product of matrices makes, as a measure of the machine.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from torch.utils.flop_counter import FlopCounterMode
from training_step import official_network

import hrnet
from hrnet.benchmarking.measuring import WAYS, quartiles
from hrnet.benchmarking.worker import matrix_rate
from hrnet.errors import ConfigError
from hrnet.exporting import export_pose_model
from hrnet.zoo import find_model
from hrnet.zoo.build import build_model, save_model
from hrnet.zoo.card import ModelCard

WIDTH, HEIGHT = 640, 480
EIGHT_BITS = "openvino", "int8"


def picture(people: int) -> tuple[bytes, np.ndarray]:
    """A JPEG, and boxes in it."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (30, 40, 3), np.uint8)
    image = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    low = rng.uniform(0, [WIDTH - 160, HEIGHT - 260], (people, 2))
    return cv2.imencode(".jpg", image)[1].tobytes(), np.hstack([low, low + np.array([150, 250])])


def seconds(run: Callable[[], object]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def save_random(card: ModelCard, folder: str) -> Path:
    """A model of the card, with weights of chance, in a file of the folder."""
    file = Path(folder, "random.safetensors")
    torch.manual_seed(0)
    save_model(build_model(card).network, card, file, dtype=torch.float32)
    return file


def fastest_threads(run: Callable[[], object]) -> int:
    """Sets PyTorch's threads, and says how many."""
    times = {}
    for threads in range(1, (os.cpu_count() or 1) + 1):
        torch.set_num_threads(threads)
        run()
        times[threads] = min(seconds(run) for _ in range(3))
    best = min(times, key=lambda n: times[n])
    torch.set_num_threads(best)
    return best


def in_words(values: list[float], digits: int = 1) -> str:
    low, middle, high = quartiles(values)
    return f"{middle:7.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


@cache
def eight_bits(size: tuple[int, int], weights: Path, file: Path) -> Path:
    """The network in int8, in OpenVINO's form."""
    width, height = size
    crops = np.random.default_rng(0).integers(0, 256, (16, height, width, 3), np.uint8)
    export_pose_model(weights, file, int8=crops)
    return file


def compare(options: argparse.Namespace, card: ModelCard, weights: Path, people: int) -> None:
    """Print a table."""
    official = official_network(options.official, card.network, len(card.skeleton))
    official.load_state_dict(load_file(weights))
    official.eval().to(options.device)
    width, height = card.input_size
    images = torch.rand(people, 3, height, width, device=options.device)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        official(images)
    billions = counter.get_total_flops() / 1e9
    jpeg, boxes = picture(people)
    runs: dict[str, Callable[[], object]] = {}
    networks: dict[str, Callable[[], object]] = {}
    crops = np.zeros((people, height, width, 3), np.uint8)
    on_cpu = options.device == "cpu"
    ways = [*WAYS, EIGHT_BITS] if on_cpu else [("torch", p) for p in ("fp32", "bf16", "fp16")]
    for runtime, precision in ways:
        name = f"{runtime}, {precision}"
        settings: dict[str, str] = {"runtime": runtime, "precision": precision}
        model = weights
        if name == ", ".join(EIGHT_BITS):
            model, settings = (
                eight_bits(card.input_size, weights, weights.with_name("int8.xml")),
                {},
            )
        try:
            estimator = hrnet.PoseEstimator(
                model, device=options.device, detector="whole", **settings
            )
        except ConfigError as error:
            print(f"{name}: {error}")
            continue
        runs[name] = lambda estimator=estimator: estimator(jpeg, boxes)
        networks[name] = lambda estimator=estimator: estimator.runner(crops)

    def bare() -> None:
        with torch.inference_mode():
            official(images)
        if not on_cpu:
            torch.cuda.synchronize()

    threads = fastest_threads(bare) if on_cpu else torch.get_num_threads()
    times: dict[str, list[float]] = {name: [] for name in ["official", *runs]}
    alone: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(-2, options.rounds):  # two to warm up
        one = {"official": min(seconds(bare) for _ in range(2))}
        for name, run in runs.items():
            one[name] = min(seconds(run) for _ in range(2))  # not what the one before left behind
            own = min(seconds(networks[name]) for _ in range(2))
            if number >= 0:
                alone[name].append(own)
        if number >= 0:
            for name, value in one.items():
                times[name].append(value)
    print(f"\n{people} in a picture, ms a person; official with {threads} threads")
    bare_forward = in_words([1000 * t / people for t in times["official"]])
    rate = billions / statistics.median(times["official"])
    print(f"  {'official, bare forward':<24}{bare_forward}{'':>53}{rate:.0f} GFLOP/s")
    for name in runs:
        ratios = [o / t for o, t in zip(times["official"], times[name], strict=True)]
        rest = [100 * (1 - a / t) for a, t in zip(alone[name], times[name], strict=True)]
        per_person = in_words([1000 * t / people for t in times[name]])
        rate = billions / statistics.median(alone[name])
        print(
            f"  {name:<24}{per_person:<28}{in_words(ratios, 2)} times as fast; not the network: "
            f"{statistics.median(rest):.0f} %; {rate:.0f} GFLOP/s"
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--official", type=Path, required=True)
    parser.add_argument("--model", default="hrnet_w32_coco_256x192")
    parser.add_argument("--people", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    card = find_model(options.model).card.model_copy(update={"weights": None})
    can = ", ".join(name for name, has in torch.cpu.get_capabilities().items() if has is True)
    print(f"{options.model}; torch {torch.__version__}, openvino {version('openvino')}; {can}")
    if options.device == "cpu":
        rates = ", ".join(f"{matrix_rate(p):.0f} in {p}" for p in ("fp32", "bf16"))
        print(f"a product of matrices, GFLOP/s: {rates}")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HRNET_HOME"] = folder
        weights = save_random(card, folder)
        for people in options.people:
            compare(options, card, weights, people)


if __name__ == "__main__":
    main()
