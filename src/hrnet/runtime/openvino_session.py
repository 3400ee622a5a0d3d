"""Networks in OpenVINO."""

import os
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrnet.errors import ConfigError, WeightsError
from hrnet.files import cache_folder
from hrnet.runtime.file_session import FileSession
from hrnet.runtime.onnx_names import HEATMAPS
from hrnet.runtime.session import Arrays
from hrnet.zoo.card import PRECISION_KEY

KEPT = 40  # compiled models in the cache
NAMES = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


class OpenVINOSession(FileSession):
    """See `FileSession`.

    In half precision what follows the output HEATMAPS is compiled apart, in fp32: a blur or a sum
    in half precision moves points. A network without that output is in fp32 as a whole.

    One compiled network runs batches of any length, and with whom somebody shares a batch changes
    nothing, to the bit. (One of a fixed length takes 4 to 7 % less time for one person, 2 to 3 %
    for eight, but rounds otherwise in half precision, and each length takes the weights' memory.)

    Attributes:
        metadata: what the file says of itself.

    Args:
        file: the network as ONNX, or OpenVINO's .xml beside its .bin.
        precision: see `pick_precision`.

    Raises:
        ConfigError: OpenVINO is not installed, or the processor has no such precision.
        WeightsError: the file is missing, or no network that OpenVINO can run.
    """

    provider = "openvino"

    def __init__(self, file: Path, precision: str = "auto") -> None:
        picked = pick_precision(precision)
        super().__init__(file, precision)
        core = openvino_core()
        config = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self.threads,
            # Else two processes of one thread each would have the same core.
            "ENABLE_CPU_PINNING": False,
        }
        try:
            model = core.read_model(file)
            self.metadata = _metadata(model)
            self.shapes = [_lengths(own) for own in model.inputs]
            has_heatmaps = any(HEATMAPS in output.names for output in model.outputs)
            self.precision = self.metadata.get(PRECISION_KEY, picked) if has_heatmaps else "fp32"
            if not has_heatmaps:
                parts = [(model, "fp32")]
            elif picked == "fp32":
                parts = [(_without_heatmaps(model), "fp32")]
            else:
                network, decoder = _split(model)
                parts = [(network, picked), (decoder, "fp32")]
            self._requests = [
                _compiled(core, part, {**config, "INFERENCE_PRECISION_HINT": NAMES[own]})
                for part, own in parts
            ]
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise WeightsError(f"{file} cannot be run by OpenVINO: {reason}") from None
        self._lock = Lock()

    def __call__(self, *inputs: NDArray[Any]) -> Arrays:
        """See `hrnet.runtime.session.Session`."""
        with self._lock:  # its memory is used again by the next call
            tensors = [_tensor(values) for values in inputs]
            for request in self._requests:
                for i, tensor in enumerate(tensors):
                    request.set_input_tensor(i, tensor)
                request.infer()
                tensors = list(request.output_tensors)
            return tuple(tensor.data.copy() for tensor in tensors)


def pick_precision(precision: str) -> str:
    """The one asked for, or of "auto" bf16 or fp16 where the processor has units for it, else fp32.

    Raises:
        ConfigError: OpenVINO is not installed, or the processor has no units for it.
    """
    can = openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision == "auto":
        return next((p for p in ("bf16", "fp16") if p.upper() in can), "fp32")
    if precision.upper() not in can:
        raise ConfigError(f"this processor has no units for {precision}; take fp32 or auto")
    return precision


@cache
def openvino_core() -> Any:
    """`openvino.Core`, one for the process: each sets the stack that signals are handled on and at
    its end restores the one before, which another may have freed by then. The next Ctrl-C would end
    the process by a segmentation fault (2026.4).

    Raises:
        ConfigError: OpenVINO is not installed.
    """
    try:
        from openvino import Core
    except ImportError as error:
        raise ConfigError(
            f"the runtime openvino needs openvino ({error}): pip install 'hrnet[openvino]'"
        ) from None
    return Core()


def _compiled(core: Any, model: Any, config: dict[str, Any]) -> Any:
    """A request to run it; what was compiled is kept on disk, where that is possible."""
    folder = cache_folder() / "openvino"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_kept = os.access(folder, os.W_OK)
    except OSError:
        is_kept = False
    if not is_kept:
        return core.compile_model(model, "CPU", config).create_infer_request()
    from filelock import FileLock

    with FileLock(folder / "lock"):  # else one process may read what another writes
        blobs = sorted(folder.glob("*.blob"), key=lambda blob: blob.stat().st_mtime)
        for old in blobs[:-KEPT]:
            old.unlink()
        kept = {**config, "CACHE_DIR": str(folder)}
        return core.compile_model(model, "CPU", kept).create_infer_request()


def heatmaps_of(model: Any) -> Any:
    """The output of an operation in an OpenVINO model that its output HEATMAPS is."""
    source = next(o for o in model.outputs if HEATMAPS in o.names).node.input_value(0)
    while source.node.get_type_name() == "Convert":  # to what they are; others are from before
        source = source.node.input_value(0)
    return source


def _without_heatmaps(model: Any) -> Any:
    from openvino import Model

    outputs = [output.node for output in model.outputs if HEATMAPS not in output.names]
    return Model(outputs, model.get_parameters(), "points")


def _split(model: Any) -> tuple[Any, Any]:
    """What gives a model's heatmaps, and what makes its first output of them."""
    from openvino import Model, opset13

    other = model.clone()
    network = Model([heatmaps_of(model)], model.get_parameters(), "network")
    source = heatmaps_of(other)
    given = opset13.parameter(source.get_partial_shape(), np.float32)
    result = other.outputs[0].node
    source.replace(given.output(0))
    return network, Model([result.input_value(0)], [given], "decoder")


def _metadata(model: Any) -> dict[str, str]:
    """That of an ONNX file, or of one that `hrnet export` wrote as .xml."""
    info = model.get_rt_info()
    own = _plain(info["framework"]) if "framework" in info else {}
    return {key: str(_plain(value)) for key, value in own.items()}


def _tensor(values: NDArray[Any]) -> Any:
    """The array's own memory, where it is in order, and not a copy."""
    from openvino import Tensor

    return Tensor(np.require(values, requirements=["C", "W"]), shared_memory=True)


def _plain(value: Any) -> Any:
    """What OpenVINO at times has wrapped."""
    return getattr(value, "value", value)


def _lengths(value: Any) -> tuple[int | None, ...]:
    return tuple(None if d.is_dynamic else d.get_length() for d in value.get_partial_shape())
