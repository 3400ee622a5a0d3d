"""What a service takes, and what it refuses."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Attributes:
    bytes: of a request's body, or a live frame.
    pixels: of a picture.
    people: in a picture.
    queue: requests that are in the service at once; further ones are refused.
    live: connections with live frames at once.
    seconds: that a request's body may take to arrive.
    """

    bytes: int = 20_000_000
    pixels: int = 50_000_000
    people: int = 200
    queue: int = 64
    live: int = 4
    seconds: float = 30.0


class Refused(Exception):  # noqa: N818  # it is an answer
    """A request that gets an error for an answer.

    Args:
        status: of HTTP.
        error: one sentence.
        wait: seconds after which to try again, where that may help.
    """

    def __init__(self, status: int, error: str, wait: int | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.headers = {} if wait is None else {"Retry-After": str(wait)}
