"""Sessions to other processes and machines, where their files are not."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any


def contents_of(file: Path) -> dict[str, bytes]:
    """A network's file by its name, and the .bin beside an .xml."""
    files = [file, file.with_suffix(".bin")] if file.suffix == ".xml" else [file]
    return {own.name: own.read_bytes() for own in files}


def opened(kind: Any, contents: dict[str, bytes], *arguments: Any) -> Any:
    """A session of the class `kind` for what `contents_of` gave, which it carries on."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for name, content in contents.items():
            Path(folder, name).write_bytes(content)
        session = kind(Path(folder, next(iter(contents))), *arguments)
    session.contents = contents
    return session
