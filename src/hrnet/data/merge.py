"""Several annotation files into one, joints by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hrnet.data.annotations import (
    Entry,
    link_pictures,
    locate_pictures,
    read_annotations,
    write_annotations,
)
from hrnet.errors import ConfigError, DataError
from hrnet.skeletons import Skeleton
from hrnet.tables import MALFORMED, nearest_names


@dataclass(frozen=True)
class Merged:
    """What came of one file: its people, the skeleton's keypoints that it lacks, and its own that
    the skeleton lacks."""

    file: Path
    people: int
    lacking: list[str]
    dropped: list[str]


def merge(
    files: Sequence[str | Path],
    out: str | Path,
    skeleton: Skeleton,
    *,
    rename: Mapping[str, str] | None = None,
    images: Sequence[str | Path] | None = None,
) -> list[Merged]:
    """Join data sets with different keypoints into one file with the skeleton's.

    Joints go by name. Those that a data set lacks are not labelled (v = 0), so that training leaves
    them out for its people. Ids are new; a picture that several files list becomes one; licences
    stay, and what each file says of itself stands in `info`. Pictures are linked, see
    `link_pictures`.

    Args:
        rename: the skeleton's names for joints that have other names in the files.
        images: folder of each file's pictures; by default `images` beside each.

    Raises:
        DataError: a file is no annotation file, its keypoints do not fit its names, or it shares
            none with the skeleton.
        ConfigError: a name to rename that no file has, or that is to become none of the skeleton's.
    """
    paths, out = [Path(file) for file in files], Path(out)
    given: Sequence[str | Path | None] = [None] * len(paths) if images is None else images
    if len(given) != len(paths):
        raise ConfigError(f"{len(given)} folders of pictures for {len(paths)} files")
    if out.resolve() in {path.resolve() for path in paths}:
        raise ConfigError(f"{out} is one of the files to merge; give another one to write")
    rename = rename or {}
    for new in rename.values():
        if new not in skeleton.keypoints:
            hint = nearest_names(new, skeleton.keypoints)
            raise ConfigError(f"skeleton {skeleton.name} has no keypoint {new!r}{hint}")
    contents, folders = [], []
    for path, folder in zip(paths, given, strict=True):
        content = read_annotations(path)
        located = locate_pictures(path, content["images"], folder)
        contents.append({**content, "images": located.images})
        folders.append(located.folder)
    known = {name for content in contents for c in content["categories"] for name in _names(c)}
    for old in rename:
        if old not in known:
            raise ConfigError(f"no file has a keypoint {old!r}{nearest_names(old, known)}")

    joined = _Joined(skeleton, rename)
    names = {
        folder: path.absolute().parent.name for path, folder in zip(paths, folders, strict=True)
    }
    prefixes = link_pictures(out.parent, names)
    result = [
        joined.add(path, content, prefixes[folder])
        for path, content, folder in zip(paths, contents, folders, strict=True)
    ]
    write_annotations({out: joined.content()})
    return result


class _Joined:
    """The file that grows."""

    def __init__(self, skeleton: Skeleton, rename: Mapping[str, str]) -> None:
        self.skeleton = skeleton
        self.rename = rename
        self.pictures: dict[str, Entry] = {}  # by file name
        self.people: list[Entry] = []
        self.licences: list[Entry] = []
        self.sources: list[Entry] = []

    def add(self, file: Path, content: dict[str, Any], prefix: str) -> Merged:
        try:
            return self._add(file, content, prefix)
        except MALFORMED as error:
            raise DataError(
                f"{file} cannot be merged ({type(error).__name__}: {error}); hrnet data check "
                "says what is wrong with it"
            ) from error

    def _add(self, file: Path, content: dict[str, Any], prefix: str) -> Merged:
        used = {person["category_id"] for person in content["annotations"]}
        categories = [c for c in content["categories"] if c["id"] in used]
        positions = {c["id"]: self._positions(file, c) for c in categories}
        licence_ids = {}
        for licence in content.get("licenses") or []:
            licence_ids[licence["id"]] = len(self.licences) + 1
            self.licences.append({**licence, "id": licence_ids[licence["id"]]})
        self.sources.append({"file": file.name, "info": content.get("info")})
        picture_ids = {}
        for picture in content["images"]:
            name = prefix + picture["file_name"]
            entry = {**picture, "id": len(self.pictures) + 1, "file_name": name}
            if picture.get("license") in licence_ids:
                entry["license"] = licence_ids[picture["license"]]
            picture_ids[picture["id"]] = self.pictures.setdefault(name, entry)["id"]
        for person in content["annotations"]:
            keypoints = self._keypoints(person, positions[person["category_id"]])
            self.people.append(
                {
                    **person,
                    "id": len(self.people) + 1,
                    "image_id": picture_ids[person["image_id"]],
                    "category_id": 1,
                    "keypoints": keypoints,
                    "num_keypoints": sum(v > 0 for v in keypoints[2::3]),
                }
            )
        names = {name for places in positions.values() for name in places}
        return Merged(
            file,
            len(content["annotations"]),
            [name for name in self.skeleton.keypoints if name not in names],
            sorted(names - set(self.skeleton.keypoints)),
        )

    def _positions(self, file: Path, category: Entry) -> dict[str, int]:
        """Where in a person's keypoints the joints are, by the skeleton's names."""
        names = [self.rename.get(name, name) for name in _names(category)]
        if len(set(names)) != len(names):
            raise ValueError("two keypoints have the same name, or get it")
        if not set(names) & set(self.skeleton.keypoints):
            raise DataError(
                f"{file} has none of skeleton {self.skeleton.name}'s keypoints; it has "
                f"{', '.join(names) or 'none at all'}: rename those that are the same"
            )
        return {name: position for position, name in enumerate(names)}

    def _keypoints(self, person: Entry, positions: dict[str, int]) -> list[float]:
        given = person["keypoints"]
        if len(given) != 3 * len(positions):
            raise ValueError(f"person {person.get('id')} has {len(given)} numbers as keypoints")
        keypoints: list[float] = []
        for name in self.skeleton.keypoints:
            k = positions.get(name)
            keypoints += [0, 0, 0] if k is None else given[3 * k : 3 * k + 3]
        return keypoints

    def content(self) -> dict[str, Any]:
        return {
            "info": {"description": "several data sets in one", "sources": self.sources},
            "licenses": self.licences,
            "images": list(self.pictures.values()),
            "annotations": self.people,
            "categories": [self.skeleton.to_category()],
        }


def _names(category: Entry) -> list[str]:
    names = category.get("keypoints")
    return [str(name) for name in names] if isinstance(names, list) else []
