"""What a run starts from."""

import torch

from hrnet.errors import ConfigError
from hrnet.network import HighResolutionNet
from hrnet.training.recipe import TrainingConfig
from hrnet.zoo import find_model, find_weights
from hrnet.zoo.build import build_model
from hrnet.zoo.card import ModelCard
from hrnet.zoo.loading import load_weights


def load_start(network: HighResolutionNet, card: ModelCard, config: TrainingConfig) -> None:
    """Load the weights that a recipe starts from, if it names any.

    Args:
        network: of random weights.
        card: what the network is.
        config: its `start_from` and `start_head`.

    Raises:
        ConfigError, DownloadError: see `find_weights` and, for "by_name", `find_model`.
        WeightsError: they do not fit, see `load_weights`.
    """
    if config.start_from is None:
        return
    file = find_weights(config.start_from)
    if config.start_head != "by_name":
        load_weights(network, file, head=config.start_head)
        return
    try:
        theirs = find_model(config.start_from).card.skeleton
    except ConfigError as error:
        raise ConfigError(
            f'start_head "by_name" asks which keypoints {config.start_from} has, and {error}; '
            "training.start_head=skip does without"
        ) from None
    other = build_model(card.model_copy(update={"skeleton": theirs})).network
    load_weights(other, file)
    own_head = network.final_layer.state_dict(prefix="final_layer.")
    network.load_state_dict({**other.state_dict(), **own_head})
    shared = [name for name in card.skeleton.keypoints if name in theirs.keypoints]
    to, from_ = ([s.index(name) for name in shared] for s in (card.skeleton, theirs))
    with torch.no_grad():
        for own, found in zip(
            network.final_layer.parameters(), other.final_layer.parameters(), strict=True
        ):
            own[to] = found[from_]
