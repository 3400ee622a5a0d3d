"""How fast heatmaps become points, against bare argmax and against the reference codes.

    python benchmarks/decode.py [--official PATH] [--darkpose PATH] [--threads 2] [--rounds 30]

PATH: checkouts of github.com/leoxiaobin/deep-high-resolution-net.pytorch (commit 6f69e46) and
github.com/ilovepose/DarkPose (commit 0185b42), whose `lib/core/inference.py` is timed. All ways
run on the same heatmaps of 64 people x 17 joints x 64 x 48 cells, one after the other in every
round; the table gives medians and quartiles over the rounds.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import torch

from hrnet.codec import HeatmapCodec

PEOPLE, JOINTS, HEIGHT, WIDTH = 64, 17, 64, 48


def heatmaps() -> torch.Tensor:
    """Gaussians with noise, as networks make them."""
    generator = torch.Generator().manual_seed(0)
    size = torch.tensor([WIDTH * 4.0, HEIGHT * 4.0])
    points = torch.rand(PEOPLE, JOINTS, 2, generator=generator) * size
    visible = torch.ones(PEOPLE, JOINTS, dtype=torch.bool)
    maps, _ = HeatmapCodec("dark").encode(points, visible, (WIDTH * 4, HEIGHT * 4))
    return maps + 0.02 * torch.randn(maps.shape, generator=generator)


def reference(checkout: Path, maps: torch.Tensor) -> Callable[[], object]:
    """`get_final_preds` of a checkout, on a fresh copy each time (DarkPose's changes its input)."""
    for name in [n for n in sys.modules if n.split(".")[0] in ("core", "utils")]:
        del sys.modules[name]
    sys.path.insert(0, str(checkout / "lib"))
    from core import inference

    sys.path.pop(0)
    config = SimpleNamespace(TEST=SimpleNamespace(POST_PROCESS=True, BLUR_KERNEL=11))
    center = [np.array([WIDTH, HEIGHT]) / 2] * PEOPLE
    scale = [np.array([WIDTH, HEIGHT]) / 200] * PEOPLE
    array = maps.numpy()
    return lambda: inference.get_final_preds(config, array.copy(), center, scale)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--official", type=Path)
    parser.add_argument("--darkpose", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)

    maps = heatmaps()
    flat = maps.flatten(2)
    ways: dict[str, Callable[[], object]] = {
        "torch argmax": lambda: flat.argmax(dim=-1),
        "numpy argmax": lambda: flat.numpy().argmax(axis=-1),
        "ours, plain": lambda: HeatmapCodec("plain").decode(maps),
        "ours, dark": lambda: HeatmapCodec("dark").decode(maps),
        "ours, udp": lambda: HeatmapCodec("udp").decode(maps),
    }
    if options.official:
        ways["official, plain"] = reference(options.official, maps)
    if options.darkpose:
        ways["DarkPose, dark"] = reference(options.darkpose, maps)

    times: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():  # warm-up
        way()
    for _ in range(options.rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - start)

    threads = f"{options.threads} thread{'s' if options.threads > 1 else ''}"
    print(f"{PEOPLE} x {JOINTS} heatmaps of {HEIGHT} x {WIDTH}, {threads}, {options.rounds} rounds")
    medians = {name: float(np.median(t)) for name, t in times.items()}
    for name, t in times.items():
        low, high = np.percentile(t, [25, 75])
        print(f"{name:<16} {medians[name] * 1e3:8.2f} ms   [{low * 1e3:.2f}, {high * 1e3:.2f}]")

    def ratio(ours: str, other: str) -> None:
        if other in medians:
            print(f"{ours} / {other}: {medians[ours] / medians[other]:.2f}")

    ratio("ours, plain", "torch argmax")
    ratio("ours, plain", "numpy argmax")
    ratio("ours, plain", "official, plain")
    ratio("ours, dark", "DarkPose, dark")


if __name__ == "__main__":
    main()
