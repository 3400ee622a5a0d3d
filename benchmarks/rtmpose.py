"""Our models beside a network of RTMPose's shape and size, from a person's crop to the joints.

    python benchmarks/rtmpose.py [--size m] [--people 1 8] [--rounds 15]

RTMPose (Jiang et al., 2023) is CSPNeXt (Lyu et al.: RTMDet, 2022) with a head that places each
joint by two vectors, one for x and one for y. Here it has weights of chance, which do for its time,
and is run as our own models are: batch norms folded, in OpenVINO and ONNX Runtime, any number of
people at once. Its parameters and multiply-adds are printed, to be compared with the published
(m: 13.6 M and 1.93 G). Each way has its turn in every round, the shortest of six times; medians
[quartiles] of milliseconds a person, and of the ratios within the rounds.
"""

import argparse
import os
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from movenet import print_turns
from runtimes import save_random
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import hrnet
from hrnet.model import IMAGENET_MEAN, IMAGENET_STD
from hrnet.runtime.onnx_session import OnnxSession
from hrnet.runtime.onnx_writing import OPSET
from hrnet.runtime.openvino_session import NAMES, openvino_core
from hrnet.runtime.torch_session import fold_batch_norms
from hrnet.zoo import find_model

WIDTH, HEIGHT = 192, 256
JOINTS = 17
BIG = "hrnet_w32_coco_256x192"
BINS = 2  # of each pixel, in the head's vectors
SIZES = {"t": (0.167, 0.375), "s": (0.33, 0.5), "m": (0.67, 0.75), "l": (1.0, 1.0)}  # depth, width
# Channels in, channels out, blocks, of a network of depth and width 1.
STAGES = (64, 128, 3), (128, 256, 6), (256, 512, 6), (512, 1024, 3)


def conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Module:
    """With batch norm and SiLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.SiLU(),
    )


class Block(nn.Module):
    """A 3x3 convolution and a separable 5x5 one."""

    def __init__(self, channels: int, *, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        self.layers = nn.Sequential(
            conv(channels, channels, 3),
            conv(channels, channels, 5, groups=channels),
            conv(channels, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


class CSPLayer(nn.Module):
    """Blocks on half of the channels, and attention to channels."""

    def __init__(self, channels: int, blocks: int, *, residual: bool) -> None:
        super().__init__()
        half = channels // 2
        stack = [Block(half, residual=residual) for _ in range(blocks)]
        self.main = nn.Sequential(conv(channels, half), *stack)
        self.short = conv(channels, half)
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1), nn.Hardsigmoid()
        )
        self.last = conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.main(x), self.short(x)], dim=1)
        return self.last(both * self.attention(both))


class Pooling(nn.Module):
    """Maxima of three sizes beside the map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv(channels, channels // 2)
        self.pools = nn.ModuleList(nn.MaxPool2d(k, 1, k // 2) for k in (5, 9, 13))
        self.last = conv(channels // 2 * 4, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.last(torch.cat([x, *(pool(x) for pool in self.pools)], dim=1))


class ScaleNorm(nn.Module):
    """Vectors by their length."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = width**-0.5
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True) * self.scale
        return x / length.clamp(min=1e-5) * self.gain


class GatedAttention(nn.Module):
    """Of joints to joints (Hua et al.: Transformer Quality in Linear Time, 2022)."""

    def __init__(self, width: int = 256, hidden: int = 512, shared: int = 128) -> None:
        super().__init__()
        self.sizes = [hidden, hidden, shared]
        self.norm = ScaleNorm(width)
        self.given = nn.Linear(width, sum(self.sizes), bias=False)
        self.gains, self.offsets = (nn.Parameter(torch.rand(2, shared)) for _ in range(2))
        self.result = nn.Linear(hidden, width, bias=False)
        self.kept = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        gate, values, base = nn.functional.silu(self.given(self.norm(x))).split(self.sizes, -1)
        query, key = (base.unsqueeze(2) * self.gains + self.offsets).unbind(2)
        weights = (query @ key.transpose(1, 2) / self.sizes[2] ** 0.5).relu().square()
        return x * self.kept + self.result(gate * (weights @ values))


class RTMPose(nn.Module):
    """Crops (N, 256, 192, 3) uint8 -> points (N, 17, 3): x, y in pixels, and score."""

    def __init__(self, depth: float, width: float) -> None:
        super().__init__()
        first = int(STAGES[0][0] * width)
        layers = [conv(3, first // 2, 3, 2), conv(first // 2, first // 2, 3)]
        layers.append(conv(first // 2, first, 3))
        for inputs, outputs, blocks in STAGES:
            is_last = outputs == STAGES[-1][1]
            channels = int(outputs * width)
            layers.append(conv(int(inputs * width), channels, 3, 2))
            layers += [Pooling(channels)] if is_last else []
            layers.append(CSPLayer(channels, max(round(blocks * depth), 1), residual=not is_last))
        cells = HEIGHT // 32 * (WIDTH // 32)
        self.backbone = nn.Sequential(*layers, nn.Conv2d(channels, JOINTS, 7, padding=3))
        self.embed = nn.Sequential(ScaleNorm(cells), nn.Linear(cells, 256, bias=False))
        self.attention = GatedAttention()
        self.x = nn.Linear(256, WIDTH * BINS, bias=False)
        self.y = nn.Linear(256, HEIGHT * BINS, bias=False)
        self.register_buffer("mean", 255 * torch.tensor(IMAGENET_MEAN).view(3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(IMAGENET_STD).view(3, 1, 1))

    def forward(self, crops: Tensor) -> Tensor:
        pictures = (crops.permute(0, 3, 1, 2).float() - self.mean) / self.std
        joints = self.attention(self.embed(self.backbone(pictures).flatten(2)))
        x, y = self.x(joints), self.y(joints)
        score = torch.minimum(x.amax(-1), y.amax(-1))
        places = [v.argmax(-1).float() / BINS for v in (x, y)]
        return torch.stack([*places, score], dim=-1)


def runs_of(network: RTMPose, folder: str) -> dict[tuple[str, str], Callable[[np.ndarray], object]]:
    """By runtime and precision."""
    file = Path(folder, "rtmpose.onnx")
    fold_batch_norms(network)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(2, HEIGHT, WIDTH, 3, dtype=torch.uint8),),
            os.fspath(file),
            input_names=["crops"],
            output_names=["points"],
            dynamic_axes={"crops": {0: "n"}, "points": {0: "n"}},
            opset_version=OPSET,
            dynamo=False,
        )
    runs: dict[tuple[str, str], Callable[[np.ndarray], object]] = {
        ("onnxruntime", "fp32"): OnnxSession(file)
    }
    core = openvino_core()
    can = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    for precision in ("fp32", "bf16"):
        if precision.upper() in can:
            config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": NAMES[precision]}
            request = core.compile_model(file, "CPU", config).create_infer_request()
            runs["openvino", precision] = partial(request.infer, share_inputs=True)
    return runs


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--size", choices=SIZES, default="m")
    parser.add_argument("--people", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.manual_seed(0)
    theirs = f"RTMPose-{options.size}"
    network = RTMPose(*SIZES[options.size]).eval()
    rng = np.random.default_rng(0)

    def crops(people: int, size: tuple[int, int]) -> np.ndarray:
        return rng.integers(0, 256, (people, size[1], size[0], 3), np.uint8)

    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.from_numpy(crops(1, (WIDTH, HEIGHT))))
    parameters = sum(p.numel() for p in network.parameters())
    print(
        f"{theirs}: {parameters / 1e6:.2f} M parameters, "
        f"{counter.get_total_flops() / 2e9:.2f} G multiply-adds"
    )
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HRNET_HOME"] = folder
        rivals = runs_of(network, folder)
        big = save_random(find_model(BIG).card.model_copy(update={"weights": None}), folder)
        for (runtime, precision), rival in rivals.items():
            settings = {"detector": "whole", "runtime": runtime, "precision": precision}
            ours = [hrnet.PoseEstimator(model, **settings).runner for model in (None, big)]
            for people in options.people:
                ways = {theirs: partial(rival, crops(people, (WIDTH, HEIGHT)))}
                for runner in ours:
                    given = crops(people, runner.card.input_size)
                    ways[runner.card.name] = partial(runner, given)
                print(
                    f"\n{runtime}, {precision}, {people} at once, ms a person; of {theirs}'s time"
                )
                print_turns(ways, people, options.rounds)


if __name__ == "__main__":
    main()
