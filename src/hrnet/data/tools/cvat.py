"""CVAT's own XML, "CVAT for images 1.1": pictures with skeletons, whose joints are points with a
label, `outside` and `occluded`; or with single points, of which a group is somebody."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from hrnet.data.tools.labels import Instance, Labels, moved, read_to_export, write_labels
from hrnet.errors import ConfigError, DataError
from hrnet.files import atomic_write
from hrnet.images import size_and_orientation
from hrnet.images.finding import find_pictures
from hrnet.images.orientation import to_upright, turned_size
from hrnet.skeletons import Skeleton, skeleton_of_names
from hrnet.tables import MALFORMED

XML, LABELS = "annotations.xml", "labels.json"

Size = tuple[int, int]


def prepare_cvat(
    source: str | Path, out: str | Path, skeleton: Skeleton | None = None
) -> dict[Path, list[str]]:
    """Write `train.json` and `skeleton.toml`.

    Args:
        source: `annotations.xml`, or its folder, with the pictures in it or below.
        out: folder to write to; the pictures are linked.
        skeleton: what the points are; by default the labels that were used.

    Returns:
        The files, and what was taken for granted in each.

    Raises:
        DataError: it is no such export, a picture is not there, or it is not clear whose a point
            is.
        ImageError: a picture is none.
    """
    file = Path(source) / XML if Path(source).is_dir() else Path(source)
    root = _read(file)
    images = root.findall("image")
    if not images:
        what = "tracks of a video" if root.find("track") is not None else "no pictures"
        raise DataError(f'{file} has {what}; export the task in the format "CVAT for images 1.1"')
    try:
        names, limbs, guessed = _points(root, images)
        own = skeleton or skeleton_of_names("own", names, limbs)
        if unknown := [name for name in names if name not in own.keypoints]:
            raise DataError(f"{file} has the label {unknown[0]!r}, which skeleton {own.name} lacks")
        sizes = [(int(image.attrib["width"]), int(image.attrib["height"])) for image in images]
        found = find_pictures(
            [image.attrib["name"] for image in images],
            file.parent,
            trees=[file.absolute().parent],
            sizes=list(sizes),
        )
    except MALFORMED as error:
        raise _no_export(file, error) from error
    labels = Labels(own, guessed=[] if skeleton else guessed)
    for i, (image, size) in enumerate(zip(images, sizes, strict=True)):
        name, picture = image.attrib["name"], found.paths[i]
        if picture is None:
            why = found.refused.get(i, f"there is no picture {name}")
            raise DataError(f"{file}: {why}")
        try:
            people = _people(image, own, f"{file}, {name}")
        except MALFORMED as error:
            raise _no_export(file, error) from error
        labels.pictures.setdefault(picture, []).extend(_as_shown(people, picture, size))
    return write_labels({"train": labels}, Path(out))


def export_cvat(file: str | Path, out: str | Path, images: str | Path | None = None) -> int:
    """Write a data set in COCO's format for a CVAT task of the same pictures: `labels.json`, the
    raw labels to make the task with, and `annotations.xml` to upload into it.

    Returns:
        How many people.

    Raises:
        ConfigError: `out` holds annotations already.
        DataError, ImageError: the file or a picture is missing or broken.
    """
    file, out = Path(file), Path(out)
    if (out / XML).exists():
        raise ConfigError(f"{out} holds annotations already; name another folder")
    data = read_to_export(file, images)
    text = "".join(
        f'  <image id="{number}" name={quoteattr(str(picture["file_name"]))} '
        'width="{}" height="{}">\n'.format(*data.shown_sizes[picture["id"]])
        + "".join(_skeleton_xml(p.points, data.skeleton) for p in data.people[picture["id"]])
        + "  </image>\n"
        for number, picture in enumerate(data.pictures)
    )
    everybody = (person.points for people in data.people.values() for person in people)
    shape = max(everybody, key=lambda points: int((points[:, 2] > 0).sum()), default=None)
    with atomic_write(out / XML) as temporary:
        temporary.write_text(
            f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
            f"{text}</annotations>\n",
            encoding="utf-8",
        )
    with atomic_write(out / LABELS) as temporary:
        temporary.write_text(
            json.dumps([_raw_label(data.skeleton, shape)], indent=1), encoding="utf-8"
        )
    return len(data)


def _read(file: Path) -> ElementTree.Element:
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        raise DataError(f"there is no file {file}") from None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error}") from None
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:  # which could grow without end
        raise DataError(f"{file} declares entities, which no export of CVAT's does")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{file} cannot be read as XML: {error}") from None


def _no_export(file: Path, error: Exception) -> DataError:
    return DataError(
        f'{file} is not in the format "CVAT for images 1.1" ({type(error).__name__}: {error})'
    )


def _points(
    root: ElementTree.Element, images: Iterable[ElementTree.Element]
) -> tuple[list[str], list[tuple[str, str]], list[str]]:
    """Names in the order of the task's labels, limbs by the skeleton's drawing, and what is taken
    for granted."""
    used = dict.fromkeys(
        point.attrib["label"] for image in images for point in image.iter("points")
    )
    if not used:
        raise ValueError("no picture has points")
    listed = [
        str(label.findtext("name"))
        for label in root.iter("label")
        if label.findtext("parent") or label.findtext("type") == "points"
    ]
    names = dict.fromkeys([name for name in listed if name in used] + list(used))
    guessed = [] if listed else ["the order of the points is that in which they come"]
    limbs: list[tuple[str, str]] = []
    for label in root.iter("label"):
        drawing = label.findtext("svg") or ""
        nodes: dict[str, str] = {}
        for circle in re.findall(r"<circle[^>]*>", drawing):
            values = dict(re.findall(r'data-([a-z-]+)="([^"]*)"', circle))
            nodes[values.get("node-id", "")] = values.get("label-name", "")
        for line in re.findall(r"<line[^>]*>", drawing):
            values = dict(re.findall(r'data-([a-z-]+)="([^"]*)"', line))
            limb = tuple(nodes.get(values.get(f"node-{end}", ""), "") for end in ("from", "to"))
            if all(name in names for name in limb):
                limbs.append((limb[0], limb[1]))
    return list(names), limbs, guessed


def _people(image: ElementTree.Element, skeleton: Skeleton, where: str) -> list[Instance]:
    """In the pixels that the export means."""
    people: dict[str, NDArray[np.float64]] = {}
    owners = [(f"skeleton {n}", element) for n, element in enumerate(image.findall("skeleton"))]
    parts = [(key, point) for key, element in owners for point in element.findall("points")]
    parts += [(f"group {p.get('group_id', '0')}", p) for p in image.findall("points")]
    for key, point in parts:
        name = point.attrib["label"]
        places = [pair.split(",") for pair in point.attrib["points"].split(";")]
        if len(places) != 1:
            raise DataError(
                f"{where}: {name} has {len(places)} points in one shape; draw one point a label, "
                "or a skeleton"
            )
        joints = people.setdefault(key, np.zeros((len(skeleton), 3)))
        if point.get("outside") == "1":
            continue
        joint = joints[skeleton.index(name)]
        if joint[2] > 0:
            raise DataError(
                f"{where}: {name} is labelled twice for one person; group everybody's points, or "
                "draw skeletons"
            )
        x, y = (float(value) for value in places[0])
        joint[:] = x, y, 1 if point.get("occluded") == "1" else 2
        if not np.isfinite(joint).all():
            raise ValueError(f"{name} is at {x}, {y}")
    boxes = {
        f"group {box.attrib['group_id']}": np.array(
            [float(box.attrib[key]) for key in ("xtl", "ytl", "xbr", "ybr")]
        )
        for box in image.findall("box")
        if box.get("group_id", "0") != "0"
    }
    return [Instance(own, boxes.get(key)) for key, own in people.items() if own[:, 2].any()]


def _as_shown(people: list[Instance], picture: Path, said: Size) -> list[Instance]:
    """In the pixels of the picture as shown, where the export means those stored."""
    size, orientation = size_and_orientation(picture)
    if said == turned_size(size, orientation):
        return people
    if said != size:
        raise DataError(
            f"{picture} has {size[0]} x {size[1]} pixels, and the export is of {said[0]} x "
            f"{said[1]}"
        )
    return [moved(person, to_upright, orientation, size) for person in people]


def _skeleton_xml(points: NDArray[np.float64], skeleton: Skeleton) -> str:
    lines = [f'    <skeleton label={quoteattr(skeleton.name)} source="manual" z_order="0">\n']
    for name, (x, y, v) in zip(skeleton.keypoints, points.tolist(), strict=True):
        lines.append(
            f'      <points label={quoteattr(name)} source="manual" outside="{int(v == 0)}" '
            f'occluded="{int(v == 1)}" points="{x:.3f},{y:.3f}"></points>\n'
        )
    return "".join([*lines, "    </skeleton>\n"])


def _raw_label(skeleton: Skeleton, shape: NDArray[np.float64] | None) -> dict[str, Any]:
    """What CVAT's constructor takes: the joints, drawn as somebody of the data set has them."""
    places = np.stack([np.linspace(10, 90, len(skeleton)), np.full(len(skeleton), 50.0)], axis=1)
    if shape is not None and (shape[:, 2] > 0).all():
        low, extent = shape[:, :2].min(axis=0), max(1.0, float(np.ptp(shape[:, :2], axis=0).max()))
        places = 10 + 80 * (shape[:, :2] - low) / extent
    number = {name: n for n, name in enumerate(skeleton.keypoints, 1)}
    svg = "".join(
        f'<line x1="{places[a, 0]:.1f}" y1="{places[a, 1]:.1f}" x2="{places[b, 0]:.1f}" '
        f'y2="{places[b, 1]:.1f}" stroke="black" data-type="edge" data-node-from="{a + 1}" '
        f'stroke-width="0.5" data-node-to="{b + 1}"></line>'
        for a, b in skeleton.limb_indices
    ) + "".join(
        f'<circle r="0.75" stroke="black" fill="#b3b3b3" cx="{x:.1f}" cy="{y:.1f}" '
        f'stroke-width="0.1" data-type="element node" data-element-id="{number[name]}" '
        f'data-node-id="{number[name]}" data-label-name="{escape(name)}"></circle>'
        for name, (x, y) in zip(skeleton.keypoints, places.tolist(), strict=True)
    )
    sublabels = [{"name": name, "type": "points", "attributes": []} for name in skeleton.keypoints]
    return {"name": skeleton.name, "type": "skeleton", "svg": svg, "sublabels": sublabels}
