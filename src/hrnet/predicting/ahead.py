"""Work that runs ahead on threads, in order and bounded."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

FIRST = 4  # items begun before any result's size is known

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_ahead(
    executor: Executor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    most: int,
    size: Callable[[Result], int] = lambda result: 0,
    most_size: int = 1,
) -> Iterator[Result]:
    """`function` of each item, in the items' order, begun before it is asked for.

    An error of `function` or of the items themselves is raised in its place, after the results
    before it. Whoever closes the iterator early cancels what has not begun.

    Args:
        executor: runs `function`; shutting it down is the caller's.
        most: how many items are begun or done and not yet asked for.
        size: of a result, in any unit: no further item is begun while results that wait hold
            `most_size` or more together. Of those not yet done the last known size is assumed,
            and as long as none is known, few are begun.
    """
    source = iter(items)
    waiting: deque[Future[Result]] = deque()
    ended: Exception | None = None
    last_size: int | None = None

    def is_full() -> bool:
        if len(waiting) >= most or last_size is None:
            return len(waiting) >= min(most, FIRST)
        sizes = (
            last_size if not future.done() or future.exception() else size(future.result())
            for future in waiting
        )
        return sum(sizes) >= most_size and len(waiting) > 0

    try:
        while ended is None or waiting:
            while ended is None and not is_full():
                try:
                    waiting.append(executor.submit(function, next(source)))
                except Exception as error:  # StopIteration too
                    ended = error
            if waiting:
                result = waiting.popleft().result()
                last_size = size(result)
                yield result
        if not isinstance(ended, StopIteration):
            assert ended is not None
            raise ended
    finally:
        for future in waiting:
            future.cancel()
