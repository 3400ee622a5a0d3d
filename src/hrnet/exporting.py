"""Models as files that run without PyTorch: everything from uint8 pictures to points or boxes."""

import os
import warnings
from pathlib import Path

import torch
from torch import nn

from hrnet.detection.card import read_detector_card
from hrnet.detection.find import detector_file
from hrnet.detection_model import DetectionModel, load_detection_model
from hrnet.errors import ConfigError
from hrnet.files import atomic_write
from hrnet.model import PoseModel
from hrnet.runtime.torch_session import fold_batch_norms
from hrnet.zoo.build import build_model
from hrnet.zoo.card import DETECTOR_KEY, FLIP_TEST_KEY, POSE_KEY, Card, ModelCard
from hrnet.zoo.find import find_model

OPSET = 17  # of ONNX: the one of 2022, which ONNX Runtime 1.13 and newer read


def export_pose_model(
    model: str | Path | None,
    out: Path,
    *,
    weights: str | Path = "default",
    flip_test: bool = False,
) -> str:
    """Write a pose model as ONNX, see `export_onnx`; its name.

    Args:
        model, weights, flip_test: see `hrnet.create_model`.

    Raises:
        ConfigError, WeightsError, DownloadError: see `hrnet.create_model`.
    """
    found = find_model(model)
    file = found.weights(weights)
    changes: dict[str, None] = {"weights": None}
    if weights != "default":  # probabilities were fitted on the model's own
        changes["calibration"] = None
    card = found.card.model_copy(update=changes)
    export_onnx(build_model(card, file, flip_test=flip_test), card, out)
    return card.name


def export_detector(detector: str | Path, out: Path) -> str:
    """Write a person detector as ONNX, see `export_onnx`; its name.

    Args:
        detector: "auto", the one in the package, or a weights file.

    Raises:
        ConfigError: it is no detector of this package.
        WeightsError: the file is missing or broken.
    """
    file = detector_file(detector)
    card = read_detector_card(file) if file.suffix == ".safetensors" else None
    if card is None:
        raise ConfigError(f"{detector} is no detector of hrnet's; give the weights file of one")
    export_onnx(load_detection_model(card.network, file), card, out)
    return card.name


def export_onnx(model: PoseModel | DetectionModel, card: Card, file: Path) -> None:
    """Write a model as ONNX, with its card in the metadata. Batch norms go into the convolutions
    before them: the model is changed.

    A pose model takes `crops` (N, H, W, 3) uint8 of the card's input size, and gives `points`
    (N, K, 4), see `hrnet.model.PoseModel`; a detector takes `pictures` (N, H, W, 3) uint8, H and W
    multiples of 32, and gives `boxes` (N, P, 5), see `hrnet.detection_model.DetectionModel`.

    Raises:
        ConfigError: the package onnx is not installed.
    """
    try:
        import onnx
    except ModuleNotFoundError:
        raise ConfigError("exporting needs onnx: pip install 'hrnet[export]'") from None
    fold_batch_norms(model.eval())
    if isinstance(card, ModelCard):
        width, height = card.input_size
        names, dynamic = ("crops", "points"), {"crops": {0: "n"}, "points": {0: "n"}}
    else:
        width, height = 320, 256  # any, as sizes are free
        names = ("pictures", "boxes")
        dynamic = {"pictures": {0: "n", 1: "h", 2: "w"}, "boxes": {0: "n"}}
    example = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    with atomic_write(file) as temporary:
        _trace(model, example, temporary, names, dynamic)
        content = onnx.load(temporary)
        metadata = {(POSE_KEY if isinstance(card, ModelCard) else DETECTOR_KEY): card.to_json()}
        if isinstance(model, PoseModel):
            metadata[FLIP_TEST_KEY] = str(model.flip_test).lower()
        onnx.helper.set_model_props(content, metadata)
        onnx.save(content, temporary)


def _trace(
    model: nn.Module,
    example: torch.Tensor,
    file: Path,
    names: tuple[str, str],
    dynamic: dict[str, dict[int, str]],
) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        # Of sizes that become constants, which is meant, and of the exporter that is to replace
        # this one: it needs another package, and a minute.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (example,),
            os.fspath(file),
            input_names=[names[0]],
            output_names=[names[1]],
            dynamic_axes=dynamic,
            opset_version=OPSET,
            dynamo=False,
        )
