"""Models by name: cards, and where weights come from."""

from copy import deepcopy
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrnet.errors import ConfigError
from hrnet.tables import nearest_names, read_table, validate
from hrnet.zoo.card import BackboneCard, ModelCard, family_cards, read_card
from hrnet.zoo.sources import check_sha256, named_file, weights_file

if TYPE_CHECKING:
    from hrnet.model import PoseModel

DEFAULT_MODEL = "hrnet_w32_small_coco17"
_CARDS = files(__package__) / "cards"
_BACKBONES = files(__package__) / "backbones.toml"


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
    return load_model(model, weights=weights, flip_test=flip_test)[0]


def load_model(
    model: str | Path | None = None,
    *,
    weights: str | Path | None = "default",
    flip_test: bool = False,
) -> tuple["PoseModel", ModelCard, Path | None]:
    """The model of `create_model`, its card, and the file of its weights (None for random ones)."""
    from hrnet.zoo.loading import load_weights
    from hrnet.zoo.weights import build_model

    card, file = find_model(model)
    pose_model = build_model(card, flip_test=flip_test)
    if weights is None:
        return pose_model.eval(), card, None
    if weights != "default":
        file = find_weights(weights)
    elif file is None:
        file = find_weights(card.name)
    load_weights(pose_model.network, file)
    return pose_model.eval(), card, file


def find_weights(weights: str | Path) -> Path:
    """The weights file that a path, a URL, "hf:owner/name", or the name of a model or of an
    ImageNet initialisation stands for, fetched where need be.

    Raises:
        ConfigError: there is no such name, or a URL does not say what the file should be.
        WeightsError: the file must be fetched by hand, and is not there.
        DownloadError: the file cannot be fetched.
    """
    name = str(weights)
    file = named_file(name)
    if file is not None:
        return file
    backbones = read_table(_BACKBONES)
    if name in backbones:
        return weights_file(validate(BackboneCard, backbones[name], f"backbone {name}"))
    if name not in _tables():
        raise ConfigError(
            f"there are no weights {name!r}{nearest_names(name, [*_tables(), *backbones])}"
        )
    card = model_card(name)
    assert card.weights is not None  # every card of a name has weights
    return weights_file(card.weights)


def find_card(model: str | Path | None = None) -> ModelCard:
    """The card of a model, named as for `create_model`.

    Raises:
        ConfigError: no such model, or nothing says how a file was trained.
        WeightsError: the file is missing or broken.
        DownloadError: the file cannot be fetched.
    """
    return find_model(model)[0]


def find_model(model: str | Path | None = None) -> tuple[ModelCard, Path | None]:
    """The card of a model, and the file if it was named by one; see `find_card`."""
    name = str(model or DEFAULT_MODEL)
    if name in _tables():
        return model_card(name), None
    file = named_file(name)
    if file is None:
        raise ConfigError(f"there is no model {name!r}{nearest_names(name, _tables())}")
    card = read_card(file)
    return card or _card_by_file_name(file), file


def _card_by_file_name(file: Path) -> ModelCard:
    """The card of a published file under its published name."""
    names = [n for n, table in _tables().items() if _file_name(table) == file.name]
    if not names:
        raise ConfigError(
            f"{file} does not say how it was trained; where it is one of `hrnet models list`, say "
            f"which: hrnet convert {file} {file.stem}.safetensors --as NAME"
        )
    card = model_card(names[0])
    assert card.weights is not None
    if card.weights.sha256 is not None:
        check_sha256(file, card.weights.sha256)
    return card


def _file_name(table: dict[str, Any]) -> str:
    weights = table.get("weights", {})
    return weights.get("file") or weights.get("url", "").rpartition("/")[2]
