"""Weights and pictures by a fixed rule, the same in this network and in the official one."""

import zlib

import numpy as np
import torch


def numbers(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float64 in [-1, 1), a function of the name alone."""
    return np.random.default_rng(zlib.crc32(name.encode())).random(shape) * 2 - 1


def fill(network: torch.nn.Module) -> None:
    """Set every weight and statistic by its name, so that activations stay near 1."""
    state = network.state_dict()
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        values = numbers(name, tuple(tensor.shape))
        if tensor.ndim == 4:
            values *= np.sqrt(3 / np.prod(tensor.shape[1:]))
        elif name.endswith(("running_var", "weight")):
            values = 0.75 + values / 4
        else:
            values /= 10
        state[name] = torch.from_numpy(values).to(tensor.dtype)
    network.load_state_dict(state)
    network.eval()


def picture(height: int, width: int) -> torch.Tensor:
    """A normalised picture (1, 3, height, width)."""
    return torch.from_numpy(numbers(f"{height}x{width}", (1, 3, height, width))).float()


CASES = [
    # base channel, joints, (height, width)
    (32, 17, (256, 192)),
    (48, 17, (256, 192)),
    (32, 17, (384, 288)),
    (48, 17, (384, 288)),
    (32, 16, (256, 256)),
    (48, 16, (256, 256)),
]


def case_name(base_channel: int, joints: int, size: tuple[int, int]) -> str:
    return f"w{base_channel}_{joints}_{size[0]}x{size[1]}"
