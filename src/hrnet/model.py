"""PoseModel: from crops to points. What is trained is what is evaluated is what is exported."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from hrnet.codec import HeatmapCodec
from hrnet.network import HighResolutionNet

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Normalise(nn.Module):
    """Pictures (N, H, W, 3) uint8 RGB -> (N, 3, H, W) float32 with ImageNet's mean and deviation,
    which is what a network gets."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, H, W, 3) -> (N, 3, H, W)."""
        n, height, width, _ = pictures.shape
        # In rows, with the colours' numbers repeated along them: with an inner dimension of three
        # PyTorch is several times slower on a CPU. In place, as fresh memory costs more than sums.
        mean, std = self.mean.repeat(width), self.std.repeat(width)
        rows = pictures.reshape(n, height, width * 3).to(torch.float32, copy=True)
        rows.div_(255).sub_(mean).div_(std)
        return rows.view(n, height, width, 3).permute(0, 3, 1, 2)


class PoseModel(nn.Module):
    """Normalise -> network -> [flip test] -> decode.

    Args:
        network: normalised pictures (N, 3, H, W) -> (N, K, H/4, W/4).
        codec: what the network's heatmaps mean.
        flip_order: K positions; which joint takes each one's place in a mirrored picture.
        output: "heatmaps", or "logits" of which the softmax over all locations is the heatmap.
        flip_shift: whether the flip test moves the mirrored heatmap one cell to the right
            (column 0 stays), which undoes the misalignment of biased crops.
        flip_test: average with the prediction for the mirrored crop; twice the work.
        tolerance: (K,) of each joint the spread that OKS allows it, for somebody who fills the
            crop, as a share of the square root of the crop's area.
    """

    flip_order: Tensor
    tolerance: Tensor

    def __init__(
        self,
        network: HighResolutionNet,
        codec: HeatmapCodec,
        flip_order: Sequence[int],
        *,
        output: Literal["heatmaps", "logits"] = "heatmaps",
        flip_shift: bool = True,
        flip_test: bool = False,
        tolerance: Sequence[float],
    ) -> None:
        super().__init__()
        self.network = network
        self.codec = codec
        self.output = output
        self.flip_shift = flip_shift
        self.flip_test = flip_test
        self.normalise = Normalise()
        self.register_buffer("flip_order", torch.as_tensor(flip_order), persistent=False)
        self.register_buffer("tolerance", torch.tensor(tolerance), persistent=False)

    def forward(self, crops: Tensor) -> Tensor:
        """Crops (N, H, W, 3) uint8 RGB -> points (N, K, 4) float32: x, y in crop pixels, score,
        expected similarity.

        The score is the heatmap's peak: about 1 where the network is sure, and it may exceed 1. The
        similarity, from 0 to 1, is what the heatmap as a whole says of the point, see
        `HeatmapCodec.expected_similarity`. `hrnet.calibration` makes a probability of both.
        """
        height, width = crops.shape[1:3]
        return self.points(self.heatmaps(crops), (width, height))

    def heatmaps(self, crops: Tensor) -> Tensor:
        """Crops (N, H, W, 3) uint8 RGB -> heatmaps (N, K, H/4, W/4) float32, flip test included."""
        images = self.normalise(crops)
        if self.flip_test:  # one call, so that an exported file holds each convolution once
            images = torch.cat([images, images.flip(3)])
        heatmaps = self.activate(self.network(images))
        if self.flip_test:
            heatmaps, mirrored = heatmaps.view(2, crops.shape[0], *heatmaps.shape[1:])
            mirrored = mirrored.flip(3)[:, self.flip_order]
            if self.flip_shift:
                mirrored = torch.cat([mirrored[..., :1], mirrored[..., :-1]], dim=-1)
            heatmaps = (heatmaps + mirrored) / 2
        return heatmaps

    def points(self, heatmaps: Tensor, input_size: tuple[int, int]) -> Tensor:
        """Heatmaps (N, K, h, w) of crops of an input size (width, height) -> points (N, K, 4), see
        `forward`."""
        points = self.codec.decode(heatmaps)
        h, w = heatmaps.shape[-2:]
        similarity = self.codec.expected_similarity(
            heatmaps, points[..., :2], self.tolerance * math.sqrt(h * w)
        )
        cell = points.new_tensor([*self.codec.cell_size(input_size), 1.0])
        return torch.cat([points * cell, similarity[..., None]], dim=-1)

    def activate(self, outputs: Tensor) -> Tensor:
        """The network's outputs (N, K, h, w) as float32 heatmaps.

        Softmax of logits makes a distribution over locations; times 2 pi sigma**2, the inverse of
        a normalised Gaussian's peak, its peak is about 1 where the network is sure.
        """
        outputs = outputs.float()
        if self.output == "heatmaps":
            return outputs
        probabilities = torch.softmax(outputs.flatten(2), dim=-1).view_as(outputs)
        return probabilities * (2 * math.pi * self.codec.sigma**2)
