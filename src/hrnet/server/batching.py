"""Pictures of many requests, in shared batches."""

import os
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread, get_native_id
from time import perf_counter
from typing import TypeVar

from hrnet.predicting.estimator import PoseEstimator
from hrnet.predicting.picture import Picture, PictureResult

T = TypeVar("T")
WAY = 5  # levels of niceness below the thread that speaks with clients


@dataclass(frozen=True)
class Answered:
    """What became of a picture, and how long that took, in seconds.

    Attributes:
        waited: from when it was given until its batch began.
        computed: from then until its result was there.
        shared: pictures in its batch.
    """

    result: PictureResult
    waited: float
    computed: float
    shared: int


@dataclass(frozen=True)
class _Asked:
    picture: Picture
    future: Future[Answered]
    since: float


class Batcher:
    """One thread that runs an estimator on what any number of threads give it.

    While a batch is computed the next one gathers. A picture given while nothing is computed waits
    for others up to a deadline, if the batch before had others: who is alone is not kept waiting.

    Args:
        deadline: seconds that a picture waits for others, from when it was given.
        most: pictures a batch.
        observe: is called with each batch's number of pictures and seconds, before its last answer
            is given.
    """

    def __init__(
        self,
        estimator: PoseEstimator,
        *,
        deadline: float,
        most: int,
        observe: Callable[[int, float], None] = lambda pictures, seconds: None,
    ) -> None:
        self.estimator = estimator
        self.deadline = deadline
        self.most = most
        self._observe = observe
        self._queue: SimpleQueue[_Asked | None] = SimpleQueue()
        self._thread = Thread(target=self._serve, name="hrnet-batches", daemon=True)
        self._thread.start()

    def submit(self, picture: Picture) -> Future[Answered]:
        """The picture's answer, when it is there; one that is cancelled before its batch begins is
        not computed."""
        future: Future[Answered] = Future()
        self._queue.put(_Asked(picture, future, perf_counter()))
        return future

    def close(self) -> None:
        """Answer what was given, and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _serve(self) -> None:
        was_shared, is_open = False, True
        while is_open:
            first = self._queue.get()
            if first is None:
                break
            group, is_open = self._gather(first, self.deadline if was_shared else 0.0)
            wanted = [asked for asked in group if asked.future.set_running_or_notify_cancel()]
            was_shared = len(group) > 1
            if wanted:
                self._answer(wanted)

    def _gather(self, first: _Asked, deadline: float) -> tuple[list[_Asked], bool]:
        """The next batch, and whether there may be another."""
        group = [first]
        while len(group) < self.most:
            left = first.since + deadline - perf_counter()
            try:
                asked = self._queue.get(timeout=left) if left > 0 else self._queue.get_nowait()
            except Empty:
                break
            if asked is None:
                return group, False
            group.append(asked)
        return group, True

    def _answer(self, group: list[_Asked]) -> None:
        begun = perf_counter()
        waiting = iter(group)
        asked = next(waiting)
        try:
            pictures = (asked.picture for asked in group)
            # To draw on, and to see by who is who: they are not decoded again.
            with closing(self.estimator.stream(pictures, keep_pixels=True)) as results:
                for number, result in enumerate(results, 1):
                    since = perf_counter() - begun
                    if number == len(group):
                        self._observe(len(group), since)
                    answered = Answered(result, begun - asked.since, since, len(group))
                    asked.future.set_result(answered)
                    asked = next(waiting, asked)
        except Exception as error:  # a fault of ours: what is wrong with a picture is a result
            if len(group) == 1:
                asked.future.set_exception(error)
                return
            for left in group:  # one picture's fault, perhaps, and not the others'
                if not left.future.done():
                    self._answer([left])


def in_background(start: Callable[[], T]) -> T:
    """What a function comes to. It runs in a thread that gives way to this one, as do all that it
    starts (a runtime's threads, for one), while they go on: so that requests are read, and refused
    where there are too many, although every core computes.

    Linux alone has priorities of threads; elsewhere nothing gives way.
    """
    with ThreadPoolExecutor(1, initializer=_give_way) as pool:
        return pool.submit(start).result()


def _give_way() -> None:
    if sys.platform == "linux":
        own = get_native_id()
        os.setpriority(os.PRIO_PROCESS, own, os.getpriority(os.PRIO_PROCESS, own) + WAY)
