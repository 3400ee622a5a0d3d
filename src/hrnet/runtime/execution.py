"""What runs a model, where, and in which precision: decided once, here."""

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from hrnet.errors import ConfigError

TORCH, ONNX_RUNTIME, OPENVINO = "torch", "onnxruntime", "openvino"
RUNTIMES = TORCH, ONNX_RUNTIME, OPENVINO
PRECISIONS = "fp32", "bf16", "fp16"
AUTO = "auto"
# Of the environment: what AUTO is instead.
RUNTIME_VARIABLE, PRECISION_VARIABLE = "HRNET_RUNTIME", "HRNET_PRECISION"


@dataclass(frozen=True)
class Execution:
    """What a user asks for.

    Attributes:
        device: "auto" (a GPU where PyTorch has one, else the processor), or PyTorch's name.
        runtime: one of RUNTIMES, or "auto": on a processor OpenVINO where it is installed, else
            PyTorch.
        precision: of the network's arithmetic, one of PRECISIONS, or "auto": fp16 on CUDA, bf16 or
            fp16 where the processor has units for it, else fp32. Decoding is fp32 always.

    Raises:
        ConfigError: no such runtime or precision, or they do not go together.
    """

    device: str = AUTO
    runtime: str = AUTO
    precision: str = AUTO

    def __post_init__(self) -> None:
        for what, value, known in (
            ("runtime", self.runtime, RUNTIMES),
            ("runtime", _from_environment(RUNTIME_VARIABLE), RUNTIMES),
            ("precision", self.precision, PRECISIONS),
            ("precision", _from_environment(PRECISION_VARIABLE), PRECISIONS),
        ):
            if value not in (AUTO, *known):
                raise ConfigError(f"there is no {what} {value!r}; it is auto, {', '.join(known)}")
        if self.runtime not in (AUTO, TORCH) and not self.on_processor:
            raise ConfigError(
                f"{self.runtime} runs on the processor; leave out the device {self.device}, or "
                "take the runtime torch"
            )

    @property
    def on_processor(self) -> bool:
        """Whether the device may be it."""
        return self.device in (AUTO, "cpu")

    def runtime_for_weights(self) -> str:
        """Of RUNTIMES, the one for a model of PyTorch's."""
        if self.runtime != AUTO:
            return self.runtime
        wanted = _from_environment(RUNTIME_VARIABLE)
        if wanted != AUTO and self.on_processor:
            return wanted
        if not self.on_processor or (self.device == AUTO and _has_gpu()):
            return TORCH
        # (ONNX is what models are converted to.)
        return OPENVINO if _is_installed(OPENVINO) and _is_installed("onnx") else TORCH

    def runtime_for_exported(self) -> str:
        """For a file that `hrnet export` wrote. These run on the processor, whatever else does."""
        if self.runtime in (ONNX_RUNTIME, OPENVINO):
            return self.runtime
        wanted = _from_environment(RUNTIME_VARIABLE)
        if wanted in (ONNX_RUNTIME, OPENVINO):
            return wanted
        return OPENVINO if _is_installed(OPENVINO) else ONNX_RUNTIME

    def precision_in(self, runtime: str) -> str:
        """One of PRECISIONS, or "auto" for what suits the machine.

        Raises:
            ConfigError: the runtime has not the one asked for.
        """
        if runtime == ONNX_RUNTIME:
            if self.precision not in (AUTO, "fp32"):
                raise ConfigError(f"onnxruntime computes in fp32; leave out {self.precision}")
            return "fp32"
        return self.precision if self.precision != AUTO else _from_environment(PRECISION_VARIABLE)


def package_versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of those that are installed; OpenCV goes by several names."""
    versions = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _from_environment(variable: str) -> str:
    return os.environ.get(variable) or AUTO


def _is_installed(package: str) -> bool:
    return find_spec(package) is not None


def _has_gpu() -> bool:
    """Whether PyTorch has one; it is loaded to be asked only where its build has any."""
    try:
        if version("torch").endswith("+cpu") and sys.platform != "darwin":
            return False
        import torch
    except (PackageNotFoundError, ModuleNotFoundError):
        return False
    return torch.cuda.is_available() or torch.backends.mps.is_available()
