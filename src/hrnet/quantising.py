"""Models in eight bits, for processors that multiply those faster."""

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrnet.errors import ConfigError
from hrnet.runtime.openvino_session import heatmaps_of

BATCH = 4  # crops at once in calibration


def quantise(model: Any, crops: NDArray[np.uint8]) -> Any:
    """An OpenVINO model of `hrnet.runtime.onnx_writing.write_onnx` with its convolutions in int8,
    by NNCF's post-training quantisation. What is made of the heatmaps stays as it is.

    Args:
        model: `openvino.Model`.
        crops: (N, H, W, 3) uint8 RGB, such as it will see: the ranges of values are from them.

    Raises:
        ConfigError: nncf is not installed.
    """
    try:
        import nncf
    except ModuleNotFoundError:
        raise ConfigError("--int8 needs nncf: pip install 'hrnet[int8]'") from None
    nncf.set_log_level(logging.ERROR)
    batches = [crops[i : i + BATCH] for i in range(0, len(crops), BATCH)]
    return nncf.quantize(
        model,
        nncf.Dataset(batches),
        subset_size=len(batches),
        ignored_scope=nncf.IgnoredScope(names=sorted(_decoding(model)), validate=False),
    )


def _decoding(model: Any) -> set[str]:
    """Names of the operations after the heatmaps."""
    found: set[str] = set()
    waiting = [heatmaps_of(model)]
    while waiting:
        for reader in waiting.pop().get_target_inputs():
            node = reader.get_node()
            if node.get_friendly_name() not in found and node.get_type_name() != "Result":
                found.add(node.get_friendly_name())
                waiting += node.outputs()
    return found
