"""Which pictures are meant: by paths, folders, trees, patterns, lists, URLs, standard input."""

import glob
import os
import posixpath
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from urllib.parse import unquote, urlsplit

from hrnet.errors import ImageError
from hrnet.images.reading import is_url

# Some of them OpenCV reads only in some of its builds, or never (HEIC): such a picture in a folder
# is better reported than passed over.
SUFFIXES = frozenset(
    f".{ending}"
    for ending in (
        *("apng", "avif", "bmp", "dib", "gif", "heic", "heif", "jfif", "jp2", "jpe", "jpeg", "jpg"),
        *("pbm", "pgm", "png", "pnm", "ppm", "tif", "tiff", "webp"),
    )
)
STDIN = "-"


@dataclass(frozen=True, slots=True)  # there may be very many
class Source:
    """One picture.

    Attributes:
        place: path, URL, or "-" for standard input.
        name: its path below the folder, pattern or list that it was found by, with forward
            slashes; else its file name.
    """

    place: Path | str
    name: str

    def __str__(self) -> str:
        return "standard input" if self.place == STDIN else str(self.place)

    @property
    def identity(self) -> str:
        """The absolute path or the URL: the same however it was named."""
        return os.path.abspath(self.place) if isinstance(self.place, Path) else self.place

    @property
    def file_name(self) -> str:
        """The last part of the name."""
        return posixpath.basename(self.name)

    def content(self) -> Path | str | bytes:
        """What to read it from, see `hrnet.images.read_image`: of standard input the bytes."""
        return sys.stdin.buffer.read() if self.place == STDIN else self.place


def find_sources(
    given: Iterable[str | Path], *, recursive: bool = False, skip: Path | None = None
) -> list[Source]:
    """The pictures that are meant, each once.

    Args:
        given: any of: path of a picture; folder; glob pattern, where ** means any folders; URL;
            "@list.txt", a file with a path or URL a line; "-" for standard input; "sample" for the
            photograph in the package. What exists under such a name is that file or folder. In
            folders and patterns, hidden files and those that are no pictures by their suffix are
            passed over.
        recursive: search the folders' subfolders too, through links as well.
        skip: a folder whose pictures are meant only if it is named itself: that of the results.

    Raises:
        ImageError: a source does not exist, matches nothing, or is a folder without pictures.
    """
    found = [source for text in given for source in _find(str(text), recursive, skip)]
    once: dict[str, Source] = {}
    for source in found:
        once.setdefault(source.identity, source)
    return list(once.values())


def _find(text: str, recursive: bool, skip: Path | None) -> list[Source]:
    path = Path(text)
    if text == STDIN:
        return [Source(STDIN, "stdin")]
    if is_url(text):
        return [Source(text, url_name(text))]
    if path.is_dir():
        return _in_folder(path, recursive, skip)
    if path.exists():
        return [Source(path, path.name)]
    if text.startswith("@"):
        return _listed(Path(text[1:]))
    if text == "sample":
        sample = Path(str(files("hrnet") / "samples" / "group.jpg"))
        return [Source(sample, sample.name)]
    if glob.has_magic(text):
        return _matching(path, skip)
    raise ImageError(f"there is no picture or folder {text}")


def _in_folder(folder: Path, recursive: bool, skip: Path | None) -> list[Source]:
    def fail(error: OSError) -> None:
        raise error

    pictures: list[Path] = []
    seen: set[str] = set()
    passed_over = False
    for root, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:  # links may go in circles
            folders.clear()
            continue
        seen.add(real)
        pictures += [Path(root, n) for n in names if not n.startswith(".")]
        passed_over = bool(folders) and not recursive
        folders[:] = sorted(f for f in folders if recursive and not f.startswith("."))
    pictures = _without(skip, folder, filter(_looks_like_image, pictures))
    if not pictures:
        raise ImageError(
            f"the folder {folder} has no pictures ({', '.join(sorted(SUFFIXES))})"
            + ("; to search its subfolders, add --recursive" if passed_over else "")
        )
    return [Source(p, p.relative_to(folder).as_posix()) for p in sorted(pictures)]


def _matching(pattern: Path, skip: Path | None) -> list[Source]:
    # Folders that exist are no patterns, whatever their names look like.
    base, parts = Path(), list(pattern.parts)
    while (base / parts[0]).exists():
        base /= parts.pop(0)
    matches = glob.glob(os.path.join(*parts), root_dir=base, recursive=True)
    pictures = _without(skip, base, filter(_looks_like_image, (base / m for m in matches)))
    if not pictures:
        raise ImageError(f"no picture matches {pattern}")
    return [Source(p, p.relative_to(base).as_posix()) for p in sorted(pictures)]


def _listed(file: Path) -> list[Source]:
    """Missing pictures are found out when they are read, lest one stop ten thousand."""
    try:
        text = file.read_text(encoding="utf-8-sig", errors="surrogateescape")  # any file name
    except OSError as error:
        raise ImageError(f"the list {file} cannot be read: {error.strerror}") from None
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        raise ImageError(f"the list {file} is empty; it must have a path or URL a line")
    parents = [os.path.dirname(os.path.abspath(line)) for line in lines if not is_url(line)]
    try:
        base = os.path.commonpath(parents) if parents else ""
    except ValueError:  # several of Windows' drives
        base = ""
    return [
        Source(line, url_name(line))
        if is_url(line)
        else Source(
            Path(line),
            Path(os.path.relpath(line, base)).as_posix() if base else Path(line).name,
        )
        for line in lines
    ]


def _without(skip: Path | None, base: Path, pictures: Iterable[Path]) -> list[Path]:
    if skip is None or Path(os.path.realpath(base)).is_relative_to(os.path.realpath(skip)):
        return list(pictures)
    results = os.path.realpath(skip)
    folders: dict[Path, bool] = {}
    kept = []
    for picture in pictures:
        folder = picture.parent
        if folder not in folders:
            folders[folder] = Path(os.path.realpath(folder)).is_relative_to(results)
        if not folders[folder]:
            kept.append(picture)
    return kept


def _looks_like_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def url_name(url: str) -> str:
    """A file name for what is at a URL: its last part."""
    name = posixpath.basename(unquote(urlsplit(url).path).rstrip("/"))
    return re.sub(r'[\\:*?"<>|\x00-\x1f]', "_", name).lstrip(".")[-100:] or "picture"
