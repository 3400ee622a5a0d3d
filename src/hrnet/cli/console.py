"""What commands have in common: where they print, a bar, and how they end when interrupted."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

INTERRUPTED = 130  # the shell's exit code for Ctrl-C


def console(*, errors: bool = False) -> "Console":
    """Standard output, or standard error: what is printed comes out as it is, a line a line."""
    from rich.console import Console

    return Console(stderr=errors, soft_wrap=True, highlight=False, markup=False)


def plural(number: int, one: str, many: str) -> str:
    """ "1 person", "2 people"."""
    return f"{number} {one if number == 1 else many}"


@contextmanager
def stoppable() -> Iterator[None]:
    """In the block a SIGTERM is as Ctrl-C, a KeyboardInterrupt."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error while the block runs; the function given takes done and total."""
    from rich.progress import Progress

    out = console(errors=True)
    # Elsewhere than on a terminal it would leave an empty line.
    with Progress(console=out, disable=not out.is_terminal, transient=True) as progress:
        task = progress.add_task(title)
        yield lambda done, total: progress.update(task, completed=done, total=total)
