"""Reading weights files of any make, without running anything that is in them."""

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hrnet.errors import WeightsError

# Where training programs keep the weights among other things, in the order of preference.
_WRAPPERS = ("state_dict", "model", "model_state_dict", "network", "net", "weights")

# Classes and functions that training programs leave in their files: settings and histories of
# losses. None of them is called: each becomes an empty stand-in of its name.
_HARMLESS = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    "mmengine.config.config.ConfigDict",
    "mmcv.utils.config.ConfigDict",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.ndarray",
    "numpy.dtype",
    "numpy.dtypes.Float64DType",
    "numpy.dtypes.Float32DType",
    "numpy.dtypes.Int64DType",
    "_codecs.encode",
    "builtins.getattr",
    "__builtin__.getattr",
    "argparse.Namespace",
    "collections.defaultdict",
    "easydict.EasyDict",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "yacs.config.CfgNode",
)


@dataclass(frozen=True)
class Checkpoint:
    """What a weights file holds.

    Attributes:
        tensors: by the names in the file, as they are there.
        config: the text of MMPose's settings, or "".
    """

    tensors: dict[str, Tensor]
    config: str = ""


def read_checkpoint(file: str | Path) -> Checkpoint:
    """Read safetensors, or a file of PyTorch's: weights alone or a training program's checkpoint.

    Raises:
        WeightsError: the file is missing, broken, holds no weights, or holds Python objects other
            than weights and the harmless ones of known training programs.
    """
    file = Path(file)
    try:
        with file.open("rb") as stream:
            start = stream.read(9)
    except FileNotFoundError:
        raise WeightsError(f"there is no weights file {file}") from None
    except OSError as error:
        raise WeightsError(f"{file} cannot be read: {error.strerror}") from None
    if file.suffix == ".safetensors" or start[8:9] == b"{":
        try:
            return Checkpoint(load_file(file))
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{file} is not a safetensors file: {error}") from None
    content = _unpickle(file, start)
    weights = _find_weights(content)
    if weights is None:
        raise WeightsError(f"{file} holds no weights; {_described(content)}")
    return Checkpoint(weights, _config(content))


def _unpickle(file: Path, start: bytes) -> Any:
    if start.startswith(b"PK"):
        _refuse_zip_bomb(file)
    try:
        with torch.serialization.safe_globals([_stand_in(name) for name in _HARMLESS]):
            return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        unknown = re.search(r"(?:GLOBAL|[Cc]lass|function) (\w+(?:\.\w+)+)", str(error))
        if unknown is None:
            raise WeightsError(f"{file} is not a weights file, or a broken one") from None
        raise WeightsError(
            f"{file} is refused, as it holds {unknown[1]} beside weights, and that could be a "
            "program; save the network's state_dict() alone where it was made"
        ) from None
    except Exception as error:  # a damaged pickle can raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{file} is not a weights file, or a broken one: {reason}") from None


def _refuse_zip_bomb(file: Path) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except Exception as error:  # as above
        raise WeightsError(f"{file} is not a weights file, or a broken one: {error}") from None
    # PyTorch stores without compressing: the contents cannot be larger than the file.
    if sum(entry.file_size for entry in entries) > file.stat().st_size:
        raise WeightsError(f"{file} is refused: it would unpack to more than its own size")


class _Inert(dict[Any, Any]):
    """Takes the place of an object that nobody needs: forgets all that it is given."""

    def __new__(cls, *args: Any, **kwargs: Any) -> "_Inert":
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        pass


def _stand_in(name: str) -> type[_Inert]:
    module, _, qualified_name = name.rpartition(".")
    return type(qualified_name, (_Inert,), {"__module__": module, "__qualname__": qualified_name})


def _find_weights(content: Any, depth: int = 0) -> dict[str, Tensor] | None:
    if not isinstance(content, Mapping) or depth > 3:
        return None
    inner = (_find_weights(content.get(key), depth + 1) for key in _WRAPPERS)
    tensors = {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, Tensor)}
    return next((found for found in inner if found is not None), tensors or None)


def _described(content: Any) -> str:
    if isinstance(content, Mapping):
        return f"it is a table of {', '.join(str(k) for k in list(content)[:8]) or 'nothing'}"
    return f"it is a {type(content).__name__}"


def _config(content: Any) -> str:
    meta = content.get("meta") if isinstance(content, Mapping) else None
    if not isinstance(meta, Mapping):
        return ""
    return next((meta[k] for k in ("cfg", "config") if isinstance(meta.get(k), str)), "")
