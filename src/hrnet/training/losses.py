"""What a network is trained to minimise: each a sum, and the number of joints to divide it by,
apart, so that several processes can divide by what all of them have."""

from torch import Tensor
from torch.nn import functional as F


def joints_mse(outputs: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Half the squared error of heatmaps (N, K, h, w), averaged over all locations and joints.

    Joints of weight 0 (N, K) add nothing but count in the average, as in the official
    `JointsMSELoss`.
    """
    error = (outputs.float() - targets).square().mean(dim=(2, 3))
    return 0.5 * (error * weights.square()).sum(), error.new_tensor(error.numel())


def joints_cross_entropy(
    outputs: Tensor, targets: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Cross-entropy over locations: each joint's logits (N, K, h, w) are one distribution.

    The target is the Gaussian heatmap divided by its sum. The average is over the joints that
    have a weight and whose Gaussian lies at least half inside the heatmap: a distribution over
    the crop says nothing about a joint outside of it.
    """
    mass = targets.sum(dim=(2, 3))
    # A Gaussian's mass grows with its area; the largest in the batch is a whole one.
    inside = (weights > 0) & (mass > 0.5 * mass.max())
    distribution = targets.flatten(2) / mass.clamp(min=1e-6)[..., None]
    log_probabilities = F.log_softmax(outputs.float().flatten(2), dim=-1)
    loss = -(distribution * log_probabilities).sum(dim=-1)
    return (loss * inside).sum(), inside.sum().to(loss.dtype)


def distilled(targets: Tensor, seen: Tensor, share: float) -> Tensor:
    """Targets (N, K, h, w) for the cross-entropy of which a share is what another model sees there.

    Its heatmaps (N, K, h, w) are scaled to the mass of the targets', so that the share is the same
    for Gaussians partly outside, and those that do not count still do not.
    """
    mass = targets.sum(dim=(2, 3), keepdim=True) / seen.sum(dim=(2, 3), keepdim=True)
    return targets.lerp(seen * mass, share)


LOSSES = {"mse": joints_mse, "cross_entropy": joints_cross_entropy}
