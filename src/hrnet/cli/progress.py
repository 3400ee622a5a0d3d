"""What commands that take long have in common: a bar, and how they end when interrupted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

INTERRUPTED = 130  # the shell's exit code for Ctrl-C


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error while the block runs; the function given takes done and total."""
    from rich.console import Console
    from rich.progress import Progress

    errors = Console(stderr=True)
    # Elsewhere than on a terminal it would leave an empty line.
    with Progress(console=errors, disable=not errors.is_terminal, transient=True) as progress:
        task = progress.add_task(title)
        yield lambda done, total: progress.update(task, completed=done, total=total)
