"""Cards to models, and models to files: safetensors whose metadata hold the card."""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from hrnet.calibration import tolerances
from hrnet.codec import HeatmapCodec
from hrnet.errors import ConfigError
from hrnet.files import atomic_write, sha256_of
from hrnet.model import PoseModel
from hrnet.network import HighResolutionNet, network_parts
from hrnet.similarity import sigmas_of
from hrnet.zoo.card import POSE_KEY, ModelCard, NetworkCard, read_card
from hrnet.zoo.find import find_model, find_weights
from hrnet.zoo.loading import LoadReport, load_weights


def create_model(
    model: str | Path | None = None,
    *,
    weights: str | Path | None = "default",
    flip_test: bool = False,
) -> PoseModel:
    """A `PoseModel` in evaluation mode.

    Args:
        model: a name of `list_models()`; a weights file that carries its card, or a published
            one under its published name; "hf:owner/name"; or None for the model in the package.
        weights: "default" for the model's own, fetched where need be; None for random ones; or a
            file, URL or "hf:owner/name" that fits, see `hrnet.load_weights`.
        flip_test: see `PoseModel`.

    Raises:
        ConfigError: no such model, or nothing says how a file was trained.
        WeightsError: the weights are missing, broken, or do not fit.
        DownloadError: the weights cannot be fetched.
    """
    found = find_model(model)
    return build_model(found.card, found.weights(weights), flip_test=flip_test).eval()


def build_model(
    card: ModelCard, weights: Path | None = None, *, flip_test: bool = False
) -> PoseModel:
    """The model that a card describes, with the weights of a file, or random ones.

    Raises:
        ConfigError: a flip test is asked for, and the skeleton does not mirror.
        WeightsError: the weights do not fit.
    """
    if flip_test and not card.skeleton.mirrors:
        raise ConfigError(
            f"{card.name} has no flip test, as its skeleton {card.skeleton.name} has no left and "
            "right, nor does it say that its points lie on the axis; leave the flip test out"
        )
    sigmas = sigmas_of(card.skeleton).tolist()
    network = HighResolutionNet(num_joints=len(card.skeleton), **card.network.model_dump())
    if weights is not None:
        load_weights(network, weights)
    return PoseModel(
        network,
        HeatmapCodec(**card.codec.model_dump()),
        card.skeleton.flip_order.tolist(),
        output=card.output,
        flip_shift=card.flip_shift,
        flip_test=flip_test,
        tolerance=tolerances(sigmas, card.padding),
    )


def save_model(
    network: torch.nn.Module, card: ModelCard, file: str | Path, *, dtype: torch.dtype = torch.half
) -> None:
    """Write the network's weights as safetensors of `dtype` with the card in the metadata."""
    save_weights(network, {POSE_KEY: card.to_json()}, file, dtype=dtype)


def save_weights(
    network: torch.nn.Module,
    metadata: dict[str, str],
    file: str | Path,
    *,
    dtype: torch.dtype = torch.half,
) -> None:
    """Write a network's weights as safetensors of `dtype`, with what is to be known of them."""
    tensors = {
        name: (t.to(dtype) if t.is_floating_point() else t).detach().cpu().contiguous()
        for name, t in network.state_dict().items()
    }
    with atomic_write(file) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def convert(checkpoint: str | Path, out: str | Path, *, name: str | None = None) -> LoadReport:
    """Write a public checkpoint as float32 safetensors that carry the model's card. Of weights that
    are not the model's own, probabilities of joints are unknown, and its figures are not theirs.

    Args:
        name: which model of `list_models()` it is; None where the file's name is the published
            one, or the file carries its card.

    Raises:
        ConfigError: no such model, or nothing says which it is.
        WeightsError: see `load_weights`.
    """
    card = find_model(checkpoint if name is None else name).card
    network = build_model(card).network
    file = find_weights(checkpoint)
    report = load_weights(network, file)
    changes: dict[str, Any] = {"weights": None}
    published = card.weights.sha256 if card.weights is not None else None
    if name is not None and not (published and sha256_of(file).startswith(published)):
        changes["calibration"] = None
        if published:
            changes["figures"] = ()
    save_model(network, card.model_copy(update=changes), out, dtype=torch.float32)
    return report


def save_with_card(weights: Path, card: ModelCard, out: str | Path) -> None:
    """Write a file's weights with another card: as they are where the file carries one, else in
    float32.

    Raises:
        WeightsError: see `load_weights`.
    """
    if read_card(weights) is None:
        save_model(build_model(card, weights).network, card, out, dtype=torch.float32)
        return
    tensors = load_file(weights)
    with atomic_write(out) as temporary:
        save_file(tensors, temporary, metadata={POSE_KEY: card.to_json()})


@cache
def cost(network: NetworkCard, joints: int, input_size: tuple[int, int]) -> tuple[int, int]:
    """Parameters of a network, and multiply-adds of its convolutions for one crop.

    `input_size` is (width, height), multiples of 32: the convolutions are counted at 32 x 32, and
    all of them grow with the area.
    """
    parts = network_parts((32, 32), num_joints=joints, **network.model_dump())
    multiply_adds = sum(p.multiply_adds for p in parts) * input_size[0] * input_size[1]
    return sum(p.parameters for p in parts), multiply_adds // 32**2
