"""Weights files: safetensors whose metadata hold the model card."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from hrnet.codec import HeatmapCodec
from hrnet.errors import WeightsError
from hrnet.files import atomic_write
from hrnet.model import PoseModel
from hrnet.network import HighResolutionNet
from hrnet.zoo.card import ModelCard


def build_model(card: ModelCard, *, flip_test: bool = False) -> PoseModel:
    """The model that a card describes, with random weights."""
    return PoseModel(
        HighResolutionNet(num_joints=len(card.skeleton), **card.network.model_dump()),
        HeatmapCodec(**card.codec.model_dump()),
        card.skeleton.flip_order.tolist(),
        output=card.output,
        flip_shift=card.flip_shift,
        flip_test=flip_test,
    )


def save_model(network: torch.nn.Module, card: ModelCard, file: str | Path) -> None:
    """Write the network's weights as float16 safetensors with the card in the metadata."""
    tensors = {
        name: (t.half() if t.is_floating_point() else t).detach().cpu().contiguous()
        for name, t in network.state_dict().items()
    }
    with atomic_write(file) as temporary:
        save_file(tensors, temporary, metadata={"hrnet_card": card.to_json()})


def load_network(network: HighResolutionNet | torch.nn.Module, file: str | Path) -> None:
    """Load a safetensors file written by `save_model` into a network of the same layout.

    Raises:
        WeightsError: the file is missing, broken, holds NaN or infinity, or does not fit.
    """
    file = Path(file)
    if not file.is_file():
        raise WeightsError(f"there is no weights file {file}")
    try:
        tensors = load_file(file)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{file} is not a safetensors file: {error}") from error
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():  # of a training run that diverged
            raise WeightsError(f"{name} in {file} holds NaN or infinity; take other weights")
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(f"the weights in {file} do not fit the network: {reason}") from error
