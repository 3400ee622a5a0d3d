"""What several processes that train together have to tell each other."""

from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn


def process_count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def mean_over_processes(tensor: Tensor) -> Tensor:
    """The mean of the processes' tensors, of one shape, without gradient."""
    if process_count() == 1:
        return tensor.detach()
    total = tensor.detach().clone()
    dist.all_reduce(total)
    return total / process_count()


def gather_arrays(array: NDArray[Any]) -> NDArray[Any]:
    """The processes' arrays, whose first axes may differ in length, one after the other."""
    if process_count() == 1:
        return array
    arrays: list[NDArray[Any] | None] = [None] * process_count()
    dist.all_gather_object(arrays, array)
    return np.concatenate([part for part in arrays if part is not None])


class SyncBatchNorm(nn.BatchNorm2d):
    """Batch norm by the statistics of all processes' batches, on any device; PyTorch's own takes
    GPUs only. Every process must have as many values."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        if not self.training or process_count() == 1:
            return super().forward(x)
        with torch.no_grad():
            values = x.float()
            mean = mean_over_processes(values.mean(dim=(0, 2, 3)))
            offsets = values - mean[:, None, None]
            variance = mean_over_processes(offsets.square().mean(dim=(0, 2, 3)))
            count = process_count() * x.numel() // x.shape[1]
            assert self.running_mean is not None  # for the type checker
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            momentum = self.momentum or 0.0
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), momentum)
            self.num_batches_tracked.add_(1)
        normalised: Tensor = _Normalise.apply(x, mean, (variance + self.eps).rsqrt())  # type: ignore[no-untyped-call]
        return normalised * self.weight[:, None, None] + self.bias[:, None, None]


class _Normalise(torch.autograd.Function):
    """(x - mean) * scale, differentiated with mean and scale as functions of all processes' x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
        normalised = (x - mean[:, None, None]) * scale[:, None, None]
        ctx.save_for_backward(normalised, scale)
        return normalised

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        normalised, scale = ctx.saved_tensors
        means = torch.stack(
            [gradient.mean(dim=(0, 2, 3)), (gradient * normalised).mean(dim=(0, 2, 3))]
        )
        constant, linear = mean_over_processes(means)[..., None, None]
        return (gradient - constant - normalised * linear) * scale[:, None, None], None, None


def sync_batch_norm(network: nn.Module) -> None:
    """Turn the batch norms of a network into `SyncBatchNorm`, in place; their tensors stay."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                synced = SyncBatchNorm(child.num_features, eps=child.eps, momentum=child.momentum)
                synced.load_state_dict(child.state_dict())
                setattr(module, name, synced)
