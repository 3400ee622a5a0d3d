"""Models by name: cards, and where weights come from. What is imported here needs no PyTorch;
`build` and `loading` do."""

from hrnet.zoo.card import ModelCard
from hrnet.zoo.find import DEFAULT_MODEL, FoundModel, find_model, find_weights, list_models

__all__ = [
    "DEFAULT_MODEL",
    "FoundModel",
    "ModelCard",
    "find_model",
    "find_weights",
    "list_models",
]
