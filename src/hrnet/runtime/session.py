"""What every runtime offers: a loaded network, arrays in, arrays out."""

from typing import Any, Protocol

from numpy.typing import NDArray

Arrays = tuple[NDArray[Any], ...]


class Session(Protocol):
    """A network loaded on this machine.

    Attributes:
        provider: what runs it: "torch", ...
        device: where: "cpu", "cuda:1", ...
        precision: of its arithmetic: "fp32", ...
        threads: of the processor that it takes for one call.
    """

    provider: str
    device: str
    precision: str
    threads: int

    def __call__(self, *inputs: NDArray[Any]) -> Arrays:
        """Outputs of the network for a batch: first axes are of one length."""
        ...
