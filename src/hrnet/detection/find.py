"""Which detector is meant, by a name or a file."""

from functools import cache
from importlib.resources import files
from pathlib import Path

from hrnet.detection.detector import Detector, WholePicture
from hrnet.detection.hrnet_detector import load_detector
from hrnet.errors import ConfigError
from hrnet.tables import nearest_names, read_table, validate
from hrnet.zoo.card import WeightsCard
from hrnet.zoo.sources import fetch_weights, named_file

WHOLE = "whole"


class _Card(WeightsCard):
    name: str


def list_detectors() -> list[str]:
    """Names of what finds people in pictures: "whole", each picture being one person, and the
    detectors that there are cards for."""
    return [WHOLE, *_cards()]


def find_detector(name: str | Path) -> Detector:
    """A detector, ready.

    Args:
        name: one of `list_detectors()`; an ONNX file of YOLOX's, or a weights file of a detector
            trained with this package, by its path or by a URL that ends with #sha256=...

    Raises:
        ConfigError: there is no such detector, or ONNX Runtime is not installed.
        WeightsError: the file is missing, or no such network.
        DownloadError: it cannot be fetched.
    """
    name = str(name)
    if name == WHOLE:
        return WholePicture()
    card = _cards().get(name)
    # A path is taken as such, and a URL's file is fetched into the cache.
    file = fetch_weights(card) if card is not None else named_file(name, (".onnx", ".safetensors"))
    if file is None:
        known = nearest_names(name, list_detectors())
        raise ConfigError(
            f"there is no detector {name!r}{known}; give a name, an ONNX file or a detector's "
            "weights file"
        )
    if file.suffix == ".safetensors":
        return load_detector(file)
    from hrnet.detection.yolox import Yolox  # with ONNX Runtime, only where it is used

    return Yolox(file, file.stem if card is None else name)


@cache
def _cards() -> dict[str, _Card]:
    table = read_table(files(__package__) / "detectors.toml")
    cards = [validate(_Card, entry, "detectors.toml") for entry in table["detectors"]]
    return {card.name: card for card in cards}
