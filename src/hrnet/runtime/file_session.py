"""What the sessions of networks in files have in common."""

import os
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hrnet.errors import WeightsError


class FileSession:
    """A network in a file, on the processor, a call at a time; see
    `hrnet.runtime.session.Session`.

    Args:
        file: the network.
        arguments: others of the class, to open it again by.

    Raises:
        WeightsError: the file is missing.
    """

    device = "cpu"
    parallel = 1
    batch_size = 8

    def __init__(self, file: Path, *arguments: Any) -> None:
        if not file.is_file():
            raise WeightsError(f"there is no file {file}")
        self.file = file.absolute()
        self.threads = _threads()
        self._arguments = arguments
        self._contents: dict[str, bytes] | None = None  # of a file that is no more

    def __reduce__(self) -> tuple[Any, ...]:
        """It is pickled with its file, and the .bin beside an .xml, as another process or machine
        may not have them."""
        contents = self._contents
        if contents is None:
            is_pair = self.file.suffix == ".xml"
            files = [self.file, self.file.with_suffix(".bin")] if is_pair else [self.file]
            contents = {own.name: own.read_bytes() for own in files}
        return _opened, (type(self), contents, *self._arguments)

    @contextmanager
    def workers(self) -> Iterator[Executor]:
        """See `hrnet.runtime.session.Session`."""
        with ThreadPoolExecutor(self.parallel, "hrnet-run") as executor:
            yield executor


def _threads() -> int:
    """What OMP_NUM_THREADS says, which PyTorch heeds too and Ray sets for its workers; else as many
    as this process has processors, or 0, which leaves it to the runtime."""
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if said.isdecimal() and int(said):
        return int(said)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0


def _opened(kind: type[FileSession], contents: dict[str, bytes], *arguments: Any) -> FileSession:
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for name, content in contents.items():
            Path(folder, name).write_bytes(content)
        session = kind(Path(folder, next(iter(contents))), *arguments)
    session._contents = contents
    return session
