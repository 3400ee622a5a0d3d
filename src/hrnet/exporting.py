"""Models as files for other programs: everything from uint8 pictures to points or boxes."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import Dim

from hrnet.detection.card import DetectorCard, read_detector_card
from hrnet.detection.find import detector_file
from hrnet.detection_model import DetectionModel, load_detection_model
from hrnet.errors import ConfigError
from hrnet.files import atomic_write
from hrnet.model import PoseModel
from hrnet.quantising import quantise
from hrnet.runtime.onnx_writing import write_onnx
from hrnet.runtime.openvino_session import openvino_core
from hrnet.runtime.torch_session import fold_batch_norms
from hrnet.zoo.build import build_model
from hrnet.zoo.card import DETECTOR_KEY, FLIP_TEST_KEY, POSE_KEY, PRECISION_KEY, ModelCard
from hrnet.zoo.find import PROGRAM, find_model


def export_pose_model(
    model: str | Path | None,
    out: Path,
    *,
    weights: str | Path = "default",
    flip_test: bool = False,
    int8: NDArray[np.uint8] | None = None,
) -> str:
    """Write a pose model for others to run, see `write_exported`; its name.

    Args:
        model, weights, flip_test: see `hrnet.create_model`.
        int8: (N, H, W, 3) crops to quantise it by, see `hrnet.quantising.quantise`; an .xml alone
            can be.

    Raises:
        ConfigError, WeightsError, DownloadError: see `hrnet.create_model`.
    """
    found = find_model(model)
    file = found.weights(weights)
    changes: dict[str, None] = {"weights": None}
    if weights != "default":  # probabilities were fitted on the model's own
        changes["calibration"] = None
    card = found.card.model_copy(update=changes)
    write_exported(build_model(card, file, flip_test=flip_test), card, out, int8=int8)
    return card.name


def export_detector(detector: str | Path, out: Path) -> str:
    """Write a person detector, see `write_exported`; its name.

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
    write_exported(load_detection_model(card.network, file), card, out)
    return card.name


def write_exported(
    model: PoseModel | DetectionModel,
    card: ModelCard | DetectorCard,
    file: Path,
    *,
    int8: NDArray[np.uint8] | None = None,
) -> None:
    """Write a model with its card: as ONNX, see `hrnet.runtime.onnx_writing.write_onnx`, with the
    card in the metadata; where the name ends in .xml, in OpenVINO's form, with a .bin beside it;
    where it ends in .pt2, as a program of `torch.export`, see `_write_program`.

    Raises:
        ConfigError: the package onnx, or openvino, is not installed.
    """
    size = card.input_size if isinstance(card, ModelCard) else (card.input_size,) * 2
    metadata = {(POSE_KEY if isinstance(card, ModelCard) else DETECTOR_KEY): card.to_json()}
    if isinstance(model, PoseModel):
        metadata[FLIP_TEST_KEY] = str(model.flip_test).lower()
    if file.suffix == ".xml":
        _write_openvino(model, size, metadata, file, int8)
    elif file.suffix == PROGRAM:
        _write_program(model, size, metadata, file)
    else:
        _write_onnx(model, size, metadata, file)


def _write_onnx(
    model: PoseModel | DetectionModel, size: tuple[int, int], metadata: dict[str, str], file: Path
) -> None:
    with atomic_write(file) as temporary:
        write_onnx(model, size, temporary)
        import onnx

        content = onnx.load(temporary)
        onnx.helper.set_model_props(content, metadata)
        onnx.save(content, temporary)


def _write_program(
    model: PoseModel | DetectionModel, size: tuple[int, int], metadata: dict[str, str], file: Path
) -> None:
    """`torch.export.load(file).module()` takes what the model takes, any number at once, of a
    detector pictures of at least 64 pixels a side; the metadata are the archive's extra files."""
    fold_batch_norms(model.eval())
    free: dict[int, Any] = {0: Dim("n", min=1)}
    if isinstance(model, DetectionModel):
        free |= {axis: 32 * Dim(f"parts_{axis}", min=2, max=256) for axis in (1, 2)}
    width, height = size
    example = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    program = torch.export.export(model, (example,), dynamic_shapes=(free,))
    with atomic_write(file) as temporary:
        torch.export.save(program, temporary, extra_files=metadata)


def _write_openvino(
    model: PoseModel | DetectionModel,
    size: tuple[int, int],
    metadata: dict[str, str],
    file: Path,
    int8: NDArray[np.uint8] | None,
) -> None:
    core = openvino_core()
    from openvino import save_model

    with TemporaryDirectory() as folder:
        write_onnx(model, size, Path(folder, "model.onnx"))
        content = core.read_model(Path(folder, "model.onnx"))
        if int8 is not None:
            content = quantise(content, int8)
            metadata[PRECISION_KEY] = "int8"
        for key, value in metadata.items():
            content.set_rt_info(value, ["framework", key])
        save_model(content, Path(folder, "model.xml"), compress_to_fp16=False)
        # The weights first: the .xml alone is what is looked for.
        for end in (".bin", ".xml"):
            with atomic_write(file.with_suffix(end)) as temporary:
                shutil.copyfile(Path(folder, f"model{end}"), temporary)
