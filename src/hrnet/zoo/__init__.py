"""Models by name: cards, and where weights come from."""

from copy import deepcopy
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrnet.errors import ConfigError
from hrnet.tables import nearest_names, read_table, validate
from hrnet.zoo.card import ModelCard, family_cards, read_card

if TYPE_CHECKING:
    from hrnet.model import PoseModel

DEFAULT_MODEL = "hrnet_w32_small_coco17"
_CARDS = files(__package__) / "cards"
_PACKAGED = files(__package__) / "packaged"


def list_models(pattern: str = "*") -> list[str]:
    """Names of the models that there are cards for, by glob pattern."""
    return [name for name in sorted(_tables()) if fnmatchcase(name, pattern)]


def model_card(name: str) -> ModelCard:
    """The card of a model by name.

    Raises:
        ConfigError: there is none of that name.
    """
    return validate(ModelCard, card_table(name), f"model card {name}")


def card_table(name: str) -> dict[str, Any]:
    """A model's card as a table, before it is validated.

    Raises:
        ConfigError: there is none of that name.
    """
    tables = _tables()
    if name not in tables:
        raise ConfigError(f"there is no model {name!r}{nearest_names(name, tables)}")
    return deepcopy(tables[name])


@cache
def _tables() -> dict[str, dict[str, Any]]:
    """The cards of all families, by name."""
    families = (read_table(file) for file in _CARDS.iterdir() if file.name.endswith(".toml"))
    return {card["name"]: card for family in families for card in family_cards(family)}


def create_model(
    model: str | Path | None = None,
    *,
    weights: str | Path | None = "default",
    flip_test: bool = False,
) -> "PoseModel":
    """A `PoseModel` in evaluation mode, by name or from a weights file that carries its card.

    Args:
        model: a name of `list_models()`, a .safetensors file, or None for the model in the
            package.
        weights: "default" for the model's own, None for random ones, or a file that fits.
        flip_test: see `PoseModel`.

    Raises:
        ConfigError: no such model, or it has no weights of its own.
        WeightsError: the weights are missing, broken, or do not fit.
    """
    from hrnet.zoo.weights import build_model, load_network

    name = str(model or DEFAULT_MODEL)
    card = find_card(name)
    pose_model = build_model(card, flip_test=flip_test)
    if weights == "default":
        if name.endswith(".safetensors"):
            load_network(pose_model.network, name)
        elif card.weights is None:
            raise ConfigError(f"{name} has no weights of its own; give a weights file or None")
        else:
            with as_file(_PACKAGED / card.weights.file) as file:
                load_network(pose_model.network, file)
    elif weights is not None:
        load_network(pose_model.network, weights)
    return pose_model.eval()


def find_card(model: str | Path | None = None) -> ModelCard:
    """The card of a model by name, of a weights file, or (None) of the model in the package.

    Raises:
        ConfigError: no such model.
        WeightsError: the weights file is missing or broken.
    """
    name = str(model or DEFAULT_MODEL)
    return read_card(name) if name.endswith(".safetensors") else model_card(name)
