"""MPII Human Pose (Andriluka et al., CVPR 2014): from the official HRNet's JSON files, or from the
.mat file as published."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hrnet.data.annotations import link_pictures, write_annotations
from hrnet.data.coco import SCALE_UNIT
from hrnet.data.mat import read_mat
from hrnet.data.mpii import HEAD, MPIIPerson, mpii_people, read_mpii
from hrnet.data.people import UNLABELLED
from hrnet.data.prepare.content import coco_content
from hrnet.errors import ConfigError, DataError
from hrnet.skeletons import load_skeleton
from hrnet.tables import MALFORMED

FILES = {"train": "train", "valid": "valid", "mpii_train": "train", "mpii_val": "valid"}


def prepare_mpii(source: str | Path, out: str | Path) -> dict[Path, dict[str, Any]]:
    """Write `train.json`, and `valid.json` where the source has the official HRNet's JSON files. Of
    the .mat file alone comes `train.json` with all people who have joints: the file does not say
    who is held out. Head sizes become `head_size`.

    Args:
        source: folder with `images`, and with `annot` (train.json, valid.json, gt_valid.mat) or
            `mpii_human_pose_v1_u12_1.mat` in it or in one of its folders.
        out: folder to write to; the pictures are linked.

    Returns:
        The files written and `hrnet.data.people.People.counts` of each, see
        `hrnet.data.mpii.read_mpii`.

    Raises:
        DataError: there is no such data set.
        ConfigError: the source's own files would be written over.
        ImageError: a picture is missing.
        ModuleNotFoundError: scipy is not installed.
    """
    source, out = Path(source), Path(out)
    folder = source / "images"
    found = _json_files(source)
    if {out.resolve() / f"{part}.json" for part in found} & {f.resolve() for f in found.values()}:
        raise ConfigError(f"the files in {out} are MPII's own; give another folder to write to")
    parts = {part: read_mpii(file, folder) for part, file in found.items()}
    if not parts:
        name = "mpii_human_pose_v1*.mat"
        mats = sorted([*source.glob(name), *source.glob(f"*/{name}")])
        if not mats:
            raise DataError(
                f"{source} holds neither annot/train.json and annot/valid.json nor "
                "mpii_human_pose_v1_u12_1.mat, nor do its folders"
            )
        people, unlabelled = _from_mat(mats[0])
        train = mpii_people(people, folder, np.array([p.head_size for p in people]))
        parts["train"] = replace(train, left_out={UNLABELLED: unlabelled, **train.left_out})
    prefix = link_pictures(out, {folder: "mpii"})[folder]
    contents = {}
    for part, group in parts.items():
        names = [prefix + file.relative_to(folder).as_posix() for file in group.files]
        description = f"MPII Human Pose, {part}"
        content = coco_content(group, names, description, load_skeleton("mpii16"))
        # The squares go beyond pictures, to which boxes are clipped; readers take these instead.
        for annotation, box in zip(content["annotations"], group.boxes, strict=True):
            annotation["center"] = ((box[:2] + box[2:]) / 2).round(3).tolist()
            annotation["scale"] = round(float(box[2] - box[0]) / SCALE_UNIT, 6)
        contents[out / f"{part}.json"] = content
    write_annotations(contents)
    return {out / f"{part}.json": group.counts() for part, group in parts.items()}


def _json_files(source: Path) -> dict[str, Path]:
    """The official HRNet's files by part, of the first folder that has any."""
    for folder in (source / "annot", source / "annotations", source):
        found = {FILES[f.stem]: f for f in sorted(folder.glob("*.json")) if f.stem in FILES}
        if found:
            return found
    return {}


def _from_mat(file: Path) -> tuple[list[MPIIPerson], int]:
    """People with joints of the published file: `RELEASE.annolist(i).annorect(j)`; and how many
    have none. Fields that do not apply to somebody are empty or absent there."""
    content = read_mat(file)
    people, unlabelled = [], 0
    try:
        for picture in _structs(content["RELEASE"].annolist):
            for person in _structs(getattr(picture, "annorect", None)):
                place = _structs(getattr(person, "objpos", None))
                joints = _structs(getattr(person, "annopoints", None))
                points = _structs(joints[0].point) if joints else []
                if not points:
                    unlabelled += 1
                    continue
                keypoints = np.zeros((16, 3))
                for point in points:
                    # For head and neck it is not said, so they are taken to be seen.
                    seen = str(getattr(point, "is_visible", "")) not in ("0", "0.0")
                    keypoints[int(point.id)] = point.x, point.y, 1 + seen
                center, scale = (-1.0, -1.0), -1.0  # none, as in the JSON files
                if place and np.size(getattr(person, "scale", ())) == 1:
                    center, scale = (float(place[0].x), float(place[0].y)), float(person.scale)
                people.append(
                    MPIIPerson(picture.image.name, center, scale, keypoints, _head(person))
                )
    except MALFORMED as error:
        raise DataError(
            f"{file} does not hold MPII's annotations as published ({type(error).__name__}: "
            f"{error})"
        ) from error
    return people, unlabelled


def _head(person: Any) -> float:
    sides: list[Any] = [getattr(person, name, ()) for name in ("x1", "y1", "x2", "y2")]
    if any(np.size(side) != 1 for side in sides):
        return math.nan
    x1, y1, x2, y2 = map(float, sides)
    return HEAD * float(np.hypot(x2 - x1, y2 - y1))


def _structs(value: Any) -> list[Any]:
    """The structs in a field: several, one, or none where it is empty or missing."""
    return [item for item in np.atleast_1d(value) if hasattr(item, "_fieldnames")]
