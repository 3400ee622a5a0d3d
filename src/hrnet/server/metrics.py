"""What a service says of itself: Prometheus metrics, and a line a request."""

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector

SECONDS = 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30
NUMBERS = 1, 2, 4, 8, 16, 32, 64, 128


class Metrics:
    """Of one service.

    Attributes:
        registry: what `/metrics` shows.
    """

    def __init__(self, in_service: Callable[[], int]) -> None:
        """in_service: how many requests are being answered."""
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "hrnet_requests", "Requests, by path and status.", ["path", "status"], registry=registry
        )
        self.seconds = Histogram(
            "hrnet_step_seconds",
            "What answered requests took: to receive, in the queue, to predict, to write.",
            ["step"],
            buckets=SECONDS,
            registry=registry,
        )
        self.batches = Histogram(
            "hrnet_batch_pictures", "Pictures a batch.", buckets=NUMBERS, registry=registry
        )
        self.people = Counter("hrnet_people", "People found.", registry=registry)
        self.pictures = Counter(
            "hrnet_pictures", "Pictures and live frames predicted.", registry=registry
        )
        self.dropped = Counter(
            "hrnet_live_frames_dropped", "Live frames that a newer one replaced.", registry=registry
        )
        queue = Gauge("hrnet_in_service", "Requests that are being answered.", registry=registry)
        queue.set_function(in_service)


def print_line(content: dict[str, Any]) -> None:
    """As one line of JSON with the time, on standard output."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"time": now, **content}, allow_nan=False)
    with suppress(OSError):  # nobody reads it, or the disk is full: answers go on
        print(line, flush=True)
