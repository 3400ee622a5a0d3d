"""Networks in PyTorch."""

import os
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from hrnet.errors import ConfigError
from hrnet.runtime.session import Arrays

# OpenMP's threads do not come along in a fork, and whoever waits for them waits for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))

HALF_PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


class TorchSession:
    """See `hrnet.runtime.session.Session`.

    Args:
        module: tensors in, a tensor or a tuple of tensors out; its `network` computes in
            `precision`. It is changed: its batch norms go into the convolutions before them.
        device: "auto" (CUDA, then Apple's MPS, then the CPU) or a name of PyTorch's.
        precision: "fp32", "bf16", "fp16", or "auto": fp16 on CUDA, bf16 on a processor with
            instructions for it, else fp32.

    Raises:
        ConfigError: there is no such device here.
    """

    provider = "torch"

    def __init__(self, module: nn.Module, device: str = "auto", precision: str = "fp32") -> None:
        self.device = _pick_device() if device == "auto" else device
        self.precision = _pick_precision(self.device) if precision == "auto" else precision
        self.threads = torch.get_num_threads()
        # Of threads that compute together each waits for the slowest, and on a busy processor
        # that is long. Of two calls at once one goes on.
        self.parallel = min(2, self.threads) if self.device == "cpu" else 1
        # On a processor more at once are no faster and take more memory.
        self.batch_size = 8 * self.parallel if self.device == "cpu" else 32
        fold_batch_norms(module.eval())
        if self.precision != "fp32":
            network: Any = module.network
            kind = self.device.partition(":")[0]
            module.network = _InHalfPrecision(network, kind, HALF_PRECISIONS[self.precision])
        try:
            self.module = module.to(self.device)
            self.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # not in the stubs
            torch.zeros(1).to(self.device).cpu()  # "meta" takes a model, and gives nothing back
        except (RuntimeError, AssertionError, ImportError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(f"the model cannot run on device {device!r}: {reason}") from None

    def __call__(self, *inputs: NDArray[Any]) -> Arrays:
        """See `hrnet.runtime.session.Session`."""
        with torch.inference_mode():
            outputs = self.module(*(torch.from_numpy(array).to(self.device) for array in inputs))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return tuple(tensor.cpu().numpy() for tensor in outputs)

    @contextmanager
    def workers(self) -> Iterator[Executor]:
        """See `hrnet.runtime.session.Session`."""
        threads = torch.get_num_threads()
        executor = ThreadPoolExecutor(
            self.parallel,
            "hrnet-run",
            initializer=torch.set_num_threads,
            initargs=(max(1, threads // self.parallel),),
        )
        try:
            yield executor
        finally:
            executor.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)  # the workers' number became that of threads to come


class _InHalfPrecision(nn.Module):
    """A network under `torch.autocast`; its outputs are float32."""

    def __init__(self, network: nn.Module, kind: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network
        self.kind = kind
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(self.kind, self.dtype):
            outputs: Tensor = self.network(x)
        return outputs.float()


def multiplies_bf16() -> bool:
    """Whether the processor has instructions for it; of one that PyTorch tells nothing of, no."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def fold_batch_norms(module: nn.Module) -> None:
    """Put the batch norms of a module in evaluation mode into the convolutions before them, in
    place: `bn1` into `conv1`, and those that have a number into what is before them. That saves
    a sixth of the time on a CPU, and values change by rounding."""
    for name, child in list(module.named_children()):
        before = str(int(name) - 1) if name.isdigit() else f"conv{name[2:]}"
        convolution = getattr(module, before, None)
        if isinstance(child, nn.BatchNorm2d) and isinstance(convolution, nn.Conv2d):
            setattr(module, before, fuse_conv_bn_eval(convolution, child))
            setattr(module, name, nn.Identity())
        else:
            fold_batch_norms(child)


def _pick_precision(device: str) -> str:
    if device.startswith("cuda"):
        return "fp16"
    return "bf16" if device == "cpu" and multiplies_bf16() else "fp32"


def _pick_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
