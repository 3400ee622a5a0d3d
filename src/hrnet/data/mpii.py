"""MPII Human Pose (Andriluka et al., CVPR 2014): the JSON files that go with the official HRNet,
and the .mat file as published.

Both hold for each person a centre and a scale, which is the person's height over 200 pixels; places
count from 1. The official code (`lib/dataset/mpii.py`) moves the centre down by 15 times the scale,
so as not to cut off feet, and takes 1.25 x 200 x scale pixels about it. Boxes here are 200 x scale
pixels about that centre, so that the usual padding of 1.25 gives the same region.

PCKh measures in 0.6 of the diagonal of the head's box.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrnet.data.coco import AREA_OF_BOX, SCALE_UNIT, pictures_folder, read_json
from hrnet.data.mat import read_mat
from hrnet.data.people import People
from hrnet.data.pictures import link_pictures
from hrnet.data.prepared import coco_content, extent_boxes
from hrnet.data.raw import write_raw
from hrnet.errors import ConfigError, DataError
from hrnet.skeletons import load_skeleton

HEAD = 0.6  # SC_BIAS of the official evaluation
FILES = {"train": "train", "valid": "valid", "mpii_train": "train", "mpii_val": "valid"}


@dataclass(frozen=True)
class _Person:
    """One person as the files say it, places counted from 1."""

    picture: str
    center: tuple[float, float]
    scale: float
    keypoints: NDArray[np.float64]  # (16, 3) x, y, v
    head_size: float = math.nan


def read_mpii(file: str | Path, images: str | Path | None = None) -> People:
    """People with a place and at least one labelled joint of a JSON file as the official HRNet uses
    it (`annot/train.json`, `annot/valid.json`): a list of people with image, center (-1, -1 where
    there is none), scale, joints and joints_vis. Whether a labelled joint is visible it does not
    say: v is 2.

    Boxes are not clipped to the picture, as the official code does not; areas are 0.53 of the box
    around the joints. Annotation ids are positions in the list. Head sizes are read from
    `gt_valid.mat` (for `valid.json`; `gt_` and the file's name for others) where that is beside the
    file; they are 0.6 of the diagonal of the head's box.

    Args:
        images: folder of the pictures; by default `images` beside the file or beside its folder,
            or the file's own.

    Raises:
        DataError: the file, or the .mat file beside it, is broken or another one.
        ModuleNotFoundError: there are head sizes to read, and scipy is not installed.
    """
    file = Path(file)
    above = file.absolute().parent.parent / "images"
    folder = pictures_folder(file, images)
    if images is None and folder == file.parent and above.is_dir():
        folder = above
    rows = read_json(file)
    try:
        people = [_from_json(row) for row in rows]
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise DataError(
            f"{file} is not in MPII's JSON format ({type(error).__name__}: {error}); it needs a "
            "list of people with image, center, scale, 16 joints and joints_vis"
        ) from error
    heads = file.with_name(f"gt_{file.stem}.mat")
    head_sizes = _head_sizes(heads, len(people)) if heads.is_file() else None
    return _people(people, folder, head_sizes)


def is_mpii(file: str | Path) -> bool:
    """Whether a JSON file is a list, as MPII's are, and not an object, as COCO's are."""
    try:
        with Path(file).open(encoding="utf-8-sig") as stream:
            return stream.read(1000).lstrip()[:1] == "["
    except (OSError, ValueError):  # what reads it will say
        return False


def prepare_mpii(source: str | Path, out: str | Path) -> dict[Path, int]:
    """Write `train.json`, and `valid.json` where the source has the official HRNet's JSON files. Of
    the .mat file alone comes `train.json` with all people who have joints: the file does not say
    who is held out. Head sizes become `head_size`.

    Args:
        source: folder with `images`, and with `annot` (train.json, valid.json, gt_valid.mat) or
            `mpii_human_pose_v1_u12_1.mat` in it or in one of its folders.
        out: folder to write to; the pictures are linked.

    Returns:
        The files written and how many people each has.

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
        people = _from_mat(mats[0])
        parts["train"] = _people(people, folder, np.array([p.head_size for p in people]))
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
    write_raw(contents)
    return {file: len(content["annotations"]) for file, content in contents.items()}


def _json_files(source: Path) -> dict[str, Path]:
    """The official HRNet's files by part, of the first folder that has any."""
    for folder in (source / "annot", source / "annotations", source):
        found = {FILES[f.stem]: f for f in sorted(folder.glob("*.json")) if f.stem in FILES}
        if found:
            return found
    return {}


def _people(people: list[_Person], folder: Path, head_sizes: NDArray[np.float64] | None) -> People:
    """Those with a place and a labelled joint, places counted from 0."""
    keypoints = np.array([p.keypoints for p in people]).reshape(-1, 16, 3)
    labelled = keypoints[..., 2] > 0
    keypoints = (keypoints - [1, 1, 0]) * labelled[..., None]
    scales = np.array([p.scale for p in people])
    centers = np.array([p.center for p in people]).reshape(-1, 2)
    placed = centers[:, 0] != -1
    centers = centers + np.stack([0 * scales, 15 * scales], axis=1) - 1
    half = 100 * scales[:, None]
    extent = extent_boxes(keypoints)
    widths, heights = (extent[:, 2:] - extent[:, :2]).T
    pictures = {name: i for i, name in enumerate(dict.fromkeys(p.picture for p in people))}
    everyone = People(
        files=[folder / p.picture for p in people],
        boxes=np.concatenate([centers - half, centers + half], axis=1),
        keypoints=keypoints,
        areas=np.maximum(AREA_OF_BOX * widths * heights, 1),  # of a single joint too
        image_ids=np.array([pictures[p.picture] for p in people], dtype=np.int64),
        annotation_ids=np.arange(len(people)),
        names=list(load_skeleton("mpii16").keypoints),
        head_sizes=head_sizes,
    )
    return everyone.select(placed & labelled.any(axis=1))


def _from_json(row: dict[str, Any]) -> _Person:
    joints = np.array(row["joints"], dtype=np.float64).reshape(16, 2)
    v = 2.0 * (np.array(row["joints_vis"], dtype=np.float64).reshape(16, 1) > 0)
    (x, y), scale = map(float, row["center"]), float(row["scale"])
    if not np.isfinite([x, y, scale, *joints.ravel()]).all():
        raise ValueError("a place or a scale is not a number")
    return _Person(str(row["image"]), (x, y), scale, np.hstack([joints, v]))


def _head_sizes(file: Path, people: int) -> NDArray[np.float64]:
    boxes = np.asarray(read_mat(file).get("headboxes_src", 0))
    if boxes.shape == (2, 2) and people == 1:  # a single person's axis is gone
        boxes = boxes[..., None]
    if boxes.shape != (2, 2, people):
        raise DataError(
            f"{file}: headboxes_src has the shape {boxes.shape}; for the people in the JSON file "
            f"beside it, it is to be (2, 2, {people})"
        )
    corners = boxes.astype(np.float64)
    return np.asarray(HEAD * np.linalg.norm(corners[1] - corners[0], axis=0))


def _from_mat(file: Path) -> list[_Person]:
    """People with joints of the published file: `RELEASE.annolist(i).annorect(j)`. Fields that do
    not apply to somebody are empty or absent there."""
    content = read_mat(file)
    people = []
    try:
        for picture in _structs(content["RELEASE"].annolist):
            for person in _structs(getattr(picture, "annorect", None)):
                place = _structs(getattr(person, "objpos", None))
                joints = _structs(getattr(person, "annopoints", None))
                points = _structs(joints[0].point) if joints else []
                if not place or not points or np.size(person.scale) != 1:
                    continue
                keypoints = np.zeros((16, 3))
                for point in points:
                    # For head and neck it is not said, so they are taken to be seen.
                    seen = str(getattr(point, "is_visible", "")) not in ("0", "0.0")
                    keypoints[int(point.id)] = point.x, point.y, 1 + seen
                x, y = float(place[0].x), float(place[0].y)
                people.append(
                    _Person(
                        picture.image.name, (x, y), float(person.scale), keypoints, _head(person)
                    )
                )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{file} does not hold MPII's annotations as published ({type(error).__name__}: "
            f"{error})"
        ) from error
    return people


def _head(person: Any) -> float:
    sides: list[Any] = [getattr(person, name, ()) for name in ("x1", "y1", "x2", "y2")]
    if any(np.size(side) != 1 for side in sides):
        return math.nan
    x1, y1, x2, y2 = map(float, sides)
    return HEAD * float(np.hypot(x2 - x1, y2 - y1))


def _structs(value: Any) -> list[Any]:
    """The structs in a field: several, one, or none where it is empty or missing."""
    return [item for item in np.atleast_1d(value) if hasattr(item, "_fieldnames")]
