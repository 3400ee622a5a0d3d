"""The High-Resolution Network.

Most networks shrink the picture to a small map and then recover resolution. HRNet keeps a
high-resolution branch from the first stage to the last, adds one branch of half the resolution
and twice the width a stage, and lets all branches exchange what they know at the end of every
module:

    stem      layer1     stage2      stage3      stage4
    1/4 ────▶ 1/4 ──┬──▶ 1/4  ─┬──▶  1/4  ─┬──▶  1/4  ──▶ final_layer ──▶ heatmaps
                    └──▶ 1/8  ─┼──▶  1/8  ─┼──▶  1/8
                               └──▶  1/16 ─┼──▶  1/16
                                           └──▶  1/32

Sun, Xiao, Liu, Wang: *Deep High-Resolution Representation Learning for Human Pose Estimation*,
CVPR 2019. Modules carry the names of the published checkpoints, so that those load by name.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STEM_CHANNELS = 64


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
        return self.relu(y + x)


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


class StageModule(nn.Module):
    """Residual blocks on every branch, then the fusion of every branch with every other.

    Branch b has `c * 2**b` channels at `1 / 2**b` of branch 0's resolution (rounded up). Into
    output i comes the sum over all branches j, in the order of j, followed by ReLU:

    - j > i (lower resolution): 1x1 convolution to the target's width, upsampling
    - j = i: as it is
    - j < i (higher resolution): i - j stride-2 3x3 convolutions; only the last one widens

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
        upsampling: Literal["nearest", "bilinear"] = "nearest",
    ) -> None:
        super().__init__()
        self.upsampling = upsampling
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(c * 2**b) for _ in range(num_blocks)))
            for b in range(input_branches)
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_fuse_layer(i, j, c) for j in range(input_branches))
            for i in range(output_branches)
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Sequence[Tensor]) -> list[Tensor]:
        """Maps of all input branches, highest resolution first -> those of the output branches."""
        x = [branch(x_b) for branch, x_b in zip(self.branches, x, strict=True)]
        return [self._fuse(x, i) for i in range(len(self.fuse_layers))]

    def _fuse(self, x: list[Tensor], i: int) -> Tensor:
        row: Any = self.fuse_layers[i]  # a ModuleList
        y = [layer(x_j) for layer, x_j in zip(row, x, strict=True)]
        size = y[i].shape[-2:]
        for j in range(i + 1, len(y)):
            y[j] = F.interpolate(y[j], size=size, mode=self.upsampling)
        return self.relu(sum(y[1:], start=y[0]))


def _fuse_layer(i: int, j: int, c: int) -> nn.Module:
    """What takes branch j to the width (and, downwards, the resolution) of branch i."""
    if j == i:
        return nn.Identity()
    in_channels, out_channels = c * 2**j, c * 2**i
    if j > i:
        return nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
    halvings = [_conv3x3(in_channels, in_channels, stride=2) for _ in range(i - j - 1)]
    last = _conv3x3(in_channels, out_channels, stride=2)[:2]  # ReLU comes after the sum
    return nn.Sequential(*halvings, last)


def _conv3x3(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
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
        in_channels: channels of the input.
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
        upsampling: Literal["nearest", "bilinear"] = "nearest",
        head: Literal["v1", "v2"] = "v1",
        in_channels: int = 3,
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

        def stage(branches: int, modules: int, last_output_branches: int) -> nn.Sequential:
            outputs = [branches] * (modules - 1) + [last_output_branches]
            return nn.Sequential(
                *(
                    StageModule(branches, n, c, num_blocks=num_blocks, upsampling=upsampling)
                    for n in outputs
                )
            )

        self.conv1 = nn.Conv2d(in_channels, STEM_CHANNELS, 3, stride=2, padding=1, bias=False)
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

        # Each transition passes the branches on and makes the next one from the lowest. Only the
        # first must also adapt the width of what it passes on. (The public checkpoints nest a new
        # branch one level deeper, hence the Sequential around it.)
        self.transition1 = nn.ModuleList(
            [
                _conv3x3(layer1_channels, c, stride=1),
                nn.Sequential(_conv3x3(layer1_channels, 2 * c, stride=2)),
            ]
        )
        self.stage2 = stage(2, num_modules[0], 2)
        self.transition2 = nn.ModuleList(
            [
                nn.Identity(),
                nn.Identity(),
                nn.Sequential(_conv3x3(2 * c, 4 * c, stride=2)),
            ]
        )
        self.stage3 = stage(3, num_modules[1], 3)
        self.transition3 = nn.ModuleList(
            [
                nn.Identity(),
                nn.Identity(),
                nn.Identity(),
                nn.Sequential(_conv3x3(4 * c, 8 * c, stride=2)),
            ]
        )
        self.stage4 = stage(4, num_modules[2], 4 if multi_scale_output or head == "v2" else 1)
        channels = c
        self.head: nn.Sequential | None = None
        if head == "v2":
            channels = c * (1 + 2 + 4 + 8)
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

        # (1, 32, 64, 48), (1, 64, 32, 24)
        branches = self.stage2([layer(x) for layer in self.transition1])

        # (1, 32, 64, 48), (1, 64, 32, 24), (1, 128, 16, 12)
        branches = [*branches, branches[-1]]
        branches = self.stage3([t(b) for t, b in zip(self.transition2, branches, strict=True)])

        # (1, 32, 64, 48), (1, 64, 32, 24), (1, 128, 16, 12), (1, 256, 8, 6)
        branches = [*branches, branches[-1]]
        branches = self.stage4([t(b) for t, b in zip(self.transition3, branches, strict=True)])
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
