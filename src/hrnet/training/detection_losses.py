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
    """The quality focal loss of outputs (N, 5, h, w) (Li et al.: *Generalized Focal Loss*, NeurIPS
    2020, eq. 2, with its beta of 2): a central place is to have the overlap of its own box with the
    person's. What is near a centre counts less as a place without one (Law, Deng: *CornerNet*,
    ECCV 2018, eq. 1, with its beta of 4). A sum over places, to be divided by the number of
    people."""
    logits = outputs[:, 0].float()
    probability = logits.sigmoid()
    with torch.no_grad():
        quality = generalised_iou(boxes_of(outputs.float()), targets.boxes).clamp(min=0)
    entropy = F.binary_cross_entropy_with_logits(logits, quality, reduction="none")
    here = targets.central * (quality - probability).square() * entropy
    elsewhere = (1 - targets.heatmap) ** 4 * probability.square() * F.softplus(logits)
    return torch.where(targets.central > 0, here, elsewhere * targets.counted).sum()


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
