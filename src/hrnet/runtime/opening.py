"""A model's session, wherever it is to run."""

import json
import os
import secrets
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from hrnet.errors import ConfigError
from hrnet.files import cache_folder, sha256_of
from hrnet.runtime.execution import AUTO, ONNX_RUNTIME, OPENVINO, TORCH, Execution
from hrnet.runtime.onnx_session import OnnxSession
from hrnet.runtime.openvino_session import OpenVINOSession, pick_precision
from hrnet.runtime.session import Session

if TYPE_CHECKING:
    from hrnet.detection_model import DetectionModel
    from hrnet.model import PoseModel

    Make = Callable[[], PoseModel | DetectionModel]

KEPT = 20  # converted models in the cache
# What makes a converted model, beside its weights and its card.
SOURCES = ("network.py", "codec.py", "model.py", "detection_model.py", "runtime/onnx_writing.py")


def open_model(
    make: "Make", size: tuple[int, int], weights: Path | None, about: str, execution: Execution
) -> Session:
    """A session for a model of PyTorch's. For other runtimes it is converted, once: the file is in
    the cache, under what it was made of.

    Args:
        make: the model.
        size: (width, height) of its input.
        weights: the file that its weights are from; None for random ones, which are not kept.
        about: what else it depends on: its card, whether it does the flip test.

    Raises:
        ConfigError: the runtime is not installed, or the device or precision not here.
    """
    runtime = execution.runtime_for_weights()
    if weights is None and execution.runtime not in (AUTO, TORCH):
        raise ConfigError(f"random weights run in torch; leave out {execution.runtime}")
    if weights is not None and runtime != TORCH:
        precision = execution.precision_in(runtime)
        if runtime == OPENVINO:
            pick_precision(precision)  # before the work of converting
        try:
            return _open(_converted(make, size, weights, about), runtime, precision)
        except OSError:  # there is no room for a cache, or no right to have one
            if execution.runtime != AUTO:
                raise
    from hrnet.runtime.torch_session import TorchSession

    return TorchSession(make(), execution.device, execution.precision_in(TORCH))


def open_file(file: Path, execution: Execution) -> OnnxSession | OpenVINOSession:
    """A session for a file that `hrnet export` wrote.

    Raises:
        ConfigError: the runtime is not installed, or cannot run such files.
        WeightsError: the file is missing or broken.
    """
    if not execution.on_processor:
        raise ConfigError(f"{file} runs on the processor; leave out the device {execution.device}")
    if execution.runtime == TORCH:
        raise ConfigError(f"{file} was exported, and is not for PyTorch; leave out the runtime")
    runtime = execution.runtime_for_exported()
    if file.suffix == ".xml":
        if execution.runtime == ONNX_RUNTIME:
            raise ConfigError(f"{file} is for OpenVINO; leave out the runtime {runtime}")
        runtime = OPENVINO
    return _open(file, runtime, execution.precision_in(runtime))


def _open(file: Path, runtime: str, precision: str) -> OnnxSession | OpenVINOSession:
    return OnnxSession(file) if runtime == ONNX_RUNTIME else OpenVINOSession(file, precision)


def _converted(make: "Make", size: tuple[int, int], weights: Path, about: str) -> Path:
    """The ONNX file of a model. Its name says what it was made of, and what is in it, so that a
    stale or broken one is made again."""
    from filelock import FileLock

    made_of = [sha256_of(weights), about, size, _code(), version("torch")]
    key = sha256(json.dumps(made_of).encode()).hexdigest()[:32]
    folder = cache_folder() / "converted"
    folder.mkdir(parents=True, exist_ok=True)
    # Not of two threads at once either: PyTorch's exporter cannot.
    with FileLock(folder / "lock"):
        for file in folder.glob(f"{key}-*.onnx"):
            if file.stem == f"{key}-{sha256_of(file)[:32]}":
                os.utime(file)
                return file
            file.unlink()
        # Here alone PyTorch is loaded.
        from hrnet.runtime.onnx_writing import write_onnx

        temporary = folder / f".{secrets.token_hex(8)}.onnx"
        try:
            write_onnx(make(), size, temporary)
            file = folder / f"{key}-{sha256_of(temporary)[:32]}.onnx"
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)
        others = sorted(folder.glob("[0-9a-f]*.onnx"), key=lambda f: f.stat().st_mtime)
        for old in others[:-KEPT]:
            old.unlink()
        return file


@cache
def _code() -> str:
    """A digest of SOURCES."""
    package = files("hrnet")
    return sha256(b"".join((package / own).read_bytes() for own in SOURCES)).hexdigest()
