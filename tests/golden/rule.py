"""Weights and pictures by a fixed rule, the same in this network and in the official one."""

import zlib

import numpy as np
import torch


def numbers(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float64 in [-1, 1), a function of the name alone."""
    return np.random.default_rng(zlib.crc32(name.encode())).random(shape) * 2 - 1


def tensor(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The weight or statistic of that name, such that activations stay near 1."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    values = numbers(name, shape)
    if len(shape) == 4:
        values *= np.sqrt(3 / np.prod(shape[1:]))
    elif name.endswith(("running_var", "weight")):
        values = 0.75 + values / 4
    else:
        values /= 10
    return torch.from_numpy(values).float()


def fill(network: torch.nn.Module) -> None:
    """Set every weight and statistic by its name."""
    state = network.state_dict()
    for name, value in state.items():
        state[name] = tensor(name, tuple(value.shape))
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
