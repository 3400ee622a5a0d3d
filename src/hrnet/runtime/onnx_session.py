"""Networks in ONNX Runtime."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hrnet.errors import ConfigError, WeightsError
from hrnet.runtime.file_session import FileSession
from hrnet.runtime.onnx_names import HEATMAPS
from hrnet.runtime.session import Arrays


class OnnxSession(FileSession):
    """See `FileSession`. The output HEATMAPS, if there is one, is not asked for.

    Attributes:
        shapes: of the inputs; None where an axis may have any length.
        metadata: what the file says of itself.

    Args:
        file: the network as ONNX.

    Raises:
        ConfigError: ONNX Runtime is not installed.
        WeightsError: the file is missing, or no network that ONNX Runtime can run.
    """

    provider = "onnxruntime"
    precision = "fp32"

    def __init__(self, file: Path) -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError:
            raise ConfigError(f"{file.name} needs onnxruntime: pip install 'hrnet[onnx]'") from None
        super().__init__(file)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # its errors are raised as well
        options.intra_op_num_threads = self.threads
        try:
            self._session = onnxruntime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # of a dozen types of its own
            reason = " ".join(str(error).split())
            raise WeightsError(f"{file} cannot be run by ONNX Runtime: {reason}") from None
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        outputs = [own.name for own in self._session.get_outputs()]
        self._outputs = [name for name in outputs if name != HEATMAPS]
        inputs = self._session.get_inputs()
        self._names = [own.name for own in inputs]
        self.shapes = [
            tuple(length if isinstance(length, int) else None for length in own.shape)
            for own in inputs
        ]

    def __call__(self, *inputs: NDArray[Any]) -> Arrays:
        """See `hrnet.runtime.session.Session`."""
        return tuple(self._session.run(self._outputs, dict(zip(self._names, inputs, strict=True))))
