"""What every runtime offers: a loaded network, arrays in, arrays out."""

from concurrent.futures import Executor
from contextlib import AbstractContextManager
from typing import Any, Protocol

from numpy.typing import NDArray

Arrays = tuple[NDArray[Any], ...]


class Session(Protocol):
    """A network loaded on this machine.

    Attributes:
        provider: what runs it: "torch", ...
        device: where: "cpu", "cuda:1", ...
        precision: of its arithmetic: "fp32", ...
        threads: of the processor that a single call takes.
        parallel: calls at once that make the most of the machine where there are many.
        batch_size: of all calls at once together, likewise.
    """

    provider: str
    device: str
    precision: str
    threads: int
    parallel: int
    batch_size: int

    def __call__(self, *inputs: NDArray[Any]) -> Arrays:
        """Outputs of the network for a batch: first axes are of one length."""
        ...

    def workers(self) -> AbstractContextManager[Executor]:
        """`parallel` threads to call it from, which share the processor; they end with the
        block."""
        ...
