"""The High-Resolution Network.

Most networks shrink the picture to a small map and then recover resolution. HRNet keeps a branch
of high resolution from the first stage to the last. Each transition adds a branch of half the
resolution and twice the width, and in the stages all branches work side by side:

                             stage2               stage3               stage4
    stem   layer1            1 module             4 modules            3 modules
                            ┌─────┐              ┌─────┐              ┌─────┐
     64 ───▶ 256 ────┬─────▶│  32 │─────────────▶│  32 │─────────────▶│  32 │──▶ heatmaps    1/4
                     └─────▶│  64 │───────┬─────▶│  64 │─────────────▶│  64 │                1/8
                transition1 └─────┘       └─────▶│ 128 │───────┬─────▶│ 128 │                1/16
                                     transition2 └─────┘       └─────▶│ 256 │                1/32
                                                          transition3 └─────┘

(Channels of W32; on the right, the resolution.) The paper's idea is in the boxes: each module ends
with an exchange, in which every branch becomes the sum of all branches, brought to its own width
and resolution. In stage 4, with four branches:

                           output 0   output 1   output 2   output 3
    1/4  ──▶ 4 blocks ──────── = ──────── ↓ ─────── ↓↓ ─────── ↓↓↓
                               +          +          +          +
    1/8  ──▶ 4 blocks ─────── ↑2 ──────── = ──────── ↓ ─────── ↓↓
                               +          +          +          +
    1/16 ──▶ 4 blocks ─────── ↑4 ─────── ↑2 ──────── = ──────── ↓
                               +          +          +          +
    1/32 ──▶ 4 blocks ─────── ↑8 ─────── ↑4 ─────── ↑2 ──────── =
                               ▼          ▼          ▼          ▼
                             ReLU       ReLU       ReLU       ReLU

    =    the branch itself
    ↑4   `Upsampling`: a 1x1 convolution, then the map enlarged 4 times
    ↓↓   `Downsampling`: 3x3 convolutions of stride 2, one for each halving

Half the resolution and twice the width: a 3x3 convolution costs the same on every branch. W32 has
28.5 M parameters and takes 7.65 G multiply-adds for a picture of 256 x 192; `python -m
hrnet.network` prints where they are.

Below come, in the order in which data meets them: the residual blocks, a *transition* (a branch
more), *downsampling* and *upsampling* (the exchange), a *stage* (modules of blocks and exchange),
and the network.

Sun, Xiao, Liu, Wang: *Deep High-Resolution Representation Learning for Human Pose Estimation*,
CVPR 2019. Modules carry the names of the published checkpoints, so that those load by name.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STEM_CHANNELS = 64
STEM = ("conv1", "bn1", "conv2", "bn2", "relu")  # attributes of the network

Upsample = Literal["nearest", "bilinear"]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: (N, C, h, w) -> (N, C, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y.add_(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut: (N, in, h, w) -> (N, out, h, w).

    The 3x3 convolution works at a quarter of the output's width.
    """

    expansion = 4

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        width = out_channels // self.expansion
        self.conv1 = nn.Conv2d(in_channels, width, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None  # the public checkpoints' name; it changes the width only
        if in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, h, w) -> (N, out, h, w)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(y + shortcut)


def conv3x3_bn_relu(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """(N, in, h, w) -> (N, out, h / stride, w / stride), rounded up."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class Transition(nn.ModuleList):
    """Passes the branches on and makes one more from the lowest: n maps -> n + 1 maps.

    The new branch has half the resolution of the one that it is made from, and twice the width. The
    others are left alone; only the first transition brings `layer1`'s output to branch 0's width.

    Often got wrong: in the published checkpoints the new branch lies one level deeper than the
    others (`transition2.2.0.0.weight`, but `transition1.0.0.weight`), since the official code can
    chain several halvings there. One level too shallow, the weights do not load.

    Args:
        in_channels: of the n branches that come in, highest resolution first.
        out_channels: of the n + 1 that go out.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: Sequence[int]) -> None:
        kept: list[nn.Module] = [nn.Identity() for _ in in_channels]
        if len(in_channels) == 1:  # layer1's output is wider
            kept = [conv3x3_bn_relu(in_channels[0], out_channels[0], stride=1)]
        new = conv3x3_bn_relu(in_channels[-1], out_channels[-1], stride=2)
        super().__init__([*kept, nn.Sequential(new)])

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        """Maps of n branches, highest resolution first -> those of n + 1."""
        sources = [*branches, branches[-1]]
        return [layer(source) for layer, source in zip(self, sources, strict=True)]


class Downsampling(nn.Sequential):
    """From a branch to a lower one: (N, in, h, w) -> (N, out, h / 2**steps, w / 2**steps).

    Every halving is a 3x3 convolution of stride 2: which detail is worth keeping is learned, where
    pooling would decide it. The last one widens as well.

    Often got wrong: a ReLU after the last one. The weights load all the same, but then a higher
    branch can only add to a lower one, never take away. The ReLU that belongs here comes after the
    sum.
    """

    def __init__(self, in_channels: int, out_channels: int, steps: int) -> None:
        halvings = [conv3x3_bn_relu(in_channels, in_channels, stride=2) for _ in range(steps - 1)]
        last = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        super().__init__(*halvings, last)


class Upsampling(nn.ModuleList):
    """From a branch to a higher one: (N, in, h, w) -> (N, out, H, W).

    A 1x1 convolution takes the map to the target's fewer channels, then its values are repeated. In
    this order the convolution runs on the small map: the same result for a quarter of the work, or
    less.

    Often got wrong: a bias in the convolution, for which the published weights have nothing (batch
    norm's takes its place); and bilinear interpolation, with which they load and mean another
    thing, unless they are of a network for faces or segmentation.
    """

    def __init__(self, in_channels: int, out_channels: int, mode: Upsample) -> None:
        convolution = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)
        super().__init__([convolution, nn.BatchNorm2d(out_channels)])
        self.mode = mode

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        """Bring maps to `size`, (H, W): that of the target, which is not always twice theirs where
        the picture's sides are no multiples of 32."""
        convolution, batch_norm = self
        return F.interpolate(batch_norm(convolution(x)), size=size, mode=self.mode)


class StageModule(nn.Module):
    """Residual blocks on every branch, then the exchange of every branch with every other.

    Branch b has `c * 2**b` channels at `1 / 2**b` of branch 0's resolution, rounded up.

    Args:
        input_branches: number of branches that come in.
        output_branches: number of branches that go out; the last module of a pose network
            computes only the one of highest resolution.
        c: channels of branch 0.
        num_blocks: `BasicBlock`s on each branch.
        upsampling: how a lower resolution reaches a higher one.
    """

    def __init__(
        self,
        input_branches: int,
        output_branches: int,
        c: int,
        *,
        num_blocks: int = 4,
        upsampling: Upsample = "nearest",
    ) -> None:
        super().__init__()

        def exchange(source: int, target: int) -> nn.Module:
            channels = c * 2**source, c * 2**target
            if source < target:
                return Downsampling(*channels, steps=target - source)
            return Upsampling(*channels, upsampling) if source > target else nn.Identity()

        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(c * 2**b) for _ in range(num_blocks)))
            for b in range(input_branches)
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(exchange(source, target) for source in range(input_branches))
            for target in range(output_branches)
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Sequence[Tensor]) -> list[Tensor]:
        """Maps of all input branches, highest resolution first -> those of the output branches."""
        maps = [branch(x_b) for branch, x_b in zip(self.branches, x, strict=True)]
        return [self._sum_into(target, maps) for target in range(len(self.fuse_layers))]

    def _sum_into(self, target: int, maps: list[Tensor]) -> Tensor:
        layers: Any = self.fuse_layers[target]  # a ModuleList
        size = maps[target].shape[-2:]
        total: Tensor | None = None
        for source, x in enumerate(maps):
            y = layers[source](x, size) if source > target else layers[source](x)
            total = y if total is None else total + y
        assert total is not None
        return self.relu(total)


def stage(
    branches: int,
    modules: int,
    c: int,
    *,
    num_blocks: int,
    upsampling: Upsample,
    output_branches: int | None = None,
) -> nn.Sequential:
    """`StageModule`s one after the other: maps of all branches -> maps of all branches, or of the
    highest `output_branches`. The more modules, the more often branches exchange: W32 and W48 have
    1, 4 and 3 in stage 2, 3 and 4.

    Often got wrong: all branches out of the last module. A pose network goes on with the highest
    alone, and the published weights have nothing for the sums into the others."""
    outputs = [branches] * (modules - 1) + [output_branches or branches]
    return nn.Sequential(
        *(
            StageModule(branches, n, c, num_blocks=num_blocks, upsampling=upsampling)
            for n in outputs
        )
    )


class HighResolutionNet(nn.Module):
    """HRNet for pose estimation: pictures (N, 3, H, W) -> heatmaps (N, num_joints, H/4, W/4).

    `HighResolutionNet(32)` is HRNet-W32 and `HighResolutionNet(48)` is HRNet-W48, equal to the
    official `PoseHighResolutionNet` for the same weights. The keyword arguments describe the
    rest of the family: HRNet-W18-Small-v1, say, is `HighResolutionNet(16, num_modules=(1, 1, 1),
    num_blocks=2, layer1_channels=128, layer1_blocks=1)`.

    Pictures are float RGB, normalised with the mean and deviation of ImageNet (`PoseModel` does
    that). H and W are multiples of 4, at least 32; published sizes are multiples of 32.

    **As a backbone**: `HighResolutionNet(32, multi_scale_output=True).features(x)` gives the four
    maps of stage 4, with `base_channel` * (1, 2, 4, 8) channels at 1/4, 1/8, 1/16 and 1/32 of
    the input's resolution. A published pose checkpoint has no weights for the fusion into the
    lower three (`stage4.2.fuse_layers.1` to `.3`); a published classification checkpoint has.

    Args:
        base_channel: channels of the branch of highest resolution; branch b has
            `base_channel * 2**b`.
        num_joints: number of heatmaps.
        num_modules: modules in stage 2, 3 and 4.
        num_blocks: `BasicBlock`s on each branch of each module.
        layer1_channels: output channels of `layer1`, a multiple of 4.
        layer1_blocks: number of bottlenecks in `layer1`.
        upsampling: "nearest" (pose networks) or "bilinear" (most published networks for faces,
            hands and segmentation). The weights have the same names and shapes either way, and
            give wrong results with the wrong one.
        head: what the heatmaps are computed from. "v1" (HRNetV1, of pose networks): the branch
            of highest resolution. "v2" (HRNetV2, of most published networks for faces and
            hands): all four, brought to the highest resolution, concatenated and mixed.
        multi_scale_output: whether the last module computes all four branches; with the head
            "v2" it always does.
    """

    def __init__(
        self,
        base_channel: int = 32,
        num_joints: int = 17,
        *,
        num_modules: tuple[int, int, int] = (1, 4, 3),
        num_blocks: int = 4,
        layer1_channels: int = 256,
        layer1_blocks: int = 4,
        upsampling: Upsample = "nearest",
        head: Literal["v1", "v2"] = "v1",
        multi_scale_output: bool = False,
    ) -> None:
        super().__init__()
        c = base_channel
        self.upsampling = upsampling
        if head not in ("v1", "v2"):
            raise ValueError(f"head is {head!r}; it must be 'v1' or 'v2'")
        if upsampling not in ("nearest", "bilinear"):
            raise ValueError(f"upsampling is {upsampling!r}; it must be 'nearest' or 'bilinear'")
        if layer1_channels % Bottleneck.expansion:
            raise ValueError(f"layer1_channels is {layer1_channels}; it must be a multiple of 4")

        self.conv1 = nn.Conv2d(3, STEM_CHANNELS, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        self.conv2 = nn.Conv2d(STEM_CHANNELS, STEM_CHANNELS, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(STEM_CHANNELS)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(
            *(
                Bottleneck(STEM_CHANNELS if i == 0 else layer1_channels, layer1_channels)
                for i in range(layer1_blocks)
            )
        )
        widths = c, 2 * c, 4 * c, 8 * c
        make = partial(stage, c=c, num_blocks=num_blocks, upsampling=upsampling)
        self.transition1 = Transition([layer1_channels], widths[:2])
        self.stage2 = make(2, num_modules[0])
        self.transition2 = Transition(widths[:2], widths[:3])
        self.stage3 = make(3, num_modules[1])
        self.transition3 = Transition(widths[:3], widths)
        all_four = multi_scale_output or head == "v2"
        self.stage4 = make(4, num_modules[2], output_branches=4 if all_four else 1)
        channels = c
        self.head: nn.Sequential | None = None
        if head == "v2":
            channels = sum(widths)
            self.head = nn.Sequential(
                nn.Conv2d(channels, channels, kernel_size=1),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            )
        self.final_layer = nn.Conv2d(channels, num_joints, kernel_size=1)
        self._initialise()

    def features(self, x: Tensor) -> list[Tensor]:
        """Pictures (N, 3, H, W) -> maps of stage 4, highest resolution first.

        Map b has shape (N, base_channel * 2**b, H / 4 / 2**b, W / 4 / 2**b), rounded up: one map,
        or four with `multi_scale_output=True` or the head "v2".

        Raises:
            ValueError: H or W is not a multiple of 4, or is less than 32.
        """
        check_input_size(*x.shape[-2:])
        # Shapes in the comments: W32, one picture of 256 x 192.    (1, 3, 256, 192)
        x = self.relu(self.bn1(self.conv1(x)))  # (1, 64, 128, 96)
        x = self.relu(self.bn2(self.conv2(x)))  # (1, 64, 64, 48)
        x = self.layer1(x)  # (1, 256, 64, 48)

        branches = self.stage2(self.transition1([x]))
        # (1, 32, 64, 48), (1, 64, 32, 24)
        branches = self.stage3(self.transition2(branches))
        # (1, 32, 64, 48), (1, 64, 32, 24), (1, 128, 16, 12)
        branches = self.stage4(self.transition3(branches))
        return branches  # (1, 32, 64, 48) and, with multi_scale_output, the other three

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) -> heatmaps (N, num_joints, H/4, W/4); see `features`."""
        branches = self.features(x)
        x = branches[0]  # (1, 32, 64, 48)
        if self.head is not None:
            size = x.shape[-2:]
            larger = [F.interpolate(b, size, mode="bilinear") for b in branches[1:]]
            x = self.head(torch.cat([x, *larger], dim=1))  # (1, 480, 64, 48)
        return self.final_layer(x)  # (1, 17, 64, 48)

    def _initialise(self) -> None:
        # As the official classification networks, from which pose networks are usually started;
        # batch norm starts as identity (PyTorch's default). The heatmaps start near zero.
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.final_layer.weight, std=0.001)


def check_input_size(height: int, width: int) -> None:
    """Raise `ValueError`, naming the nearest sizes that work, unless the network takes this one."""
    if height % 4 == 0 and width % 4 == 0 and min(height, width) >= 32:
        return
    floor_h, floor_w = (max(32, n // 4 * 4) for n in (height, width))
    ceil_h, ceil_w = (max(32, -(-n // 4) * 4) for n in (height, width))
    sizes = sorted({(floor_h, floor_w), (ceil_h, ceil_w)})
    raise ValueError(
        f"the input is {height} x {width} (height x width), and HRNet needs multiples of 4 of at "
        f"least 32: resize to {' or '.join(f'{h} x {w}' for h, w in sizes)}"
    )


class Part(NamedTuple):
    """A part of a network: its outputs' (channels, height, width), parameters, and multiply-adds of
    its convolutions for one picture."""

    name: str
    shapes: list[tuple[int, ...]]
    parameters: int
    multiply_adds: int


def network_parts(size: tuple[int, int], **arguments: Any) -> list[Part]:
    """What a network is made of, from the stem to the last layer.

    Args:
        size: (height, width) of a picture in pixels.
        arguments: of `HighResolutionNet`.
    """
    shapes: dict[str, list[tuple[int, ...]]] = {}
    parameters: Counter[str] = Counter()
    multiply_adds: Counter[str] = Counter()

    def part(name: str) -> str:
        attribute = name.partition(".")[0]
        return "stem" if attribute in STEM else attribute

    def count(name: str, layer: nn.Module, output: Any) -> None:
        if isinstance(layer, nn.Conv2d):
            multiply_adds[part(name)] += layer.weight[0].numel() * output[0].numel()
        if "." not in name:
            outputs = [output] if isinstance(output, Tensor) else output
            shapes[part(name)] = [tuple(y.shape[1:]) for y in outputs]

    network = HighResolutionNet(**arguments).eval()
    for name, layer in network.named_modules():
        if name:
            layer.register_forward_hook(lambda m, _, y, name=name: count(name, m, y))
    for name, tensor in network.named_parameters():
        parameters[part(name)] += tensor.numel()
    with torch.inference_mode():
        network(torch.zeros(1, 3, *size))
    return [Part(n, shapes[n], parameters[n], multiply_adds[n]) for n in shapes]


def _print_table(height: int = 256, width: int = 192) -> None:
    parts = network_parts((height, width))
    print(f"HRNet-W32 for 17 joints, one picture of {height} x {width} (height x width)\n")
    print(f"{'part':<12}{'output':<46}{'parameters':>12}{'multiply-adds':>16}")
    for name, shapes, parameters, multiply_adds in parts:
        output = "  ".join("x".join(map(str, shape)) for shape in shapes)
        print(f"{name:<12}{output:<46}{parameters:>12,}{multiply_adds:>16,}")
    total = sum(p.parameters for p in parts), sum(p.multiply_adds for p in parts)
    print(f"{'in all':<58}{total[0]:>12,}{total[1]:>16,}")


if __name__ == "__main__":
    _print_table()
