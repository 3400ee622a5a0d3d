"""Files that appear whole or not at all, and the folder for those that can be fetched again."""

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hrnet.errors import ConfigError


@contextmanager
def atomic_write(file: str | Path) -> Iterator[Path]:
    """A path beside `file` to write to, renamed to `file` if the block ends well.

    The folder is made if need be. The file has the permissions that the umask leaves to new ones.
    """
    file = Path(file)
    temporary = file.parent / f".{secrets.token_hex(8)}{file.suffix}"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(0o666, exist_ok=False)
        permissions = temporary.stat().st_mode
    except OSError as error:  # whose file name is one that nobody gave
        raise OSError(error.errno, error.strerror, str(file)) from None
    try:
        yield temporary
        temporary.chmod(permissions)  # safetensors makes another file, which only its owner reads
        temporary.replace(file)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def sha256_of(file: Path) -> str:
    """The hexadecimal digest of a file, read in pieces."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cache_folder() -> Path:
    """The absolute folder for files that can be fetched again. It need not exist yet.

    `HRNET_HOME` where that is set, else the platform's folder for caches.
    """
    if home := os.environ.get("HRNET_HOME"):
        return Path(home).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("hrnet", appauthor=False)


def cache_file(*names: str) -> Path:
    """The path of a file in the cache folder: `cache_file("weights", "w32.safetensors")`.

    Raises:
        ConfigError: a name is not that of a plain file or folder (".." or "a/b", for example), so
            that what a card or a URL says never leads out of the cache folder.
    """
    for name in names:
        if not re.fullmatch(r"\w[\w.+%=-]*", name):
            raise ConfigError(
                f"{name!r} cannot be the name of a file in the cache folder; use letters, digits "
                "and . _ + - = %, with a letter or digit first"
            )
    return cache_folder().joinpath(*names)
