"""Which detector is meant, by a name or a file."""

import os
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path

from hrnet.detection.card import DetectorCard
from hrnet.detection.detector import Detector, WholePicture
from hrnet.detection.hrnet_detector import HRNetDetector, load_detector
from hrnet.detection.yolox import Yolox
from hrnet.errors import ConfigError
from hrnet.runtime.execution import TORCH, Execution
from hrnet.runtime.onnx_session import OnnxSession
from hrnet.runtime.opening import open_file
from hrnet.skeletons import Skeleton
from hrnet.tables import nearest_names, read_table, validate
from hrnet.zoo.card import DETECTOR_KEY, WeightsCard, card_in
from hrnet.zoo.find import EXPORTED
from hrnet.zoo.sources import fetch_weights, named_file

WHOLE = "whole"
AUTO = "auto"
PACKAGED = "hrnet_w32_small_person"
VARIABLE = "HRNET_DETECTOR"  # of the environment: what AUTO is instead of PACKAGED


class DetectorSource(WeightsCard):
    """A detector with a name, and where it comes from."""

    name: str
    description: str


def list_detectors() -> list[str]:
    """Names of what finds people in pictures: "whole", each picture being one person, and the
    detectors that there are cards for."""
    return [WHOLE, *detector_sources()]


def auto_detector(skeleton: Skeleton) -> str:
    """What AUTO is: for people's joints what the environment variable HRNET_DETECTOR names, or the
    detector in the package; for other points "whole"."""
    return os.environ.get(VARIABLE) or PACKAGED if skeleton.of_people else WHOLE


def find_detector(name: str | Path, execution: Execution | None = None) -> Detector:
    """A detector, ready.

    Args:
        name: one of `list_detectors()`; an ONNX file of YOLOX's; or a detector of this package, its
            weights file or what `hrnet export` made of it; by the path, or by a URL that ends with
            #sha256=...
        execution: where it is to run, if not wherever suits the machine; YOLOX runs on the
            processor, in ONNX Runtime.

    Raises:
        ConfigError: there is no such detector, or ONNX Runtime is not installed.
        WeightsError: the file is missing, or no such network.
        DownloadError: it cannot be fetched.
    """
    if str(name) == WHOLE:
        return WholePicture()
    file = detector_file(name)
    execution = Execution() if execution is None else execution
    if file.suffix == ".safetensors":
        return load_detector(file, execution)
    if str(name) in detector_sources():
        return Yolox(OnnxSession(file), file, str(name))
    # Files run on the processor, whatever the pose model does.
    execution = replace(
        execution,
        device="cpu",
        runtime=AUTO if execution.runtime == TORCH else execution.runtime,
    )
    session = open_file(file, execution)
    own = card_in(DetectorCard, DETECTOR_KEY, session.metadata, file)
    if own is not None:
        return HRNetDetector(own, session)
    return Yolox(session, file, file.stem)


def detector_file(name: str | Path) -> Path:
    """The file that a detector's name stands for, fetched where need be; see `find_detector`."""
    name = PACKAGED if str(name) == AUTO else str(name)
    card = detector_sources().get(name)
    # A path is taken as such, and a URL's file is fetched into the cache.
    ends = ".safetensors", *EXPORTED
    file = fetch_weights(card) if card is not None else named_file(name, ends)
    if file is None:
        known = nearest_names(name, list_detectors())
        raise ConfigError(
            f"there is no detector {name!r}{known}; give a name, an ONNX file or a detector's "
            "weights file"
        )
    return file


@cache
def detector_sources() -> dict[str, DetectorSource]:
    """The detectors that there are cards for, by name."""
    table = read_table(files(__package__) / "detectors.toml")
    cards = [validate(DetectorSource, entry, "detectors.toml") for entry in table["detectors"]]
    return {card.name: card for card in cards}
