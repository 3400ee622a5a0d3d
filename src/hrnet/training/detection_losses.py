"""What a detection network is trained to minimise: sums, and what to divide them by apart, so that
several processes can divide by what all of them have."""

import torch
from torch import Tensor
from torch.nn import functional as F

from hrnet.detection_model import Targets, boxes_of

BOX_WEIGHT = 5.0  # of the boxes' loss beside the heatmap's, as in TTFNet


def box_loss(outputs: Tensor, targets: Targets) -> Tensor:
    """Of the boxes of outputs (N, 5, h, w): BOX_WEIGHT times one less their generalised
    intersection over union with people's, times the places' weights; a sum, to be divided by these
    weights'."""
    distance = 1 - generalised_iou(boxes_of(outputs.float()), targets.boxes)
    return BOX_WEIGHT * (distance * targets.weights).sum()


def center_loss(outputs: Tensor, targets: Targets) -> Tensor:
    """The focal loss for Gaussian targets of outputs (N, 5, h, w) (Law, Deng: *CornerNet*, ECCV
    2018, eq. 1, with its alpha of 2 and beta of 4): a sum over places, to be divided by the number
    of people."""
    logits = outputs[:, 0].float()
    probability = logits.sigmoid()
    here = (1 - probability).square() * F.logsigmoid(logits)
    elsewhere = (1 - targets.heatmap) ** 4 * probability.square() * F.logsigmoid(-logits)
    is_center = targets.heatmap == 1
    return -torch.where(is_center, here, elsewhere * targets.counted).sum()


def generalised_iou(one: Tensor, other: Tensor) -> Tensor:
    """Of boxes (..., 4) and others, pair by pair (...), from -1 to 1 (Rezatofighi et al.:
    *Generalized Intersection over Union*, CVPR 2019)."""

    def area(low: Tensor, high: Tensor) -> Tensor:
        return (high - low).clamp(min=0).prod(dim=-1)

    shared = area(
        torch.maximum(one[..., :2], other[..., :2]), torch.minimum(one[..., 2:], other[..., 2:])
    )
    around = area(
        torch.minimum(one[..., :2], other[..., :2]), torch.maximum(one[..., 2:], other[..., 2:])
    )
    union = area(one[..., :2], one[..., 2:]) + area(other[..., :2], other[..., 2:]) - shared
    return shared / union.clamp(min=1e-6) - (around - union) / around.clamp(min=1e-6)
