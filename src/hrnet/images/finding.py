"""Finding pictures by the names that annotation files give them.

A labelling tool names pictures as it knew them: by another computer's path or slashes, with percent
signs, as a URL, from another folder. What is found is never another picture: a name that fits
several equally well is refused, and so is a picture of another size than is listed.
"""

import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from hrnet.errors import ImageError
from hrnet.images.headers import size_and_orientation
from hrnet.images.orientation import turned_size
from hrnet.images.sources import SUFFIXES

MOST_FILES = 300_000  # that are looked through

# How a name may lead to a picture, but for being its path below the folder.
FROM_TREE = "named from another folder"
SPELLED = "spelled in another way"
END_OF_PATH = "known by the end of the path"
NAME_ALONE = "known by the name alone"

Size = tuple[int, int]


@dataclass
class FoundPictures:
    """Where the pictures of a list of names are.

    Attributes:
        paths: of each name; None where nothing has that name, or several might.
        how: how many were found in another way than by their path, by the way.
        refused: by position in the list, why a picture that is there is not taken.
    """

    paths: list[Path | None]
    how: Counter[str] = field(default_factory=Counter)
    refused: dict[int, str] = field(default_factory=dict)


def find_pictures(
    names: Sequence[str],
    folder: Path,
    *,
    trees: Sequence[Path] = (),
    sizes: Sequence[Size | None] | None = None,
) -> FoundPictures:
    """Where pictures are.

    A name is a path below `folder`, or else below one of the trees, also with slashes, percent
    signs, Unicode's forms and case made alike. Where no name at all is one below `folder`, they may
    be of another computer: then the picture in the trees is taken whose path ends most like the
    name; of a URL the path counts, or what its query calls `d`.

    Args:
        names: as a file has them.
        folder: what they are paths below, if they are paths.
        trees: folders to look through, subfolders and links included, one after the other.
        sizes: of each the (width, height) that the file lists, or None.
    """
    listings: dict[str, frozenset[str]] = {}

    def is_there(path: Path) -> bool:
        parent = str(path.parent)
        if parent not in listings:
            try:
                listings[parent] = frozenset(os.listdir(parent))
            except (OSError, ValueError):
                listings[parent] = frozenset()
        return path.name in listings[parent]

    plain = [folder / name for name in names]
    found = FoundPictures([path if is_there(path) else None for path in plain])
    missing = [i for i, path in enumerate(found.paths) if path is None]
    # Where some are, one that is not is missing, and another folder's of its name another one.
    loosely = len(missing) == len(names)
    for i, tree in product(missing, trees):
        if found.paths[i] is None and is_there(tree / names[i]):
            found.paths[i] = tree / names[i]
            found.how[FROM_TREE] += 1
    missing = [i for i in missing if found.paths[i] is None]
    for tree in trees:
        if not missing:
            break
        known = _pictures_below(tree)
        for i in missing:
            _look_up(i, names[i], known, found, loosely=loosely)
        missing = [i for i in missing if found.paths[i] is None and i not in found.refused]
    _refuse_shared(names, plain, found)
    for i, path in enumerate(found.paths):
        said = sizes[i] if sizes is not None else None
        if path is not None and path != plain[i] and said is not None:
            _check_size(i, path, said, found)
    return found


def same_name(name: str) -> tuple[str, ...]:
    """The parts of a path, the same for all ways of spelling it."""
    text = unicodedata.normalize("NFC", unquote(name).replace("\\", "/")).casefold()
    parts: list[str] = []
    for part in unicodedata.normalize("NFC", text).split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part not in ("", ".", ".."):
            parts.append(part)
    return tuple(parts)


def _path_in(name: str) -> str:
    """The path that a URL, or what is left of one, leads to."""
    if "://" not in name and "?" not in name:
        return name
    try:
        url = urlsplit(name)
        return parse_qs(url.query).get("d", [url.path])[0]
    except ValueError:
        return name


def _pictures_below(tree: Path) -> dict[str, dict[Path, tuple[str, ...]]]:
    """Pictures by their file name, made alike, with all parts of their paths below the tree."""
    known: defaultdict[str, dict[Path, tuple[str, ...]]] = defaultdict(dict)
    seen: set[str] = set()
    files = 0
    for root, folders, names in os.walk(tree, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:  # links may go in circles
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        files += len(names)
        if files > MOST_FILES:
            break
        above = same_name(os.path.relpath(root, tree))
        for name in names:
            if os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith("."):
                (own,) = same_name(name.replace("/", "")) or ("",)
                known[own][Path(root, name)] = (*above, own)
    return known


def _look_up(
    i: int,
    name: str,
    known: dict[str, dict[Path, tuple[str, ...]]],
    found: FoundPictures,
    *,
    loosely: bool,
) -> None:
    """One name among the pictures of a tree."""
    parts = same_name(_path_in(name))
    if not parts or parts[-1] not in known:
        return
    lengths = {path: _common_end(parts, of) for path, of in known[parts[-1]].items()}
    longest = max(lengths.values())
    if not loosely and parts not in known[parts[-1]].values():
        return
    best = sorted(path for path, length in lengths.items() if length == longest)
    real = {path.resolve() for path in best}
    if len(real) > 1:
        some = ", ".join(map(str, best[:3])) + (", ..." if len(best) > 3 else "")
        found.refused[i] = f"{name} may be any of {len(best)} pictures: {some}"
        return
    found.paths[i] = best[0]
    if lengths[best[0]] == len(parts) == len(known[parts[-1]][best[0]]):
        found.how[SPELLED] += 1
    else:
        found.how[END_OF_PATH if longest > 1 else NAME_ALONE] += 1


def _common_end(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    """How many of the last parts are the same."""
    length = 0
    for x, y in zip(reversed(a), reversed(b), strict=False):
        if x != y:
            break
        length += 1
    return length


def _refuse_shared(names: Sequence[str], plain: list[Path], found: FoundPictures) -> None:
    """Two names that tell pictures apart are not to lead to one."""
    by_path: defaultdict[Path, set[tuple[str, ...]]] = defaultdict(set)
    for name, path in zip(names, found.paths, strict=True):
        if path is not None:
            by_path[path].add(same_name(_path_in(name)))
    for i, path in enumerate(found.paths):
        if path is not None and path != plain[i] and len(by_path[path]) > 1:
            others = sorted("/".join(parts) for parts in by_path[path])
            found.paths[i] = None
            found.refused[i] = f"{names[i]}: {' and '.join(others[:3])} would all be {path}"


def _check_size(i: int, path: Path, said: Size, found: FoundPictures) -> None:
    try:
        size, orientation = size_and_orientation(path)
    except ImageError:
        return  # it will be said of it that it is broken
    if said not in (size, turned_size(size, orientation)):
        found.paths[i] = None
        width, height = size
        found.refused[i] = (
            f"{path} has the name of a picture of {said[0]} x {said[1]} pixels, but is {width} x "
            f"{height}"
        )
