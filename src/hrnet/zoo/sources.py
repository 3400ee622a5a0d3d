"""Where weights files come from: the package, the cache folder, a URL, or Hugging Face's hub."""

import re
from importlib.resources import as_file, files
from pathlib import Path
from urllib.parse import unquote, urlsplit

from hrnet.errors import ConfigError, WeightsError
from hrnet.files import cache_file, sha256_of
from hrnet.zoo.card import WeightsCard
from hrnet.zoo.hub import HUB, fetch

SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".tar", ".bin")
_PACKAGED = files(__package__) / "packaged"


def fetch_weights(weights: WeightsCard) -> Path:
    """The file on this machine, fetched into the cache folder if need be and checked.

    Raises:
        WeightsError: it can only be fetched by a person, and is not there.
        DownloadError: it cannot be fetched, or is not the file it should be.
    """
    if weights.packaged:
        with as_file(_PACKAGED / weights.file) as file:  # a wheel is unpacked: the file stays
            return file
    file = cache_place(weights)
    if file.is_file():
        if weights.sha256 is not None:  # somebody may have put it there by hand
            check_sha256(file, weights.sha256)
        return file
    if weights.url is None:
        raise WeightsError(
            f"{weights.file} has no address to fetch it from: find it by way of {weights.page} and "
            f"save it as {file}"
        )
    from hrnet.downloads import download  # only where something is fetched: slow to import

    assert weights.sha256 is not None  # as the card's validation saw to
    return download(weights.url, file, sha256=weights.sha256)


def check_sha256(file: Path, sha256: str) -> None:
    """Raise `WeightsError` unless the file's sha256 begins with the digits given."""
    digest = sha256_of(file)
    if not digest.startswith(sha256):
        raise WeightsError(
            f"{file} is not the file of that name that was published, or is damaged: its sha256 "
            f"begins with {digest[: len(sha256)]}, not {sha256}; remove it and fetch it again"
        )


def cache_place(weights: WeightsCard) -> Path:
    """Where a file that is not in the package is, or will be."""
    return cache_file("weights", weights.file)


def named_file(name: str, suffixes: tuple[str, ...] = SUFFIXES) -> Path | None:
    """The file that a path, a URL or a hub id ("hf:owner/name") names; None for other names.

    A URL needs the file's sha256: `https://.../x.pth#sha256=...`, or its first eight digits at
    the end of the name as PyTorch's hub has them, `x-0123abcd.pth`.

    Args:
        suffixes: of what is a path.

    Raises:
        ConfigError: a URL without a sha256, a hub id that is none, or a library is missing.
        DownloadError: the file cannot be fetched, or is not the one it should be.
    """
    if name.startswith(HUB):
        return fetch(name)
    if re.match(r"https?://", name):
        parts = urlsplit(name)
        file = unquote(parts.path).rpartition("/")[2]
        digest = re.search(r"sha256=([0-9a-f]{8,64})$", parts.fragment) or re.search(
            r"-([0-9a-f]{8,64})\.\w+$", file
        )
        if digest is None:
            raise ConfigError(
                f"{name} does not say what the file should be; add its sha256 as in "
                "https://.../x.pth#sha256=0123abcd..."
            )
        from hrnet.downloads import download  # as above

        target = cache_file("weights", f"{digest[1][:8]}-{file}")
        return download(parts._replace(fragment="").geturl(), target, sha256=digest[1])
    return Path(name) if name.endswith(suffixes) else None
