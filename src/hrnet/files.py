"""Files that appear whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_write(file: str | Path) -> Iterator[Path]:
    """A path beside `file` to write to, renamed to `file` if the block ends well.

    The folder is made if need be.
    """
    file = Path(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".", suffix=file.suffix)
    except OSError as error:  # whose file name is one that nobody gave
        raise OSError(error.errno, error.strerror, str(file)) from None
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp's files are private
        temporary.replace(file)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
