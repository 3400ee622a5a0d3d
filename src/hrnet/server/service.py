"""Models that answer requests: who may ask, how many at once, and what it takes."""

import asyncio
import hmac
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np
from starlette.requests import HTTPConnection

from hrnet.images import encode_image
from hrnet.predicting.estimator import PoseEstimator
from hrnet.predicting.picture import Picture
from hrnet.server.batching import Answered, Batcher
from hrnet.server.limits import Limits, Refused
from hrnet.server.metrics import Metrics, print_line


class Service:
    """Models that answer requests.

    Args:
        estimators: by name; the first answers where none is named.
        deadline: seconds that a picture may wait for others to share its batch.
        batch: pictures that share one, at most.
        token: that requests must bear; None where anybody may ask.
        log: gets what happened, a line a request.
    """

    def __init__(
        self,
        estimators: dict[str, PoseEstimator],
        *,
        limits: Limits,
        deadline: float = 0.004,
        batch: int = 16,
        token: str | None = None,
        log: Callable[[dict[str, Any]], None] = print_line,
    ) -> None:
        self.limits = limits
        self.token = token
        self.log = log
        self.in_service = 0
        self.live = 0
        self.is_ready = False
        self.metrics = Metrics(lambda: self.in_service)
        self._seconds_a_picture = 0.1
        self.batchers = {
            name: Batcher(estimator, deadline=deadline, most=batch, observe=self._observe)
            for name, estimator in estimators.items()
        }

    def start(self) -> None:
        """Load what is loaded for the first picture.

        Raises:
            HRNetError: that is not possible.
        """
        picture = encode_image(np.zeros((64, 64, 3), np.uint8), ".png")
        for batcher in self.batchers.values():
            error = batcher.submit(Picture(picture)).result().result.error
            if error is not None:
                raise error
        self.is_ready = True

    def close(self) -> None:
        """Answer what was accepted."""
        self.is_ready = False
        for batcher in self.batchers.values():
            batcher.close()

    def _observe(self, pictures: int, seconds: float) -> None:
        self.metrics.batches.observe(pictures)
        self._seconds_a_picture += 0.1 * (seconds / pictures - self._seconds_a_picture)

    def check_access(self, connection: HTTPConnection) -> None:
        """Refuse pages of other sites, and who has not the token."""
        self.check_origin(connection)
        self.check_token(connection.headers.get("authorization", "").removeprefix("Bearer "))

    def check_origin(self, connection: HTTPConnection) -> None:
        """Refuse pages of other sites."""
        origin = connection.headers.get("origin")
        if origin is not None and origin.partition("://")[2] != connection.headers.get("host"):
            raise Refused(403, f"pages of {origin} may not ask here")

    def check_token(self, token: str) -> None:
        """Refuse who has not the token."""
        if self.token is None:
            return
        if not hmac.compare_digest(token.encode(errors="replace"), self.token.encode()):
            raise Refused(401, "the token is missing or wrong; send 'Authorization: Bearer TOKEN'")

    @contextmanager
    def logged(self, path: str, status: int) -> Iterator[dict[str, Any]]:
        """What a request comes to goes to the log and the metrics, with the time that the block
        took: the line given, to which the block adds, under its "status", at first the one here,
        or that of a refusal or of a fault of ours, which go on."""
        begun = perf_counter()
        line: dict[str, Any] = {"path": path, "status": status}
        try:
            yield line
        except Refused as refusal:
            line |= {"status": refusal.status, "error": refusal.error}
            raise
        except Exception as error:
            line |= {"status": 500, "error": repr(error)}
            raise
        finally:
            status = line.pop("status")  # behind what the block added
            self.metrics.requests.labels(path, status).inc()
            self.log(line | {"status": status, "ms": round(1000 * (perf_counter() - begun), 1)})

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """A place in the service, or a refusal at once."""
        if self.in_service >= self.limits.queue:
            wait = math.ceil(self.in_service * self._seconds_a_picture)
            raise Refused(503, "too many requests are waiting; try again later", max(1, wait))
        self.in_service += 1
        try:
            yield
        finally:
            self.in_service -= 1

    @contextmanager
    def admitted_live(self) -> Iterator[None]:
        """A place for a connection with live frames, or a refusal at once."""
        if self.live >= self.limits.live:
            raise Refused(503, "too many live pictures are looked at here; try again later")
        self.live += 1
        try:
            yield
        finally:
            self.live -= 1

    def batcher(self, model: str | None) -> Batcher:
        """The one of a model."""
        if model is None:
            return next(iter(self.batchers.values()))
        if model not in self.batchers:
            known = ", ".join(self.batchers)
            raise Refused(400, f"there is no model {model!r} here; there is {known}")
        return self.batchers[model]

    async def predict(self, batcher: Batcher, picture: Picture) -> Answered:
        """A picture's poses; if the task is cancelled before its batch begins it is not computed.

        Raises:
            Refused: it cannot be used.
        """
        answered = await asyncio.wrap_future(batcher.submit(picture))
        if answered.result.error is not None:
            raise Refused(400, str(answered.result.error))
        assert answered.result.poses is not None
        self.metrics.pictures.inc()
        self.metrics.people.inc(len(answered.result.poses))
        return answered
