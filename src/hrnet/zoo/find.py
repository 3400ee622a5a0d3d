"""Which model is meant: by a name, a file, a URL or a hub id; its card, its weights, and where it
runs."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from hrnet.errors import ConfigError
from hrnet.tables import nearest_names, read_table, validate
from hrnet.zoo.card import (
    DETECTOR_KEY,
    BackboneCard,
    ModelCard,
    family_cards,
    read_card,
    read_metadata,
)
from hrnet.zoo.sources import check_sha256, fetch_weights, named_file

DEFAULT_MODEL = "hrnet_w32_small_coco17"
_CARDS = files("hrnet.zoo") / "cards"
_BACKBONES = files("hrnet.zoo") / "backbones.toml"

# Endings of files that hold a whole model; all others hold weights.
EXPORTED = (".onnx", ".xml")
PROGRAM = ".pt2"  # of torch.export, for programs that have PyTorch and not this package


@dataclass(frozen=True)
class FoundModel:
    """A model that somebody named.

    Attributes:
        card: what it is.
        file: the file that it was named by; None where it was by its name in the package.
    """

    card: ModelCard
    file: Path | None

    def weights(self, weights: str | Path | None = "default") -> Path | None:
        """The file of its weights, fetched where need be; None for random ones.

        Args:
            weights: "default" for its own; None for random ones; or as for `find_weights`.

        Raises:
            ConfigError, WeightsError, DownloadError: see `find_weights`.
        """
        if weights is None:
            return None
        if weights != "default":
            return find_weights(weights)
        return find_weights(self.card.name) if self.file is None else self.file


def list_models(pattern: str = "*") -> list[str]:
    """Names of the models that there are cards for, by glob pattern."""
    return [name for name in sorted(_tables()) if fnmatchcase(name, pattern)]


def find_model(model: str | Path | None = None) -> FoundModel:
    """The model that is meant, without loading its weights.

    Args:
        model: a name of `list_models()`; a weights file that carries its card, or a published
            one under its published name; a URL or "hf:owner/name" of such; or None for the model
            in the package.

    Raises:
        ConfigError: no such model, or nothing says how a file was trained.
        WeightsError: the file is missing or broken.
        DownloadError: the file cannot be fetched.
    """
    name = DEFAULT_MODEL if model is None else str(model)
    if Path(name).suffix in EXPORTED:
        raise ConfigError(f"{name} is an exported file, which is there to predict with")
    if name.endswith(PROGRAM):
        raise ConfigError(
            f"{name} is for programs without hrnet; export the model as .onnx or .xml"
        )
    if name in _tables():
        return FoundModel(_card(name), None)
    file = named_file(name)
    if file is None:
        shown = model if isinstance(model, Path) else repr(model)
        raise ConfigError(f"there is no model {shown}{nearest_names(name, _tables())}")
    return FoundModel(read_card(file) or _card_by_file_name(file), file)


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
        return fetch_weights(validate(BackboneCard, backbones[name], f"backbone {name}"))
    if name not in _tables():
        raise ConfigError(
            f"there are no weights {name!r}{nearest_names(name, [*_tables(), *backbones])}"
        )
    own = _card(name).weights
    assert own is not None  # every card of a name has weights
    return fetch_weights(own)


@cache
def _tables() -> dict[str, dict[str, Any]]:
    """The cards of all families, by name."""
    families = (read_table(file) for file in _CARDS.iterdir() if file.name.endswith(".toml"))
    return {card["name"]: card for family in families for card in family_cards(family)}


@cache
def _card(name: str) -> ModelCard:
    return validate(ModelCard, _tables()[name], f"model card {name}")


def _card_by_file_name(file: Path) -> ModelCard:
    """The card of a published file under its published name."""
    names = [n for n, table in _tables().items() if _file_name(table) == file.name]
    if DETECTOR_KEY in read_metadata(file):
        raise ConfigError(f"{file} is a person detector, not a pose model; give it as the detector")
    if not names:
        raise ConfigError(
            f"{file} does not say how it was trained; where it is one of `hrnet models list`, say "
            f"which: hrnet convert {file} {file.stem}.safetensors --as NAME"
        )
    card = _card(names[0])
    assert card.weights is not None
    if card.weights.sha256 is not None:
        check_sha256(file, card.weights.sha256)
    return card


def _file_name(table: dict[str, Any]) -> str:
    weights = table.get("weights", {})
    return weights.get("file") or weights.get("url", "").rpartition("/")[2]
